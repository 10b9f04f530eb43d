"""The kinds of reports that one command prints."""

from __future__ import annotations

from collections.abc import Sequence

from edgekit.errors import UsageError
from edgekit.published.paper_tables import paper_table
from edgekit.report.cells import sustained_change
from edgekit.report.paper import paper_report
from edgekit.report.rows import Row
from edgekit.report.sheet import Report
from edgekit.report.tables import overview

SUSTAINED = ("recipe", "target", "device", "first_window_ms", "last_window_ms", "sustained_change", "result")
"""The columns of the table of sustained latencies."""


def report_of(rows: Sequence[Row], *, shape: str, against: str | None, sort: str | None, keys: Sequence[str]) -> Report:
    """Return a list of results, a table of another `shape`, or what a published table is held `against`.

    UsageError for choices that exclude each other, and for names that there are not.
    """
    if against is not None and shape == "paper":
        raise UsageError("--against and --table paper are two reports.", "Choose one of them.")
    if shape == "sustained":
        if against is not None:
            raise UsageError("--against and --table sustained are two reports.", "Choose one of them.")
        return overview([row for row in rows if sustained_change(row) is not None], sort=sort, keys=keys or SUSTAINED)
    if sort is not None and (against is not None or shape == "paper"):
        raise UsageError("--sort is for the list of results; this table has its own order.", "Leave --sort out.")
    if against is not None:
        from edgekit.report.against import against_report  # SciPy, which the other reports do not need

        return against_report(rows, paper_table(against), keys)
    return paper_report(rows, keys=keys) if shape == "paper" else overview(rows, sort=sort, keys=keys)
