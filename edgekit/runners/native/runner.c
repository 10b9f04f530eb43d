#define _GNU_SOURCE
#include "runner.h"
#include "circumstances.h"
#include "frame.h"

#include <dirent.h>
#include <errno.h>
#include <getopt.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

enum { MOST_TASKS = 1024, MOST_CPUS = CPU_SETSIZE, FIELD_PROCESSOR = 39, FIELD_USER_TICKS = 14, LEAST_TICKS = 20 };

static const int64_t SECOND_NS = 1000000000;

/* Threads by their ids, with the CPU time in clock ticks that each has taken. */
struct tasks {
    size_t count;
    long ids[MOST_TASKS];
    int64_t ticks[MOST_TASKS];
};

/* Examples back to back, of each all inputs, as they lie in the input file. */
struct images {
    float *values;
    size_t count;
};

/* What `measure` found, for the `done` line. */
static struct {
    int64_t baseline_kb; /* memory before the model was loaded; -1: unknown */
    bool measured, end_to_end;
    int64_t warmup_runs, wall_ns, cpu_ns;
    int64_t timed_uptime_ns[2]; /* from when to when, since the start of the system */
    int64_t cpus[2];
    size_t cpu_count;
    int64_t threads_busy; /* -1: too few ticks passed to tell */
    int64_t reference_ns[2 * REFERENCE_RUNS];
    int64_t preempted; /* how often another program took the CPU */
    int64_t quota_ns;  /* how long a CPU quota stopped the process; -1: unknown */
} facts;

static bool first_field;

void begin_event(const char *name) {
    first_field = true;
    putchar('{');
    field_text("event", name);
}

void end_event(void) {
    puts("}");
    fflush(stdout);
}

static void put_text(const char *text) {
    putchar('"');
    for (const unsigned char *c = (const unsigned char *)text; *c; c++) {
        if (*c == '"' || *c == '\\') {
            printf("\\%c", *c);
        } else if (*c < ' ') {
            printf("\\u%04x", *c);
        } else {
            putchar(*c);
        }
    }
    putchar('"');
}

static void put_name(const char *name) {
    if (!first_field) {
        fputs(", ", stdout);
    }
    first_field = false;
    put_text(name);
    fputs(": ", stdout);
}

void field_integer(const char *name, int64_t value) {
    put_name(name);
    printf("%lld", (long long)value);
}

void field_boolean(const char *name, bool value) {
    put_name(name);
    fputs(value ? "true" : "false", stdout);
}

void field_null(const char *name) {
    put_name(name);
    fputs("null", stdout);
}

void field_known(const char *name, int64_t value) {
    if (value < 0) {
        field_null(name);
    } else {
        field_integer(name, value);
    }
}

void field_text(const char *name, const char *value) {
    put_name(name);
    put_text(value);
}

void field_integers(const char *name, const int64_t *values, size_t count) {
    put_name(name);
    putchar('[');
    for (size_t i = 0; i < count; i++) {
        printf("%s%lld", i ? ", " : "", (long long)values[i]);
    }
    putchar(']');
}

void field_shapes(const char *name, const int32_t *const *shapes, const size_t *ranks, size_t count) {
    put_name(name);
    putchar('[');
    for (size_t i = 0; i < count; i++) {
        fputs(i ? ", [" : "[", stdout);
        for (size_t side = 0; side < ranks[i]; side++) {
            printf("%s%d", side ? ", " : "", shapes[i][side]);
        }
        putchar(']');
    }
    putchar(']');
}

void fail(const char *format, ...) {
    char message[1024];
    va_list values;
    va_start(values, format);
    vsnprintf(message, sizeof message, format, values);
    va_end(values);
    begin_event("error");
    field_text("message", message);
    end_event();
    _Exit(1);
}

static int64_t time_of(clockid_t clock) {
    struct timespec now;
    clock_gettime(clock, &now);
    return (int64_t)now.tv_sec * SECOND_NS + now.tv_nsec;
}

int64_t now_ns(void) {
    return time_of(CLOCK_MONOTONIC);
}

static long whole_number(const char *option, const char *text) {
    char *end = NULL;
    errno = 0;
    const long value = strtol(text, &end, 10);
    if (errno || end == text || *end || value < 0) {
        fail("--%s takes a whole number, not %s", option, text);
    }
    return value;
}

static double seconds(const char *option, const char *text) {
    char *end = NULL;
    const double value = strtod(text, &end);
    if (end == text || *end || value < 0) {
        fail("--%s takes seconds, not %s", option, text);
    }
    return value;
}

