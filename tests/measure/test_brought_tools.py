"""Tools that users bring: what they print is read, what they keep to themselves is not made up.

What lies in ``printed/`` was captured from the real programs. Of these only LiteRT's Python one is in a package: where
another has to run, a shell script takes its command line and prints what it printed.
"""

import base64
import hashlib
import json
import re
import sys
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pytest
import tiny
from google.protobuf.empty_pb2 import Empty
from google.protobuf.internal import encoder

from edgekit.architectures.inputs import Inputs
from edgekit.backends.base import TensorSpec, backend_of
from edgekit.build.photos import photo_set
from edgekit.devices.base import Completed, open_device, opened
from edgekit.devices.profile import Tool, load_profile
from edgekit.errors import EdgekitError, FailureKind, UsageError
from edgekit.measure.session import Ended, Subject, run_session
from edgekit.measure.statistics import ReportedStats, summarise_reported
from edgekit.measure.tools import tool_program
from edgekit.measure.tools.brought import RESULT
from edgekit.measure.tools.executor_runner import ExecutorRunner, parse_executor_runner
from edgekit.measure.tools.litert import BenchmarkLitertModel, BenchmarkModel, parse_benchmark_model, parse_result_file
from edgekit.pipeline import Plan, start_run
from edgekit.pipeline.building import build_artifact
from edgekit.pipeline.plan import Sweep
from edgekit.protocol import PROTOCOLS
from edgekit.recipe.loading import load_recipe
from edgekit.report.rows import rows_of
from edgekit.report.tables import markdown
from edgekit.runners import PYTHON_RUNNER
from edgekit.target import Target

PRINTED = Path(__file__).with_name("printed")
COMPILED_MODEL = """\
INFO: [litert/tools/benchmark_litert_model.h:61]
========== BENCHMARK RESULTS ==========
INFO: [litert/tools/benchmark_litert_model.h:62] Model initialization: 164.88 ms
INFO: [litert/tools/benchmark_litert_model.h:63] Warmup (first):       2259.14 ms
INFO: [litert/tools/benchmark_litert_model.h:65] Warmup (avg):         2259.14 ms (1 runs)
INFO: [litert/tools/benchmark_litert_model.h:67] Inference (avg):      2237.20 ms (2 runs)
INFO: [litert/tools/benchmark_litert_model.h:70] Inference (min):      2202.90 ms
INFO: [litert/tools/benchmark_litert_model.h:72] Inference (max):      2271.49 ms
INFO: [litert/tools/benchmark_litert_model.h:74] Inference (std):      48.50
"""
"""Laid out as the program's source has it; its numbers are those that the Python program of the same name gave."""


def ended(stdout="", stderr=""):
    return Ended("m on d", PROTOCOLS["quick"], 0, Completed(0, stdout, stderr), started_at=None)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ((PRINTED / "benchmark_model.txt").read_text(), (0.813, 178.654, 20, 210.498, 146.178, 243.139, 20.102)),
        (
            (PRINTED / "benchmark_model_scientific.txt").read_text(),
            (50.877, 2322.047, 2, 2202.18, 2017.898, 2386.46, 184.281),
        ),
        (COMPILED_MODEL, (164.88, 2259.14, 2, 2237.2, 2202.9, 2271.49, 48.5)),
    ],
)
def test_both_programs_of_the_name_are_told_apart_by_their_text(text, expected):
    init, first, told = parse_benchmark_model(text)
    found = (init, first, told.runs, told.mean, told.minimum, told.maximum, told.standard_deviation)
    assert found == pytest.approx(expected)
    assert told.median is None


def test_a_single_run_has_no_spread():
    text = "INFO: count=1 curr=500\nInference timings in us: Init: 10, First inference: 20, Warmup (avg): 20, "
    text += "Inference (avg): 500\n"
    assert parse_benchmark_model(text) == (0.01, 0.02, ReportedStats(runs=1, mean=0.5))


@pytest.mark.parametrize(
    "text", ["", "INFO: STARTING!\n", "========== BENCHMARK RESULTS ==========\nNo inference runs\n"]
)
def test_a_text_without_result_gives_none_and_a_failure(text):
    assert parse_benchmark_model(text) is None
    with pytest.raises(EdgekitError, match="the output of benchmark_model does not contain its results") as raised:
        BenchmarkModel(("b",), (), {}).read(ended(text))
    assert raised.value.failure.kind == FailureKind.crashed


