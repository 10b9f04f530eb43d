"""edgekit diff."""

from __future__ import annotations

from pathlib import Path

import click

from edgekit.cli.options import json_option, ledger_option, output_option, parts_of_all, report_format_option
from edgekit.cli.printing import publish


@click.command()
@click.argument("first")
@click.argument("second")
@click.option(
    "--across",
    multiple=True,
    metavar="CONDITION",
    help="Compare latencies even if this condition differs, e.g. runtime_version; `all` for every condition.",
)
@click.option(
    "--fail-if",
    multiple=True,
    metavar="CHANGE",
    help="Exit with 1 for this change, with 3 if undecided: slower=3%, larger=5%, inaccurate=1points, broken.",
)
@ledger_option
@report_format_option
@output_option
@json_option
def command(
    first: str,
    second: str,
    across: tuple[str, ...],
    fail_if: tuple[str, ...],
    ledger: str | None,
    format_: str | None,
    output: Path | None,
    as_json: bool,
) -> int:
    """Compare two runs, measurements, dates or ledgers.

    FIRST and SECOND are ids of runs, measurement:ID, a date (the newest until then), `latest`, or files of ledgers. Latencies
    are not compared if a condition differs, such as the OS build or the runner. See docs/comparing.md.

    Example: edgekit diff before.sqlite latest
    """
    from edgekit.comparison.comparing import diff, exit_code
    from edgekit.comparison.table import diff_report
    from edgekit.errors import UsageError

    if as_json and (format_ or output):
        raise UsageError("--json is the whole document, --format and --output are the table.", "Choose one of them.")
    document = diff(first, second, ledger, across=parts_of_all(across), fail_if=parts_of_all(fail_if))
    if as_json:
        click.echo(document.model_dump_json(by_alias=True, indent=2))
    else:
        publish(diff_report(document), format_, output)
    return exit_code(document)