struct arguments parse_arguments(int argc, char **argv) {
    static const struct option options[] = {
        {"model", required_argument, NULL, 'm'},       {"input", required_argument, NULL, 'i'},
        {"output", required_argument, NULL, 'o'},      {"operators", required_argument, NULL, 'e'},
        {"threads", required_argument, NULL, 't'},     {"cpus", required_argument, NULL, 'c'},
        {"iterations", required_argument, NULL, 'n'},  {"min-seconds", required_argument, NULL, 's'},
        {"warmup-seconds", required_argument, NULL, 'w'}, {"cold", no_argument, NULL, 'f'},
        {"frame", required_argument, NULL, 'r'},       {"frame-plan", required_argument, NULL, 'l'},
        {"preprocessed", required_argument, NULL, 'd'},
        {NULL, 0, NULL, 0},
    };
    struct arguments found = {.threads = 1, .warmup_seconds = 0.5};
    int option;
    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
        switch (option) {
        case 'm': found.model = optarg; break;
        case 'i': found.input = optarg; break;
        case 'o': found.output = optarg; break;
        case 'e': found.operators = optarg; break;
        case 't': found.threads = (int)whole_number("threads", optarg); break;
        case 'c': found.cpus = optarg; break;
        case 'n': found.iterations = whole_number("iterations", optarg); break;
        case 's': found.min_seconds = seconds("min-seconds", optarg); break;
        case 'w': found.warmup_seconds = seconds("warmup-seconds", optarg); break;
        case 'f': found.cold = true; break;
        case 'r': found.frame = optarg; break;
        case 'l': found.frame_plan = optarg; break;
        case 'd': found.preprocessed = optarg; break;
        default: fail("an argument is not known or lacks its value; see standard error");
        }
    }
    if (!found.frame != !found.frame_plan || (found.preprocessed && !found.frame)) {
        fail("--frame and --frame-plan belong together, and --preprocessed to them");
    }
    if (!found.model || !found.input || optind < argc) {
        fail("--model and --input are needed, and nothing beside the options");
    }
    return found;
}

void pin(const char *cpus) {
    if (!cpus) {
        return;
    }
    cpu_set_t set;
    CPU_ZERO(&set);
    for (const char *place = cpus; place; place = strchr(place, ',') ? strchr(place, ',') + 1 : NULL) {
        char *end = NULL;
        errno = 0;
        const long cpu = strtol(place, &end, 10);
        if (errno || end == place || (*end && *end != ',') || cpu < 0 || cpu >= MOST_CPUS) {
            fail("--cpus takes CPUs with commas between them, not %s", cpus);
        }
        CPU_SET((size_t)cpu, &set);
    }
    if (sched_setaffinity(0, sizeof set, &set)) {
        fail("pinning to CPU %s: %s", cpus, strerror(errno));
    }
}

int64_t prepare_file(const struct arguments *arguments) {
    if (arguments->cold) {
        drop_from_cache(arguments->model);
    }
    return cached_per_mille(arguments->model);
}

static struct images read_images(const char *path, size_t floats_each) {
    FILE *file = fopen(path, "rb");
    if (!file || fseek(file, 0, SEEK_END)) {
        fail("%s: %s", path, strerror(errno));
    }
    const long end = ftell(file);
    if (end < 0 || fseek(file, 0, SEEK_SET)) {
        fail("%s: %s", path, strerror(errno));
    }
    const size_t each = floats_each * sizeof(float), size = (size_t)end;
    if (!size || size % each) {
        fail("%s holds %zu bytes, and the inputs of one run are %zu", path, size, each);
    }
    const struct images images = {malloc(size), size / each};
    if (!images.values || fread(images.values, 1, size, file) != size) {
        fail("%s cannot be read whole", path);
    }
    fclose(file);
    return images;
}

/* Read the field of a /proc stat file (counted from 1, as proc(5) does), from the 3rd on; -1 where there is none. */
static int64_t stat_field(const char *path, int field) {
    char line[1024];
    FILE *file = fopen(path, "r");
    if (!file) {
        return -1;
    }
    const size_t length = fread(line, 1, sizeof line - 1, file);
    fclose(file);
    line[length] = '\0';
    char *place = strrchr(line, ')'); /* the name before it may hold anything */
    for (int at = 2; place && at < field; at++) {
        place = strchr(place + 1, ' ');
    }
    return place ? strtoll(place, NULL, 10) : -1;
}

