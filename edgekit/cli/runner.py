"""edgekit runner."""

from __future__ import annotations

import click

from edgekit.cli.options import print_progress


@click.group()
def command() -> None:
    """Build the native runners for phones and boards, with all their libraries.

    Other commands build them too, if a device needs them.

    Example: edgekit runner list
    """


@command.command()
@click.option(
    "--arch", default="aarch64", show_default=True, metavar="NAME", help="aarch64 (phones, boards) or x86_64."
)
def build(arch: str) -> None:
    """Build the native runners for an architecture, or find them in the cache.

    The profile of a device chooses the runner that times. What is built here does not change that.

    Example: edgekit runner build --arch x86_64
    """
    from edgekit.cache.store import content_size
    from edgekit.runners.bundle import build_capsule

    built = build_capsule(arch, print_progress)
    click.echo(f"{built}  {content_size(built) / 1e6:.0f} MB")


@command.command("list")
def list_() -> None:
    """List the architectures and where their native runners come from.

    Example: edgekit runner list
    """
    from edgekit.runners.bundle import ARCHITECTURES, cached_bundle
    from edgekit.runners.bundle.installed import PACKAGE, installed

    for arch in ARCHITECTURES:
        if found := cached_bundle(arch):
            click.echo(f"{arch:8} {found.origin}: {found.folder}")
        elif package := installed(arch):
            click.echo(f"{arch:8} {PACKAGE} {package.version} is installed. It is checked when a device needs it.")
        else:
            click.echo(f"{arch:8} not here: built when a device needs it, or by edgekit runner build --arch {arch}")
