/* What the native runners share: arguments, clock, pinning, the loop that times, and JSON lines on standard output.
 * The same arguments and the same lines as python_runner.py. */
#ifndef EDGEKIT_RUNNER_H
#define EDGEKIT_RUNNER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#ifdef __cplusplus
extern "C" {
#endif

struct arguments {
    const char *model;
    const char *input;
    const char *output; /* NULL: write none */
    const char *operators; /* the runtime's own profile of its operators; NULL: write none */
    int threads;
    const char *cpus;   /* with commas; NULL: do not pin */
    const char *frame;        /* a camera's frame: time end to end, from it to the outputs in memory; NULL: inference only */
    const char *frame_plan;   /* how it becomes the input */
    const char *preprocessed; /* where to write the input that comes from it; NULL: nowhere */
    bool cold;          /* drop the model's file from the page cache before loading */
    long iterations;    /* 0: only write the outputs */
    double min_seconds;
    double warmup_seconds;
};

/* A loaded model; `session` is the runtime's own. What fails ends the process. */
struct model {
    void *session;
    size_t input_floats;
    void (*set_inputs)(void *session, const float *values);
    void (*run)(void *session);
    void (*write_outputs)(void *session, FILE *file);
};

struct arguments parse_arguments(int argc, char **argv);

/* Print an `error` line and end with status 1. */
#ifdef __cplusplus
[[noreturn]]
#else
_Noreturn
#endif
void fail(const char *format, ...) __attribute__((format(printf, 1, 2)));

int64_t now_ns(void);
void pin(const char *cpus);

/* An event is begun, given fields, and ended: one line. */
void begin_event(const char *name);
void field_integer(const char *name, int64_t value);
void field_boolean(const char *name, bool value);
void field_null(const char *name);
/* An integer, or null if it is negative: unknown. */
void field_known(const char *name, int64_t value);
void field_text(const char *name, const char *value);
void field_integers(const char *name, const int64_t *values, size_t count);
void field_shapes(const char *name, const int32_t *const *shapes, const size_t *ranks, size_t count);
void end_event(void);

/* Note how much memory is resident before the model is loaded, for the `done` line. */
void note_baseline(void);

/* Before loading: drop the model's file from the page cache if `arguments` ask, and return how much of it is there, in
 * thousandths; -1 if it is unknown. */
int64_t prepare_file(const struct arguments *arguments);

/* Print the `environment` line: what this process is and on which CPUs it may run. */
void tell_environment(const char *runtime, const char *version, int threads);

/* Time the first input as `arguments` ask, write the outputs of all, and print the lines from `first` to `done`. */
void serve(const struct arguments *arguments, const struct model *model);

#ifdef __cplusplus
}
#endif

#endif