static void note_cpu(void) {
    const int64_t cpu = stat_field("/proc/self/stat", FIELD_PROCESSOR);
    if (cpu < 0 || (facts.cpu_count && facts.cpus[0] == cpu)) {
        return;
    }
    facts.cpus[facts.cpu_count++] = cpu;
}

static void read_tasks(struct tasks *tasks) {
    tasks->count = 0;
    DIR *folder = opendir("/proc/self/task");
    while (folder && tasks->count < MOST_TASKS) {
        const struct dirent *entry = readdir(folder);
        if (!entry) {
            break;
        }
        if (entry->d_name[0] == '.') {
            continue;
        }
        char path[320];
        snprintf(path, sizeof path, "/proc/self/task/%s/stat", entry->d_name);
        tasks->ids[tasks->count] = strtol(entry->d_name, NULL, 10);
        tasks->ticks[tasks->count++] = stat_field(path, FIELD_USER_TICKS) + stat_field(path, FIELD_USER_TICKS + 1);
    }
    if (folder) {
        closedir(folder);
    }
}

/* How many threads did a twentieth of the work or more; -1 where too few ticks passed to tell. */
static int64_t busy_threads(const struct tasks *before, const struct tasks *after) {
    static int64_t spent[MOST_TASKS];
    int64_t total = 0, busy = 0;
    for (size_t i = 0; i < after->count; i++) {
        spent[i] = after->ticks[i];
        for (size_t j = 0; j < before->count; j++) {
            spent[i] -= before->ids[j] == after->ids[i] ? before->ticks[j] : 0;
        }
        total += spent[i];
    }
    for (size_t i = 0; i < after->count; i++) {
        busy += spent[i] * 20 >= total;
    }
    return total >= LEAST_TICKS ? busy : -1;
}

void tell_environment(const char *runtime, const char *version, int threads) {
    static int64_t allowed[MOST_CPUS];
    size_t count = 0;
    cpu_set_t set;
    if (!sched_getaffinity(0, sizeof set, &set)) {
        for (size_t cpu = 0; cpu < MOST_CPUS; cpu++) {
            if (CPU_ISSET(cpu, &set)) {
                allowed[count++] = (int64_t)cpu;
            }
        }
    }
    struct utsname system;
    uname(&system);
    begin_event("environment");
    field_text("runner", "native");
    field_text("runtime", runtime);
    field_text("runtime_version", version);
    field_integer("threads", threads);
    field_integers("affinity", allowed, count);
    field_text("machine", system.machine);
    field_text("kernel", system.release);
    field_text("process_context", "shell");
    end_event();
}

/* What one run is: the inference, or all from a camera's frame to the outputs in memory. */
struct work {
    const struct model *model;
    struct frame *frame; /* NULL: the inference only */
    FILE *outputs;       /* memory */
};

static void once(const struct work *work) {
    const struct model *model = work->model;
    if (work->frame) {
        model->set_inputs(model->session, preprocess(work->frame));
    }
    model->run(model->session);
    if (work->frame) {
        if (fseek(work->outputs, 0, SEEK_SET)) {
            fail("the outputs cannot be written to memory");
        }
        model->write_outputs(model->session, work->outputs);
        fflush(work->outputs);
    }
}

static int64_t timed(const struct work *work) {
    const int64_t start = now_ns();
    once(work);
    return now_ns() - start;
}

static struct work work_of(const struct arguments *arguments, const struct model *model) {
    static char *memory;
    static size_t size;
    struct work work = {.model = model};
    if (arguments->frame) {
        work.frame = open_frame(arguments->frame, arguments->frame_plan);
        work.outputs = open_memstream(&memory, &size);
        if (frame_values(work.frame) != model->input_floats || !work.outputs) {
            fail("the frame becomes %zu values, and the model takes %zu", frame_values(work.frame), model->input_floats);
        }
    }
    return work;
}

static void write_preprocessed(const struct arguments *arguments, const struct work *work) {
    FILE *file = fopen(arguments->preprocessed, "wb");
    const size_t count = frame_values(work->frame);
    if (!file || fwrite(preprocess(work->frame), sizeof(float), count, file) != count || fclose(file)) {
        fail("%s cannot be written", arguments->preprocessed);
    }
}

