"""edgekit cache."""

from __future__ import annotations

import click

from edgekit.cli.options import Finite, console, json_option


@click.group()
def command() -> None:
    """Show what the cache holds, and clean it.

    Example: edgekit cache clean --older-than 30
    """


@command.command("list")
@json_option
def list_(as_json: bool) -> None:
    """List how much of each kind the cache holds, and its artifacts.

    An artifact is listed by its build key; which recipe and target it was built for is in the ledger (`edgekit report`).

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
        for one in document.artifacts:
            facts = one.facts
            told = (facts.format, facts.sha256[:12], f"{facts.size_bytes:,}") if facts else ("damaged", "", "")
            table.add_row(one.build_key[:12], *told, f"{one.age_seconds / 86_400:.1f}")
        console().print(table)


@command.command()
@click.option("--older-than", type=Finite(min=0), metavar="DAYS", help="Remove entries older than this.")
@click.option("--kind", "kinds", multiple=True, help="Only this kind, as `list` names it; may be repeated.")
@click.option("--all", "everything", is_flag=True, help="Remove every entry of every kind.")
def clean(older_than: float | None, kinds: tuple[str, ...], everything: bool) -> None:
    """Remove what killed processes left unfinished, and the entries that the options name.

    What another process is making stays. Removed weights are downloaded again, or have to be imported again.

    Example: edgekit cache clean --kind artifacts --older-than 30
    """
    from edgekit.cache.store import KINDS
    from edgekit.cache.store import clean as clean_cache
    from edgekit.errors import UsageError, did_you_mean

    if unknown := sorted(set(kinds) - set(KINDS)):
        raise UsageError(f"The cache has no kind {unknown[0]}.", did_you_mean(unknown[0], KINDS))
    if everything and (kinds or older_than is not None):
        raise UsageError("--all removes everything, so --kind and --older-than say nothing.", "Leave one of them out.")
    if older_than is None and (everything or kinds):
        older_than = 0
    done = clean_cache(kinds or KINDS, older_than)
    for entry in done.entries:
        click.echo(f"removed {entry.kind}/{entry.path.name}: {entry.size_bytes:,} bytes")
    for path in done.unfinished:
        click.echo(f"removed {path.parent.name}/{path.name}, which was unfinished")
    if done.locks:
        click.echo(f"removed lock files of nothing: {len(done.locks)}")
    for entry in done.in_use:
        click.echo(f"kept {entry.kind}/{entry.path.name}: another edgekit is at work and may need it", err=True)
    click.echo(f"{done.size_bytes:,} bytes freed.")
