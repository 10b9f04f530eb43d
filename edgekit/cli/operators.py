"""edgekit operators."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

from edgekit.cli.options import (
    Once,
    console,
    device_set_option,
    json_option,
    one_target,
    open_recipe,
    print_progress,
    set_option,
)

if TYPE_CHECKING:
    from edgekit.measure.operators import OperatorsDocument


@click.command()
@click.argument("file", metavar="FILE|RECIPE", type=click.Path(path_type=Path))
@click.option(
    "--device", cls=Once, metavar="NAME", help="Profile a RECIPE on this device, with edgekit's native runner."
)
@click.option(
    "--target",
    default="tflite/xnnpack/fp32",
    show_default=True,
    metavar="T",
    help="The target of the RECIPE: TFLite's or ExecuTorch's, on XNNPACK.",
)
@click.option(
    "--output",
    cls=Once,
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Write the profiler's output to this file.",
)
@set_option
@device_set_option
@click.option("--each", is_flag=True, help="Every operator in order of execution, instead of the types.")
@click.option("--modules", is_flag=True, help="The PyTorch modules of a RECIPE that the operators come from.")
@click.option(
    "--depth", type=click.IntRange(1), metavar="N", help="With --modules: sum by the first N parts of a name."
)
@json_option
def command(
    file: Path,
    device: str | None,
    target: str,
    output: Path | None,
    overrides: tuple[str, ...],
    device_overrides: tuple[str, ...],
    each: bool,
    modules: bool,
    depth: int | None,
    as_json: bool,
) -> None:
    """Show the operator times of an inference: from a profiler's FILE, or of a RECIPE on a --device.

    FILE is the CSV of LiteRT's benchmark_model (--enable_op_profiling=true --op_profiling_output_mode=csv), the ETDump
    of an ExecuTorch runner, or what --output wrote.

    Example: edgekit operators recipes/v2.yaml --device host --modules --depth 2
    """
    from edgekit.errors import UsageError
    from edgekit.measure.operators import read_profile
    from edgekit.report.operators import module_table, operator_table, type_table

    if depth is not None and not modules:
        raise UsageError("--depth is for --modules.", "Add --modules.")
    if device is None:
        if output or overrides or device_overrides or modules:
            raise UsageError("These options are for profiling a recipe.", "Name a device: --device NAME")
        document = read_profile(file)
    else:
        if output is not None:
            _check_output(output)
        document = _profile(str(file), overrides, target, device, device_overrides, output)
    if as_json:
        click.echo(document.model_dump_json(by_alias=True, indent=2))
        return
    listed = operator_table if each else type_table
    console().print(module_table(document, depth) if modules else listed(document))
    runs = "1 run" if document.runs == 1 else f"{document.runs} runs"
    console().print(
        f"Mean of {runs} in {document.profiler}: {document.mean_ms:.3f} ms with profiler. This is not the model's latency.\n"
        f"Off the delegate: {document.fallback_share:.1%} of a run."
    )


def _check_output(output: Path) -> None:
    """UsageError for a file that cannot be written, raised before the pass."""
    from edgekit.errors import UsageError

    if output.is_dir():
        raise UsageError(f"{output} is a folder.", "Name a file in it: --output FILE")
    if not output.parent.is_dir():
        raise UsageError(
            f"There is no folder {output.parent} to write {output.name} to.", "Create it, or name another."
        )
    if not os.access(output if output.exists() else output.parent, os.W_OK):
        raise UsageError(f"{output} cannot be written: you have no permission.", "Name another file with --output.")


def _profile(
    recipe: str,
    overrides: tuple[str, ...],
    target: str,
    device: str,
    device_overrides: tuple[str, ...],
    output: Path | None,
) -> OperatorsDocument:
    from edgekit.build.photos import photo_set
    from edgekit.devices.profile import load_profile
    from edgekit.pipeline import Plan
    from edgekit.pipeline.profiling import profile_operators

    loaded = open_recipe(recipe, overrides)
    plan = Plan.of(loaded, [one_target(loaded, target)], photo_set())
    return profile_operators(plan, load_profile(device, device_overrides), print_progress, output)
