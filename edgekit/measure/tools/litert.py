"""LiteRT's benchmark programs. They give neither samples nor the model's outputs."""

from __future__ import annotations

import json
import re
import struct
from collections.abc import Sequence
from typing import Any

from edgekit.errors import EdgekitError, FailureKind
from edgekit.measure.session import Ended, Session, Subject
from edgekit.measure.statistics import ReportedStats
from edgekit.measure.tools.brought import WITH_RESULT, Brought, results, unreadable
from edgekit.protocol import Protocol

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


class _OfLiteRT(Brought):
    """What LiteRT's programs have in common: they write a result file, feed random numbers, and keep what comes out."""

    def _with_result(self, subject: Subject, option: str, *options: str) -> Sequence[str]:
        result = f"{subject.output}.result"
        return ("sh", "-c", WITH_RESULT, "sh", result, *self.command, *options, f"{option}={result}", *self.extra)

    def outputs(self, base: str, count: int) -> Sequence[str]:
        """Return nothing: there are no outputs."""
        return ()


class BenchmarkModel(_OfLiteRT):
    """Either of LiteRT's programs of the name ``benchmark_model``, that of the interpreter and that of the compiled model."""

    def arguments(self, subject: Subject, protocol: Protocol, cpus: Sequence[int], with_output: bool) -> Sequence[str]:
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
            parsed, files = parse_benchmark_model(text), results(text)
            median = parse_result_file(files[-1]) if files else None
        except ValueError as error:
            raise unreadable(ended, "benchmark_model") from error
        if parsed is None:
            raise unreadable(ended, "benchmark_model")
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

    def arguments(self, subject: Subject, protocol: Protocol, cpus: Sequence[int], with_output: bool) -> Sequence[str]:
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
        files = results(ended.completed.stdout)
        parsed = parse_litert_result(files[-1]) if files else None
        if parsed is None:
            raise unreadable(ended, "benchmark_litert_model")
        init_ms, first_ms, reported, facts = parsed
        environment = {**self.facts, **facts, "threads_asked": ended.protocol.threads}
        return Session(round(init_ms * 1e6), round(first_ms * 1e6), (), environment, ended.started_at, reported)


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