static void measure(const struct arguments *arguments, const struct work *work) {
    static struct tasks before, after;
    const int64_t first = timed(work);
    begin_event("first");
    field_integer("ns", first);
    end_event();
    const int64_t warm = now_ns() + (int64_t)(arguments->warmup_seconds * (double)SECOND_NS);
    do {
        once(work);
        facts.warmup_runs++;
    } while (now_ns() < warm);
    size_t count = 0, room = 65536;
    int64_t *samples = malloc(room * sizeof *samples);
    if (!samples) {
        fail("out of memory");
    }
    memset(samples, 0, room * sizeof *samples); /* no page fault in the loop */
    time_reference(facts.reference_ns);
    note_cpu();
    read_tasks(&before);
    const int64_t quota = quota_ns(), preempted = preemptions();
    facts.timed_uptime_ns[0] = time_of(CLOCK_BOOTTIME);
    const int64_t cpu_start = time_of(CLOCK_PROCESS_CPUTIME_ID), start = now_ns();
    const int64_t least = (int64_t)(arguments->min_seconds * (double)SECOND_NS);
    while (count < (size_t)arguments->iterations || now_ns() - start < least) {
        if (count == room) {
            room *= 2;
            int64_t *larger = realloc(samples, room * sizeof *samples);
            if (!larger) {
                fail("out of memory");
            }
            samples = larger;
        }
        samples[count++] = timed(work);
    }
    facts.wall_ns = now_ns() - start;
    facts.cpu_ns = time_of(CLOCK_PROCESS_CPUTIME_ID) - cpu_start;
    facts.timed_uptime_ns[1] = facts.timed_uptime_ns[0] + facts.wall_ns;
    facts.preempted = preemptions() - preempted;
    facts.quota_ns = quota < 0 ? -1 : quota_ns() - quota;
    note_cpu();
    read_tasks(&after);
    time_reference(facts.reference_ns + REFERENCE_RUNS);
    facts.threads_busy = busy_threads(&before, &after);
    facts.measured = true;
    facts.end_to_end = work->frame != NULL;
    begin_event("samples");
    field_integers("ns", samples, count);
    end_event();
    free(samples);
}

/* A figure of this process' memory by its name in /proc/self/status, in kB; -1 where there is no /proc. getrusage would count
 * what the process was before exec. */
static int64_t memory_kb(const char *name) {
    char line[256];
    int64_t found = -1;
    FILE *file = fopen("/proc/self/status", "r");
    while (file && found < 0 && fgets(line, sizeof line, file)) {
        if (!strncmp(line, name, strlen(name))) {
            found = strtoll(line + strlen(name), NULL, 10);
        }
    }
    if (file) {
        fclose(file);
    }
    return found;
}

void note_baseline(void) { facts.baseline_kb = memory_kb("VmRSS:"); }

static void tell_done(void) {
    const int64_t peak = memory_kb("VmHWM:");
    begin_event("done");
    field_known("max_rss_kb", peak);
    field_known("baseline_rss_kb", facts.baseline_kb);
    if (facts.measured) {
        field_text("scope", facts.end_to_end ? "end-to-end" : "inference");
        field_integer("warmup_runs", facts.warmup_runs);
        field_integers("timed_uptime_ns", facts.timed_uptime_ns, 2);
        field_integer("wall_ns", facts.wall_ns);
        field_integer("cpu_ns", facts.cpu_ns);
        field_integers("cpus_seen", facts.cpus, facts.cpu_count);
        field_known("threads_busy", facts.threads_busy);
        field_integers("reference_ns", facts.reference_ns, (size_t)2 * REFERENCE_RUNS);
        field_integer("preempted", facts.preempted);
        field_known("quota_ns", facts.quota_ns);
    }
    end_event();
}

void serve(const struct arguments *arguments, const struct model *model) {
    const struct images images = read_images(arguments->input, model->input_floats);
    model->set_inputs(model->session, images.values);
    if (arguments->iterations) {
        const struct work work = work_of(arguments, model);
        measure(arguments, &work);
        if (arguments->preprocessed) {
            write_preprocessed(arguments, &work);
        }
    }
    FILE *file = arguments->output ? fopen(arguments->output, "wb") : NULL;
    if (arguments->output && !file) {
        fail("%s cannot be written", arguments->output);
    }
    for (size_t i = 0; file && i < images.count; i++) {
        model->set_inputs(model->session, images.values + i * model->input_floats);
        model->run(model->session);
        model->write_outputs(model->session, file);
    }
    if (file && fclose(file)) {
        fail("%s cannot be written whole", arguments->output);
    }
    free(images.values);
    tell_done();
}
