/* Runs ON the device: one .tflite file in LiteRT, on the CPU. Speaks the C API of libLiteRt.so, which is found at run time: the
 * wheel has no headers, so what is used of the API is declared here, as of the version that the capsule is built with. */
#define _GNU_SOURCE
#include "runner.h"

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_DIMENSIONS = 8, MOST_INPUTS = 64, MOST_OUTPUTS = 64, CPU_ACCELERATOR = 1, LOCK_READ = 0, LOCK_WRITE = 1, FLOAT32 = 1 };

#define PROFILE_HEADER "edgekit: operators of LiteRT " LITERT_VERSION "\n"

typedef void *handle;
typedef size_t position;

struct ranked_tensor_type {
    int element_type;
    unsigned rank : 7;
    unsigned has_strides : 1;
    int32_t dimensions[MOST_DIMENSIONS];
    uint32_t strides[MOST_DIMENSIONS];
};

/* What the runtime's profiler notes of one event. */
struct profiled_event {
    const char *tag;
    int type; /* 1: of the runtime, 2: an operator of the graph, 8: an operator inside the delegate */
    uint64_t start_us, elapsed_us;
    int64_t memory[6];
    uint64_t node, other;
    int source;
};

/* Name, parameters. Each returns a status, 0 for success. */
#define API(use)                                                                                                    \
    use(LiteRtCreateEnvironment, (int, const void *, handle *))                                                     \
    use(LiteRtCreateModelFromFile, (handle, const char *, handle *))                                                \
    use(LiteRtCreateOptions, (handle *))                                                                            \
    use(LiteRtSetOptionsHardwareAccelerators, (handle, int))                                                        \
    use(LiteRtCreateOpaqueOptions, (const char *, void *, void (*)(void *), handle *))                              \
    use(LiteRtAddOpaqueOptions, (handle, handle))                                                                   \
    use(LiteRtCreateCompiledModel, (handle, handle, handle, handle *))                                              \
    use(LiteRtCompiledModelIsFullyAccelerated, (handle, bool *))                                                    \
    use(LiteRtGetModelSignature, (handle, position, handle *))                                                      \
    use(LiteRtGetModelSubgraph, (handle, position, handle *))                                                       \
    use(LiteRtGetNumSignatureInputs, (handle, position *))                                                          \
    use(LiteRtGetNumSignatureOutputs, (handle, position *))                                                         \
    use(LiteRtGetSubgraphInput, (handle, position, handle *))                                                       \
    use(LiteRtGetSubgraphOutput, (handle, position, handle *))                                                      \
    use(LiteRtGetSignatureInputTensorByIndex, (handle, position, handle *))                                         \
    use(LiteRtGetSignatureOutputTensorByIndex, (handle, position, handle *))                                        \
    use(LiteRtGetRankedTensorType, (handle, struct ranked_tensor_type *))                                           \
    use(LiteRtGetCompiledModelInputBufferRequirements, (handle, position, position, handle *))                      \
    use(LiteRtGetCompiledModelOutputBufferRequirements, (handle, position, position, handle *))                     \
    use(LiteRtCreateManagedTensorBufferFromRequirements,                                                            \
        (handle, const struct ranked_tensor_type *, handle, handle *))                                              \
    use(LiteRtLockTensorBuffer, (handle, void **, int))                                                             \
    use(LiteRtUnlockTensorBuffer, (handle))                                                                         \
    use(LiteRtCompiledModelGetProfiler, (handle, handle *))                                                         \
    use(LiteRtStartProfiler, (handle))                                                                              \
    use(LiteRtStopProfiler, (handle))                                                                               \
    use(LiteRtResetProfiler, (handle))                                                                              \
    use(LiteRtGetNumProfilerEvents, (handle, int *))                                                                \
    use(LiteRtGetProfilerEvents, (handle, int, struct profiled_event *))                                            \
    use(LiteRtRunCompiledModel, (handle, position, size_t, handle *, size_t, handle *))

#define DECLARE(name, parameters) static int(*name) parameters;
API(DECLARE)
#undef DECLARE

static void check(int status, const char *what) {
    if (status) {
        fail("%s: LiteRT's status %d", what, status);
    }
}

#define CHECK(call) check((call), #call)

