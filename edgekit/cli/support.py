"""edgekit support."""

from __future__ import annotations

from pathlib import Path

import click

from edgekit.cli.options import ledger_option, output_option, report_format_option
from edgekit.cli.printing import publish


@click.command()
@ledger_option
@report_format_option
@output_option
def command(ledger: str | None, format_: str | None, output: Path | None) -> None:
    """Print which recipes compile for which targets, with reasons, from the ledger.

    Example: edgekit support --format markdown
    """
    from edgekit.ledger import Ledger
    from edgekit.report.support import support_report

    with Ledger.open(ledger, must_exist=True) as opened:
        publish(support_report(opened), format_, output)
