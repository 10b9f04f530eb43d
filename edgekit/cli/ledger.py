"""edgekit ledger."""

from __future__ import annotations

from pathlib import Path

import click

from edgekit.cli.options import Once, json_option, ledger_option, print_progress


@click.group()
def command() -> None:
    """Show the size of the ledger, compact it, and merge it with others.

    Example: edgekit ledger info
    """


@command.command()
@ledger_option
@json_option
def info(ledger: str | None, as_json: bool) -> None:
    """Show the ledger's place, revision, size and content.

    Example: edgekit ledger info --json
    """
    from edgekit.ledger.tools import info as ledger_info

    found = ledger_info(ledger)
    if as_json:
        click.echo(found.model_dump_json(by_alias=True, indent=2))
        return
    size = "not a file" if found.size_bytes is None else f"{found.size_bytes:,} bytes"
    click.echo(f"{found.place}: {size}, tables at revision {found.revision}")
    for table, number in found.rows.items():
        click.echo(f"{number:>11,} {table}")
    if found.oldest and found.newest:
        statuses = ", ".join(f"{number:,} {status}" for status, number in found.runs_by_status.items())
        click.echo(f"runs: {statuses}; from {found.oldest:%Y-%m-%d %H:%M} to {found.newest:%Y-%m-%d %H:%M} UTC")


@command.command()
@ledger_option
def vacuum(ledger: str | None) -> None:
    """Compact the ledger's file. No record is removed.

    Example: edgekit ledger vacuum
    """
    from edgekit.ledger.tools import vacuum as compact

    before, after = compact(ledger)
    click.echo(f"{before:,} bytes before, {after:,} bytes after.")


@command.command()
@click.argument("file", type=click.Path(path_type=Path))
@ledger_option
def export(file: Path, ledger: str | None) -> None:
    """Write the whole ledger to a new file.

    A name that ends with .jsonl (or .jsonl.gz) gives JSON lines. A name that ends with .parquet gives a folder of Parquet
    files and needs the extra `parquet`.

    Example: edgekit ledger export lab.jsonl
    """
    from edgekit.ledger.transfer import export_ledger

    rows = export_ledger(ledger, file)
    click.echo(f"{file}: " + ", ".join(f"{count:,} {table}" for table, count in rows.items()))


@command.command("import")
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path))
@ledger_option
@json_option
def import_(files: tuple[Path, ...], ledger: str | None, as_json: bool) -> None:
    """Merge exported ledgers into this one. Known rows are not duplicated.

    Example: edgekit ledger import lab.jsonl
    """
    from edgekit.ledger.transfer import import_ledger

    found = import_ledger(ledger, files)
    if as_json:
        click.echo(found.model_dump_json(by_alias=True, indent=2))
        return
    click.echo(found.place)
    for table, merged in found.tables.items():
        click.echo(f"{merged.added:>11,} {table} added, {merged.updated:,} updated, {merged.known:,} known")


@command.command("import-results")
@click.argument("file", type=click.Path(path_type=Path))
@click.option(
    "--pack",
    cls=Once,
    required=True,
    type=click.Path(path_type=Path),
    metavar="FILE.zip",
    help="The pack that was run, as `edgekit pack` wrote it.",
)
@click.option("--source", cls=Once, required=True, metavar="NAME", help="Where it was run, e.g. aws-device-farm.")
@click.option("--emulated", is_flag=True, help="The device is an emulator.")
@ledger_option
@json_option
def import_results_(file: Path, pack: Path, source: str, emulated: bool, ledger: str | None, as_json: bool) -> int:
    """Import the results that a pack brought back from a device.

    The file must be whole, unchanged, and of this pack. The outputs of the device are compared with PyTorch's.
    The results are rows of the device `imported:NAME`.

    Example: edgekit ledger import-results results.jsonl --pack pixel.zip --source aws-device-farm
    """
    from edgekit.cli.printing import print_run
    from edgekit.ledger import Ledger
    from edgekit.rented.importing import import_results

    with Ledger.open(ledger) as opened:
        run = import_results(opened, file, pack, source, print_progress, emulated=emulated)
        return print_run(opened, run, f"{file.name} from {source}", as_json, strict=False)