def result_file(median, wide):
    """A BenchmarkResult as the program writes it: field 5 of field 2, among others."""
    parts = []
    write = encoder.DoubleEncoder if wide else encoder.FloatEncoder
    write(1, False, False)(parts.append, 9.0, True)
    write(5, False, False)(parts.append, median, True)
    latency, message = b"".join(parts), []
    encoder.BytesEncoder(2, False, False)(message.append, latency, True)
    return b"".join(message)


@pytest.mark.parametrize("wide", [False, True])
def test_the_median_comes_from_the_result_file(wide):
    content = result_file(208.5, wide)
    assert Empty.FromString(content) is not None
    assert parse_result_file(content) == 208.5
    printed = (PRINTED / "benchmark_model.txt").read_text() + f"{RESULT}{base64.b64encode(content).decode()}\n"
    session = BenchmarkModel(("b",), (), {}).read(ended(printed))
    assert (session.reported.median, session.reported.mean, session.centre, session.runs) == (208.5, 210.498, 208.5, 20)
    assert parse_result_file(b"") is None


@pytest.mark.parametrize("end", [f"{RESULT}{base64.b64encode(b'no message').decode()}\n", "Inference (avg): 1.2.3\n"])
def test_a_result_that_cannot_be_read_is_a_failure(end):
    text = (PRINTED / "benchmark_model.txt").read_text()
    if end.startswith("Inference"):
        text = re.sub(r"Inference \(avg\): .*\n", end, text)
        end = ""
    with pytest.raises(EdgekitError, match="the output of benchmark_model does not contain its results"):
        BenchmarkModel(("b",), (), {}).read(ended(text + end))


def test_how_much_ran_on_the_delegate_is_recorded_and_nothing_is_a_failure():
    text = (PRINTED / "benchmark_model.txt").read_text()
    applied = "INFO: Explicitly applied GPU delegate, and the model graph will be {} executed by the delegate{}.\n"
    for words, end, expected in (
        ("completely", "", "completely"),
        ("partially", " w/ 3 delegate kernels", "partially, 3 parts"),
    ):
        session = BenchmarkModel(("b",), (), {}).read(ended(text + applied.format(words, end)))
        assert session.environment["delegated"] == expected
    assert BenchmarkModel(("b",), (), {}).read(ended(text)).environment["delegated"] == "unknown"
    none = "INFO: Though GPU delegate is explicitly applied, the model graph will not be executed by the delegate.\n"
    with pytest.raises(EdgekitError, match="no part of the model ran on the delegate") as raised:
        BenchmarkModel(("b",), (), {}).read(ended(text + none))
    assert raised.value.failure.kind == FailureKind.fallback


def test_the_python_tool_writes_its_median():
    content = (PRINTED / "benchmark_litert_model.json").read_bytes()
    printed = f"INFO: noise\n{RESULT}{base64.b64encode(content).decode()}\n"
    session = BenchmarkLitertModel(("b",), (), {"runner_version": "2.3.0"}).read(ended(printed))
    assert (session.load_ns, session.first_ns, session.samples) == (164_880_000, 2_259_140_000, ())
    assert session.reported == ReportedStats(
        runs=2, mean=2237.2, median=2237.2, minimum=2202.9, maximum=2271.49, standard_deviation=48.5
    )
    assert session.environment["accelerators"] == ["CPU"]
    assert session.environment["delegated"] == "completely"


@pytest.mark.parametrize("content", [None, b"", b"{}", b"[1]", b'{"latency": {"num_runs": 3}}'])
def test_a_python_tool_that_writes_something_else_is_a_failure(content):
    printed = "" if content is None else f"{RESULT}{base64.b64encode(content).decode()}\n"
    with pytest.raises(EdgekitError, match="the output of benchmark_litert_model does not contain its results"):
        BenchmarkLitertModel(("b",), (), {}).read(ended(printed))


def test_executor_runner_gives_every_run_and_the_first_half_is_its_warm_up():
    text = (PRINTED / "executor_runner.txt").read_text()
    assert parse_executor_runner(text) == (20_720_944, [2_903_490, 1_281_223, 1_117_980])
    session = ExecutorRunner(("e",), (), {}).read(ended(stderr=text))
    assert (session.load_ns, session.first_ns, session.samples) == (20_720_944, 2_903_490, (1_117_980,))
    assert session.environment["warmup_runs"] == 1


