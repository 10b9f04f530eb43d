"""TensorRT's trtexec: what real ones printed is read, and a stand-in on a board goes the whole way. See tests/lab/trtexec.py.

``printed/trtexec_*`` are from people's published logs, shortened: TensorRT 10.9 on a desktop, 8.0 on a Jetson Nano, and
10.3 with an operator that it does not take. The JSON of times and outputs is written as NVIDIA's sampleReporting.cpp does.
"""

import base64
import json
import subprocess
from pathlib import Path

import lab
import numpy as np
import pytest
import tiny

from edgekit.backends.base import TensorSpec
from edgekit.build.photos import photo_set
from edgekit.devices.base import Completed, opened
from edgekit.devices.profile import Tool, load_profile
from edgekit.errors import EdgekitError, FailureKind, UsageError
from edgekit.measure.session import Ended, Subject
from edgekit.measure.tools import tool_program
from edgekit.measure.tools.brought import RESULT
from edgekit.measure.tools.trtexec import Trtexec, parse_times, tensorrt_version
from edgekit.pipeline import Plan, start_run
from edgekit.pipeline.plan import Sweep, default_targets
from edgekit.protocol import PROTOCOLS
from edgekit.recipe.loading import load_recipe
from edgekit.report.rows import rows_of
from edgekit.report.tables import markdown

PRINTED = Path(__file__).with_name("printed")
THERE = "/usr/src/tensorrt/bin/trtexec"
QUICK = PROTOCOLS["quick"].model_copy(update={"warmup_seconds": 0.05})


def trtexec_program(version):
    """The stand-in of this version, for a board whose `python3` has ONNX Runtime."""
    text = Path(lab.__file__).with_name("trtexec.py").read_text()
    assert "VERSION = 100300" in text
    return "#!/usr/local/bin/python3\n" + text.replace("VERSION = 100300", f"VERSION = {version}")


def run_line(start, h2d=0.5, compute=10.0, d2h=0.25, **more):
    """One run, in the words and order of the program; in milliseconds."""
    times = [start, start + 0.1, start, start + h2d, start + h2d, start + h2d + compute, start + h2d + compute]
    times.append(times[-1] + d2h)
    names = [
        "startEnqMs",
        "endEnqMs",
        "startH2dMs",
        "endH2dMs",
        "startComputeMs",
        "endComputeMs",
        "startD2hMs",
        "endD2hMs",
    ]
    values = {**dict(zip(names, times, strict=True)), "h2dMs": h2d, "computeMs": compute, "d2hMs": d2h}
    values |= {"latencyMs": h2d + compute + d2h, **more}
    return "{ " + ", ".join(f'"{name}" : {value:.6g}' for name, value in values.items()) + " }"


def ended(text, lines, protocol=QUICK):
    content = ("[\n  " + "\n, ".join(lines) + "\n]\n").encode()
    printed = f"{text}{RESULT}{base64.b64encode(content).decode()}\n"
    return Ended("m on d", protocol, None, Completed(0, printed, ""), started_at=None)


@pytest.mark.parametrize(
    ("name", "version", "load_ns", "more"),
    [("trtexec_10", "10.9.0", 210_220_000, {}), ("trtexec_8_nano", "8.0.1", 3_864_370_000, {"endToEndMs": 20.0})],
)
def test_samples_are_latencies_and_the_engines_build_is_no_load_time(name, version, load_ns, more):
    lines = [run_line(12.0 * index, compute=30.0 if index == 0 else 10.0 + index, **more) for index in range(12)]
    session = Trtexec(("t",), (), {"runner": "trtexec"}).read(ended((PRINTED / f"{name}.txt").read_text(), lines))
    assert (session.load_ns, session.first_ns) == (load_ns, 30_750_000)
    assert session.samples == tuple(round((10.75 + index) * 1e6) for index in range(5, 12))  # 5 began within 50 ms
    found = session.environment
    assert (found["runtime"], found["runtime_version"], found["warmup_runs"]) == ("tensorrt", version, 5)
    assert found["gpu_compute_ms"] == 18.0
    assert found["sample"] == "latencyMs"


