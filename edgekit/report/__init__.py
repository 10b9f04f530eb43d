"""Tables, comparisons and pages, made from the ledger and nothing else."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from edgekit.api import Ledger, Names
    from edgekit.report.notebook import Table


def table(ledger: Ledger, *, columns: Names = (), sort: str | None = None, **filters: Any) -> Table:
    """Return the accuracy-vs-latency table, which a notebook renders; `print` gives Markdown.

    `filters` are those of :meth:`edgekit.Ledger.rows`; `columns` and `sort` are keys of the CSV's header.
    """
    from edgekit.report.notebook import Table
    from edgekit.report.tables import overview

    keys = (columns,) if isinstance(columns, str) else tuple(columns)
    return Table(overview(ledger.rows(**filters), sort=sort, keys=keys))
