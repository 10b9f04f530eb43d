"""edgekit capsule."""

from __future__ import annotations

import click

from edgekit.cli.options import print_progress


@click.group()
def command() -> None:
    """Build the native runners for phones and boards, with all their libraries.

    Example: edgekit capsule build
    """


@command.command()
@click.option(
    "--arch", default="aarch64", show_default=True, metavar="NAME", help="aarch64 (phones, boards) or x86_64."
)
def build(arch: str) -> None:
    """Build the capsule for an architecture, or find it in the cache.

    A capsule for this machine replaces the Python runner on `host`: the measured process then has no torch.

    Example: edgekit capsule build --arch x86_64
    """
    from edgekit.cache.store import content_size
    from edgekit.runners.bundle import build_capsule

    built = build_capsule(arch, print_progress)
    click.echo(f"{built}  {content_size(built) / 1e6:.0f} MB")


@command.command("list")
def list_() -> None:
    """List the architectures and whether their capsule is built.

    Example: edgekit capsule list
    """
    from edgekit.runners.bundle import ARCHITECTURES, built_capsule

    for arch in ARCHITECTURES:
        click.echo(f"{arch:8} {built_capsule(arch) or f'not built: edgekit capsule build --arch {arch}'}")
