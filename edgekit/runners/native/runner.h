/* What the native runners share: arguments, clock, pinning, the loop that times, and JSON lines on standard output.
 * The same arguments and the same lines as python_runner.py. */
#ifndef EDGEKIT_RUNNER_H
#define EDGEKIT_RUNNER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

struct arguments {
    const char *model;
    const char *input;
    const char *output; /* NULL: write none */
    const char *etdump; /* NULL: write none */
    int threads;
    int cpu;            /* -1: do not pin */
    long iterations;    /* 0: only write the outputs */
    double min_seconds;
    double warmup_seconds;
};

/* Float32 inputs back to back, as they lie in the input file. */
struct images {
    float *values;
    size_t count;
    size_t floats_each;
};

/* One inference; `session` is the runtime's own. Ends the process where it fails. */
typedef void (*inference)(void *session);

struct arguments parse_arguments(int argc, char **argv);

/* Print an `error` line and end with status 1. */
#ifdef __cplusplus
[[noreturn]]
#else
_Noreturn
#endif
void fail(const char *format, ...) __attribute__((format(printf, 1, 2)));

int64_t now_ns(void);
void pin(int cpu);
struct images read_images(const char *path, size_t floats_each);

/* An event is begun, given fields, and ended: one line. */
void begin_event(const char *name);
void field_integer(const char *name, int64_t value);
void field_boolean(const char *name, bool value);
void field_null(const char *name);
void field_text(const char *name, const char *value);
void field_integers(const char *name, const int64_t *values, size_t count);
void field_shapes(const char *name, const int32_t *const *shapes, const size_t *ranks, size_t count);
void end_event(void);

/* Print the `environment` line: what this process is and on which CPUs it may run. */
void tell_environment(const char *runtime, const char *version, int threads);

/* Time `run` as `arguments` ask: first, warm-up, samples; prints `first` and `samples`. The facts that it gathers go into the
 * `done` line, which tell_done prints. */
void measure(const struct arguments *arguments, inference run, void *session);
void tell_done(void);

#ifdef __cplusplus
}
#endif

#endif