static void load_library(void) {
    void *library = dlopen("libLiteRt.so", RTLD_NOW);
    if (!library) {
        fail("libLiteRt.so: %s", dlerror());
    }
    /* The cast of an object pointer to a function pointer goes through memory, as POSIX recommends. */
#define FIND(name, parameters)                              \
    *(void **)(&name) = dlsym(library, #name);              \
    if (!(name)) {                                          \
        fail("libLiteRt.so of this version has no " #name); \
    }
    API(FIND)
#undef FIND
}

struct session {
    handle model, compiled, profiler;
    FILE *operators; /* where the profiler's events go; NULL: there is no profiler */
    long runs;
    size_t input_floats, inputs, outputs;
    handle input[MOST_INPUTS];                     /* buffers in the signature's order */
    size_t floats[MOST_INPUTS];                    /* likewise */
    size_t input_order[MOST_INPUTS];               /* the graph's order: place in the signature */
    handle output[MOST_OUTPUTS];                   /* buffers in the signature's order */
    struct ranked_tensor_type type[MOST_OUTPUTS];  /* likewise */
    size_t order[MOST_OUTPUTS];                    /* the graph's order: place in the signature */
};

static size_t floats_of(const struct ranked_tensor_type *type) {
    if (type->element_type != FLOAT32) {
        fail("an input or output is not float32 (LiteRT's type %d)", type->element_type);
    }
    size_t floats = 1;
    for (unsigned side = 0; side < type->rank; side++) {
        floats *= (size_t)type->dimensions[side];
    }
    return floats;
}

static void add_option(handle options, const char *name, const char *text) {
    handle added;
    CHECK(LiteRtCreateOpaqueOptions(name, strdup(text), free, &added));
    CHECK(LiteRtAddOpaqueOptions(options, added));
}

static handle options_with(int threads, bool profiled) {
    char payload[32];
    handle options;
    CHECK(LiteRtCreateOptions(&options));
    CHECK(LiteRtSetOptionsHardwareAccelerators(options, CPU_ACCELERATOR));
    snprintf(payload, sizeof payload, "num_threads = %d\n", threads);
    add_option(options, "xnnpack", payload);
    if (profiled) {
        add_option(options, "runtime_options_string", "enable_profiling = true\n");
    }
    return options;
}

static void begin_profile(struct session *session, const char *path) {
    CHECK(LiteRtCompiledModelGetProfiler(session->compiled, &session->profiler));
    session->operators = fopen(path, "w");
    if (!session->operators) {
        fail("%s cannot be written", path);
    }
    fputs(PROFILE_HEADER, session->operators);
}

static struct session load(const char *path, int threads, const char *operators) {
    struct session session = {0};
    handle environment, signature, graph, tensor, requirements;
    struct ranked_tensor_type type;
    CHECK(LiteRtCreateEnvironment(0, NULL, &environment));
    if (LiteRtCreateModelFromFile(environment, path, &session.model)) {
        fail("%s is no model that LiteRT can read", path);
    }
    CHECK(LiteRtCreateCompiledModel(environment, session.model, options_with(threads, operators != NULL), &session.compiled));
    if (operators) {
        begin_profile(&session, operators);
    }
    CHECK(LiteRtGetModelSignature(session.model, 0, &signature));
    CHECK(LiteRtGetModelSubgraph(session.model, 0, &graph));
    CHECK(LiteRtGetNumSignatureInputs(signature, &session.inputs));
    CHECK(LiteRtGetNumSignatureOutputs(signature, &session.outputs));
    if (session.inputs > MOST_INPUTS || session.outputs > MOST_OUTPUTS) {
        fail("%s has %zu inputs and %zu outputs; at most %d and %d are expected", path, session.inputs,
             session.outputs, MOST_INPUTS, MOST_OUTPUTS);
    }
    handle given[MOST_INPUTS];
    for (size_t i = 0; i < session.inputs; i++) {
        CHECK(LiteRtGetSignatureInputTensorByIndex(signature, i, &given[i]));
        CHECK(LiteRtGetRankedTensorType(given[i], &type));
        session.floats[i] = floats_of(&type);
        session.input_floats += session.floats[i];
        CHECK(LiteRtGetCompiledModelInputBufferRequirements(session.compiled, 0, i, &requirements));
        CHECK(LiteRtCreateManagedTensorBufferFromRequirements(environment, &type, requirements, &session.input[i]));
    }
    for (size_t i = 0; i < session.inputs; i++) {
        CHECK(LiteRtGetSubgraphInput(graph, i, &tensor));
        for (size_t j = 0; j < session.inputs; j++) {
            if (given[j] == tensor) {
                session.input_order[i] = j;
            }
        }
    }
    handle named[MOST_OUTPUTS];
    for (size_t i = 0; i < session.outputs; i++) {
        CHECK(LiteRtGetSignatureOutputTensorByIndex(signature, i, &named[i]));
        CHECK(LiteRtGetRankedTensorType(named[i], &session.type[i]));
        floats_of(&session.type[i]);
        CHECK(LiteRtGetCompiledModelOutputBufferRequirements(session.compiled, 0, i, &requirements));
        CHECK(LiteRtCreateManagedTensorBufferFromRequirements(environment, &session.type[i], requirements,
                                                              &session.output[i]));
    }
    for (size_t i = 0; i < session.outputs; i++) {
        CHECK(LiteRtGetSubgraphOutput(graph, i, &tensor));
        for (size_t j = 0; j < session.outputs; j++) {
            if (named[j] == tensor) {
                session.order[i] = j;
            }
        }
    }
    return session;
}

static void run_once(struct session *session) {
    CHECK(LiteRtRunCompiledModel(session->compiled, 0, session->inputs, session->input, session->outputs, session->output));
}

/* Write the events of the last run, one a line: run, type, microseconds, node, tag; and forget them. */
static void write_events(struct session *session) {
    int count = 0;
    CHECK(LiteRtGetNumProfilerEvents(session->profiler, &count));
    struct profiled_event *events = calloc((size_t)count + 1, sizeof *events);
    if (!events) {
        fail("out of memory");
    }
    if (count) {
        CHECK(LiteRtGetProfilerEvents(session->profiler, count, events));
    }
    bool whole = false;
    for (int i = 0; i < count; i++) {
        const struct profiled_event *event = &events[i];
        fprintf(session->operators, "%ld\t%d\t%llu\t%llu\t%s\n", session->runs, event->type,
                (unsigned long long)event->elapsed_us, (unsigned long long)event->node, event->tag);
        whole = whole || (event->type == 1 && !strcmp(event->tag, "Invoke"));
    }
    if (!whole) {
        fail("LiteRT's profiler has no room for the operators of one run: it kept %d events", count);
    }
    free(events);
    CHECK(LiteRtResetProfiler(session->profiler));
}

static void run(void *untyped) {
    struct session *session = untyped;
    if (!session->operators) {
        run_once(session);
        return;
    }
    CHECK(LiteRtStartProfiler(session->profiler));
    run_once(session);
    CHECK(LiteRtStopProfiler(session->profiler));
    write_events(session);
    session->runs++;
}

static void set_inputs(void *untyped, const float *values) {
    const struct session *session = untyped;
    for (size_t i = 0; i < session->inputs; i++) {
        const size_t place = session->input_order[i];
        void *memory;
        CHECK(LiteRtLockTensorBuffer(session->input[place], &memory, LOCK_WRITE));
        memcpy(memory, values, session->floats[place] * sizeof(float));
        CHECK(LiteRtUnlockTensorBuffer(session->input[place]));
        values += session->floats[place];
    }
}

static void write_outputs(void *untyped, FILE *file) {
    const struct session *session = untyped;
    for (size_t i = 0; i < session->outputs; i++) {
        const size_t place = session->order[i], floats = floats_of(&session->type[place]);
        void *memory;
        CHECK(LiteRtLockTensorBuffer(session->output[place], &memory, LOCK_READ));
        if (fwrite(memory, sizeof(float), floats, file) != floats) {
            fail("the output cannot be written whole");
        }
        CHECK(LiteRtUnlockTensorBuffer(session->output[place]));
    }
}

static void tell_load(const struct session *session, int64_t ns, int64_t cached) {
    const int32_t *shapes[MOST_OUTPUTS];
    size_t ranks[MOST_OUTPUTS];
    for (size_t i = 0; i < session->outputs; i++) {
        shapes[i] = session->type[session->order[i]].dimensions;
        ranks[i] = session->type[session->order[i]].rank;
    }
    bool accelerated = false;
    CHECK(LiteRtCompiledModelIsFullyAccelerated(session->compiled, &accelerated));
    begin_event("load");
    field_integer("ns", ns);
    field_shapes("output_shapes", shapes, ranks, session->outputs);
    field_boolean("fully_accelerated", accelerated);
    field_known("cached_per_mille", cached);
    end_event();
}

int main(int argc, char **argv) {
    const struct arguments arguments = parse_arguments(argc, argv);
    pin(arguments.cpus);
    load_library();
    note_baseline();
    const int64_t cached = prepare_file(&arguments), start = now_ns();
    struct session session = load(arguments.model, arguments.threads, arguments.operators);
    const int64_t load_ns = now_ns() - start;
    tell_environment("ai_edge_litert", LITERT_VERSION, arguments.threads);
    tell_load(&session, load_ns, cached);
    serve(&arguments, &(struct model){&session, session.input_floats, set_inputs, run, write_outputs});
    if (session.operators && fclose(session.operators)) {
        fail("%s cannot be written whole", arguments.operators);
    }
    _Exit(0); /* the library's own threads are not waited for */
}
