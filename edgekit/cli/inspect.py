"""edgekit inspect."""

from __future__ import annotations

import click

from edgekit.cli.options import Finite, console, json_option, open_recipe, set_option

POSITIVE = Finite(min=0, min_open=True)


@click.command()
@click.argument("words", nargs=-1, metavar="[RECIPE] [KEY=V,V]...")
@set_option
@click.option("--all", "every", is_flag=True, help="All recipes, a line each.")
@click.option(
    "--sweep",
    "swept",
    is_flag=False,
    flag_value="",
    multiple=True,
    metavar="[KEY=V,V]",
    help="A line for every combination of widths, resolutions and depths; default: the recipe's `sweep`.",
)
@click.option(
    "--peak-gflops",
    type=POSITIVE,
    metavar="F",
    help="Estimate times: 10^9 floating-point operations per second.",
)
@click.option(
    "--bandwidth-gbs",
    type=POSITIVE,
    metavar="B",
    help="Estimate times: 10^9 bytes per second from memory.",
)
@click.option(
    "--format",
    "format_",
    type=click.Choice(["terminal", "markdown", "json"]),
    default="terminal",
    show_default=True,
    help="Output format.",
)
@json_option
def command(
    words: tuple[str, ...],
    overrides: tuple[str, ...],
    every: bool,
    swept: tuple[str, ...],
    peak_gflops: float | None,
    bandwidth_gbs: float | None,
    format_: str,
    as_json: bool,
) -> int:
    """Show a recipe's layers, their cost, and the check of its contract.

    Example: edgekit inspect recipes/v1.yaml --sweep width=1.0,0.5 resolution=224,192
    """
    from edgekit.errors import UsageError
    from edgekit.inspection import InspectDocument, exit_code, inspect_all, inspect_closely, sweep
    from edgekit.inspection.roofline import machine_of
    from edgekit.inspection.tables import listing, markdown, page, terminal

    machine = machine_of(peak_gflops, bandwidth_gbs)
    # An option takes only one value, so further values arrive with the recipe.
    given = [word for word in (*words, *swept) if word]
    settings = [word for word in given if "=" in word]
    names = [word for word in given if "=" not in word]
    if len(names) != (0 if every else 1):
        message = "--all shows every recipe. Do not name one." if every else "Name one recipe, or use --all."
        raise UsageError(message, "For example: edgekit inspect recipes/v1.yaml")
    if as_json and format_ == "markdown":
        raise UsageError("--json and --format markdown are two formats.", "Omit one of them.")
    if settings and not swept:
        raise UsageError(f"{settings[0]} is a value to vary: write --sweep before it.")
    if machine and (every or swept):
        raise UsageError("Times are estimated for one recipe, without --all and --sweep.")
    if every:
        if swept:
            raise UsageError(
                "--sweep needs exactly one recipe.", "For example: edgekit inspect v1 --sweep width=1.0,0.5"
            )
        document = inspect_all(overrides)
    else:
        recipe = open_recipe(names[0], overrides)
        document = InspectDocument(recipes=sweep(recipe, settings) if swept else [inspect_closely(recipe, machine)])
    if as_json or format_ == "json":
        click.echo(document.model_dump_json(by_alias=True, exclude_none=True, indent=2))
        return exit_code(document)
    shown = listing(document) if every or swept else page(document.recipes[0])
    if format_ == "markdown":
        click.echo(markdown(shown), nl=False)
    else:
        console().print(terminal(shown))
    return exit_code(document)
