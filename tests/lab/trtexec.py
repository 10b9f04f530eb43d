"""A stand-in for TensorRT's trtexec on a board without a GPU: its options, its words and its files, with ONNX Runtime inside.

`VERSION` is the version that it prints, as trtexec does. What differs between versions follows it: --buildOnly or
--skipInference, endToEndMs, and the words for a loaded engine. Times are the CPU's. An option that it does not know is an
error, as trtexec's.
"""

import json
import sys
import time

VERSION = 100300
OLD = VERSION < 8600
NEW_OPTION = "buildOnly" if OLD else "skipInference"
WITH_VALUE = {
    *(
        "onnx",
        "saveEngine",
        "loadEngine",
        "loadInputs",
        "exportOutput",
        "exportTimes",
        "warmUp",
        "duration",
        "iterations",
    ),
    *("builderOptimizationLevel", "avgRuns"),
}
FLAGS = {NEW_OPTION, "noTF32", "useSpinWait", "useCudaGraph", "help"}
MAGIC = b"lab-engine\n"


def log(severity, text):
    stream = sys.stderr if severity == "E" else sys.stdout
    print(time.strftime("[%m/%d/%Y-%H:%M:%S]"), f"[{severity}]", text, file=stream, flush=True)


def end(passed):
    word = "PASSED" if passed else "FAILED"
    print(f"&&&& {word} TensorRT.trtexec [TensorRT v{VERSION}] # {' '.join(sys.argv)}", flush=True)
    sys.exit(0 if passed else 1)


def fail(*lines):
    for line in lines:
        log("E", line)
    end(False)


def options():
    found = {}
    for argument in sys.argv[1:]:
        name, equals, value = argument.removeprefix("--").partition("=")
        if name not in (WITH_VALUE if equals else FLAGS) or not argument.startswith("--"):
            fail(f"Unknown option: {argument}")
        found[name] = value
    return found


def build(asked):
    import onnx

    with open(asked["onnx"], "rb") as file:
        content = file.read()
    try:
        onnx.checker.check_model(onnx.load_model_from_string(content))
    except Exception as error:  # noqa: BLE001
        fail(
            f"[TRT] ModelImporter.cpp:949: {str(error).splitlines()[0]}",
            "Failed to parse onnx file",
            "Engine set up failed",
        )
    with open(asked["saveEngine"], "wb") as file:
        file.write(MAGIC + content)
    log("I", "Engine built in 1.25 sec.")
    end(True)


def infer(asked):
    import numpy as np
    import onnxruntime

    start = time.perf_counter()
    with open(asked["loadEngine"], "rb") as file:
        content = file.read()
    if not content.startswith(MAGIC):
        fail("Error[1]: [runtime.cpp::parsePlan::455] Error Code 1: Serialization", "Engine deserialization failed")
    session = onnxruntime.InferenceSession(content[len(MAGIC) :], providers=["CPUExecutionProvider"])
    seconds = time.perf_counter() - start
    log("I", f"Engine {'loaded' if OLD else 'deserialized'} in {seconds:.6g} sec.")
    files = dict(part.split(":", 1) for part in asked["loadInputs"].split(","))
    feeds = {}
    for value in session.get_inputs():
        feeds[value.name] = np.fromfile(files.pop(value.name), np.float32).reshape(value.shape)
    if files:
        fail(f"Cannot find input tensor with name {next(iter(files))}")
    log("I", "Starting inference")
    trace, begin = [], time.perf_counter()
    warmup, duration = float(asked.get("warmUp", 200)), 1000 * float(asked.get("duration", 3))
    while len(trace) < int(asked.get("iterations", 10)) or 1000 * (time.perf_counter() - begin) < duration + warmup:
        start = 1000 * (time.perf_counter() - begin)
        outputs = session.run(None, feeds)
        trace.append((start, 1000 * (time.perf_counter() - begin)))
    if path := asked.get("exportTimes"):
        export_times(path, trace if OLD else [run for run in trace if run[0] >= warmup])
    if path := asked.get("exportOutput"):
        export_output(path, [value.name for value in session.get_outputs()], outputs)
    end(True)


def export_times(path, trace):
    """Write what sampleReporting.cpp writes: C++ prints six digits."""
    rows = []
    for start, stop in trace:
        row = {"startEnqMs": start, "endEnqMs": start, "startH2dMs": start, "endH2dMs": start + 0.01}
        row |= {"startComputeMs": start + 0.01, "endComputeMs": stop, "startD2hMs": stop, "endD2hMs": stop + 0.01}
        row |= {"h2dMs": 0.01, "computeMs": stop - start - 0.01, "d2hMs": 0.01, "latencyMs": stop - start + 0.01}
        row |= {"endToEndMs": stop - start + 0.01} if OLD else {}
        rows.append("{ " + ", ".join(f'"{name}" : {value:.6g}' for name, value in row.items()) + " }")
    with open(path, "w") as file:
        file.write("[\n  " + "\n, ".join(rows) + "\n]\n")


def export_output(path, names, outputs):
    rows = []
    for name, output in zip(names, outputs, strict=True):
        values = ", ".join(f"{value:.6g}" for value in output.ravel().tolist())
        dimensions = json.dumps("x".join(map(str, output.shape)))
        rows.append(f'{{ "name" : "{name}"\n  , "dimensions" : {dimensions}\n  , "values" : [ {values} ]\n  }}')
    with open(path, "w") as file:
        file.write("[\n  " + "\n, ".join(rows) + "\n]\n")


def main():
    if VERSION >= 10000:
        print(f"&&&& RUNNING TensorRT.trtexec [TensorRT v{VERSION}] [b1] # {' '.join(sys.argv)}", flush=True)
    asked = options()
    if "help" in asked:
        print("\n".join(f"  --{name}" for name in sorted(WITH_VALUE | FLAGS)))
        sys.exit(0)
    if "onnx" in asked:
        build(asked)
    infer(asked)


main()