@pytest.mark.parametrize("lost", ["Model loaded", "Iteration 2"])
def test_executor_runners_text_is_taken_whole_or_not_at_all(lost):
    lines = (PRINTED / "executor_runner.txt").read_text().splitlines()
    text = "\n".join(line for line in lines if lost not in line)
    assert parse_executor_runner(text) is None
    with pytest.raises(EdgekitError, match="the output of executor_runner does not contain its results"):
        ExecutorRunner(("e",), (), {}).read(ended(stderr=text))


def test_what_is_told_is_summarised_and_the_rest_is_none():
    told = [
        ReportedStats(runs=10, mean=mean, minimum=mean - 1, standard_deviation=mean / 10) for mean in (4.0, 5.0, 6.0)
    ]
    summary = summarise_reported(told, [2_000_000] * 3, [7_000_000] * 3)
    assert (summary.median, summary.mean, summary.minimum, summary.iterations) == (5.0, 5.0, 3.0, 30)
    assert (summary.centre, summary.load, summary.first) == ("mean", 2.0, 7.0)
    assert summary.within_sessions_cv == pytest.approx(0.1)
    assert (summary.p90, summary.p90_upper, summary.median_absolute_deviation) == (None, None, None)
    medians = [one.model_copy(update={"median": 1.0}) for one in told]
    assert summarise_reported(medians, [1] * 3, [1] * 3).centre == "median"
    assert summarise_reported([*medians[:2], told[2]], [1] * 3, [1] * 3).centre == "mean"
    assert summarise_reported([ReportedStats(runs=1, mean=1.0)], [1], [1]).minimum is None


def profile(tmp_path, tools, runs="[tflite, executorch]"):
    file = tmp_path / "with_tools.yaml"
    file.write_text(f"name: with-tools\nkind: host\nprotocol: emulated\nruns: {runs}\ntools: {json.dumps(tools)}\n")
    return load_profile(str(file))


def test_a_tool_times_the_artifacts_of_its_backend_and_precisions(tmp_path):
    tool = {"kind": "benchmark_model", "backend": "tflite", "program": "/b", "precisions": ["fp32"]}
    found = profile(tmp_path, {"gpu": tool})
    assert found.timings(Target.parse("tflite/xnnpack/fp32")) == {
        "tflite/xnnpack/fp32": None,
        "tflite/gpu/fp32": Tool.model_validate(tool),
    }
    assert list(found.timings(Target.parse("tflite/xnnpack/int8"))) == ["tflite/xnnpack/int8"]
    assert found.timings(Target.parse("coreml/-/fp16")) == {}
    assert found.timings(Target.parse("tflite/other/fp32")) == {}
    assert list(profile(tmp_path, {"gpu": tool}, "[]").timings(Target.parse("tflite/xnnpack/fp32"))) == [
        "tflite/gpu/fp32"
    ]


EXECUTOR = {"kind": "executor_runner", "backend": "executorch"}


@pytest.mark.parametrize(
    ("name", "changes", "said"),
    [
        ("gpu", {"kind": "benchmark"}, "line 5, key tools.gpu.kind"),
        ("gpu", {"program": "benchmark_model"}, "key tools.gpu.program"),
        ("gpu", {"argument": []}, "unknown key tools.gpu.argument. Did you mean arguments"),
        ("gpu", {"kind": "benchmark_litert_model"}, "benchmark_litert_model needs no program"),
        ("gpu", {"program": None}, "benchmark_model needs a program"),
        ("gpu", {"backend": "executorch"}, "benchmark_model times artifacts of tflite, not of executorch"),
        ("gpu", {"kind": "executor_runner"}, "executor_runner times artifacts of executorch, not of tflite"),
        ("xnnpack", {}, "edgekit's own runner times xnnpack"),
        ("gpu", {"delegate": "gpu"}, "tflite is not compiled for gpu. Known: xnnpack"),
        ("gpu", EXECUTOR, "gpu loads artifacts for xnnpack, so its rows must not say gpu. Give the tool another name"),
        ("vulkan", EXECUTOR, "must not say vulkan. Write `delegate: vulkan`, or give the tool another name"),
        ("vulkan", {**EXECUTOR, "delegate": "qnn"}, "executorch is not compiled for qnn. Known: xnnpack, vulkan"),
        ("adreno_gpu", EXECUTOR, "so its rows must not say gpu"),
    ],
)
def test_a_profile_with_a_wrong_tool_says_where(tmp_path, name, changes, said):
    tool = {"kind": "benchmark_model", "backend": "tflite", "program": "/b"}
    with pytest.raises(UsageError, match=said):
        profile(tmp_path, {name: {**tool, **changes}})


