"""The ledger and the answers from it for Python and notebooks; use the names that ``edgekit`` itself has."""

from __future__ import annotations

from collections.abc import Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, Self

from edgekit.ledger import Ledger as RecordedLedger
from edgekit.report.columns import COLUMNS
from edgekit.report.filters import Filters, chosen, known_runs, moment
from edgekit.report.rows import Row, rows_of
from edgekit.selection.choosing import choose
from edgekit.selection.document import SelectDocument
from edgekit.selection.question import AccuracyKind, Percentile, Question
from edgekit.selection.units import parse_bytes, parse_milliseconds

if TYPE_CHECKING:
    import pandas as pd

Names = str | Sequence[str]


class Ledger:
    """A ledger to read. :meth:`open` it; a ``with`` statement closes it."""

    def __init__(self, recorded: RecordedLedger) -> None:
        self._recorded = recorded

    @classmethod
    def open(cls, url: str | None = None) -> Self:
        """Open the ledger at an SQLAlchemy URL; None means `EDGEKIT_LEDGER`, else the file in the user's data directory.

        UsageError if there is none, EdgekitError (kind ledger) if it cannot be read.
        """
        return cls(RecordedLedger.open(url, must_exist=True))

    def close(self) -> None:
        """Close the database."""
        self._recorded.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def rows(
        self,
        *,
        recipe: Names = (),
        device: Names = (),
        target: Names = (),
        protocol: Names = (),
        run: Names = (),
        since: str | None = None,
    ) -> list[Row]:
        """Return what `edgekit report` shows with the same filters; UsageError for a name that fits nothing.

        `since` is a date, or how long ago: ``7d``.
        """
        rows = rows_of(self._recorded, *known_runs(self._recorded, _list(run)))
        after = None if since is None else moment(since)
        return chosen(rows, Filters(_list(recipe), _list(device), _list(target), _list(protocol), after))

    def measurements(self, **filters: Any) -> pd.DataFrame:
        """Return the measured rows as a frame, with the columns of the CSV; `filters` are those of :meth:`rows`.

        Units are in the names of the columns. `measured_at` is a moment in UTC.
        """
        return _frame([row for row in self.rows(**filters) if row.status == "measured"])

    def failures(self, **filters: Any) -> pd.DataFrame:
        """Return the failed rows as a frame, with the same columns; `failure` is the reason."""
        return _frame([row for row in self.rows(**filters) if row.status == "failed"])


def select(
    ledger: Ledger,
    device: Names,
    *,
    max_latency: str | None = None,
    max_size: str | None = None,
    max_memory: str | None = None,
    min_accuracy: float | None = None,
    percentile: Percentile = "p50",
    recipe: Names = (),
    target: Names = (),
    runtime: Names = (),
    protocol: str | None = None,
    weights: Literal["any", "trained"] = "any",
    accuracy: AccuracyKind | None = None,
    equal_within: float = 0.5,
    seed: int = 0,
) -> SelectDocument:
    """Return which model to ship on a device, or on several: what `edgekit select --json` prints.

    The arguments are the options of `edgekit select`. Limits have units, as in ``20ms`` and ``6MB``; `min_accuracy` is in
    percent, `equal_within` in points. UsageError for a limit without a unit, and for a name that fits nothing;
    ValueError for a number out of range.
    """
    question = Question(
        devices=_list(device),
        max_latency_ms=None if max_latency is None else parse_milliseconds(str(max_latency), "max_latency"),
        max_size_bytes=None if max_size is None else parse_bytes(str(max_size), "max_size"),
        max_memory_bytes=None if max_memory is None else parse_bytes(str(max_memory), "max_memory"),
        min_accuracy=min_accuracy,
        percentile=percentile,
        recipes=_list(recipe),
        targets=_list(target),
        runtimes=_list(runtime),
        protocol=protocol,
        weights=weights,
        accuracy=accuracy,
        equal_within=equal_within,
        seed=seed,
    )
    return choose(ledger._recorded, question)


def _list(names: Names) -> tuple[str, ...]:
    return (names,) if isinstance(names, str) else tuple(names)


def _frame(rows: Sequence[Row]) -> pd.DataFrame:
    import pandas as pd

    columns = [column for column in COLUMNS if "csv" in column.shown]
    frame = pd.DataFrame({column.key: [column.value(row) for row in rows] for column in columns})
    frame["measured_at"] = pd.to_datetime(frame["measured_at"], utc=True, format="ISO8601")
    return frame
