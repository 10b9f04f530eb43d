#define _GNU_SOURCE
#include "circumstances.h"
#include "runner.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

enum { REFERENCE_STEPS = 2000000, MICROSECOND_NS = 1000 };

void time_reference(int64_t *ns) {
    for (int run = 0; run < REFERENCE_RUNS; run++) {
        const int64_t start = now_ns();
        uint64_t value = (uint64_t)run;
        for (int step = 0; step < REFERENCE_STEPS; step++) {
            value = value * 6364136223846793005U + 1442695040888963407U; /* each step needs the one before */
        }
        __asm__ volatile("" : : "r"(value)); /* the compiler cannot leave the loop out */
        ns[run] = now_ns() - start;
    }
}

/* The number after `name` in a file of lines of name and number; -1 if it is not there. */
static int64_t number_in(const char *path, const char *name) {
    char line[256];
    int64_t found = -1;
    const size_t length = strlen(name);
    FILE *file = fopen(path, "r");
    while (file && found < 0 && fgets(line, sizeof line, file)) {
        if (!strncmp(line, name, length) && line[length] == ' ') {
            found = strtoll(line + length, NULL, 10);
        }
    }
    if (file) {
        fclose(file);
    }
    return found;
}

/* Whether a comma separates `name` from the other names in a list. */
static bool lists(const char *names, const char *name) {
    const size_t length = strlen(name);
    for (const char *place = strstr(names, name); place; place = strstr(place + 1, name)) {
        if ((place == names || place[-1] == ',') && (place[length] == ',' || !place[length])) {
            return true;
        }
    }
    return false;
}

/* The sum of the numbers after `name` in a group's cpu.stat and in those of the groups above it; -1 if none has it. */
static int64_t stopped_in(const char *top, char *group, const char *name) {
    char path[2304];
    int64_t found = -1;
    for (;;) {
        snprintf(path, sizeof path, "%s%s/cpu.stat", top, strcmp(group, "/") ? group : "");
        const int64_t stopped = number_in(path, name);
        found = stopped < 0 ? found : stopped + (found < 0 ? 0 : found);
        char *last = strrchr(group, '/');
        if (!last || !strcmp(group, "/")) {
            return found;
        }
        *last = '\0';
    }
}

int64_t quota_ns(void) {
    char line[1024], top[1152];
    int64_t found = -1;
    FILE *file = fopen("/proc/self/cgroup", "r");
    while (file && found < 0 && fgets(line, sizeof line, file)) { /* number:controllers:group */
        char *end = strchr(line, '\n');
        if (end) {
            *end = '\0';
        }
        char *controllers = strchr(line, ':'), *group = controllers ? strchr(controllers + 1, ':') : NULL;
        if (!group) {
            continue;
        }
        *group++ = '\0';
        if (!*++controllers) { /* version 2 */
            const int64_t us = stopped_in("/sys/fs/cgroup", group, "throttled_usec");
            found = us < 0 ? -1 : us * MICROSECOND_NS;
        } else if (lists(controllers, "cpu")) {
            snprintf(top, sizeof top, "/sys/fs/cgroup/%s", controllers);
            found = stopped_in(top, group, "throttled_time");
        }
    }
    if (file) {
        fclose(file);
    }
    return found;
}

int64_t preemptions(void) {
    struct rusage usage;
    return getrusage(RUSAGE_SELF, &usage) ? -1 : (int64_t)usage.ru_nivcsw;
}

void drop_from_cache(const char *path) {
    const int file = open(path, O_RDONLY | O_CLOEXEC);
    if (file >= 0) {
        fdatasync(file); /* only what is on the disk can be dropped */
        posix_fadvise(file, 0, 0, POSIX_FADV_DONTNEED);
        close(file);
    }
}

int64_t cached_per_mille(const char *path) {
    struct stat facts;
    const int file = open(path, O_RDONLY | O_CLOEXEC);
    if (file < 0 || fstat(file, &facts) || !facts.st_size) {
        return -1;
    }
    const size_t size = (size_t)facts.st_size, page = (size_t)sysconf(_SC_PAGESIZE), pages = (size + page - 1) / page;
    unsigned char *resident = malloc(pages);
    void *memory = mmap(NULL, size, PROT_READ, MAP_SHARED, file, 0);
    int64_t share = -1;
    if (resident && memory != MAP_FAILED && !mincore(memory, size, resident)) {
        size_t there = 0;
        for (size_t i = 0; i < pages; i++) {
            there += resident[i] & 1U;
        }
        share = (int64_t)(1000 * there / pages);
    }
    if (memory != MAP_FAILED) {
        munmap(memory, size);
    }
    free(resident);
    close(file);
    return share;
}
