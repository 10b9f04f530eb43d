"""A report for a terminal of any width."""

from __future__ import annotations

import textwrap
from dataclasses import replace
from typing import Any

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from edgekit.report.column import Column
from edgekit.report.fitting import GAP, WORTH_WRAPPING, fit, total
from edgekit.report.sheet import Report, Section

EVERYTHING = "--format csv"
"""What shows all columns of a report."""
LISTED_AT_MOST = 12
"""How many texts of a column are listed below a table that has no room for it."""


def terminal(report: Report, width: int, everything: str = EVERYTHING) -> RenderableType:
    """Return the tables and the notes for a terminal `width` characters wide; print them without cropping.

    Columns without room are named below, with what shows `everything`.
    """
    if not report.filled:
        return Text(report.empty)
    parts: list[RenderableType] = []
    found, shown, missing = list[str](), set[str](), dict[str, None]()
    for section in report.filled:
        title = ": ".join(part for part in (report.title, section.heading) if part)
        parts += [line(title, width, "bold"), Text()] if title else []
        table, fitted, omitted = _table(section, report, width)
        parts += [table, Text()]
        shown |= fitted
        for column in omitted:
            if column.below and len(section.items) <= LISTED_AT_MOST:
                found += _listed(column, section)
            else:
                missing[column.title] = None
    notes = [*(note.text for note in report.notes_about(shown) if not note.long), *found]
    if missing:
        notes.append(f"No room here for: {', '.join(missing)}. See them with: {everything}")
    return Group(*parts, *(line(note, width, bullet=True) for note in notes))


def _listed(column: Column[Any], section: Section[Any]) -> list[str]:
    """Return a line for each item that has a value in a column without room."""
    names = [column for column in section.columns if column.identity and column.rank == 0]
    return [
        f"{' '.join(name.cell(item) for name in names)}: {column.cell(item)}"
        for item in section.items
        if column.value(item) is not None
    ]


def line(text: str, width: int, style: str = "", bullet: bool = False) -> Text:
    """Return a text in lines of `width` characters; words, such as paths, stay whole and can be copied."""
    first, rest = ("- ", "  ") if bullet else ("", "")
    lines = textwrap.wrap(
        text, width, initial_indent=first, subsequent_indent=rest, break_long_words=False, break_on_hyphens=False
    )
    return Text("\n".join(lines), style, no_wrap=True, overflow="ignore")


def _table(section: Section[Any], report: Report, width: int) -> tuple[Table, set[str], list[Column[Any]]]:
    """Return a section as a table, the keys of its columns, and the columns that it has no room for."""
    columns = section.chosen("terminal", report.keys)
    if report.keys:  # what the user asked for is wrapped before it is left out
        columns = [replace(column, rank=min(column.rank, WORTH_WRAPPING)) for column in columns]
    fitted, omitted = fit(columns, section.items, width)
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, GAP - 1, 0, 0), width=total(fitted))
    for column in fitted:
        table.add_column(column.heading, width=column.width, no_wrap=True, overflow="ignore", vertical="top")
    for index, item in enumerate(section.items):
        table.add_row(
            *(Text(column.cells[index], column.column.style(item) if column.column.style else "") for column in fitted)
        )
    return table, {column.column.key for column in fitted}, omitted
