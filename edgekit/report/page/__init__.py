"""The report as one self-contained HTML page: the answer, plots, tables, and the detail of each measurement.

Vega-Lite draws. Its JavaScript comes from the package vl-convert-python and is written into the page.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from edgekit.ledger import Ledger
from edgekit.report.filters import Filters
from edgekit.report.page.answers import answers_of
from edgekit.report.page.details import Details
from edgekit.report.page.document import PageData
from edgekit.report.page.orders import orders_of
from edgekit.report.page.packing import packed
from edgekit.report.page.points import devices_of, measured, points_of, with_published_accuracies
from edgekit.report.page.rendering import Frame, rendered
from edgekit.report.page.tables import failures_of, tables_of
from edgekit.report.rows import Row
from edgekit.report.tables import overview


def page(
    ledger: Ledger,
    rows: Sequence[Row],
    filters: Filters,
    *,
    sort: str | None = None,
    keys: Sequence[str] = (),
    of_runs: bool = False,
) -> str:
    """Return the page of some rows of a ledger as HTML.

    `sort` and `keys` are those of the table. `of_runs` says that the rows are of chosen runs. With it, or with
    `filters.since`, there is no recommendation, because that needs the newest result of every cell.
    EdgekitError if a package of the extra `report` is missing.
    """
    report = overview(rows, sort=sort, keys=keys)
    answered = not of_runs and filters.since is None
    data = page_data(ledger, rows, filters, answered=answered)
    data.tables.extend(tables_of(report))
    notes = [note.text for note in report.notes if not note.long]
    frame = Frame(notes, described(filters), answered, chosen_columns=bool(keys), made=datetime.now(UTC))
    return rendered(data, frame)


def page_data(ledger: Ledger, rows: Sequence[Row], filters: Filters, *, answered: bool = True) -> PageData:
    """Return what the page shows but for the tables of results."""
    timed = measured(rows)
    devices = devices_of(timed)
    answers, excluded = answers_of(ledger, timed, devices, filters) if answered else ({}, {})
    points = points_of(timed, excluded, with_published_accuracies(timed, answers))
    details = Details(ledger, timed)
    return PageData(
        devices=devices,
        targets=sorted({point.target for point in points}),
        points=packed(points),
        answers=answers,
        orders=orders_of(points),
        tables=[],
        failures=failures_of(rows),
        details=details.of,
        statistics=details.statistics,
        artifacts=details.artifacts,
        facts=details.facts,
    )


def described(filters: Filters) -> str:
    """Return the filters as people read them; empty without any."""
    named = (
        ("recipe", filters.recipes),
        ("device", filters.devices),
        ("target", filters.targets),
        ("protocol", filters.protocols),
    )
    parts = [f"{name} {', '.join(values)}" for name, values in named if values]
    since = [f"since {filters.since:%Y-%m-%d %H:%M} UTC"] if filters.since else []
    return "; ".join([*parts, *since])
