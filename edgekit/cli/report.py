"""edgekit report."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import click

from edgekit.cli.options import Once, ledger_option, output_option, parts_of_all, print_progress, report_format_option
from edgekit.cli.printing import publish
from edgekit.errors import UsageError


@click.command()
@ledger_option
@click.option(
    "--recipe",
    "recipes",
    multiple=True,
    metavar="NAME",
    help="Only these recipes. Repeat it, or use commas.",
)
@click.option("--device", "devices", multiple=True, metavar="NAME", help="Only these devices, by profile or id.")
@click.option("--target", "targets", multiple=True, metavar="T", help="Only these targets, whole or in part: int8.")
@click.option("--protocol", "protocols", multiple=True, metavar="NAME", help="Only these protocols.")
@click.option("--since", cls=Once, metavar="WHEN", help="Only results since a date, or 36h, 7d or 2w ago.")
@click.option("--run", "runs", multiple=True, metavar="ID", help="Only these runs; default: the latest of everything.")
@click.option("--sort", cls=Once, metavar="KEY", help="Best rows of a column first; default: the fastest of a device.")
@click.option("--columns", cls=Once, metavar="K,K", help="These columns, by their keys in the CSV's header.")
@click.option(
    "--table",
    "shape",
    type=click.Choice(("list", "paper", "sustained")),
    default="list",
    show_default=True,
    help="list: a row for each result. paper: a row for each network, a column for each device. "
    "sustained: the first and the last minute of measurements by the protocol sustained.",
)
@click.option(
    "--against", cls=Once, metavar="TABLE", help="Compare the results with a published table, e.g. mobilenetv3-table3."
)
@report_format_option
@output_option
@click.option(
    "--html",
    cls=Once,
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Write a page with the answer, plots and tables: one file that works offline.",
)
def command(
    ledger: str | None,
    recipes: tuple[str, ...],
    devices: tuple[str, ...],
    targets: tuple[str, ...],
    protocols: tuple[str, ...],
    since: str | None,
    runs: tuple[str, ...],
    sort: str | None,
    columns: str | None,
    shape: str,
    against: str | None,
    format_: str | None,
    output: Path | None,
    html: Path | None,
) -> None:
    """Print the accuracy-vs-latency table from the ledger.

    Rows with incomparable latencies are in separate tables. A name that matches nothing is an error.

    Example: edgekit report --format csv > table.csv
    """
    from edgekit.ledger import Ledger
    from edgekit.report.filters import Filters, chosen, known_runs, moment
    from edgekit.report.kinds import report_of
    from edgekit.report.rows import rows_of

    if html:
        _check_page_options({"--table": shape != "list", "--against": against, "--format": format_, "--output": output})
    filters = Filters(
        recipes=parts_of_all(recipes),
        devices=parts_of_all(devices),
        targets=parts_of_all(targets),
        protocols=parts_of_all(protocols),
        since=moment(since) if since else None,
    )
    with Ledger.open(ledger, must_exist=True) as opened:
        rows = chosen(rows_of(opened, *known_runs(opened, parts_of_all(runs))), filters)
        keys = parts_of_all([columns] if columns else [])
        if html:
            from edgekit.report.page import page

            _write_page(page(opened, rows, filters, sort=sort, keys=keys, of_runs=bool(runs)), html)
            return
    publish(report_of(rows, shape=shape, against=against, sort=sort, keys=keys), format_, output)


def _check_page_options(given: Mapping[str, object]) -> None:
    """UsageError if an option of the other formats is given with --html."""
    for option, value in given.items():
        if value:
            raise UsageError(f"--html and {option} exclude each other.", f"Omit {option}, or write two reports.")


def _write_page(text: str, path: Path) -> None:
    from edgekit.report.output import write_whole

    write_whole(path, text)
    print_progress(f"{path}: written, {len(text.encode()) / 1e6:.1f} MB. Open it in a browser")