def script(path, text):
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return str(path)


def benchmark_model(path, more=""):
    return script(
        path,
        f"""echo "$0 $*" >> {path}.asked
for one; do case $one in --graph=*) [ -f "${{one#--graph=}}" ] || exit 3;; esac; done
cat {PRINTED / "benchmark_model.txt"}
{more}""",
    )


def executor_runner(path):
    """Computes the outputs with edgekit's Python runner and prints made-up times in the words of the program."""
    return script(
        path,
        f"""for one; do case $one in
--model_path=*) model=${{one#*=}};; --inputs=*) input=${{one#*=}};; --output_file=*) output=${{one#*=}}-0.bin;;
--num_executions=*) runs=${{one#*=}};; esac; done
{sys.executable} -P {PYTHON_RUNNER} --model "$model" --input "$input" \\
    ${{output:+--output "$output"}} --iterations 0 > /dev/null || exit 4
echo "I 00:00:00.023294 executorch:executor_runner.cpp:624] Model loaded in 20.720944 ms." >&2
run=0; while [ $run -lt $runs ]; do run=$((run + 1))
echo "I 00:00:00.1 executorch:executor_runner.cpp:779] Iteration $run of $runs: $run.5 ms" >&2; done""",
    )


def test_executor_runner_gets_no_network_with_several_inputs(tmp_path):
    device = open_device(load_profile("host"))
    tool = Tool(kind="executor_runner", backend="executorch", program=str(tmp_path / "any"))
    with pytest.raises(EdgekitError, match="given one input file, and this network has 2 inputs"):
        tool_program(device, tool, [TensorSpec(name=name, shape=(1, 2), layout="NC") for name in "ab"])


def test_a_tool_that_is_not_there_is_told_before_anything_runs(tmp_path):
    device = open_device(load_profile("host"))
    tool = Tool(kind="benchmark_model", backend="tflite", program=str(tmp_path / "missing"))
    with pytest.raises(EdgekitError, match="missing of host is not on this computer"):
        tool_program(device, tool)
    (tmp_path / "missing").write_text("a download")
    with pytest.raises(EdgekitError, match="may not be executed") as raised:
        tool_program(device, tool)
    assert raised.value.failure.hint == f"Allow it: chmod +x {tmp_path}/missing"


def test_a_python_without_the_tool_is_told_before_anything_runs(tmp_path, monkeypatch):
    device = open_device(load_profile("host"))
    python = script(tmp_path / "python", "echo 'ModuleNotFoundError: ai-edge-litert' >&2; exit 1")
    monkeypatch.setattr(device, "own_python", lambda: python)
    tool = Tool(kind="benchmark_litert_model", backend="tflite")
    with pytest.raises(EdgekitError, match="The Python of host has no ai-edge-litert: ModuleNotFoundError") as raised:
        tool_program(device, tool)
    assert raised.value.failure.kind == FailureKind.missing_extra


def test_libraries_and_arguments_reach_the_tool(tmp_path):
    program = script(tmp_path / "b", f'echo "$LD_LIBRARY_PATH $*" >&2; cat {PRINTED / "benchmark_model.txt"}; exit 1')
    (tmp_path / "lib").mkdir()
    tool = Tool(
        kind="benchmark_model",
        backend="tflite",
        program=program,
        arguments=("--use_gpu=true",),
        libraries=str(tmp_path / "lib"),
    )
    device = open_device(load_profile("host"))
    subject = Subject("m", tool_program(device, tool), "m.tflite", "input.bin", str(tmp_path / "out"))
    with pytest.raises(EdgekitError, match="ended with status 1") as raised:
        run_session(device, subject, PROTOCOLS["quick"])
    said = raised.value.failure.message
    for part in (
        f"{tmp_path / 'lib'} ",
        "--graph=m.tflite",
        "--num_runs=50",
        "--min_secs=1.0",
        "--num_threads=1",
        "--use_gpu=true",
    ):
        assert part in said


