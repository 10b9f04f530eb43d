"""The user's benchmark programs, for delegates that edgekit's runners lack: GPUs and NPUs.

They verify less than edgekit's runners. Their CPU and threads are unknown. LiteRT's programs give neither samples nor
the model's outputs.
"""

from __future__ import annotations

import base64
import json
import os
import re
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgekit.cache.store import file_sha256
from edgekit.devices.base import Device, HasPython
from edgekit.devices.profile import Tool
from edgekit.errors import EdgekitError, FailureKind
from edgekit.measure.session import Ended, Program, Session, Subject
from edgekit.measure.statistics import ReportedStats
from edgekit.protocol import Protocol
from edgekit.runners import last_words

RESULT = "edgekit-result:"
WITH_RESULT = f"""result=$1; shift; rm -f "$result"; "$@"; status=$?
[ -f "$result" ] && echo "{RESULT}$(base64 "$result" | tr -d '\\n')"; exit $status"""
"""Runs a program and prints, after its output, the file that it wrote."""
WITH_LOG = """"$@" & pid=$!; wait $pid; status=$?
command -v logcat > /dev/null && logcat -d -s ExecuTorch --pid=$pid >&2; exit $status"""
"""Runs a program and prints, after its output, what Android's log has of it."""

NUMBER = r"[-+.\deE]+"
INTERPRETER = re.compile(
    rf"Inference timings in us: Init: ({NUMBER}), First inference: ({NUMBER}), .*avg\): ({NUMBER})$", re.M
)
COUNT = re.compile(
    rf"count=(\d+) (?:first={NUMBER} )?curr={NUMBER}(?: min=({NUMBER}) max=({NUMBER}) avg={NUMBER} std=({NUMBER}))?"
)
COMPILED_MODEL = re.compile(
    r"(Model initialization|Warmup \(first\)|Inference \((?:avg|min|max|std)\)): +([\d.]+)(?: ms)?(?: \((\d+) runs\))?"
)
DELEGATED = re.compile(
    r"the model graph will (be completely|be partially|not be) executed by the delegate(?: w/ (\d+))?"
)
ITERATION = re.compile(r"Iteration \d+ of (\d+): ([\d.]+) ms")
LOADED = re.compile(r"Model loaded in ([\d.]+) ms")


def tool_program(device: Device, tool: Tool, inputs: int = 1) -> Program:
    """Copy a tool and its libraries to the device, and return the program that times artifacts with so many `inputs`.

    EdgekitError: ``usage`` if the files are missing here, ``missing_extra`` if the device's Python is not set up yet,
    ``unsupported_device`` if it cannot have one.
    """
    if inputs > 1 and KINDS[tool.kind] is ExecutorRunner:
        message = f"{tool.kind} is given one input file, and this network has {inputs} inputs."
        hint = "edgekit's own runner times networks with several inputs."
        raise EdgekitError(FailureKind.unsupported_target, "push", message, hint)
    environment = (
        ("env", f"LD_LIBRARY_PATH={device.push(_here(device, tool.libraries, folder=True))}") if tool.libraries else ()
    )
    facts: dict[str, Any] = {"runner": tool.kind, "runner_arguments": list(tool.arguments)}
    if tool.program is None:
        if not isinstance(device, HasPython):
            message = f"{tool.kind} needs a Python environment on {device.profile.name}, which it does not have."
            raise EdgekitError(FailureKind.unsupported_device, "push", message)
        python = device.own_python()
        command: Sequence[str] = (python, "-m", "ai_edge_litert.tools.benchmark_litert_model")
        facts["runner_version"] = _litert_of(device, python)
    else:
        program = _here(device, tool.program)
        if not os.access(program, os.X_OK):  # as after a download
            message = f"The tool {program} of {device.profile.name} may not be executed."
            raise EdgekitError(FailureKind.usage, "push", message, f"Allow it: chmod +x {program}")
        command = (device.push(program),)
        facts |= {"runner": program.name, "runner_sha256": file_sha256(program)}
    return KINDS[tool.kind]((*environment, *command), tool.arguments, facts)


def _litert_of(device: Device, python: str) -> str:
    """Return the version of ai-edge-litert in a device's Python."""
    result = device.run((python, "-c", "from importlib.metadata import version; print(version('ai-edge-litert'))"), 60)
    if result.exit_status:
        message = f"The Python of {device.profile.name} has no ai-edge-litert: {last_words('', result.stderr)}"
        raise EdgekitError(FailureKind.missing_extra, "push", message, "Its wheels need Python 3.10 and glibc 2.34.")
    return result.stdout.strip()


def _here(device: Device, place: str, folder: bool = False) -> Path:
    path = Path(place).expanduser()
    if not (path.is_dir() if folder else path.is_file()):
        message = f"The tool {path} of {device.profile.name} is not on this computer."
        raise EdgekitError(FailureKind.usage, "push", message, "Correct its path under `tools` in the profile.")
    return path


