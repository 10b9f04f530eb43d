"""edgekit report."""

from __future__ import annotations

import click

from edgekit.cli.options import ledger_option


@click.command()
@ledger_option
@click.option(
    "--format",
    "format_",
    type=click.Choice(["markdown", "csv", "support"]),
    default="markdown",
    show_default=True,
    help="support: which recipe compiles for which target, as Markdown.",
)
@click.option("--run", metavar="ID", help="Only this run; default: the latest of everything.")
def command(ledger: str | None, format_: str, run: str | None) -> None:
    """Print the accuracy-vs-latency table from the ledger.

    Example: edgekit report --format csv > table.csv
    """
    from edgekit.errors import UsageError
    from edgekit.ledger import Ledger
    from edgekit.report.rows import rows_of
    from edgekit.report.support import support_matrix
    from edgekit.report.tables import csv, markdown

    if format_ == "support" and run is not None:
        raise UsageError("The support matrix is of the whole ledger.", "Leave --run out.")
    with Ledger.open(ledger, must_exist=True) as opened:
        if format_ == "support":
            click.echo(support_matrix(opened), nl=False)
            return
        if run is not None and run not in (known := [one.id for one in opened.runs()]):
            raise UsageError(f"The ledger holds no run {run}.", f"Newest: {', '.join(known[:5]) or 'none'}.")
        rows = rows_of(opened, run)
    click.echo({"markdown": markdown, "csv": csv}[format_](rows), nl=False)