def test_the_warm_up_is_at_least_one_run_and_at_most_half():
    text = (PRINTED / "trtexec_10.txt").read_text()
    slow = [run_line(1000.0 * index) for index in range(5)]
    fast = [run_line(0.01 * index) for index in range(8)]
    for lines, warmup in ((slow, 1), (fast, 4)):
        session = Trtexec(("t",), (), {}).read(ended(text, lines))
        assert session.environment["warmup_runs"] == warmup


def test_an_engine_that_is_read_and_deserialised_takes_both_times():
    text = (
        (PRINTED / "trtexec_10.txt")
        .read_text()
        .replace(
            "[I] [TRT] Loaded engine size",
            "[I] Engine loaded in 0.0137625 sec.\n[04/08/2025-23:15:48] [I] [TRT] Loaded engine size",
        )
    )
    assert Trtexec(("t",), (), {}).read(ended(text, [run_line(0), run_line(9)])).load_ns == 223_982_500


@pytest.mark.parametrize("lost", ["Engine deserialized", "&&&& PASSED", "times"])
def test_what_lacks_a_part_is_a_failure(lost):
    text = "\n".join(line for line in (PRINTED / "trtexec_10.txt").read_text().splitlines() if lost not in line) + "\n"
    lines = [] if lost == "times" else [run_line(0), run_line(9)]
    with pytest.raises(EdgekitError, match="the output of trtexec does not contain its results"):
        Trtexec(("t",), (), {}).read(ended(text, lines))
    assert parse_times(b"[{}]") is None


@pytest.mark.parametrize(
    ("digits", "version"), [("8401", "8.4.1"), ("8601", "8.6.1"), ("100300", "10.3.0"), ("101303", "10.13.3")]
)
def test_the_version_is_read_as_it_is_meant(digits, version):
    assert tensorrt_version(f"&&&& PASSED TensorRT.trtexec [TensorRT v{digits}] # x") == version
    assert tensorrt_version("") == "unknown"


def test_outputs_are_taken_by_name_and_may_be_no_numbers(tmp_path):
    text = """[
  { "name" : "boxes"
  , "dimensions" : "1x2x2"
  , "values" : [ 0.25, -1.5e-05, nan, -inf ]
  }
, { "name" : "nan_inf"
  , "dimensions" : "1x1"
  , "values" : [ 7 ]
  }
]
"""
    (tmp_path / "out").write_text(text)
    program = Trtexec(("t",), (), {})
    values = program.values(tmp_path / "out", ["nan_inf", "boxes"])
    assert values.dtype == np.float32
    np.testing.assert_array_equal(values, np.float32([7, 0.25, -1.5e-05, np.nan, -np.inf]))
    with pytest.raises(EdgekitError, match="The outputs of trtexec cannot be read: KeyError 'logits'"):
        program.values(tmp_path / "out", ["logits"])


def test_a_session_loads_the_engine_gives_each_input_its_file_and_leaves_the_warm_up_to_edgekit(tmp_path):
    inputs = [TensorSpec(name=name, shape=(1, size), layout="NC") for name, size in (("a", 2), ("b", 3))]
    program = Trtexec(("/bin/echo",), ("--useSpinWait",), {}, inputs)
    np.arange(5, dtype=np.float32).tofile(tmp_path / "in.bin")
    subject = Subject("m", program, "/m.onnx", str(tmp_path / "in.bin"), str(tmp_path / "out"))
    command = program.arguments(subject, PROTOCOLS["1t-big"], 3, True)
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    out = tmp_path / "out"
    assert printed == [
        f"--loadEngine={out}.engine",
        f"--loadInputs=a:{out}.0.input,b:{out}.1.input",
        *("--warmUp=0", "--duration=2", "--iterations=101", "--noTF32"),
        *(f"--exportTimes={out}.times", f"--exportOutput={out}", "--useSpinWait"),
    ]
    assert np.fromfile(f"{out}.0.input", np.float32).tolist() == [0, 1]
    assert np.fromfile(f"{out}.1.input", np.float32).tolist() == [2, 3, 4]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"backend": "tflite"}, "trtexec times artifacts of onnx, not of tflite"),
        ({"device_program": None}, "trtexec needs a program"),
        ({"device_program": "trtexec"}, "an absolute path on the device"),
        ({"program": "/here"}, "write either program, which is on this computer, or device_program"),
        ({"arguments": ["--fp16"]}, "edgekit chooses trtexec's precision, which is fp32. Remove --fp16"),
    ],
)
def test_a_profile_with_a_wrong_tool_says_where(tmp_path, changes, said):
    tool = {"kind": "trtexec", "backend": "onnx", "device_program": THERE, **changes}
    file = tmp_path / "orin.yaml"
    file.write_text(f"name: orin\nkind: linux\nruns: [tflite]\ntools: {json.dumps({'tensorrt': tool})}\n")
    with pytest.raises(UsageError, match=said):
        load_profile(str(file))


