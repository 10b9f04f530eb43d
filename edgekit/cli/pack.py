"""edgekit pack."""

from __future__ import annotations

from pathlib import Path

import click

from edgekit.cli.options import (
    Once,
    photos_option,
    plan_of,
    print_progress,
    recipe_argument,
    seed_option,
    set_option,
    targets_option,
)


@click.command()
@recipe_argument
@targets_option
@click.option("--arch", cls=Once, metavar="NAME", help="aarch64 (phones, boards; the default) or x86_64.")
@click.option("--protocol", cls=Once, metavar="NAME", help="1t-big (the default), quick or emulated.")
@click.option(
    "-o",
    "--output",
    cls=Once,
    required=True,
    type=click.Path(path_type=Path),
    metavar="FILE.zip",
    help="The zip to write.",
)
@set_option
@photos_option
@seed_option
def command(
    recipe: str,
    targets: tuple[str, ...],
    arch: str | None,
    protocol: str | None,
    output: Path,
    overrides: tuple[str, ...],
    photos: Path | None,
    seed: int | None,
) -> None:
    """Write a zip that times a recipe on a device that this computer cannot reach.

    It holds the native runners, the artifacts, an input and run.sh. Run `sh run.sh` on the device, bring back results.jsonl,
    and import it: `edgekit ledger import-results`.

    Example: edgekit pack v2 --target int8 --protocol quick --output pixel.zip
    """
    from edgekit.protocol import protocol_named
    from edgekit.rented.packing import pack

    chosen = protocol_named(protocol or "1t-big")
    made = pack(plan_of(recipe, overrides, targets, photos), arch or "aarch64", chosen, output, seed, print_progress)
    count = f"{len(made.manifests)} artifact{'s' if len(made.manifests) != 1 else ''}"
    size = f"{output.stat().st_size / 1e6:.1f} MB"
    click.echo(f"{output}: {size}, {count} for {made.arch}, {len(made.order)} sessions, pack {made.nonce[:8]}")
    click.echo(f"Keep it: edgekit ledger import-results results.jsonl --pack {output} --source NAME")
