"""Runs ON the device: loads one artifact (.tflite or .pte), times it, prints JSON lines. Imports nothing of edgekit.

The input file holds float32 values: example after example, of each all inputs in their order. All examples are run once for
the output file, the first is timed. The output file holds float32 values: example after example, of each all outputs one
after another in the order of the `output_shapes` on the load line. Lines are objects with an `event`: environment, load,
first, samples, done, error; times are integers in nanoseconds.
"""

import argparse
import gc
import hashlib
import json
import os
import platform
import resource
import sys
import time
from typing import Any, Callable, Dict, List, Optional  # boards have old Pythons

import numpy as np


def emit(event: str, **fields: Any) -> None:
    """Print one line of JSON."""
    print(json.dumps({"event": event, **fields}), flush=True)


class TFLite:
    """A .tflite file in LiteRT, or in tflite-runtime if only that is installed."""

    def __init__(self, path: str, threads: int) -> None:
        try:
            import ai_edge_litert as package
            from ai_edge_litert.interpreter import Interpreter
        except ImportError:
            import tflite_runtime as package
            from tflite_runtime.interpreter import Interpreter
        self.runtime, self.version, self.threads = package.__name__, getattr(package, "__version__", None), threads
        self.baseline_kb = memory_kb("VmRSS")
        start = time.perf_counter_ns()
        self.interpreter = Interpreter(path, num_threads=threads)
        self.interpreter.allocate_tensors()
        self.load_ns = time.perf_counter_ns() - start
        self.inputs = self.interpreter.get_input_details()
        self.outputs = self.interpreter.get_output_details()
        self.output_shapes = [[int(side) for side in output["shape"]] for output in self.outputs]
        self.input_shapes = [tuple(input["shape"]) for input in self.inputs]
        self.run = self.interpreter.invoke
        # tflite-runtime lists the operators as they were before any delegate took them.
        lists_delegates = self.runtime == "ai_edge_litert"
        delegates = [op for op in self.interpreter._get_ops_details() if op["op_name"] == "DELEGATE"]
        touched = {int(index) for op in delegates for index in (*op["inputs"], *op["outputs"])}
        whole = len(delegates) == 1 and {end["index"] for end in self.inputs + self.outputs} <= touched
        self.facts = {
            "delegate_partitions": len(delegates) if lists_delegates else None,
            "fully_accelerated": whole if lists_delegates else None,
        }

    def set_inputs(self, arrays: List[Any]) -> None:
        """Take an example for the next runs."""
        for input, array in zip(self.inputs, arrays):  # noqa: B905  (Python 3.8 has no strict)
            self.interpreter.set_tensor(input["index"], array)

    def get_outputs(self) -> List[Any]:
        """Return the outputs of the last run."""
        return [self.interpreter.get_tensor(output["index"]) for output in self.outputs]


class ExecuTorch:
    """A .pte file in ExecuTorch's Python runtime; its thread pool is reset to the thread count asked for."""

    def __init__(self, path: str, threads: int) -> None:
        import importlib.metadata

        import torch
        from executorch.extension.pybindings import portable_lib
        from executorch.runtime import Runtime

        self.runtime, self.torch = "executorch", torch
        self.version = importlib.metadata.version("executorch")
        torch.set_num_threads(threads)
        portable_lib._unsafe_reset_threadpool(threads)
        self.threads = portable_lib._threadpool_get_thread_count()
        self.baseline_kb = memory_kb("VmRSS")
        start = time.perf_counter_ns()
        self.program = Runtime.get().load_program(path)
        self.method = self.program.load_method("forward")
        self.load_ns = time.perf_counter_ns() - start
        meta = self.method.metadata
        self.input_shapes = [tuple(meta.input_tensor_meta(index).sizes()) for index in range(meta.num_inputs())]
        self.output_shapes = [list(meta.output_tensor_meta(index).sizes()) for index in range(meta.num_outputs())]
        self.facts: Dict[str, Any] = {}

    def set_inputs(self, arrays: List[Any]) -> None:
        """Take an example for the next runs."""
        self.arguments = tuple(self.torch.from_numpy(array) for array in arrays)

    def run(self) -> None:
        """Run the program once."""
        self.outputs = self.method.execute(self.arguments)

    def get_outputs(self) -> List[Any]:
        """Return the outputs of the last run."""
        return [output.numpy() for output in self.outputs]


def proc_stat_cpu() -> Optional[int]:
    """Return the CPU that this process last ran on (field 39 of /proc/self/stat); None without /proc."""
    try:
        with open("/proc/self/stat") as file:
            return int(file.read().rpartition(")")[2].split()[36])
    except OSError:
        return None


