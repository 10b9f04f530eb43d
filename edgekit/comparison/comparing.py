"""Two sides become one document."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence

from edgekit.comparison.cells import ASKED, EVERYTHING, Question, compare
from edgekit.comparison.conditions import CONDITIONS
from edgekit.comparison.document import CellEntry, DiffDocument
from edgekit.comparison.gate import Gate, gate_of, name
from edgekit.comparison.overall import Overall
from edgekit.comparison.ratio import CONFIDENCE, MOST_SESSIONS, UNEVEN
from edgekit.comparison.sides import Side, side_of
from edgekit.errors import ExitCode, UsageError, did_you_mean
from edgekit.report.numbers import with_interval


def diff(
    first: str, second: str, ledger: str | None, *, across: Collection[str] = (), fail_if: Collection[str] = ()
) -> DiffDocument:
    """Compare two sides, each written as :func:`edgekit.comparison.sides.side_of` says.

    `across` are conditions that may differ, ``all`` for every one; `fail_if` are conditions such as ``slower=3%``.
    UsageError for unknown conditions.
    """
    for condition in across:
        if condition not in {EVERYTHING, *CONDITIONS}:
            hint = did_you_mean(condition, {EVERYTHING, *CONDITIONS})
            raise UsageError(f"There is no condition {condition}.", hint)
    gates = [gate_of(text) for text in fail_if]
    return compared(side_of(first, ledger), side_of(second, ledger), across, gates)


def compared(first: Side, second: Side, across: Collection[str], gates: Sequence[Gate]) -> DiffDocument:
    """Compare two sides that were read."""
    limits = [gate.limit for gate in gates if gate.what == "slower" and gate.limit]
    difference = min(limits, default=ASKED)
    cells, together = compare(first, second, Question(across, difference))
    return DiffDocument(
        first=first.name,
        second=second.name,
        confidence=CONFIDENCE,
        across=sorted(across),
        cells=cells,
        overall=together,
        gates=[gate.judge(cells) for gate in gates],
        notes=[*_overall(together), *_notes(cells, difference)],
    )


def exit_code(document: DiffDocument) -> ExitCode:
    """Return 1 if a gate failed, 3 if one is undecided, else 0."""
    codes = {ExitCode.failure for gate in document.gates if gate.failed}
    codes |= {ExitCode.untrustworthy for gate in document.gates if gate.undecided}
    return ExitCode.worst(codes)


def _overall(found: Overall | None) -> list[str]:
    if found is None:
        return []
    ratio = with_interval(found.value, found.low, found.high, 3)
    return [f"Geometric mean of {_cells(found.cells)}: {ratio} (second / first, {found.confidence:.0%} by bootstrap)."]


def _notes(cells: Sequence[CellEntry], difference: float) -> list[str]:
    compared = [cell for cell in cells if cell.ratio]
    notes = []
    if compared:
        notes.append(
            "Ratio: the second side's latency over the first's, median over pairs of sessions [95 % interval]; below 1 is faster."
        )
        notes.append(
            "The interval holds what varies between sessions. What else varied between the sides is not in it."
        )
    if len(compared) > 1:
        by_chance = len(compared) * (1 - CONFIDENCE)
        notes.append(
            f"Of {len(compared)} comparisons without any true difference about {by_chance:.1f} show one by chance."
        )
    uneven = [name(cell) for cell in compared if cell.ratio and cell.ratio.uneven]
    if uneven:
        notes.append(
            f"The sessions of one side vary more than {UNEVEN} times as much as those of the other. "
            f"Its interval is too narrow: {', '.join(uneven)}."
        )
    notes += _verdicts(compared)
    real = [cell for cell in compared if not cell.emulated]
    short = [cell for cell in real if cell.outcome == "no difference shown" and not _can_show(cell, difference)]
    needed = [cell.sessions_needed for cell in short]
    if short:
        known = [count for count in needed if count is not None]
        notes.append(
            f"Not enough sessions to show a difference of {difference:.1%} in {len(short)} of {len(compared)} cells."
        )
        if known:
            notes.append(f"Sessions of each side that would show it: up to {max(known)}, in {_cells(len(known))}.")
        if None in needed:
            notes.append(f"More than {MOST_SESSIONS} sessions of each side are needed in {_cells(needed.count(None))}.")
    built = Counter(
        (part, change.first, change.second)
        for cell in cells
        for part, change in cell.built_with.items()
        if part not in {"artifact", "recipe"}
    )
    notes += [f"{part}: {first} became {second} ({_cells(count)})." for (part, first, second), count in built.items()]
    return notes


def _cells(count: int) -> str:
    return f"{count} cell{'' if count == 1 else 's'}"


def _verdicts(compared: Sequence[CellEntry]) -> list[str]:
    """Return which ratios come from measurements that were not stable: an interval does not know of heat or of other work."""
    named: dict[tuple[str | None, str | None], list[str]] = {}
    for cell in compared:
        if set(cell.verdicts) != {"stable"}:
            named.setdefault(cell.verdicts, []).append(name(cell))
    return [
        f"Verdict {first} on the first side, {second} on the second: {', '.join(cells)}."
        for (first, second), cells in named.items()
    ]


def _can_show(cell: CellEntry, difference: float) -> bool:
    smallest = cell.ratio.smallest if cell.ratio else None
    return smallest is not None and smallest <= difference