# On a board


@pytest.fixture
def tool():
    return Tool(kind="trtexec", backend="onnx", device_program=THERE, arguments=("--useSpinWait",))


def give(board, version):
    board.write(THERE, trtexec_program(version), mode=0o755)


@pytest.mark.parametrize("version", [100300, 8401])
def test_a_board_with_tensorrt_has_rows_with_samples_and_parity(board, profile_of, ledger, tool, version):
    give(board, version)
    found = profile_of(board, tools={"tensorrt": tool}).model_copy(update={"runs": ()})
    recipe = load_recipe(*tiny.TINY)
    assert default_targets(recipe, [found])[-1] == "onnx/-/fp32"
    plan = Plan.of(recipe, ("onnx",), photo_set())
    lines = []
    run = start_run("deploy", Sweep((plan,), (found,), PROTOCOLS["emulated"], None), ledger, lines.append, seed=0)
    assert ledger.failures(run) == []
    (one,) = ledger.measurements(run)
    assert one.target == "onnx/tensorrt/fp32"
    sessions = [session.samples for session in ledger.sessions(one.id)]
    assert [len(samples) >= 3 for samples in sessions] == [True, True]
    assert one.summary["centre"] == "median"
    assert one.conditions["parity_on_device"]["snr_db"] > 80
    assert one.conditions["engine_build_seconds"] == 1.25
    assert one.conditions["runtime"] == "tensorrt"
    assert one.conditions["runtime_version"] == ("10.3.0" if version == 100300 else "8.4.1")
    assert len(one.conditions["runner_sha256"]) == 64
    table = markdown(rows_of(ledger, run))
    assert "| onnx/tensorrt/fp32" in table
    assert "timed by trtexec --useSpinWait (SHA-256" in table
    assert board.left_running() == []


def test_a_wrong_engine_is_found_by_its_outputs(board, profile_of, ledger, tool):
    computed = "outputs = session.run(None, feeds)"
    program = trtexec_program(100300).replace(computed, f"{computed}; outputs = [2 * output for output in outputs]")
    board.write(THERE, program, mode=0o755)
    found = profile_of(board, tools={"tensorrt": tool}).model_copy(update={"runs": ()})
    plan = Plan.of(load_recipe(*tiny.TINY), ("onnx",), photo_set())
    run = start_run("deploy", Sweep((plan,), (found,), PROTOCOLS["emulated"], None), ledger, lambda line: None, seed=0)
    (failure,) = ledger.failures(run)
    assert (failure.target, failure.failure.kind) == ("onnx/tensorrt/fp32", FailureKind.parity)


def test_a_program_that_the_board_lacks_and_a_model_that_tensorrt_refuses_are_named(board, profile_of, tool, tmp_path):
    (tmp_path / "model.onnx").write_bytes(b"no model")
    with opened(profile_of(board)) as device:
        with pytest.raises(EdgekitError, match=f"The tool {THERE} is not on lab, or may not be executed") as raised:
            tool_program(device, tool)
        assert "device_program" in raised.value.failure.hint
        give(board, 100300)
        program = tool_program(device, tool)
        subject = Subject("m", program, device.push(tmp_path / "model.onnx"), "in", device.scratch("out"))
        with pytest.raises(EdgekitError, match="TensorRT builds no engine: ") as raised:
            program.build(device, subject)
        assert raised.value.failure.kind == FailureKind.unsupported_operator
        log = (PRINTED / "trtexec_failed.txt").read_text()
        board.write(THERE, f"#!/bin/sh\ncat << 'END'\n{log}END\nexit 1\n", mode=0o755)
        with pytest.raises(
            EdgekitError, match=r"While parsing node number 146 .Tile.*cannot be used to compute a shape"
        ):
            program.build(device, subject)
