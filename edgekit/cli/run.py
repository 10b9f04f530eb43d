"""edgekit run."""

from __future__ import annotations

from pathlib import Path

import click

from edgekit.cli.options import ledger_option, output_option, report_format_option
from edgekit.cli.printing import publish


@click.group()
def command() -> None:
    """List and show the runs in the ledger.

    Example: edgekit run list
    """


@command.command("list")
@click.option("--limit", type=click.IntRange(1), default=20, show_default=True, metavar="N", help="The newest N runs.")
@ledger_option
@report_format_option
@output_option
def list_(limit: int, ledger: str | None, format_: str | None, output: Path | None) -> None:
    """List the runs, newest first: their command, their end, and how to resume them.

    Example: edgekit run list --limit 5
    """
    from edgekit.ledger import Ledger
    from edgekit.report.runs import runs_report

    with Ledger.open(ledger, must_exist=True) as opened:
        publish(runs_report(opened, limit), format_, output)


@command.command()
@click.argument("run", metavar="[RUN]", required=False)
@ledger_option
@report_format_option
@output_option
def show(run: str | None, ledger: str | None, format_: str | None, output: Path | None) -> None:
    """Show one run and its results; default: the newest.

    Example: edgekit run show
    """
    from edgekit.errors import UsageError
    from edgekit.ledger import Ledger
    from edgekit.report.filters import known_runs
    from edgekit.report.runs import DEPLOY, run_report

    with Ledger.open(ledger, must_exist=True) as opened:
        known = [record.id for record in opened.runs()]
        if not known:
            raise UsageError("The ledger has no runs yet.", DEPLOY)
        (id,) = known_runs(opened, [run]) if run else known[:1]
        publish(run_report(opened, id), format_, output)