def test_tools_are_rows_beside_our_own_runners(tmp_path, ledger):
    benchmark = benchmark_model(tmp_path / "benchmark_model")
    found = profile(
        tmp_path,
        {
            "gpu": {
                "kind": "benchmark_model",
                "backend": "tflite",
                "program": benchmark,
                "arguments": ["--use_gpu=true"],
            },
            "theirs": {
                "kind": "executor_runner",
                "backend": "executorch",
                "program": executor_runner(tmp_path / "executor_runner"),
            },
            "litert": {"kind": "benchmark_litert_model", "backend": "tflite"},
            "broken": {"kind": "executor_runner", "backend": "executorch", "program": benchmark},
        },
    )
    plan = Plan.of(load_recipe(*tiny.TINY), ("tflite/xnnpack/fp32", "executorch/xnnpack/fp32"), photo_set())
    lines = []
    run = start_run("deploy", Sweep((plan,), (found,), PROTOCOLS["emulated"], None), ledger, lines.append, seed=0)
    measured = {one.target: one for one in ledger.measurements(run)}
    (failure,) = ledger.failures(run)
    assert (failure.target, failure.failure.kind) == ("executorch/broken/fp32", FailureKind.crashed)
    assert set(measured) == {
        "tflite/xnnpack/fp32",
        "tflite/gpu/fp32",
        "tflite/litert/fp32",
        "executorch/xnnpack/fp32",
        "executorch/theirs/fp32",
    }

    gpu = measured["tflite/gpu/fp32"]
    assert gpu.artifact_sha256 == measured["tflite/xnnpack/fp32"].artifact_sha256
    assert (gpu.summary["median"], gpu.summary["centre"], gpu.summary["p90"]) == (210.498, "mean", None)
    assert [session.samples for session in ledger.sessions(gpu.id)] == [[], []]
    assert (gpu.conditions["runner"], gpu.conditions["delegate"]) == ("benchmark_model", "gpu")
    assert gpu.conditions["parity_on_device"] is None
    assert "--use_gpu=true" in (tmp_path / "benchmark_model.asked").read_text()

    # This one is no stand-in: it is in LiteRT's package.
    litert = measured["tflite/litert/fp32"]
    assert (litert.summary["centre"], litert.summary["p90"], litert.summary["iterations"]) == ("median", None, 6)
    assert litert.conditions["runner_version"] == version("ai-edge-litert")

    # Like edgekit's own runners, tools run without an app.
    assert {one.conditions["process_context"] for one in measured.values()} == {"shell"}

    theirs = measured["executorch/theirs/fp32"]
    assert theirs.conditions["parity_on_device"]["snr_db"] > 80
    # 7 runs of 1.5, 2.5 ... 7.5 ms: the first, three to warm up, three that count.
    assert [session.samples for session in ledger.sessions(theirs.id)] == [[5_500_000, 6_500_000, 7_500_000]] * 2
    assert "v1 tflite/gpu/fp32: session 1 of 2: 210.50 ms, 20 runs" in "\n".join(lines)

    table = markdown(rows_of(ledger, run))
    (row,) = (line for line in table.splitlines() if "| tflite/gpu/fp32" in line)
    assert "210.50 [210.50, 210.50] 50% mean" in row
    assert "timed by benchmark_model --use_gpu=true (SHA-256" in table
    assert "outputs not compared with PyTorch's" in table
    assert np.isfinite(theirs.summary["median"])


def test_a_phone_has_no_python_for_the_tool_and_nobody_is_sent_to_make_one(android, profile_of):
    with (
        opened(profile_of(android)) as device,
        pytest.raises(EdgekitError, match="needs a Python environment") as raised,
    ):
        tool_program(device, Tool(kind="benchmark_litert_model", backend="tflite"))
    assert raised.value.failure.kind == FailureKind.unsupported_device


@pytest.mark.parametrize("where", ["android", "board"])
def test_a_tool_runs_on_a_device(where, request, profile_of, tmp_path, ledger, capsule):
    there = request.getfixturevalue(where)
    printed = (PRINTED / "benchmark_model.txt").read_text()
    content = base64.b64encode(result_file(208.5, False)).decode()
    program = script(
        tmp_path / "benchmark_model",
        f"""for one; do case $one in
--result_file_path=*) echo {content} | base64 -d > "${{one#*=}}";; esac; done
cat << 'END'
{printed}
END""",
    )
    tool = Tool(kind="benchmark_model", backend="tflite", program=program)
    found = profile_of(there, tools={"gpu": tool}).model_copy(update={"runs": ()})
    plan = Plan.of(load_recipe(*tiny.TINY), ("tflite/xnnpack/fp32",), photo_set())
    run = start_run("deploy", Sweep((plan,), (found,), PROTOCOLS["emulated"], None), ledger, lambda line: None, seed=0)
    assert ledger.failures(run) == []
    (one,) = ledger.measurements(run)
    assert (one.target, one.summary["median"], one.summary["centre"]) == ("tflite/gpu/fp32", 208.5, "median")
    assert there.left_running() == []


