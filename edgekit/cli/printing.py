"""The end of deploy and compile: the run's table or JSON, and the exit code."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from edgekit.cli.options import console
from edgekit.errors import ExitCode

if TYPE_CHECKING:
    from edgekit.ledger import Ledger


def print_run(ledger: Ledger, run: str, title: str, as_json: bool, strict: bool) -> int:
    """Print a run from the ledger; 1 where it holds a failure, 3 where `strict` and a verdict is not stable, else 0."""
    from edgekit.report.document import run_document
    from edgekit.report.rows import rows_of
    from edgekit.report.tables import terminal

    document, rows = run_document(ledger, run), rows_of(ledger, run)
    if as_json:
        click.echo(document.model_dump_json(by_alias=True, indent=2))
    else:
        output = console()
        output.print(terminal(rows, document.ratios, title, output.width))
    codes = {ExitCode.failure} if document.failures else set()
    verdicts = {entry.verdict for entry in document.measurements}
    if strict and verdicts != {"stable"}:
        codes.add(ExitCode.untrustworthy)
    return ExitCode.worst(codes)
