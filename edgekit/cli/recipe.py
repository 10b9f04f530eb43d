"""edgekit recipe."""

from __future__ import annotations

from pathlib import Path

import click

from edgekit.cli.options import Once, format_option, input_option, json_option, print_progress, weights_option
from edgekit.cli.printing import print_list


@click.group()
def command() -> None:
    """List recipes, and write a new one.

    Example: edgekit recipe new mine --architecture mobilenet_v2
    """


@command.command("list")
@format_option
@json_option
def list_(format_: str | None, as_json: bool) -> None:
    """List the recipes that are found by name, with their cost and published accuracy.

    Example: edgekit recipe list
    """
    from edgekit.recipe.files import list_recipes
    from edgekit.report.recipes import recipes_report

    print_list(list_recipes(), recipes_report, "edgekit recipe list --json", format_, as_json)


@command.command()
@click.argument("name")
@click.option("--architecture", cls=Once, metavar="A", help="What to build; default: mobilenet_v3_large.")
@click.option("--from", "source", cls=Once, metavar="FILE.py:FUNCTION", help="Your own network instead.")
@input_option
@weights_option
@click.option(
    "--output",
    cls=Once,
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Output file; default: recipes/NAME.yaml in this folder.",
)
def new(
    name: str,
    architecture: str | None,
    source: str | None,
    inputs: tuple[str, ...],
    weights: str | None,
    output: Path | None,
) -> None:
    """Write a commented recipe to start from. Existing files are not changed.

    Example: edgekit recipe new mine --architecture mobilenet_v2
    """
    from edgekit.build.own_recipe import describe
    from edgekit.errors import UsageError
    from edgekit.recipe.files import new_recipe, own_recipe

    if source is None:
        if inputs or weights:
            raise UsageError("--input and --weights are for your own model.", "Name it: --from FILE.py:FUNCTION")
        click.echo(new_recipe(name, architecture or "mobilenet_v3_large", output))
        return
    if architecture:
        raise UsageError("--architecture and --from exclude each other.", "Omit one of them.")
    described = describe(source, inputs, weights, name, print_progress)
    click.echo(own_recipe(described.recipe, described.assumed, output))