# Vulkan on a phone

OPTIONS = "model_path|inputs|output_file|num_executions|cpu_threads"
"""Of those that executor_runner has, the ones that edgekit uses."""


def vulkan_runner(path, artifact, example, outputs):
    """A stand-in for executor_runner built with Vulkan, for a phone without Python.

    It has that program's options, messages and files, and takes what it prints to the log, as Android's build does. No GPU
    computes: `outputs` were computed on this computer, and it writes them if the model and the input are those that it
    expects. Its times are made up. An option that it does not know is an error, as gflags'.
    """
    hashes = [hashlib.sha256(content).hexdigest() for content in (artifact.read_bytes(), example.tobytes())]
    parts = "\n".join(
        f'echo {base64.b64encode(values.tobytes()).decode()} | base64 -d > "$output_file-{index}.bin"'
        for index, values in enumerate(outputs)
    )
    return script(
        path,
        f"""exec 2> /lab/logcat
for one; do case $one in
--*=*) name=${{one%%=*}}; name=${{name#--}}; case $name in {OPTIONS}) eval "$name=\\${{one#*=}}";;
*) echo "ERROR: unknown command line flag '$name'" >&2; exit 1;; esac;;
*) echo "ERROR: unknown argument $one" >&2; exit 1;; esac; done
say() {{ echo "I ExecuTorch: $*" >&2; }}
[ "$(sha256sum < "$model_path")" = "{hashes[0]}  -" ] || {{ say "Loading of method forward failed"; exit 134; }}
[ "$(sha256sum < "$inputs")" = "{hashes[1]}  -" ] || {{ say "another input"; exit 134; }}
say "Model loaded in 20.720944 ms."
run=0; while [ $run -lt $num_executions ]; do run=$((run + 1))
say "Iteration $run of $num_executions: $run.5 ms"; done
[ -z "$output_file" ] || {{ {parts}
}}""",
    )


@pytest.mark.parametrize("share", [1.0, 0.9], ids=["right", "a GPU that computes something else"])
def test_a_phones_gpu_is_timed_with_the_artifact_for_vulkan_and_compared(
    share, android, profile_of, tmp_path, ledger, cache, capsule
):
    recipe = load_recipe(*tiny.TINY)
    prepared, artifact = build_artifact(Plan.of(recipe, ("vulkan",), photo_set()), lambda line: None, tmp_path)
    example = Inputs.load(prepared.folder / "parity.npz")[:1]
    outputs = [share * values for values in backend_of(artifact.target).execute(artifact.path, example)]
    program = vulkan_runner(tmp_path / "executor_runner", artifact.path, next(iter(example.arrays.values())), outputs)
    tool = Tool(kind="executor_runner", backend="executorch", delegate="vulkan", program=program)
    found = profile_of(android, tools={"vulkan": tool})
    plan = Plan.of(recipe, ("executorch/xnnpack/fp32", "executorch/vulkan/fp32"), photo_set())
    run = start_run("deploy", Sweep((plan,), (found,), PROTOCOLS["emulated"], None), ledger, lambda line: None, seed=0)
    measured = {one.target: one for one in ledger.measurements(run)}
    failures = [(failure.target, failure.failure.kind) for failure in ledger.failures(run)]
    if share != 1.0:
        assert failures == [("executorch/vulkan/fp32", FailureKind.parity)]
        assert set(measured) == {"executorch/xnnpack/fp32"}
        return
    assert failures == [], ledger.failures(run)
    xnnpack, vulkan = measured["executorch/xnnpack/fp32"], measured["executorch/vulkan/fp32"]
    assert (vulkan.artifact_sha256, vulkan.manifest["parity"]["kind"]) == (artifact.manifest.sha256, "derived")
    assert vulkan.artifact_sha256 != xnnpack.artifact_sha256
    assert vulkan.conditions["parity_on_device"]["snr_db"] > 80
    assert [session.samples for session in ledger.sessions(vulkan.id)] == [[5_500_000, 6_500_000, 7_500_000]] * 2
    assert vulkan.conditions["runner_sha256"] == hashlib.sha256(Path(program).read_bytes()).hexdigest()
    for key in ("process_context", "scheduling"):
        assert vulkan.conditions[key] == xnnpack.conditions[key], key
    assert vulkan.conditions["process_context"] == "shell"
    assert android.left_running() == []
