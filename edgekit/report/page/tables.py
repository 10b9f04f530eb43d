"""The tables of the page: the report's own columns, as texts and as values to sort by."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from edgekit.report.column import Column, Value
from edgekit.report.columns import BY_KEY
from edgekit.report.page.document import Table, TableColumn
from edgekit.report.page.packing import pooled, short
from edgekit.report.rows import Row
from edgekit.report.sheet import Report

FAILURE_COLUMNS = ("recipe", "target", "device", "failure_stage", "result", "failure", "failure_hint")


def tables_of(report: Report) -> list[Table]:
    """Return the sections of a report in the columns that the page shows."""
    return [_table(section.heading, section.chosen("html", report.keys), section.items) for section in report.filled]


def failures_of(rows: Sequence[Row]) -> Table | None:
    """Return a table of what failed with its reasons; None if nothing did."""
    failed = [row for row in rows if row.failure]
    columns = [BY_KEY[key] for key in FAILURE_COLUMNS]
    return (
        _table("", [column for column in columns if any(column.value(row) for row in failed)], failed)
        if failed
        else None
    )


def _table(heading: str, columns: Sequence[Column[Any]], rows: Sequence[Row]) -> Table:
    return Table(
        heading=heading,
        columns=[_column(column, rows) for column in columns],
        ids=[row.measurement_id for row in rows],
    )


def _column(column: Column[Any], rows: Sequence[Row]) -> TableColumn:
    values = [column.value(row) for row in rows]
    numbers = all(value is None or isinstance(value, int | float) for value in values)
    return TableColumn(
        key=column.key,
        title=column.title,
        right=column.align == "right",
        best_high=column.best == "high",
        cells=pooled([column.cell(row) for row in rows]),
        values=[_number(value) for value in values] if numbers else None,
    )


def _number(value: Value) -> int | float | bool | None:
    assert not isinstance(value, str)
    return short(value) if isinstance(value, float) else value