def uptime_ns() -> int:
    """Return the time since the start of the system, as /proc/uptime counts it."""
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME)


def memory_kb(name: str) -> Optional[int]:
    """Return a figure of this process' memory by its name in /proc/self/status: VmRSS now, VmHWM at most; None without it.

    getrusage would count what the process was before exec.
    """
    try:
        with open("/proc/self/status") as file:
            return next((int(line.split()[1]) for line in file if line.startswith(name + ":")), None)
    except OSError:
        return None


def thread_times() -> Optional[Dict[str, int]]:
    """Return thread -> CPU time in clock ticks so far; None without /proc."""
    times = {}
    try:
        for task in os.listdir("/proc/self/task"):
            with open("/proc/self/task/" + task + "/stat") as file:
                fields = file.read().rpartition(")")[2].split()
            times[task] = int(fields[11]) + int(fields[12])
    except OSError:
        return None
    return times


def busy_threads(before: Optional[Dict[str, int]], after: Optional[Dict[str, int]]) -> Optional[int]:
    """Return how many threads did at least a twentieth of the work; None after too few ticks."""
    if before is None or after is None:
        return None
    spent = [ticks - before.get(task, 0) for task, ticks in after.items()]
    return sum(ticks >= sum(spent) / 20 for ticks in spent) if sum(spent) >= 20 else None


BLOCK, BLOCKS, REFERENCE_RUNS = bytes(4096), 1024, 5


def time_reference() -> List[int]:
    """Return how long fixed work takes, REFERENCE_RUNS times, in ns: hashing 4 MB. It fits the smallest cache."""
    times = []
    for _ in range(REFERENCE_RUNS):
        start, digest = time.perf_counter_ns(), hashlib.sha256()
        for _ in range(BLOCKS):
            digest.update(BLOCK)
        times.append(time.perf_counter_ns() - start)
    return times


def number_in(path: str, name: str) -> Optional[int]:
    """Return the number after `name` in a file of lines of name and number; None if it is not there."""
    try:
        with open(path) as file:
            return next((int(line.split()[1]) for line in file if line.split()[:1] == [name]), None)
    except OSError:
        return None


def quota_ns() -> Optional[int]:
    """Return how long CPU quotas have stopped processes so far: of the process's cgroup and of all above it.

    None if no group reports it.
    """
    try:
        with open("/proc/self/cgroup") as file:
            groups = [line.rstrip("\n").split(":", 2)[1:] for line in file]
    except OSError:
        return None
    for controllers, group in groups:
        if not controllers:  # version 2
            stopped = stopped_in("/sys/fs/cgroup", group, "throttled_usec")
            if stopped is not None:
                return stopped * 1000
        elif "cpu" in controllers.split(","):
            return stopped_in("/sys/fs/cgroup/" + controllers, group, "throttled_time")
    return None


def stopped_in(top: str, group: str, name: str) -> Optional[int]:
    """Return the sum of a group's number and those of the groups above it; None if none has it."""
    found = None
    while True:
        stopped = number_in(top + group.rstrip("/") + "/cpu.stat", name)
        found = stopped if found is None else found + (stopped or 0)
        if group in {"", "/"}:
            return found
        group = group.rpartition("/")[0]