@dataclass(frozen=True)
class _Brought:
    """How a tool is started, what the profile adds to its command line, and facts that go into the conditions."""

    command: Sequence[str]
    extra: Sequence[str]
    facts: dict[str, Any]


class _OfLiteRT(_Brought):
    """What LiteRT's programs have in common: they write a result file, feed random numbers, and keep what comes out."""

    def _with_result(self, subject: Subject, option: str, *options: str) -> Sequence[str]:
        result = f"{subject.output}.result"
        return ("sh", "-c", WITH_RESULT, "sh", result, *self.command, *options, f"{option}={result}", *self.extra)

    def outputs(self, base: str, count: int) -> Sequence[str]:
        """Return nothing: there are no outputs."""
        return ()


class BenchmarkModel(_OfLiteRT):
    """Either of LiteRT's programs of the name ``benchmark_model``, that of the interpreter and that of the compiled model."""

    def arguments(self, subject: Subject, protocol: Protocol, cpu: int | None, with_output: bool) -> Sequence[str]:
        """Return the command line of one session. The number of runs is a minimum, as in the protocol."""
        return self._with_result(
            subject,
            "--result_file_path",
            *(f"--graph={subject.model}", f"--num_threads={protocol.threads}", f"--num_runs={protocol.iterations}"),
            *(f"--min_secs={protocol.min_seconds}", "--warmup_runs=1", f"--warmup_min_secs={protocol.warmup_seconds}"),
        )

    def read(self, ended: Ended) -> Session:
        """Return the statistics on either stream, and the median from the result file of newer programs.

        EdgekitError: ``fallback`` if no part of the model ran on the delegate, ``crashed`` if the text has no result.
        """
        text = f"{ended.completed.stdout}\n{ended.completed.stderr}"
        delegated = DELEGATED.findall(text)
        if any(how == "not be" for how, _ in delegated):
            message = f"{ended.where}: no part of the model ran on the delegate. The time would be the CPU's."
            raise EdgekitError(FailureKind.fallback, "measure", message, "The delegate does not take these operators.")
        try:
            parsed, files = parse_benchmark_model(text), _results(text)
            median = parse_result_file(files[-1]) if files else None
        except ValueError as error:
            raise _unreadable(ended, "benchmark_model") from error
        if parsed is None:
            raise _unreadable(ended, "benchmark_model")
        init_ms, first_ms, reported = parsed
        reported = reported.model_copy(update={"median": median})
        parts = [f"{how.removeprefix('be ')}{f', {kernels} parts' if kernels else ''}" for how, kernels in delegated]
        environment = {
            **self.facts,
            "delegated": "; ".join(parts) or "unknown",
            "threads_asked": ended.protocol.threads,
        }
        return Session(round(init_ms * 1e6), round(first_ms * 1e6), (), environment, ended.started_at, reported)


class BenchmarkLitertModel(_OfLiteRT):
    """The program of this name in the package ai-edge-litert. It runs a compiled model on a CPU, GPU or NPU.

    It has no option for a minimum duration.
    """

    def arguments(self, subject: Subject, protocol: Protocol, cpu: int | None, with_output: bool) -> Sequence[str]:
        """Return the command line of one session."""
        return self._with_result(
            subject,
            "--result_json",
            *(f"--model={subject.model}", f"--num_threads={protocol.threads}", f"--num_runs={protocol.iterations}"),
        )

    def read(self, ended: Ended) -> Session:
        """Return the program's result; EdgekitError (``crashed``) if there is none.

        It says if the whole model ran on the requested unit, not how much of it.
        """
        files = _results(ended.completed.stdout)
        parsed = parse_litert_result(files[-1]) if files else None
        if parsed is None:
            raise _unreadable(ended, "benchmark_litert_model")
        init_ms, first_ms, reported, facts = parsed
        environment = {**self.facts, **facts, "threads_asked": ended.protocol.threads}
        return Session(round(init_ms * 1e6), round(first_ms * 1e6), (), environment, ended.started_at, reported)


class ExecutorRunner(_Brought):
    """ExecuTorch's ``executor_runner``, from 2025 on: it prints the time of each run, and warms nothing up.

    So half of the runs, and the first, are taken for warm-up. On Android it may print to the system's log.
    """

    def arguments(self, subject: Subject, protocol: Protocol, cpu: int | None, with_output: bool) -> Sequence[str]:
        """Return the command line of one session; a minimum duration cannot be set."""
        return (
            *("sh", "-c", WITH_LOG, "sh"),
            *self.command,
            *(f"--model_path={subject.model}", f"--inputs={subject.input}", f"--cpu_threads={protocol.threads}"),
            f"--num_executions={1 + 2 * protocol.iterations}",
            *((f"--output_file={subject.output}",) if with_output else ()),
            *self.extra,
        )

    def outputs(self, base: str, count: int) -> Sequence[str]:
        """Return a file per output."""
        return [f"{base}-{index}.bin" for index in range(count)]

    def read(self, ended: Ended) -> Session:
        """Return the runs after the warm-up; EdgekitError (``crashed``) if the output is not as requested."""
        parsed = parse_executor_runner(f"{ended.completed.stdout}\n{ended.completed.stderr}")
        if parsed is None:
            raise _unreadable(ended, "executor_runner")
        load_ns, (first, *runs) = parsed
        warmup = len(runs) // 2
        environment = {**self.facts, "warmup_runs": warmup, "threads_asked": ended.protocol.threads}
        return Session(load_ns, first, tuple(runs[warmup:]), environment, ended.started_at)


