"""edgekit compile."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from edgekit.cli.live import live_progress
from edgekit.cli.options import (
    Once,
    input_option,
    json_option,
    ledger_option,
    note_own_code,
    open_recipe,
    parts_of_all,
    photos_option,
    print_progress,
    resume_option,
    set_option,
    targets_option,
    weights_option,
)
from edgekit.cli.printing import print_run

if TYPE_CHECKING:
    from edgekit.errors import Failure
    from edgekit.recipe.schema import Recipe


@click.command()
@click.argument("recipes", nargs=-1, metavar="[RECIPE]...")
@click.option("--all", "every", is_flag=True, help="Every recipe that is found by name.")
@resume_option
@input_option
@weights_option
@set_option
@targets_option
@photos_option
@click.option(
    "--output",
    cls=Once,
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Copy the artifacts into this folder, each with its description.",
)
@ledger_option
@json_option
def command(
    recipes: tuple[str, ...],
    every: bool,
    resume: str | None,
    inputs: tuple[str, ...],
    weights: str | None,
    overrides: tuple[str, ...],
    targets: tuple[str, ...],
    photos: Path | None,
    output: Path | None,
    ledger: str | None,
    as_json: bool,
) -> int:
    """Compile recipes and verify every artifact against PyTorch; no device.

    Example: edgekit compile recipes/v2.yaml --target tflite/xnnpack/int8
    """
    from edgekit.build.photos import photo_set
    from edgekit.errors import UsageError
    from edgekit.exporting import export_run, lines
    from edgekit.ledger import Ledger
    from edgekit.pipeline import Sweep, resume_run, start_run

    if (bool(recipes), every, resume is not None).count(True) != 1:
        raise UsageError("Name recipes, or use --all or --resume.", "For example: edgekit compile recipes/v2.yaml")
    if resume is not None and (overrides or targets or photos):
        raise UsageError("--resume continues the plan of its run.", "Omit the other options.")
    with Ledger.open(ledger, must_exist=resume is not None) as opened:
        if resume is not None:
            with live_progress() as progress:
                run = resume_run("compile", opened, progress, resume or None)
            title = f"run {run}"
        else:
            loaded, unreadable = (
                _known(overrides)
                if every
                else ([open_recipe(name, overrides, inputs, weights) for name in recipes], {})
            )
            sweep = Sweep.of(loaded, parts_of_all(targets), (), None, photo_set(photos), photos, unreadable)
            with live_progress() as progress:
                run = start_run("compile", sweep, opened, progress)
            title = loaded[0].name if len(loaded) == 1 else f"{len(loaded)} recipes"
        for line in lines(export_run(opened, run, output)) if output else ():
            print_progress(line)
        return print_run(opened, run, f"{title}, compiled", as_json, strict=False)


def _known(overrides: tuple[str, ...]) -> tuple[list[Recipe], dict[str, Failure]]:
    """Return every recipe that is found by name, and report those that run their own code."""
    from edgekit.recipe.loading import load_known

    recipes, unreadable = load_known(overrides)
    note_own_code(recipes)
    return recipes, unreadable