def drop_from_cache(path: str) -> None:
    """Ask the kernel to drop a file from its page cache; no privilege is needed."""
    with open(path, "rb") as file:
        os.fdatasync(file.fileno())  # only what is on the disk can be dropped
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def cached_per_mille(path: str) -> Optional[int]:
    """Return how much of a file is in the page cache, in thousandths; None if it is unknown."""
    import ctypes
    import mmap

    try:
        mincore = ctypes.CDLL(None, use_errno=True).mincore
        # Python's mapping gives its address only if it may be written, which a private copy may.
        with open(path, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY) as memory:
            resident = (ctypes.c_ubyte * -(-len(memory) // mmap.PAGESIZE))()
            start = ctypes.c_char.from_buffer(memory)
            status = mincore(ctypes.c_void_p(ctypes.addressof(start)), ctypes.c_size_t(len(memory)), resident)
            del start
    except (OSError, AttributeError, ValueError):
        return None
    return None if status else 1000 * sum(page & 1 for page in resident) // len(resident)


def timed(run: Callable[[], Any]) -> int:
    """Return how long a run took, in ns."""
    start = time.perf_counter_ns()
    run()
    return time.perf_counter_ns() - start


def numbers(text: str) -> List[int]:
    """Return the numbers in text with commas between them."""
    return [int(word) for word in text.split(",")]


def parse(argv: List[str]) -> argparse.Namespace:
    """Return the arguments; the process exits if they are wrong."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", required=True)
    parser.add_argument("--input", required=True)
    parser.add_argument("--output")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--cpus", type=numbers, help="pin to these CPUs: 2,3")
    parser.add_argument("--cold", action="store_true", help="drop the model's file from the page cache before loading")
    parser.add_argument("--warmup-seconds", type=float, default=0.5)
    parser.add_argument("--iterations", type=int, default=0, help="time at least this many; 0: only write the outputs")
    parser.add_argument("--min-seconds", type=float, default=0)
    return parser.parse_args(argv)


def measure(session: Any, arguments: argparse.Namespace) -> Dict[str, Any]:
    """Time a loaded model as the arguments say; return further observations."""
    first = timed(session.run)
    emit("first", ns=first)
    warmed, warmup_runs = time.perf_counter_ns() + arguments.warmup_seconds * 1e9, 0
    while time.perf_counter_ns() < warmed or warmup_runs < 1:
        session.run()
        warmup_runs += 1
    samples: List[int] = []
    gc.collect()
    gc.disable()
    reference = time_reference()
    cpus, ticks = [proc_stat_cpu()], thread_times()
    quota, preempted = quota_ns(), resource.getrusage(resource.RUSAGE_SELF).ru_nivcsw
    since = uptime_ns()
    cpu_start, start = time.process_time_ns(), time.perf_counter_ns()
    while len(samples) < arguments.iterations or time.perf_counter_ns() - start < arguments.min_seconds * 1e9:
        samples.append(timed(session.run))
    wall, cpu = time.perf_counter_ns() - start, time.process_time_ns() - cpu_start
    preempted = resource.getrusage(resource.RUSAGE_SELF).ru_nivcsw - preempted
    stopped = None if quota is None else (quota_ns() or quota) - quota
    cpus.append(proc_stat_cpu())
    threads_busy = busy_threads(ticks, thread_times())
    reference += time_reference()
    gc.enable()
    emit("samples", ns=samples)
    return {
        "timed_uptime_ns": [since, since + wall],
        "scope": "inference",
        "warmup_runs": warmup_runs,
        "wall_ns": wall,
        "cpu_ns": cpu,
        "cpus_seen": sorted({seen for seen in cpus if seen is not None}),
        "threads_busy": threads_busy,
        "reference_ns": reference,
        "preempted": preempted,
        "quota_ns": stopped,
    }


def read_inputs(path: str, shapes: List[Any]) -> List[List[Any]]:
    """Return the examples of an input file, each a list of arrays of the given shapes."""
    sizes = [int(np.prod(shape)) for shape in shapes]
    rows = np.fromfile(path, dtype=np.float32).reshape(-1, sum(sizes))
    ends = np.cumsum(sizes)[:-1]
    examples = []
    for row in rows:
        parts = zip(np.split(row, ends), shapes)  # noqa: B905  (Python 3.8 has no strict)
        examples.append([np.ascontiguousarray(part).reshape(shape) for part, shape in parts])
    return examples


def main(argv: List[str]) -> None:
    """Load a model, time it, and write its outputs for every example."""
    arguments = parse(argv)
    if arguments.cpus is not None:
        os.sched_setaffinity(0, set(arguments.cpus))
    if arguments.cold:
        drop_from_cache(arguments.model)
    cached = cached_per_mille(arguments.model)
    session = (TFLite if arguments.model.endswith(".tflite") else ExecuTorch)(arguments.model, arguments.threads)
    emit(
        "environment",
        runner="python",
        runtime=session.runtime,
        runtime_version=session.version,
        threads=session.threads,
        affinity=sorted(os.sched_getaffinity(0)),
        machine=platform.machine(),
        kernel=platform.release(),
        python=platform.python_version(),
        numpy=np.__version__,
        process_context="shell",
    )
    emit("load", ns=session.load_ns, output_shapes=session.output_shapes, cached_per_mille=cached, **session.facts)
    examples = read_inputs(arguments.input, session.input_shapes)
    session.set_inputs(examples[0])
    facts = measure(session, arguments) if arguments.iterations else {}
    if arguments.output:
        with open(arguments.output, "wb") as file:
            for example in examples:
                session.set_inputs(example)
                session.run()
                for output in session.get_outputs():
                    np.asarray(output, dtype=np.float32).tofile(file)
    emit("done", max_rss_kb=memory_kb("VmHWM"), baseline_rss_kb=session.baseline_kb, **facts)


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except Exception as error:
        emit("error", message=f"{type(error).__name__}: {error}")
        raise
