"""edgekit recipes."""

from __future__ import annotations

import click

from edgekit.cli.options import console, json_option


@click.command()
@json_option
def command(as_json: bool) -> None:
    """List the recipes that are found by name, with what they cost and their published accuracy.

    Example: edgekit recipes
    """
    from edgekit.recipe.files import list_recipes
    from edgekit.report.recipes import recipes_report
    from edgekit.report.terminal import terminal

    document = list_recipes()
    if as_json:
        click.echo(document.model_dump_json(by_alias=True, indent=2))
        return
    screen = console()
    screen.print(terminal(recipes_report(document), screen.width, "edgekit recipes --json"), crop=False)
