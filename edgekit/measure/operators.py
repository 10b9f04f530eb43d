"""Operator times of an inference, from a runtime's own profiler: that of LiteRT, and ExecuTorch's ETDump.

LiteRT's profiler writes a CSV file in its benchmark_model, and lines of events in edgekit's native runner.

Timing slows every operator. The times are not latencies; they show which operators matter.
"""

from __future__ import annotations

import re
import subprocess
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from statistics import fmean, median
from typing import Any, Literal

from pydantic import BaseModel, Field, computed_field

from edgekit.build.worker import Job, Workers
from edgekit.config.json_document import JsonDocument
from edgekit.config.paths import cache_folder
from edgekit.errors import UsageError

ETDUMP = b"ED00"
"""The identifier of ETDump's schema, from byte 8 of a file on."""
EVENTS = "edgekit: operators of LiteRT "
"""How a file of the native runner begins. Its lines are events: run, type, microseconds, node and tag."""
EVENT = re.compile(r"(\d+)\t(\d+)\t(\d+)\t(\d+)\t(.*)")
RUNTIME_EVENT, GRAPH_EVENT, INSIDE_EVENT = 1, 2, 8
"""LiteRT's types of events (`tflite::Profiler::EventType`)."""
RUNS = "Operator-wise Profiling Info for Regular Benchmark Runs:"
INSIDE = "Delegate internal:"
FIRST_TABLE = re.compile(r"^=+ Run Order =+\n.*\n((?:.+\n)*)", re.M)
# Delegates' types may contain commas, and operator names any character.
ROW = re.compile(r"^(.+?), [-+.\de]+, ([-+.\de]+), [-+.\de]+%, [-+.\de]+%, [-+.\de]+, (\d+), (.*)$")
TIMINGS = re.compile(r"^Timings \(microseconds\): count=(\d+) .*?(?:curr|avg)=([-+.\de]+)(?: std=.*)?$", re.M)
METHOD, DELEGATE, CALLED = "Method::execute", "DELEGATE_CALL", "native_call_"
"""What ETDump calls a whole run, a delegate's node of the graph, and (how it begins) another node."""
MANY_RUNS = 10
NUMBERED = re.compile(r" #\d+$")


class OperatorTime(BaseModel):
    """One operator of the graph, or one that a delegate runs `inside` its node of the graph. The mean is of all timed runs.

    `node` is its place in the artifact's graph, if the profiler reports it. `module` is the name of the PyTorch module that
    it comes from (:mod:`edgekit.measure.modules`): empty for the network itself, None if unknown.
    """

    operator: str
    name: str
    mean_ms: float
    inside: bool = False
    node: int | None = None
    module: str | None = None

    @property
    def is_delegate(self) -> bool:
        """Whether it is a delegate's node of the graph."""
        return not self.inside and (self.operator == DELEGATE or "Delegate" in self.operator)

    @computed_field  # type: ignore[prop-decorator]
    @property
    def off_delegate(self) -> bool:
        """Whether the runtime itself ran it."""
        return not self.inside and not self.is_delegate


class ModuleTime(BaseModel):
    """The operators of one PyTorch module together. `off_delegate_ms` is the part of `mean_ms` off the delegate.

    `module` is None for operators whose module is unknown.
    """

    module: str | None
    operators: int
    mean_ms: float
    off_delegate_ms: float


class OperatorsDocument(JsonDocument):
    """What ``edgekit operators --json`` prints: operators in the order in which they run, and the mean of whole runs.

    `modules` are their sums by PyTorch module, in the order in which the modules first run; none of a profiler's own file,
    which does not know the model.
    """

    profiler: Literal["LiteRT", "ExecuTorch"]
    runs: int
    mean_ms: float
    operators: list[OperatorTime]
    modules: list[ModuleTime] = Field(default_factory=list)

    @property
    def elsewhere_ms(self) -> float:
        """What of a run was spent in no operator, in milliseconds.

        A profiler that reports no delegate's node reports the operators inside it instead.
        """
        nodes = any(operator.is_delegate for operator in self.operators)
        return self.mean_ms - sum(operator.mean_ms for operator in self.operators if not operator.inside or not nodes)

    @computed_field  # type: ignore[prop-decorator]
    @property
    def fallback_share(self) -> float:
        """The part of a run that was spent in operators off the delegate, 0 to 1."""
        return sum(operator.mean_ms for operator in self.operators if operator.off_delegate) / self.mean_ms


