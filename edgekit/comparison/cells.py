"""The cells of two sides, each with what became of it."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

from edgekit.comparison.conditions import BUILT_WITH, differing
from edgekit.comparison.document import AccuracyChange, CellEntry, Change, Outcome
from edgekit.comparison.overall import Measured, Overall, overall
from edgekit.comparison.ratio import Ratio, ratio, sessions_needed
from edgekit.comparison.sides import Side
from edgekit.report.cells import chief, interval_of
from edgekit.report.rows import Row

EVERYTHING = "all"
"""What ``--across`` takes for every condition."""
ASKED = 0.03
"""The relative difference that sessions are counted for, unless another one is asked about."""


@dataclass(frozen=True)
class Question:
    """What is asked: `across` are conditions that may differ, `difference` is the relative one that should be shown."""

    across: Collection[str] = ()
    difference: float = ASKED

    def allows(self, condition: str) -> bool:
        """Whether latencies are compared although this condition differs."""
        return EVERYTHING in self.across or condition in self.across


def compare(first: Side, second: Side, question: Question) -> tuple[list[CellEntry], Overall | None]:
    """Return the cells of both sides, in the order of recipe, target and device, and what all ratios together show."""
    pairs = list(_pairs(first.rows, second.rows))
    cells = [_cell(pair, (first, second), question) for pair in pairs]
    return cells, overall(
        [_measured(pair, first, second) for pair, cell in zip(pairs, cells, strict=True) if cell.ratio]
    )


def _measured(pair: tuple[Row | None, Row | None], first: Side, second: Side) -> tuple[Measured, Measured]:
    """Return both rows of a compared cell with their sessions."""
    one, other = pair
    assert one and one.measurement_id is not None and other and other.measurement_id is not None
    return (one, first.centres[one.measurement_id]), (other, second.centres[other.measurement_id])


def _pairs(first: Sequence[Row], second: Sequence[Row]) -> Iterator[tuple[Row | None, Row | None]]:
    """Yield the rows of the same cell; a device is the same if its identity is, else if its profile has the same name."""
    groups: dict[tuple[str, str, str], tuple[list[Row], list[Row]]] = {}
    for side, rows in enumerate((first, second)):
        for row in rows:
            groups.setdefault(_name(row), ([], []))[side].append(row)
    for group in sorted(groups):
        yield from _pairs_of(*groups[group])


def _pairs_of(first: list[Row], second: list[Row]) -> list[tuple[Row | None, Row | None]]:
    pairs: list[tuple[Row | None, Row | None]] = []
    for same in (_alike, _exact, _by_name, _of_failure):
        for row in list(first):
            partners = [partner for partner in second if same(row, partner)]
            if partners:
                partner = min(partners, key=partial(_differences, row))
                pairs.append((row, partner))
                first.remove(row)
                second.remove(partner)
    pairs += [(row, None) for row in first] + [(None, row) for row in second]
    return sorted(pairs, key=lambda pair: _order(pair[0] or pair[1]))


def _alike(row: Row, other: Row) -> bool:
    return _exact(row, other) and not _differences(row, other)


def _differences(row: Row, other: Row) -> int:
    return len(differing(row, other))


def _exact(row: Row, other: Row) -> bool:
    return _by_name(row, other) and (row.device_id, row.model) == (other.device_id, other.model)


def _by_name(row: Row, other: Row) -> bool:
    return (row.device, row.protocol) == (other.device, other.protocol)


def _of_failure(row: Row, other: Row) -> bool:
    """Whether one of them is a failure, which has no protocol and may have come before any device."""
    failed = row.status == "failed" or other.status == "failed"
    return failed and (row.device == other.device or None in {row.device, other.device})


def _name(row: Row) -> tuple[str, str, str]:
    return (row.recipe, row.variant, row.target)


def _order(row: Row | None) -> tuple[str, ...]:
    assert row
    return (row.device or "", row.protocol or "", row.device_id or "")


def _cell(pair: tuple[Row | None, Row | None], sides: tuple[Side, Side], question: Question) -> CellEntry:
    first, second = pair
    row = first or second
    assert row
    outcome, reasons = _status(first, second)
    conditions = differing(first, second) if first and second and first.summary and second.summary else {}
    built = differing(first, second, BUILT_WITH) if first and second and first.manifest and second.manifest else {}
    measured, needed = None, None
    centres = [_centres(row, side) for row, side in zip(pair, sides, strict=True)]
    if first and second and outcome is None:
        reasons = _incomparable(first, second, conditions, question, centres)
        outcome = "not comparable"
        if not reasons:
            measured = ratio(*centres)
            outcome = _outcome(measured)
            if not measured.shown and not row.emulated:
                needed = _needed(centres, measured, question.difference)
    assert outcome
    return CellEntry(
        recipe=row.recipe,
        variant=row.variant,
        target=row.target,
        device=row.device,
        model=row.model,
        device_id=row.device_id,
        protocol=row.protocol,
        runner=(row.conditions or {}).get("runner"),
        emulated=bool(row.emulated),
        outcome=outcome,
        reasons=reasons,
        latency_ms=(_median(first), _median(second)),
        ratio=measured,
        sessions=(len(centres[0]), len(centres[1])),
        sessions_needed=needed,
        size_bytes=(_size(first), _size(second)),
        accuracy=_accuracy(first, second),
        conditions={name: Change(first=one, second=other) for name, (one, other) in conditions.items()},
        built_with={name: Change(first=one, second=other) for name, (one, other) in built.items()},
        verdicts=(first.verdict if first else None, second.verdict if second else None),
    )


def _status(first: Row | None, second: Row | None) -> tuple[Outcome | None, list[str]]:
    """Return the outcome of a cell that was not timed on both sides; None if it was."""
    if first is None or second is None:
        return _status_of_one(first, second)
    reasons = [row.failure.failure.message for row in (first, second) if row.failure]
    match first.status == "failed", second.status == "failed":
        case True, True:
            return "fails on both sides", reasons[1:]
        case False, True:
            return "stopped working", reasons
        case True, False:
            return "started working", reasons
    if not first.summary or not second.summary:
        return "not timed", []
    return ("not measured again", []) if _same_measurement(first, second) else (None, [])


def _status_of_one(first: Row | None, second: Row | None) -> tuple[Outcome, list[str]]:
    if first:
        return "only on the first side", []
    failed = second.failure if second else None
    return ("new and failing", [failed.failure.message]) if failed else ("only on the second side", [])


def _same_measurement(first: Row, second: Row) -> bool:
    """Return whether both sides hold one measurement, maybe in two ledgers: its ratio would be 1 and mean nothing."""
    return (first.device_id, first.measured_at) == (second.device_id, second.measured_at)


def _incomparable(
    first: Row,
    second: Row,
    conditions: dict[str, tuple[str, str]],
    question: Question,
    centres: Sequence[Sequence[float]],
) -> list[str]:
    """Return why the latencies of two rows are not compared; nothing if they are."""
    reasons = []
    if first.model != second.model:
        reasons.append(_other_model(first, second))
    for name, (one, other) in conditions.items():
        if not question.allows(name):
            reasons.append(f"{name} differs: {one} and {other}")
    if not all(centres):
        reasons.append("a side has no sessions")
    return reasons


def _other_model(first: Row, second: Row) -> str:
    """Return why two rows are different models. A row's model is NETWORK-WEIGHTS, two hashes."""
    network, other = ((row.model or "unknown").partition("-")[0] for row in (first, second))
    if network != other:
        return f"another network: {network} and {other}"
    weights = [(row.manifest or {}).get("weights", "unknown") for row in (first, second)]
    if weights[0] == weights[1]:
        weights = [
            f"{name} {(row.model or '').partition('-')[2]}" for name, row in zip(weights, (first, second), strict=True)
        ]
    return f"other weights: {weights[0]} and {weights[1]}"


