"""``--fail-if``: which changes a continuous integration does not accept."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from edgekit.comparison.document import CellEntry, GateEntry
from edgekit.errors import UsageError

Judged = Literal["failed", "undecided", "passed"]
FORM = re.compile(r"(?P<what>[a-z]+)(?:=(?P<number>\d+(?:\.\d+)?)(?P<unit>%|points)?)?")
FORMS = "slower=3%, larger=5%, inaccurate=1points or broken"
NOTHING = "no latency was compared"
FAILING = {"stopped working", "new and failing", "only on the first side"}
OPEN = {"not comparable", "not measured again", "stopped working", "only on the first side"}
"""The second side has no latency of its own that the first side's could be compared with."""


@dataclass(frozen=True)
class Gate:
    """A condition as it was written, and its limit: a share, or points of accuracy; 0 if it has none."""

    text: str
    what: Literal["slower", "larger", "inaccurate", "broken"]
    limit: float

    def judge(self, cells: Sequence[CellEntry]) -> GateEntry:
        """Return which cells break the condition, and of which that is open."""
        judged = [(label, JUDGES[self.what](cell, self.limit)) for label, cell in zip(names(cells), cells, strict=True)]
        failed, undecided = (
            [label for label, verdict in judged if verdict == kind] for kind in ("failed", "undecided")
        )
        if self.what == "slower" and not any(cell.ratio for cell in cells):
            undecided = undecided or [NOTHING]
        return GateEntry(condition=self.text, failed=failed, undecided=undecided)


def gate_of(text: str) -> Gate:
    """Return the condition that is written as ``slower=3%``; UsageError for anything else."""
    found = FORM.fullmatch(text)
    units = {"slower": "%", "larger": "%", "inaccurate": "points", "broken": None}
    if not found or found["what"] not in units or found["unit"] != units[found["what"]]:
        raise UsageError(f"--fail-if {text} is no condition.", f"Write {FORMS}.")
    number = float(found["number"] or 0)
    what: Literal["slower", "larger", "inaccurate", "broken"] = found["what"]  # type: ignore[assignment]
    return Gate(text, what, number / 100 if found["unit"] == "%" else number)


def names(cells: Sequence[CellEntry]) -> list[str]:
    """Return what a person calls each cell; cells that would have the same name get what may tell them apart."""
    short = Counter(map(name, cells))
    return [name(cell) if short[name(cell)] == 1 else f"{name(cell)} ({_details(cell)})" for cell in cells]


def _details(cell: CellEntry) -> str:
    device = cell.device_id[:8] if cell.device_id else None
    found = {"device": device, "model": cell.model, "protocol": cell.protocol, "runner": cell.runner}
    return ", ".join(f"{what} {value}" for what, value in found.items() if value is not None) or "no result"


def name(cell: CellEntry) -> str:
    """Return what a person calls a cell."""
    where = f" on {cell.device}" if cell.device else ""
    return f"{cell.recipe} {cell.variant} {cell.target}{where}"


def _slower(cell: CellEntry, limit: float) -> Judged:
    """Fail if the cell is shown to be slower and the limit is not excluded; open if neither 1 nor the limit is excluded."""
    if cell.outcome in OPEN or (cell.outcome == "not timed" and cell.latency_ms[0] is not None):
        return "undecided"
    if cell.ratio is None:
        return "passed"
    if cell.ratio.low is None or cell.ratio.high is None:
        return "undecided"
    if cell.ratio.high < 1 + limit:
        return "passed"
    return "failed" if cell.ratio.low > 1 else "undecided"


def _larger(cell: CellEntry, limit: float) -> Judged:
    first, second = cell.size_bytes
    if first is None:
        return "passed"
    if second is None:
        return "undecided"
    return "failed" if second > first * (1 + limit) else "passed"


def _inaccurate(cell: CellEntry, limit: float) -> Judged:
    """Fail if accuracy fell by more than the limit and that is shown; open if the photos do not show it, or are unknown."""
    if cell.accuracy is None:
        same_artifact = None not in cell.size_bytes and "artifact" not in cell.built_with
        return "passed" if same_artifact or cell.size_bytes[0] is None else "undecided"
    if cell.accuracy.difference >= -limit:
        return "passed"
    return "failed" if cell.accuracy.shown else "undecided"


def _broken(cell: CellEntry, limit: float) -> Judged:
    return "failed" if cell.outcome in FAILING else "passed"


JUDGES: dict[str, Callable[[CellEntry, float], Judged]] = {
    "slower": _slower,
    "larger": _larger,
    "inaccurate": _inaccurate,
    "broken": _broken,
}