def stored(document: OperatorsDocument) -> dict[str, Any]:
    """Return a profile as a measurement's conditions hold it: what follows from the rest is left out."""
    found = document.model_dump(mode="json", exclude={"fallback_share", "schema_", "modules", "operators"})
    operators = [operator.model_dump(mode="json", exclude={"off_delegate"}) for operator in document.operators]
    return {**found, "operators": operators}


def stored_profile(conditions: Mapping[str, Any]) -> OperatorsDocument | None:
    """Return the operator profile that a measurement's conditions hold; None if none was made. `modules` are not in it."""
    found = conditions.get("operators")
    return OperatorsDocument.model_validate(found) if found else None


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
    text = content.decode(errors="replace")
    if content[8:12] == ETDUMP:
        found = _of_etdump(path)
    elif text.startswith(EVENTS):
        found = _of_events(text)
    else:
        found = _of_csv(text)
    if found is None:
        raise UsageError(
            f"{path} is not a complete operator profile.",
            "Give the CSV file of LiteRT's benchmark_model, the ETDump of an ExecuTorch runner, or what "
            "`edgekit operators RECIPE --output FILE` wrote.",
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


def counted_runs(whole: Sequence[float]) -> list[int]:
    """Return the places of the runs that count, by the times of whole runs in order.

    The first run is the warm-up. Of many others the faster half counts: what interrupts a run stretches one operator of it,
    and the times of a run's operators have to add up.
    """
    later = list(range(1, len(whole))) or list(range(len(whole)))
    if len(later) < MANY_RUNS:
        return later
    return [place for place in later if whole[place] <= median(whole[place] for place in later)]


def _of_events(text: str) -> OperatorsDocument | None:
    """Return the mean of every operator in the native runner's events.

    LiteRT counts whole microseconds and drops the rest, so a short operator seems shorter than it is.
    """
    whole: dict[int, float] = defaultdict(float)
    spent: dict[tuple[int, int, str], float] = defaultdict(float)
    order: dict[int, list[tuple[int, int, str]]] = defaultdict(list)
    for line in text.splitlines()[1:]:
        if not (row := EVENT.fullmatch(line)):
            return None
        run, kind, ms, node, tag = int(row[1]), int(row[2]), int(row[3]) / 1000, int(row[4]), row[5]
        if (kind, tag) == (RUNTIME_EVENT, "Invoke"):
            whole[run] = ms
        elif kind in {GRAPH_EVENT, INSIDE_EVENT}:
            # Delegates count their operators from 0. The place in the run distinguishes those of several delegates.
            order[run].append((kind, node, tag))
            spent[run, len(order[run]) - 1, tag] = ms
    runs = sorted(whole)
    timed = [runs[place] for place in counted_runs([whole[run] for run in runs])]
    if not timed or not order or any(order[run] != order[timed[0]] for run in timed):
        return None
    operators = [
        OperatorTime(
            operator=tag,
            name=f"{tag} #{node}",
            mean_ms=fmean(spent[run, place, tag] for run in timed),
            inside=kind == INSIDE_EVENT,
            node=node if kind == GRAPH_EVENT else None,
        )
        for place, (kind, node, tag) in enumerate(order[timed[0]])
    ]
    mean = fmean(whole[run] for run in timed)
    return OperatorsDocument(profiler="LiteRT", runs=len(timed), mean_ms=mean, operators=operators)


def _rows(text: str, inside: bool) -> Iterator[OperatorTime]:
    table = FIRST_TABLE.search(text)
    for line in table[1].splitlines() if table else ():
        if row := ROW.match(line):
            yield OperatorTime(operator=row[1], name=row[4], mean_ms=float(row[2]) * int(row[3]), inside=inside)


def _of_etdump(path: Path) -> OperatorsDocument | None:
    """Return the operators of the method."""
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
            counted = counted_runs(whole)
            operators = [
                OperatorTime(
                    operator=NUMBERED.sub("", name).removeprefix(CALLED),
                    name=name,
                    mean_ms=fmean(raw[run] for run in counted),
                    inside=inside,
                )
                for name, inside, raw in events
                if inside or name == DELEGATE or name.startswith(CALLED)
            ]
            runs, mean = len(counted), fmean(whole[run] for run in counted)
            found = OperatorsDocument(profiler="ExecuTorch", runs=runs, mean_ms=mean, operators=operators)
            return found.model_dump(exclude={"fallback_share"})
    return None
