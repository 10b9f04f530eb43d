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
    from rich.table import Table
    from rich.text import Text

    from edgekit.recipe_files import list_recipes
    from edgekit.report.fitting import fill

    document = list_recipes()
    if as_json:
        click.echo(document.model_dump_json(by_alias=True, indent=2))
        return
    table, output = Table(), console()
    columns = {
        "recipe": [Text(one.name) for one in document.recipes],
        "description": [
            Text("(see below)", "red") if one.problem else Text(one.description) for one in document.recipes
        ],
        "weights": [Text(one.weights) for one in document.recipes],
        "file": [Text(one.file) for one in document.recipes],
    }
    omitted = fill(table, columns, output.width, always=2)
    output.print(table)
    for one in document.recipes:
        if one.problem:
            output.print(Text(f"{one.name}: {one.problem}", "red"))
    if omitted:
        click.echo(f"No room here for: {', '.join(omitted)}; `edgekit recipes --json` has everything.")
