"""edgekit export."""

from __future__ import annotations

from pathlib import Path

import click

from edgekit.cli.options import (
    Once,
    json_option,
    one_target,
    open_recipe,
    photos_option,
    print_progress,
    recipe_argument,
    set_option,
    target_option,
)


@click.command()
@recipe_argument
@target_option
@click.option(
    "-o",
    "--output",
    cls=Once,
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Output file; default: in this folder, named by recipe and target.",
)
@set_option
@photos_option
@json_option
def command(
    recipe: str, target: str, output: Path | None, overrides: tuple[str, ...], photos: Path | None, as_json: bool
) -> None:
    """Write a verified artifact to a file for an app.

    FILE.json beside it describes preprocessing, labels, inputs, outputs and hashes.

    Example: edgekit export recipes/v2.yaml --target tflite/xnnpack/int8 -o v2_int8.tflite
    """
    from edgekit.build.photos import photo_set
    from edgekit.exporting import export, lines
    from edgekit.pipeline import Plan

    loaded = open_recipe(recipe, overrides)
    plan = Plan.of(loaded, [one_target(loaded, target)], photo_set(photos))
    exported = export(plan, output, print_progress)
    click.echo(exported.document.model_dump_json(by_alias=True, indent=2) if as_json else lines([exported])[0])
