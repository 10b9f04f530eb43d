"""edgekit inspect."""

from __future__ import annotations

import click

from edgekit.cli.options import console, json_option, set_option


@click.command()
@click.argument("recipe", required=False)
@set_option
@click.option("--all", "every", is_flag=True, help="All recipes, a line each.")
@click.option(
    "--sweep",
    "settings",
    multiple=True,
    metavar="KEY=V,V",
    help="A line for each width or resolution, e.g. width=1.0,0.75; twice for every combination.",
)
@click.option(
    "--peak-gflops", type=float, metavar="F", help="Estimate times: 10^9 floating-point operations per second."
)
@click.option("--bandwidth-gbs", type=float, metavar="B", help="Estimate times: 10^9 bytes per second from memory.")
@click.option(
    "--format",
    "format_",
    type=click.Choice(["terminal", "markdown", "json"]),
    default="terminal",
    show_default=True,
    help="How to show it.",
)
@json_option
def command(
    recipe: str | None,
    overrides: tuple[str, ...],
    every: bool,
    settings: tuple[str, ...],
    peak_gflops: float | None,
    bandwidth_gbs: float | None,
    format_: str,
    as_json: bool,
) -> int:
    """Show a recipe's layers, what they cost, and whether it keeps its contract.

    Example: edgekit inspect recipes/v1.yaml --sweep width=1.0,0.5 --sweep resolution=224,192
    """
    from edgekit.errors import UsageError
    from edgekit.inspection import InspectDocument, exit_code, inspect, inspect_closely, sweep
    from edgekit.inspection.roofline import machine_of
    from edgekit.inspection.tables import listing, markdown, page, terminal
    from edgekit.recipe import known_recipes, load_recipe

    machine = machine_of(peak_gflops, bandwidth_gbs)
    if every == (recipe is not None):
        raise UsageError("Name one recipe, or say --all.", "For example: edgekit inspect recipes/v1.yaml")
    if machine and (every or settings):
        raise UsageError("Times are estimated for one recipe, without --all and --sweep.")
    if recipe is None:
        if settings:
            raise UsageError("A sweep is made of one recipe.", "For example: edgekit inspect v1 --sweep width=1.0,0.5")
        entries = [inspect(load_recipe(name, overrides)) for name in sorted(known_recipes())]
    elif settings:
        entries = sweep(load_recipe(recipe, overrides), settings)
    else:
        entries = [inspect_closely(load_recipe(recipe, overrides), machine)]
    if as_json or format_ == "json":
        document = InspectDocument(recipes=entries)
        click.echo(document.model_dump_json(by_alias=True, exclude_none=True, indent=2))
        return exit_code(entries)
    shown = listing(entries) if every or settings else page(entries[0])
    if format_ == "markdown":
        click.echo(markdown(shown), nl=False)
    else:
        console().print(terminal(shown))
    return exit_code(entries)
