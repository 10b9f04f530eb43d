"""edgekit classify."""

from __future__ import annotations

from pathlib import Path

import click

from edgekit.cli.options import one_target, open_recipe, photos_option, print_progress, recipe_argument, set_option


@click.command()
@recipe_argument
@click.argument("photo", type=click.Path(path_type=Path))
@click.option("--target", metavar="T", help="Run the artifact of this target instead of PyTorch.")
@set_option
@photos_option
def command(recipe: str, photo: Path, target: str | None, overrides: tuple[str, ...], photos: Path | None) -> None:
    """Print the five likeliest classes of a photo, from PyTorch or from an artifact.

    Example: edgekit classify recipes/v2.yaml cat.png --target tflite/xnnpack/int8
    """
    from edgekit.build.photos import photo_set
    from edgekit.evaluation.classify import classify
    from edgekit.pipeline import Plan

    loaded = open_recipe(recipe, overrides)
    targets = [] if target is None else [one_target(loaded, target)]
    plan = Plan.of(loaded, targets, photo_set(photos))
    for rank in classify(plan, photo, print_progress):
        click.echo(f"{rank.probability:6.1%}  {rank.index:4d}  {rank.name}")
