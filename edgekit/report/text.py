"""A report as Markdown, LaTeX, CSV and JSON. Cells are escaped; nothing is left out."""

from __future__ import annotations

import csv as csv_module
import io
from collections.abc import Sequence
from typing import Any

from pydantic import BaseModel, ConfigDict
from tabulate import tabulate

from edgekit.config.json_document import JsonDocument
from edgekit.report.column import Column, Format
from edgekit.report.sheet import Report, Section

LATEX_SIGNS = {
    "–": "--",  # noqa: RUF001  (the dash of tables)
    "≤": r"$\le$",
    "≥": r"$\ge$",
    "±": r"$\pm$",
    "×": r"$\times$",  # noqa: RUF001
    "τ": r"$\tau$",
    "→": r"$\to$",
}
"""Signs that LaTeX does not print by itself in every font."""


class ColumnEntry(BaseModel):
    """A column of a printed table; `unit` is that of the texts for people, and plain values name theirs in `key`."""

    model_config = ConfigDict(extra="forbid")
    key: str
    heading: str
    unit: str
    kind: str


class SectionEntry(BaseModel):
    """A table: the columns, and a mapping of their keys to plain values for each row; null is not known."""

    model_config = ConfigDict(extra="forbid")
    heading: str
    columns: list[ColumnEntry]
    rows: list[dict[str, str | int | float | bool | None]]


class ReportDocument(JsonDocument):
    """What ``edgekit report --format json`` prints: tables whose latencies may be compared, and the notes below them."""

    title: str
    sections: list[SectionEntry]
    notes: list[str]


def markdown(report: Report) -> str:
    """Return the tables and the notes as Markdown."""
    if not report.filled:
        return report.empty + "\n"
    parts, notes = [], _notes(report, "markdown")
    for section in report.filled:
        if section.heading:
            parts.append(f"### {section.heading}")
        parts.append(_tabulated(section, report, "markdown", "pipe"))
    return "\n\n".join(parts) + "\n" + ("\n" + "".join(f"- {note}\n" for note in notes) if notes else "")


def latex(report: Report) -> str:
    r"""Return a ``table`` for each section, with rules of the package booktabs, and the notes below the last one.

    A document needs ``\usepackage{booktabs}``.
    """
    if not report.filled:
        return f"% {report.empty}\n"
    parts = [r"% needs \usepackage{booktabs}"]
    for section in report.filled:
        caption = ": ".join(part for part in (report.title, section.heading) if part)
        parts += [r"\begin{table}", r"\centering"]
        parts += [rf"\caption{{{_latex(caption)}}}"] if caption else []
        parts += [_tabulated(section, report, "latex", "latex_booktabs"), r"\end{table}"]
    if notes := [rf"\item {_latex(note)}" for note in _notes(report, "latex")]:
        parts += [r"\begin{footnotesize}", r"\begin{itemize}", *notes, r"\end{itemize}", r"\end{footnotesize}"]
    return _signs("\n".join(parts)) + "\n"


def csv(report: Report) -> str:
    """Return the rows of all sections below one header; unknown values are empty."""
    chosen = [section.chosen("csv", report.keys) for section in report.sections]
    keys = list(dict.fromkeys(column.key for columns in chosen for column in columns))
    output = io.StringIO()
    writer = csv_module.DictWriter(output, keys, lineterminator="\n")
    writer.writeheader()
    for section, columns in zip(report.sections, chosen, strict=True):
        writer.writerows(_record(columns, item) for item in section.items)
    return output.getvalue()


def document(report: Report) -> ReportDocument:
    """Return the tables and the notes for machines."""
    return ReportDocument(
        title=report.title,
        sections=[_section(section, section.chosen("json", report.keys)) for section in report.filled],
        notes=_notes(report, "json"),
    )


def _notes(report: Report, format: Format) -> list[str]:
    keys = {column.key for section in report.filled for column in section.chosen(format, report.keys)}
    return [note.text for note in report.notes_about(keys)]


def _section(section: Section[Any], columns: Sequence[Column[Any]]) -> SectionEntry:
    return SectionEntry(
        heading=section.heading,
        columns=[
            ColumnEntry(key=column.key, heading=column.heading, unit=column.unit, kind=column.kind)
            for column in columns
        ],
        rows=[_record(columns, item) for item in section.items],
    )


def _record(columns: Sequence[Column[Any]], item: Any) -> dict[str, Any]:
    return {column.key: column.value(item) for column in columns}


def _tabulated(section: Section[Any], report: Report, format: Format, style: str) -> str:
    columns = section.chosen(format, report.keys)
    escape = _pipe if style == "pipe" else str
    return str(
        tabulate(
            [[escape(_line(column.cell(item))) for column in columns] for item in section.items],
            headers=[escape(column.title) for column in columns],
            tablefmt=style,
            colalign=[column.align for column in columns],
            disable_numparse=True,
        )
    )


def _line(text: str) -> str:
    return " ".join(text.split())


def _pipe(text: str) -> str:
    return text.replace("|", "\\|")


def _latex(text: str) -> str:
    """Return a text of one line with LaTeX's special characters escaped."""
    special = {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}
    return "".join(special.get(sign, f"\\{sign}" if sign in "&%$#_{}" else sign) for sign in _line(text))


def _signs(text: str) -> str:
    for sign, command in LATEX_SIGNS.items():
        text = text.replace(sign, command)
    return text
