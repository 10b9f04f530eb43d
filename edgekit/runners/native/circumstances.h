/* What a runner observes about the machine while it times: a fixed reference kernel, CPU quotas, and the page cache. */
#ifndef EDGEKIT_CIRCUMSTANCES_H
#define EDGEKIT_CIRCUMSTANCES_H

#include <stdint.h>

enum { REFERENCE_RUNS = 5 };

/* Time a fixed amount of arithmetic REFERENCE_RUNS times, in ns. It uses registers only, so it leaves the caches alone. */
void time_reference(int64_t *ns);

/* How long CPU quotas have stopped processes so far, of the process's cgroup and of all above it, in ns; -1 if unknown. */
int64_t quota_ns(void);

/* How often another program has taken the CPU from this process so far. */
int64_t preemptions(void);

/* Ask the kernel to drop a file from its page cache; no privilege is needed. */
void drop_from_cache(const char *path);

/* The share of a file that is in the page cache, from 0 to 1000 per mille; -1 if it is unknown. */
int64_t cached_per_mille(const char *path);

#endif