KINDS: dict[str, type[BenchmarkModel | BenchmarkLitertModel | ExecutorRunner]] = {
    "benchmark_model": BenchmarkModel,
    "benchmark_litert_model": BenchmarkLitertModel,
    "executor_runner": ExecutorRunner,
}


def parse_benchmark_model(text: str) -> tuple[float, float, ReportedStats] | None:
    """Return load and first inference in milliseconds and the statistics of the timed runs; None without a result.

    The text itself says which of the two programs printed it.
    """
    if "BENCHMARK RESULTS" in text:
        return _compiled_model(text)
    line, counts = INTERPRETER.search(text), COUNT.findall(text)
    if line is None or not counts:
        return None
    init, first, mean = (float(word) / 1000 for word in line.groups())
    runs, *spread = counts[-1]
    minimum, maximum, deviation = (float(word) / 1000 if word else None for word in spread)
    reported = ReportedStats(runs=int(runs), mean=mean, minimum=minimum, maximum=maximum, standard_deviation=deviation)
    return init, first, reported


def _compiled_model(text: str) -> tuple[float, float, ReportedStats] | None:
    lines = {name: (float(value), runs) for name, value, runs in COMPILED_MODEL.findall(text)}
    try:
        mean, runs = lines["Inference (avg)"]
        first, init = lines["Warmup (first)"][0], lines["Model initialization"][0]
    except KeyError:
        return None
    minimum, maximum, deviation = (lines.get(f"Inference ({name})", (None, ""))[0] for name in ("min", "max", "std"))
    reported = ReportedStats(runs=int(runs), mean=mean, minimum=minimum, maximum=maximum, standard_deviation=deviation)
    return init, first, reported


def parse_result_file(content: bytes) -> float | None:
    """Return the median in milliseconds from the ``--result_file_path``: field 5 of field 2 of BenchmarkResult.

    No package installs the schema, so fields are read by number, floats of either width.
    ValueError if it is not a protobuf message.
    """
    from google.protobuf.empty_pb2 import Empty
    from google.protobuf.message import DecodeError
    from google.protobuf.unknown_fields import UnknownFieldSet

    def fields(message: bytes) -> dict[int, Any]:
        return {
            field.field_number: (field.wire_type, field.data) for field in UnknownFieldSet(Empty.FromString(message))
        }

    try:
        latency = fields(content).get(2)
        wire_type, data = fields(latency[1]).get(5, (None, 0)) if latency else (None, 0)
    except DecodeError as error:
        raise ValueError(str(error)) from error
    if wire_type == 1:
        return float(struct.unpack("<d", struct.pack("<Q", data))[0])
    return float(struct.unpack("<f", struct.pack("<I", data))[0]) if wire_type == 5 else None


def parse_litert_result(content: bytes) -> tuple[float, float, ReportedStats, dict[str, Any]] | None:
    """Return load and first inference in milliseconds, statistics of the timed runs, and where the model ran.

    `content` is the JSON of ``--result_json``; None if it is not.
    """
    try:
        result = json.loads(content)
        latency = result["latency"]
        reported = ReportedStats(
            runs=latency["num_runs"],
            mean=latency["avg_ms"],
            median=latency["median_ms"],
            minimum=latency["min_ms"],
            maximum=latency["max_ms"],
            standard_deviation=latency["std_ms"],
        )
        whole = "completely" if result["fully_accelerated"] else "not completely"
        facts = {"accelerators": result["accelerators"], "delegated": whole}
        return latency["init_ms"], latency["warmup_first_ms"], reported, facts
    except (ValueError, KeyError, TypeError):
        return None


def parse_executor_runner(text: str) -> tuple[int, list[int]] | None:
    """Return the time of loading and of each run, in nanoseconds; None if any is missing."""
    loaded, runs = LOADED.search(text), ITERATION.findall(text)
    if loaded is None or not runs or int(runs[0][0]) != len(runs):
        return None
    return round(float(loaded[1]) * 1e6), [round(float(milliseconds) * 1e6) for _, milliseconds in runs]


def _results(text: str) -> list[bytes]:
    """Return the files that :data:`WITH_RESULT` printed."""
    return [base64.b64decode(encoded) for encoded in re.findall(rf"^{RESULT}(.*)$", text, re.M)]


def _unreadable(ended: Ended, kind: str) -> EdgekitError:
    said = last_words("", ended.completed.stderr or ended.completed.stdout)
    message = f"{ended.where}: the output of {kind} does not contain its results: {said}"
    return EdgekitError(
        FailureKind.crashed, "measure", message, "Check `kind` of the tool in the profile, and its version."
    )
