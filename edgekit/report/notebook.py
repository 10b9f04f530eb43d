"""A report in a notebook: Jupyter asks an object for its HTML."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape

from tabulate import tabulate

from edgekit.report import text
from edgekit.report.sheet import Report


@dataclass(frozen=True)
class Table:
    """A report that Jupyter renders."""

    report: Report

    def __str__(self) -> str:
        return text.markdown(self.report)

    def _repr_markdown_(self) -> str:
        return text.markdown(self.report)

    def _repr_html_(self) -> str:
        parts = []
        for section in self.report.filled:
            columns = section.chosen("html", self.report.keys)
            rows = [[column.cell(item) for column in columns] for item in section.items]
            headers = [column.title for column in columns]
            parts += [f"<h4>{escape(section.heading)}</h4>"] if section.heading else []
            parts.append(
                str(
                    tabulate(
                        rows, headers, "html", colalign=[column.align for column in columns], disable_numparse=True
                    )
                )
            )
        shown = {column.key for section in self.report.filled for column in section.chosen("html", self.report.keys)}
        notes = "".join(f"<li>{escape(note.text)}</li>" for note in self.report.notes_about(shown))
        return "\n".join([*parts, f"<ul>{notes}</ul>"]) if parts else f"<p>{escape(self.report.empty)}</p>"
