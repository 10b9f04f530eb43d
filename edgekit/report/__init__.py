"""Tables, comparisons and pages, made from the ledger and nothing else."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from edgekit.api import Ledger, Names
    from edgekit.report.notebook import Table


def table(ledger: Ledger, *, columns: tuple[str, ...] = (), sort: str | None = None, **filters: Names) -> Table:
    """Return the accuracy-vs-latency table, which a notebook renders; `print` gives Markdown.

    `filters` are those of :meth:`edgekit.Ledger.rows`; `columns` and `sort` are keys of the CSV's header.
    """
    from edgekit.report.notebook import Table
    from edgekit.report.tables import overview

    return Table(overview(ledger.rows(**filters), sort=sort, keys=columns))
