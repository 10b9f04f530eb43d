"""edgekit report."""

from __future__ import annotations

import click

from edgekit.cli.options import ledger_option


@click.command()
@ledger_option
@click.option("--format", "format_", type=click.Choice(["markdown", "csv"]), default="markdown", show_default=True)
@click.option("--run", metavar="ID", help="Only this run; default: the latest of everything.")
def command(ledger: str | None, format_: str, run: str | None) -> None:
    """Print the accuracy-vs-latency table from the ledger.

    Example: edgekit report --format csv > table.csv
    """
    from edgekit.errors import UsageError
    from edgekit.ledger import Ledger
    from edgekit.report.rows import rows_of
    from edgekit.report.tables import csv, markdown

    with Ledger.open(ledger) as opened:
        if run is not None and run not in (known := [one.id for one in opened.runs()]):
            raise UsageError(f"The ledger holds no run {run}.", f"Newest: {', '.join(known[:5]) or 'none'}.")
        rows = rows_of(opened, run)
    click.echo({"markdown": markdown, "csv": csv}[format_](rows), nl=False)
