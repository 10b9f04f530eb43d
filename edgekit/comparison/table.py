"""A comparison as a table, for people and for a pull request."""

from __future__ import annotations

from edgekit.comparison.document import CellEntry, DiffDocument, GateEntry
from edgekit.comparison.gate import name
from edgekit.report.column import Column, shown
from edgekit.report.columns import BY_KEY
from edgekit.report.numbers import mega, number, with_interval
from edgekit.report.sheet import Note, Report, Section

EMPTY = "Both sides hold nothing."
STYLES = {
    "faster": "green",
    "started working": "green",
    "slower": "red",
    "stopped working": "red",
    "new and failing": "red",
}


def _latency(index: int, key: str, heading: str) -> Column[CellEntry]:
    def text(cell: CellEntry) -> str | None:
        value = cell.latency_ms[index]
        return None if value is None else number(value, 2)

    return Column(
        key, heading, lambda cell: cell.latency_ms[index], text, "ms", align="right", shown=shown("present"), rank=4
    )


def _ratio(cell: CellEntry) -> str | None:
    found = cell.ratio
    if found is None:
        return None
    if found.low is None or found.high is None:
        return f"{found.value:.3f} (too few sessions)"
    return with_interval(found.value, found.low, found.high, 3)


def _smallest(cell: CellEntry) -> str | None:
    found = cell.ratio.smallest if cell.ratio else None
    return None if found is None else f"{100 * found:.1f}"


def _size(cell: CellEntry) -> str | None:
    first, second = cell.size_bytes
    if first is None or second is None:
        return None
    return "same" if first == second else f"{mega(first, 1)} → {mega(second, 1)}"


def _accuracy(cell: CellEntry) -> str | None:
    found = cell.accuracy
    if found is None:
        return None
    return f"{found.first:.1f} → {found.second:.1f} (n = {found.n})"


def _why(cell: CellEntry) -> str | None:
    return "; ".join(cell.reasons) or None


CELLS: tuple[Column[CellEntry], ...] = (
    BY_KEY["recipe"].of(lambda cell: f"{cell.recipe} {cell.variant}".rstrip()),
    BY_KEY["target"].of(lambda cell: cell.target),
    BY_KEY["device"].of(lambda cell: cell.device, shown=shown("varies", csv="always", json="always")),
    BY_KEY["device_id"].of(lambda cell: cell.device_id, lambda cell: (cell.device_id or "")[:8], identity=True, rank=1),
    BY_KEY["model_hash"].of(lambda cell: cell.model, identity=True, rank=1),
    BY_KEY["protocol"].of(lambda cell: cell.protocol, shown=shown(), rank=1),
    BY_KEY["runner"].of(lambda cell: cell.runner, rank=1),
    Column(
        "outcome",
        "Outcome",
        lambda cell: cell.outcome,
        shown=shown("always"),
        rank=0,
        style=lambda cell: STYLES.get(cell.outcome, ""),
    ),
    Column(
        "ratio",
        "Second / first",
        lambda cell: cell.ratio.value if cell.ratio else None,
        _ratio,
        shown=shown("present"),
        rank=1,
    ),
    Column("ratio_low", "Low", lambda cell: cell.ratio.low if cell.ratio else None, shown=shown()),
    Column("ratio_high", "High", lambda cell: cell.ratio.high if cell.ratio else None, shown=shown()),
    _latency(0, "first_latency_ms", "First"),
    _latency(1, "second_latency_ms", "Second"),
    Column(
        "smallest_percent",
        "Smallest difference that shows",
        lambda cell: 100 * cell.ratio.smallest if cell.ratio and cell.ratio.smallest is not None else None,
        _smallest,
        "%",
        align="right",
        shown=shown("present"),
        rank=5,
    ),
    Column("first_bytes", "First size", lambda cell: cell.size_bytes[0], shown=shown()),
    Column(
        "second_bytes",
        "Size",
        lambda cell: cell.size_bytes[1],
        _size,
        "MB",
        shown=shown("varies", csv="always", json="always"),
        rank=6,
    ),
    Column(
        "accuracy_points",
        "Accuracy",
        lambda cell: cell.accuracy.difference if cell.accuracy else None,
        _accuracy,
        "%",
        shown=shown("present"),
        rank=3,
    ),
    Column("why", "Why", _why, shown=shown("present"), rank=2, below=True),
)


def diff_report(document: DiffDocument) -> Report:
    """Return a comparison as a report; what its gates found stands first among the notes."""
    notes = [*(line for gate in document.gates for line in _gate(gate)), *document.notes]
    title = f"{document.first}, then {document.second}"
    return Report([Section(CELLS, sorted(document.cells, key=_rank))], [Note(line) for line in notes], title, EMPTY)


def _rank(cell: CellEntry) -> tuple[int, str]:
    order = (
        "stopped working",
        "new and failing",
        "slower",
        "faster",
        "started working",
        "no difference shown",
        "not comparable",
    )
    return (order.index(cell.outcome) if cell.outcome in order else len(order), name(cell))


def _gate(gate: GateEntry) -> list[str]:
    lines = [f"{gate.condition}: {'failed' if gate.failed else 'undecided' if gate.undecided else 'passed'}."]
    lines += [f"{gate.condition} failed: {reason}." for reason in gate.failed]
    return lines + ([f"{gate.condition} undecided: {', '.join(gate.undecided)}."] if gate.undecided else [])
