"""edgekit cache."""

from __future__ import annotations

import click

from edgekit.cli.options import Finite, console, json_option


@click.group()
def command() -> None:
    """Show the content of the cache, and clean it.

    Example: edgekit cache clean --older-than 30
    """


@command.command("list")
@json_option
def list_(as_json: bool) -> None:
    """List the size of each kind in the cache, and its artifacts.

    An artifact is listed by its build key. Its recipe and target are in the ledger (`edgekit report`).

    Example: edgekit cache list
    """
    from rich.table import Table

    from edgekit.cache.contents import cache_contents

    document = cache_contents()
    if as_json:
        click.echo(document.model_dump_json(by_alias=True, indent=2))
        return
    click.echo(document.folder)
    overview = Table()
    overview.add_column("kind")
    overview.add_column("number", justify="right")
    overview.add_column("bytes", justify="right")
    for kind in document.kinds:
        overview.add_row(kind.kind, f"{kind.number:,}", f"{kind.size_bytes:,}")
    console().print(overview)
    if document.artifacts:
        click.echo("Artifacts, newest first:")
        table = Table("build key", "format", "sha256")
        table.add_column("bytes", justify="right")
        table.add_column("days old", justify="right")
        for artifact in document.artifacts:
            facts = artifact.facts
            columns = (facts.format, facts.sha256[:12], f"{facts.size_bytes:,}") if facts else ("damaged", "", "")
            table.add_row(artifact.build_key[:12], *columns, f"{artifact.age_seconds / 86_400:.1f}")
        console().print(table)


@command.command()
@click.option("--older-than", type=Finite(min=0), metavar="DAYS", help="Remove entries older than this.")
@click.option("--kind", "kinds", multiple=True, help="Only this kind, as `list` names it. Repeatable.")
@click.option("--all", "everything", is_flag=True, help="Remove every entry of every kind.")
def clean(older_than: float | None, kinds: tuple[str, ...], everything: bool) -> None:
    """Remove unfinished entries of killed processes, and the entries that the options name.

    Entries that another process is making stay. Removed weights must be downloaded or imported again.

    Example: edgekit cache clean --kind artifacts --older-than 30
    """
    from edgekit.cache.store import KINDS
    from edgekit.cache.store import clean as clean_cache
    from edgekit.errors import UsageError, did_you_mean

    if unknown := sorted(set(kinds) - set(KINDS)):
        raise UsageError(f"There is no kind {unknown[0]} in the cache.", did_you_mean(unknown[0], KINDS))
    if everything and (kinds or older_than is not None):
        raise UsageError("--all removes everything, so --kind and --older-than have no effect.", "Omit one of them.")
    if older_than is None and (everything or kinds):
        older_than = 0
    done = clean_cache(kinds or KINDS, older_than)
    for entry in done.entries:
        click.echo(f"removed {entry.kind}/{entry.path.name}: {entry.size_bytes:,} bytes")
    for path in done.unfinished:
        click.echo(f"removed {path.parent.name}/{path.name}, which was unfinished")
    if done.locks:
        click.echo(f"removed unused lock files: {len(done.locks)}")
    for entry in done.in_use:
        click.echo(f"kept {entry.kind}/{entry.path.name}: another edgekit is running and may need it", err=True)
    click.echo(f"{done.size_bytes:,} bytes freed.")
