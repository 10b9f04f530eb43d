"""edgekit parity."""

from __future__ import annotations

from pathlib import Path

import click

from edgekit.cli.options import (
    console,
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
@click.option("--layers", "by_layer", is_flag=True, help="Compare each convolution and fully connected layer.")
@set_option
@photos_option
def command(recipe: str, target: str, by_layer: bool, overrides: tuple[str, ...], photos: Path | None) -> int:
    """Compare an artifact with PyTorch on the parity photos, in total or layer by layer.

    Example: edgekit parity recipes/v2.yaml --target tflite/xnnpack/int8 --layers
    """
    from edgekit.build.photos import photo_set
    from edgekit.errors import ExitCode
    from edgekit.pipeline import Plan
    from edgekit.pipeline.comparing import compare_artifact
    from edgekit.report.parity import layer_table, result_lines

    loaded = open_recipe(recipe, overrides)
    plan = Plan.of(loaded, [one_target(loaded, target)], photo_set(photos))
    compared = compare_artifact(plan, by_layer, print_progress)
    if by_layer:
        console().print(layer_table(compared))
    for line in result_lines(compared):
        click.echo(line)
    return ExitCode.done if compared.parity.passed else ExitCode.failure
