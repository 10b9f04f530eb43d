"""Operator times of an inference, from a runtime's own profiler: LiteRT's CSV, ExecuTorch's ETDump.

Timing slows every operator. The times are not latencies; they show which operators matter.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from statistics import fmean
from typing import Any, Literal

from pydantic import BaseModel

from edgekit.build.worker import Job, Workers
from edgekit.config.json_document import JsonDocument
from edgekit.config.paths import cache_folder
from edgekit.errors import UsageError

ETDUMP = b"ED00"
"""The identifier of ETDump's schema, from byte 8 of a file on."""
RUNS = "Operator-wise Profiling Info for Regular Benchmark Runs:"
INSIDE = "Delegate internal:"
FIRST_TABLE = re.compile(r"^=+ Run Order =+\n.*\n((?:.+\n)*)", re.M)
# Delegates' types may contain commas, and operator names any character.
ROW = re.compile(r"^(.+?), [-+.\de]+, ([-+.\de]+), [-+.\de]+%, [-+.\de]+%, [-+.\de]+, (\d+), (.*)$")
TIMINGS = re.compile(r"^Timings \(microseconds\): count=(\d+) .*?(?:curr|avg)=([-+.\de]+)(?: std=.*)?$", re.M)
METHOD, DELEGATE, CALLED = "Method::execute", "DELEGATE_CALL", "native_call_"
"""What ETDump calls a whole run, a delegate's node of the graph, and (how it begins) another node."""
NUMBERED = re.compile(r" #\d+$")


class OperatorTime(BaseModel):
    """One operator of the graph, or one that a delegate runs `inside` its node of the graph. The mean is of all timed runs."""

    operator: str
    name: str
    mean_ms: float
    inside: bool = False


class OperatorsDocument(JsonDocument):
    """What ``edgekit operators --json`` prints: operators in the order in which they run, and the mean of whole runs."""

    profiler: Literal["LiteRT", "ExecuTorch"]
    runs: int
    mean_ms: float
    operators: list[OperatorTime]

    @property
    def elsewhere_ms(self) -> float:
        """What of a run was spent in no operator of the graph, in milliseconds."""
        return self.mean_ms - sum(operator.mean_ms for operator in self.operators if not operator.inside)


def read_profile(path: Path) -> OperatorsDocument:
    """Read what ``benchmark_model --enable_op_profiling=true --op_profiling_output_mode=csv`` or an ExecuTorch runner wrote.

    The content decides the format. UsageError for any other file.
    EdgekitError (``missing_extra``) for an ETDump without ExecuTorch.
    """
    if not path.is_file():
        raise UsageError(
            f"There is no file at {path}.", "Give what a profiler wrote; a recipe is profiled on a --device."
        )
    content = path.read_bytes()
    found = _of_etdump(path) if content[8:12] == ETDUMP else _of_csv(content.decode(errors="replace"))
    if found is None:
        raise UsageError(
            f"{path} is not a complete operator profile.",
            "Give the CSV file of LiteRT's benchmark_model or the ETDump of an ExecuTorch runner.",
        )
    return found


def _of_csv(text: str) -> OperatorsDocument | None:
    """Return the primary graph's operators and those inside delegates; the tables of initialization and of subgraphs are left."""
    graph, _, inside = text.partition(RUNS)[2].partition(INSIDE)
    timings, operators = TIMINGS.search(graph), [*_rows(graph, False), *_rows(inside, True)]
    if timings is None or not operators:
        return None
    return OperatorsDocument(
        profiler="LiteRT", runs=int(timings[1]), mean_ms=float(timings[2]) / 1000, operators=operators
    )


def _rows(text: str, inside: bool) -> Iterator[OperatorTime]:
    table = FIRST_TABLE.search(text)
    for line in table[1].splitlines() if table else ():
        if row := ROW.match(line):
            yield OperatorTime(operator=row[1], name=row[4], mean_ms=float(row[2]) * int(row[3]), inside=inside)


def _of_etdump(path: Path) -> OperatorsDocument | None:
    """Return the operators of the method. If it ran more than once, the first run is the warm-up."""
    job = ReadJob(path=path.absolute())
    with Workers() as workers:
        document = workers.call(job, cache_folder() / "logs" / "operators.log")
    return OperatorsDocument.model_validate(document) if document else None


class ReadJob(Job):
    """Read the ETDump at `path`."""

    function = "edgekit.measure.operators:etdump_times"
    stage = "operators"

    path: Path


def etdump_times(job: ReadJob) -> dict[str, Any] | None:
    """Return the document of an ETDump, read in a separate process. None if the file is incomplete."""
    from executorch.devtools import Inspector

    try:
        blocks = Inspector(etdump_path=str(job.path)).event_blocks
    except (TypeError, ValueError, subprocess.CalledProcessError):
        return None
    for block in blocks:
        events = [(event.name, event.is_delegated_op, event.perf_data.raw) for event in block.events]
        whole = next((raw for name, _, raw in events if name == METHOD), None)
        if whole is not None:
            operators = [
                OperatorTime(
                    operator=NUMBERED.sub("", name).removeprefix(CALLED),
                    name=name,
                    mean_ms=fmean(raw[1:] or raw),
                    inside=inside,
                )
                for name, inside, raw in events
                if inside or name == DELEGATE or name.startswith(CALLED)
            ]
            runs, mean = len(whole[1:]) or 1, fmean(whole[1:] or whole)
            return OperatorsDocument(profiler="ExecuTorch", runs=runs, mean_ms=mean, operators=operators).model_dump()
    return None
