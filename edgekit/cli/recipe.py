"""edgekit recipe."""

from __future__ import annotations

from pathlib import Path

import click

from edgekit.cli.options import Once


@click.group()
def command() -> None:
    """Write a recipe of your own.

    Example: edgekit recipe new mine --architecture mobilenet_v2
    """


@command.command()
@click.argument("name")
@click.option("--architecture", default="mobilenet_v3_large", show_default=True, metavar="A", help="What to build.")
@click.option(
    "--output",
    cls=Once,
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Where to; default: recipes/NAME.yaml, from here.",
)
def new(name: str, architecture: str, output: Path | None) -> None:
    """Write a commented recipe to start from; a file that exists is left alone.

    Example: edgekit recipe new mine --architecture mobilenet_v2
    """
    from edgekit.recipe.files import new_recipe

    click.echo(new_recipe(name, architecture, output))