def _outcome(found: Ratio) -> Outcome:
    if not found.shown:
        return "no difference shown"
    return "faster" if found.value < 1 else "slower"


def _needed(centres: Sequence[Sequence[float]], found: Ratio, difference: float) -> int | None:
    """Return how many sessions each side needs to show the difference; None if it has them, or nothing would do."""
    if found.smallest is not None and found.smallest <= difference:
        return None
    return sessions_needed(centres[0], centres[1], difference)


def _centres(row: Row | None, side: Side) -> list[float]:
    if row is None or row.measurement_id is None:
        return []
    return list(side.centres.get(row.measurement_id, {}).values())


def _median(row: Row | None) -> float | None:
    return row.summary["median"] if row and row.summary else None


def _size(row: Row | None) -> int | None:
    return row.manifest["size_bytes"] if row and row.manifest else None


def _accuracy(first: Row | None, second: Row | None) -> AccuracyChange | None:
    """Return both accuracies if they are of two artifacts and of the same photos."""
    if (
        first
        and second
        and first.manifest
        and second.manifest
        and first.manifest["sha256"] == second.manifest["sha256"]
    ):
        return None
    before, after = (row.accuracy if row else None for row in (first, second))
    if before is None or after is None or (before.metric, before.subset_sha256) != (after.metric, after.subset_sha256):
        return None
    interval, after_interval = interval_of(before), interval_of(after)
    if interval is None or after_interval is None:
        return None
    return AccuracyChange(
        metric=before.metric,
        data_set=before.data_set,
        n=after.n,
        first=chief(before),
        first_interval=interval,
        second=chief(after),
        second_interval=after_interval,
        difference=chief(after) - chief(before),
        shown=interval[1] < after_interval[0] or after_interval[1] < interval[0],
    )
