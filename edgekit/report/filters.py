"""Which rows a report shows, and in which order."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from edgekit.errors import UsageError, did_you_mean
from edgekit.ledger import Ledger
from edgekit.ledger.queries import ID_DIGITS
from edgekit.report.column import Value, named
from edgekit.report.columns import COLUMNS
from edgekit.report.rows import Row
from edgekit.target import fits_target

AGO = re.compile(r"(?P<count>\d{1,5})(?P<unit>[dhw])")
UNITS = {"h": timedelta(hours=1), "d": timedelta(days=1), "w": timedelta(weeks=1)}
LISTED_AT_MOST = 12


@dataclass(frozen=True)
class Filters:
    """What rows must be. An empty list lets every row pass; of several names one must fit.

    A device fits by its profile's name, its label, or the first 8 digits of its id or more. A target fits whole, or by
    any of its parts: ``tflite``, ``int8``, ``tflite/xnnpack``.
    """

    recipes: Sequence[str] = ()
    devices: Sequence[str] = ()
    targets: Sequence[str] = ()
    protocols: Sequence[str] = ()
    since: datetime | None = None


def chosen(rows: Sequence[Row], filters: Filters) -> list[Row]:
    """Return the rows that pass all filters, in their order.

    UsageError, with what there is, if a name fits no row, or if no row fits all of them.
    """
    found = list(rows)
    for what, names, fits, known in (
        ("recipe", filters.recipes, lambda row, name: row.recipe == name, lambda row: row.recipe),
        ("device", filters.devices, _is_device, lambda row: row.device_label),
        ("target", filters.targets, lambda row, name: fits_target(row.target, name), lambda row: row.target),
        ("protocol", filters.protocols, lambda row, name: row.protocol == name, lambda row: row.protocol),
    ):
        _check(what, names, rows, fits, known)
        found = [row for row in found if not names or any(fits(row, name) for name in names)]
    if filters.since is not None:
        found = _since(found, filters.since)
    if rows and not found:
        raise UsageError("No result fits all of these filters.", "Each of them alone fits some. Leave one out.")
    return found


def moment(text: str, now: datetime | None = None) -> datetime:
    """Return a point in time: a date, a date with a time (UTC unless it names a zone), or ``36h``, ``7d``, ``2w`` ago."""
    if ago := AGO.fullmatch(text):
        return (now or datetime.now(UTC)) - int(ago["count"]) * UNITS[ago["unit"]]
    try:
        found = datetime.fromisoformat(text)
    except ValueError as error:
        hint = "Write 2026-11-27, 2026-11-27T18:00, or how long ago: 36h, 7d, 2w."
        raise UsageError(f"--since {text} is neither a date nor a time span.", hint) from error
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def best_first(rows: Sequence[Row], key: str | None = None) -> list[Row]:
    """Return the rows with the best value of a column first, and those without a value last; UsageError for an unknown key.

    Without a key: by device, the fastest first; then what was only compiled, then what failed.
    """
    if key is None:
        return sorted(rows, key=_by_device)
    (column,) = named(COLUMNS, [key])
    values = {id(row): column.value(row) for row in rows}
    known = [row for row in rows if values[id(row)] is not None]
    numbers = all(isinstance(values[id(row)], int | float) for row in known)
    ordered = sorted(
        known,
        key=lambda row: _comparable(values[id(row)], numbers),
        reverse=column.best == "high" and numbers,
    )
    return [*ordered, *(row for row in rows if values[id(row)] is None)]


def _comparable(value: Value, numbers: bool) -> float | str:
    return float(value or 0) if numbers else str(value)


def _by_device(row: Row) -> tuple[bool, str, str, str, float]:
    latency = row.summary["median"] if row.summary else 0.0
    device = (row.device or "", row.device_id or "") if row.summary else ("", "")
    return (row.summary is None, row.status, *device, latency)


def _check(
    what: str,
    names: Sequence[str],
    rows: Sequence[Row],
    fits: Callable[[Row, str], bool],
    known: Callable[[Row], str | None],
) -> None:
    for name in names:
        if not any(fits(row, name) for row in rows):
            there = sorted({value for row in rows if (value := known(row)) is not None})
            raise UsageError(f"The ledger holds no result of the {what} {name}.", _hint(name, there))


def _hint(name: str, there: Sequence[str]) -> str:
    if len(there) <= LISTED_AT_MOST:
        return f"There is: {', '.join(there) or 'none'}."
    hint = did_you_mean(name, there)
    listed = f"There are {len(there)}, such as {', '.join(there[:LISTED_AT_MOST])}."
    return listed if hint.startswith("Known") else f"{hint} {listed}"


def _is_device(row: Row, name: str) -> bool:
    id = row.device_id or ""
    return name in {row.device, row.device_label} or (len(name) >= ID_DIGITS and id.startswith(name))


def _since(rows: Sequence[Row], since: datetime) -> list[Row]:
    found = [row for row in rows if row.recorded_at is not None and row.recorded_at >= since]
    if rows and not found:
        newest = max(row.recorded_at for row in rows if row.recorded_at is not None)
        raise UsageError(
            f"No result is newer than {since:%Y-%m-%d %H:%M} UTC.", f"The newest is of {newest:%Y-%m-%d %H:%M}."
        )
    return found


def known_runs(ledger: Ledger, names: Sequence[str]) -> list[str]:
    """Return the ids of the runs that begin with these digits, 4 or more; UsageError if there is not exactly one of each."""
    known = [run.id for run in ledger.runs()] if names else []
    return [_run(name, known) for name in names]


def _run(name: str, known: Sequence[str]) -> str:
    found = [id for id in known if id == name or (len(name) >= 4 and id.startswith(name))]
    if not found:
        raise UsageError(f"The ledger holds no run {name}.", f"Newest: {', '.join(known[:5]) or 'none'}.")
    if len(found) > 1:
        raise UsageError(f"Several runs begin with {name}.", f"Write more of its id: {', '.join(found[:5])}.")
    return found[0]
