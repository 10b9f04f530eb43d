"""edgekit scale."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from edgekit.cli.options import Finite, Once, console, json_option, open_recipe, print_progress, set_option

if TYPE_CHECKING:
    from edgekit.search.compound_scaling import Candidate, Coefficients, Scaled

LARGEST_PHI = 30


@click.command()
@click.argument("recipe")
@set_option
@click.option("--phi", "phis", metavar="PHI|FIRST..LAST", help="How far to scale, e.g. 2 or 1..7.")
@click.option("--budget", type=Finite(min=1), metavar="N", help="Scale up to this many multiply-adds, e.g. 600e6.")
@click.option("--alpha", type=Finite(min=1, max=10), help="Growth of the depth per step of phi; the paper's is 1.2.")
@click.option("--beta", type=Finite(min=1, max=10), help="Growth of the width; 1.1.")
@click.option("--gamma", type=Finite(min=1, max=10), help="Growth of the resolution; 1.15.")
@click.option(
    "--grid", is_flag=True, help="List the coefficients of a small grid that double the counted multiply-adds."
)
@click.option(
    "--output",
    cls=Once,
    type=click.Path(path_type=Path, file_okay=False),
    metavar="DIR",
    help="Write a recipe for each model to this folder.",
)
@json_option
def command(
    recipe: str,
    overrides: tuple[str, ...],
    phis: str | None,
    budget: float | None,
    alpha: float | None,
    beta: float | None,
    gamma: float | None,
    grid: bool,
    output: Path | None,
    as_json: bool,
) -> None:
    """Scale a recipe's depth, width and resolution together (compound scaling), and count the results.

    A published family is scaled as released, unless coefficients are given: efficientnet_b0 at 1 to 7 is B1 to B7.

    Example: edgekit scale recipes/efficientnet_b0.yaml --phi 1..7
    """
    from edgekit.errors import UsageError
    from edgekit.recipe.files import write_recipe
    from edgekit.search.compound_scaling import Coefficients, ScaleDocument, grid_search, recipe_of, scale, within

    if sum((phis is not None, budget is not None, grid)) != 1:
        raise UsageError("Give one of --phi, --budget and --grid.", "For example: --phi 1..7, or --budget 600e6")
    base = open_recipe(recipe, overrides)
    if grid and (output or alpha or beta or gamma):
        raise UsageError(
            "--grid searches for coefficients and writes no recipe.", "Scale with the chosen coefficients and --phi."
        )
    given = {key: value for key, value in (("alpha", alpha), ("beta", beta), ("gamma", gamma)) if value is not None}
    coefficients = Coefficients(**given) if given else None
    document = ScaleDocument(base=base.name)
    if grid:
        document.candidates = grid_search(base)
    elif budget is not None:
        document.scaled = [within(base, budget, coefficients)]
    else:
        document.scaled = [scale(base, phi, coefficients) for phi in _phis(str(phis))]
    if output:
        for scaling in document.scaled:
            about = f"Written by `edgekit scale`: {base.name} at phi {scaling.phi:g}. The weights are random."
            document.written.append(str(write_recipe(recipe_of(base, scaling), output, about)))
    if as_json:
        click.echo(document.model_dump_json(by_alias=True, indent=2))
    elif grid:
        _show_candidates(base.name, document.candidates)
    else:
        _show_scaled(base.name, document.scaled, coefficients)
    for path in document.written:
        print_progress(f"written: {path}")
    if document.written and base.weights.random is None:
        print_progress(f"Their weights are random: the checkpoint of {base.name} fits only its own size.")


def _phis(text: str) -> list[float]:
    """Return the exponents of ``2``, ``0.5`` or ``1..7``."""
    from edgekit.errors import UsageError

    first, dots, last = text.partition("..")
    try:
        start, end = (int(first), int(last)) if dots else (float(first), float(first))
    except ValueError as error:
        raise UsageError(
            f"--phi {text}: write a number, or FIRST..LAST of whole numbers.", "For example: 1..7"
        ) from error
    if not max(abs(start), abs(end)) <= LARGEST_PHI:
        raise UsageError(f"--phi {text}: beyond {LARGEST_PHI} models are too large to build.")
    if end < start:
        raise UsageError(f"--phi {text}: the last must be larger than the first.")
    return [start + step for step in range(int(end - start) + 1)]


def _show_scaled(base: str, scaled: list[Scaled], coefficients: Coefficients | None) -> None:
    from rich.table import Table

    table = Table(title=f"{base}, scaled", title_justify="left")
    for column in ("phi", "depth", "width", "resolution", "parameters", "multiply-adds"):
        table.add_column(column, justify="right")
    table.add_column("how")
    by = "formula" if coefficients else "formula, the paper's coefficients"
    for scaling in scaled:
        numbers = (f"{scaling.phi:g}", f"{scaling.depth:g}", f"{scaling.width:g}", str(scaling.resolution))
        how = f"as released: {scaling.released}" if scaling.released else by
        table.add_row(*numbers, f"{scaling.parameters:,}", f"{scaling.multiply_adds:,}", how)
    console().print(table)


def _show_candidates(base: str, candidates: list[Candidate]) -> None:
    from rich.table import Table

    table = Table(title=f"{base}: coefficients that double its counted multiply-adds", title_justify="left")
    for column in ("alpha", "beta", "gamma", "alpha*beta^2*gamma^2", "counted ratio"):
        table.add_column(column, justify="right")
    for candidate in candidates:
        own = candidate.coefficients
        numbers = (
            f"{own.alpha:g}",
            f"{own.beta:g}",
            f"{own.gamma:g}",
            f"{own.product:.3f}",
            f"{candidate.counted_ratio:.3f}",
        )
        table.add_row(*numbers)
    console().print(table)
    click.echo("Only training shows which of them is best. The paper kept 1.2, 1.1, 1.15 for EfficientNet-B0.")
