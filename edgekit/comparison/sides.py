"""What a side of a comparison is: a run, a measurement, a moment, or a ledger. It holds one result of each cell."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from edgekit.errors import UsageError
from edgekit.ledger import Ledger
from edgekit.report.filters import known_runs
from edgekit.report.rows import Row, rows_of

MEASUREMENT = "measurement:"
LATEST = "latest"
HINT = (
    "Write a run's id (`edgekit run list`), measurement:ID, a date (2026-11-27 or 2026-11-27T18:00), "
    "latest, or the file of another ledger."
)


@dataclass(frozen=True)
class Side:
    """The rows of a side, the centres in ms of each measurement's sessions, by block, and what a person calls it.

    Of a cell that was measured several times by the same runner, only the newest result is a row.
    """

    name: str
    rows: Sequence[Row]
    centres: Mapping[int, Mapping[int, float]]


def side_of(text: str, ledger: str | None) -> Side:
    """Return the side that `text` names; a run, a measurement and a moment are of the ledger at the URL `ledger`.

    A date means the end of that day in UTC, and the newest of each cell until then. UsageError for a name of nothing.
    """
    if _is_ledger(text):
        url = text if "://" in text else f"sqlite:///{Path(text).absolute()}"
        with Ledger.open(url, must_exist=True) as other:
            return _side(other, text, rows_of(other))
    with Ledger.open(ledger, must_exist=True) as opened:
        if text == LATEST:
            return _side(opened, "the latest of everything", rows_of(opened))
        if text.startswith(MEASUREMENT):
            return _measurement(opened, text.removeprefix(MEASUREMENT))
        if (until := _moment(text)) is not None:
            return _until(opened, until)
        if "." in text or "/" in text:
            raise UsageError(f"Neither a run nor a file is named {text}.", HINT)
        (run,) = known_runs(opened, [text])
        return _side(opened, f"run {run}", rows_of(opened, run))


def _is_ledger(text: str) -> bool:
    return "://" in text or Path(text).suffix in {".sqlite", ".db"} or Path(text).is_file()


def _moment(text: str) -> datetime | None:
    """Return the end of a day, or a moment; None if the text is neither."""
    if len(text) < len("2026-11-27") or not text[:4].isdigit() or text[4:5] != "-":
        return None
    try:
        found = datetime.fromisoformat(text)
        found = found.astimezone(UTC) if found.tzinfo else found.replace(tzinfo=UTC)
        return found + timedelta(days=1) if len(text) == len("2026-11-27") else found
    except (ValueError, OverflowError) as error:
        raise UsageError(f"{text} is not a date.", HINT) from error


def _until(ledger: Ledger, until: datetime) -> Side:
    rows = rows_of(ledger, until=until)
    if not rows:
        raise UsageError(f"The ledger holds no result from before {until:%Y-%m-%d %H:%M} UTC.", HINT)
    return _side(ledger, f"until {until:%Y-%m-%d %H:%M} UTC", rows)


def _measurement(ledger: Ledger, id: str) -> Side:
    """Return the side of one measurement, whether or not it is the newest of its cell."""
    runs = [measurement.run_id for measurement in ledger.measurements() if str(measurement.id) == id]
    rows = [row for row in (rows_of(ledger, *runs) if runs else ()) if str(row.measurement_id) == id]
    if not rows:
        raise UsageError(f"The ledger holds no measurement {id}.", HINT)
    return _side(ledger, f"measurement {id}", rows)


def _side(ledger: Ledger, name: str, rows: Sequence[Row]) -> Side:
    newest = newest_of_each_cell(rows)
    ids = [row.measurement_id for row in newest if row.measurement_id is not None]
    return Side(name, newest, ledger.session_centres(ids))


def newest_of_each_cell(rows: Sequence[Row]) -> list[Row]:
    """Return the rows, in their order, without measurements that a newer measurement or failure replaces.

    A report keeps the results of every runtime version. A comparison is about the newest one.
    Results of another runner or another model stay: they are other cells.
    """
    newest: dict[tuple[str | None, ...], Row] = {}
    for row in sorted(rows, key=_finished):
        if row.status == "measured":
            newest[_cell(row)] = row
    kept = {id(row) for row in newest.values()}
    failed = [row for row in rows if row.failure and row.failure.failure.stage != "evaluate"]
    return [
        row
        for row in rows
        if row.status != "measured" or (id(row) in kept and not any(_replaces(failure, row) for failure in failed))
    ]


def _finished(row: Row) -> datetime:
    return row.measured_at or datetime.min.replace(tzinfo=UTC)


def _cell(row: Row) -> tuple[str | None, ...]:
    runner = (row.conditions or {}).get("runner")
    return (row.recipe, row.variant, row.model, row.target, row.device_id, row.protocol, runner)


def _replaces(failed: Row, measured: Row) -> bool:
    """Say whether a failure is newer than a measurement of its cell. A failure of a whole recipe is of all its cells."""
    failure = failed.failure
    assert failure and measured.manifest and measured.measured_at
    return (
        (failure.recipe, failure.variant) == (measured.recipe, measured.variant)
        and failure.target in {None, measured.target}
        and failure.device in {None, measured.device, measured.device_id}
        and failure.at > measured.measured_at
        and failure.may_be_of(measured.manifest)
    )
