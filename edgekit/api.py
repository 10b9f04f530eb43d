"""The ledger and the answers from it for Python and notebooks; use the names that ``edgekit`` itself has."""

from __future__ import annotations

from collections.abc import Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from edgekit.ledger import Ledger as RecordedLedger
from edgekit.report.columns import COLUMNS
from edgekit.report.filters import Filters, chosen, known_runs
from edgekit.report.rows import Row, rows_of
from edgekit.selection.choosing import choose
from edgekit.selection.document import SelectDocument
from edgekit.selection.question import Question
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
        self, *, recipe: Names = (), device: Names = (), target: Names = (), protocol: Names = (), run: Names = ()
    ) -> list[Row]:
        """Return what `edgekit report` shows with the same filters; UsageError for a name that fits nothing."""
        rows = rows_of(self._recorded, *known_runs(self._recorded, _list(run)))
        return chosen(rows, Filters(_list(recipe), _list(device), _list(target), _list(protocol)))

    def measurements(self, **filters: Names) -> pd.DataFrame:
        """Return the measured rows as a frame, with the columns of the CSV; `filters` are those of :meth:`rows`.

        Units are in the names of the columns. `measured_at` is a moment in UTC.
        """
        return _frame([row for row in self.rows(**filters) if row.status == "measured"])

    def failures(self, **filters: Names) -> pd.DataFrame:
        """Return the failed rows as a frame, with the same columns; `failure` is the reason."""
        return _frame([row for row in self.rows(**filters) if row.status == "failed"])


def select(
    ledger: Ledger,
    device: Names,
    *,
    max_latency: str | None = None,
    max_size: str | None = None,
    max_memory: str | None = None,
    **asked: Any,
) -> SelectDocument:
    """Return which model to ship on a device, or on several: what `edgekit select --json` prints.

    Limits have units, as in ``20ms`` and ``6MB``. `asked` are further fields of
    :class:`edgekit.selection.question.Question`, such as `min_accuracy` or `targets`.
    """
    question = Question.model_validate(
        {
            "devices": _list(device),
            "max_latency_ms": parse_milliseconds(max_latency, "max_latency") if max_latency else None,
            "max_size_bytes": parse_bytes(max_size, "max_size") if max_size else None,
            "max_memory_bytes": parse_bytes(max_memory, "max_memory") if max_memory else None,
            **asked,
        }
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
