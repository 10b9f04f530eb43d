"""What a side of a comparison is: a run, a measurement, a moment, or a ledger."""

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
    """The rows of a side, the centres in ms of each measurement's sessions, by block, and what a person calls it."""

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
    except ValueError as error:
        raise UsageError(f"{text} is not a date.", HINT) from error
    found = found if found.tzinfo else found.replace(tzinfo=UTC)
    return found + timedelta(days=1) if len(text) == len("2026-11-27") else found


def _until(ledger: Ledger, until: datetime) -> Side:
    rows = rows_of(ledger, until=until)
    if not rows:
        raise UsageError(f"The ledger holds no result from before {until:%Y-%m-%d %H:%M} UTC.", HINT)
    return _side(ledger, f"until {until:%Y-%m-%d %H:%M} UTC", rows)


def _measurement(ledger: Ledger, id: str) -> Side:
    runs = [one.run_id for one in ledger.measurements() if str(one.id) == id]
    rows = [row for row in (rows_of(ledger, *runs) if runs else ()) if str(row.measurement_id) == id]
    if not rows:
        raise UsageError(f"The ledger holds no measurement {id}.", HINT)
    return _side(ledger, f"measurement {id}", rows)


def _side(ledger: Ledger, name: str, rows: Sequence[Row]) -> Side:
    ids = [row.measurement_id for row in rows if row.measurement_id is not None]
    return Side(name, rows, ledger.session_centres(ids))
