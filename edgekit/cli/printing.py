"""Printing of tables: of a run, with its exit code, and of a report."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

import click

from edgekit.cli.options import console, print_progress
from edgekit.errors import ExitCode

if TYPE_CHECKING:
    from pathlib import Path

    from edgekit.config.json_document import JsonDocument
    from edgekit.ledger import Ledger
    from edgekit.report.sheet import Report

DocumentT = TypeVar("DocumentT", bound="JsonDocument")


def print_run(ledger: Ledger, run: str, title: str, as_json: bool, strict: bool) -> int:
    """Print a run from the ledger; 1 if it holds a failure, 3 if `strict` and a verdict is not stable, else 0."""
    from edgekit.report.document import run_document
    from edgekit.report.rows import rows_of
    from edgekit.report.tables import terminal

    document, rows = run_document(ledger, run), rows_of(ledger, run)
    if as_json:
        click.echo(document.model_dump_json(by_alias=True, indent=2))
    else:
        output = console()
        table = terminal(rows, document.ratios, title, output.width, document.recipe_ratios)
        output.print(table, crop=False)
    codes = {ExitCode.failure} if document.failures else set()
    verdicts = {entry.verdict for entry in document.measurements}
    if strict and verdicts != {"stable"}:
        codes.add(ExitCode.untrustworthy)
    return ExitCode.worst(codes)


def print_list(
    document: DocumentT, report_of: Callable[[DocumentT], Report], everything: str, format_: str | None, as_json: bool
) -> None:
    """Print a list, in a terminal as a fitting table. `everything` is the command that shows omitted columns.

    `--json` and ``--format json`` print the whole document.
    """
    from edgekit.report.output import FORMATS, rendered
    from edgekit.report.terminal import terminal

    if as_json or format_ == "json":
        click.echo(document.model_dump_json(by_alias=True, indent=2))
    elif format_ in {None, "terminal"}:
        screen = console()
        screen.print(terminal(report_of(document), screen.width, everything), crop=False)
    else:
        click.echo(rendered(report_of(document), FORMATS[format_]), nl=False)


def publish(report: Report, format_: str | None, output: Path | None) -> None:
    """Print a report, or write it to a file. Default format: the file's, else the terminal's, else Markdown."""
    from edgekit.report.output import FORMATS, format_of, rendered, write_whole
    from edgekit.report.terminal import terminal

    screen = console()
    if format_:
        format = FORMATS[format_]
    elif output:
        format = format_of(output)
    else:
        format = "terminal" if screen.is_terminal else "markdown"
    if output:
        write_whole(output, rendered(report, format))
        print_progress(f"{output}: written")
    elif format == "terminal":
        screen.print(terminal(report, screen.width), crop=False)
    else:
        click.echo(rendered(report, format), nl=False)
