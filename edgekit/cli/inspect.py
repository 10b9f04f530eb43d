"""edgekit inspect."""

from __future__ import annotations

import click

from edgekit.cli.options import console, json_option, set_option


@click.command()
@click.argument("recipe", required=False)
@set_option
@click.option("--all", "every", is_flag=True, help="All recipes, a line each.")
@json_option
def command(recipe: str | None, overrides: tuple[str, ...], every: bool, as_json: bool) -> int:
    """Show a recipe's layers, what they cost, and whether it keeps its contract.

    Example: edgekit inspect recipes/v1.yaml
    """
    from edgekit.errors import UsageError
    from edgekit.models.inspection import document, exit_code, inspect, terminal, terminal_all
    from edgekit.recipe import known_recipes, load_recipe

    if every == (recipe is not None):
        raise UsageError("Name one recipe, or say --all.", "For example: edgekit inspect recipes/v1.yaml")
    inspections = [inspect(load_recipe(name, overrides)) for name in ([recipe] if recipe else sorted(known_recipes()))]
    if as_json:
        click.echo(document(inspections, layers=not every).model_dump_json(by_alias=True, exclude_none=True, indent=2))
    else:
        console().print(terminal_all(inspections) if every else terminal(inspections[0]))
    return exit_code(inspections)
