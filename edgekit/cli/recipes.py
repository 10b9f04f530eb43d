"""edgekit recipes."""

from __future__ import annotations

import click

from edgekit.cli.options import console, json_option


@click.command()
@json_option
def command(as_json: bool) -> None:
    """List the recipes that are found by name, a line each; --json tells architectures and variants as well.

    Example: edgekit recipes
    """
    from rich.markup import escape
    from rich.table import Table

    from edgekit.recipe_files import list_recipes

    document = list_recipes()
    if as_json:
        click.echo(document.model_dump_json(by_alias=True, indent=2))
        return
    table = Table()
    for column in ("recipe", "description", "weights"):
        table.add_column(column, no_wrap=True)
    table.add_column("file", overflow="fold")
    for one in document.recipes:
        described = f"[red]{escape(one.problem)}" if one.problem else escape(one.description)
        table.add_row(one.name, described, one.weights, escape(one.file))
    console().print(table)
