"""edgekit operators."""

from __future__ import annotations

import os
from collections import defaultdict
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
    from rich.table import Table

    from edgekit.measure.operators import OperatorsDocument


@click.command()
@click.argument("file", metavar="FILE|RECIPE", type=click.Path(path_type=Path))
@click.option(
    "--device", cls=Once, metavar="NAME", help="Profile a RECIPE on this device, with edgekit's native runner."
)
@click.option(
    "--target",
    default="executorch/xnnpack/fp32",
    show_default=True,
    metavar="T",
    help="The target of the RECIPE, one of ExecuTorch's.",
)
@click.option(
    "--output",
    cls=Once,
    type=click.Path(path_type=Path),
    metavar="ETDUMP",
    help="Write the profiler's output to this file.",
)
@set_option
@device_set_option
@click.option("--each", is_flag=True, help="Every operator in order of execution, instead of the types.")
@json_option
def command(
    file: Path,
    device: str | None,
    target: str,
    output: Path | None,
    overrides: tuple[str, ...],
    device_overrides: tuple[str, ...],
    each: bool,
    as_json: bool,
) -> None:
    """Show the operator times of an inference: from a profiler's FILE, or of a RECIPE on a --device.

    FILE is the CSV of LiteRT's benchmark_model (--enable_op_profiling=true --op_profiling_output_mode=csv) or the ETDump
    of an ExecuTorch runner.

    Example: edgekit operators profile.csv
    """
    from edgekit.cache.store import temporary_folder
    from edgekit.errors import UsageError
    from edgekit.measure.operators import read_profile

    if device is None:
        if output or overrides or device_overrides:
            raise UsageError("These options are for profiling a recipe.", "Name a device: --device NAME")
        document = read_profile(file)
    else:
        if output is not None:
            _check_output(output)
        with temporary_folder() as folder:
            dump = output or Path(folder) / "operators.etdp"
            _profile(str(file), overrides, target, device, device_overrides, dump)
            document = read_profile(dump)
    if as_json:
        click.echo(document.model_dump_json(by_alias=True, indent=2))
        return
    console().print(_table(document, each))
    runs = "1 run" if document.runs == 1 else f"{document.runs} runs"
    console().print(
        f"Mean of {runs} in {document.profiler}: {document.mean_ms:.3f} ms with profiler. This is not the model's latency."
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
    recipe: str, overrides: tuple[str, ...], target: str, device: str, device_overrides: tuple[str, ...], output: Path
) -> None:
    from edgekit.build.photos import photo_set
    from edgekit.devices.profile import load_profile
    from edgekit.pipeline import Plan
    from edgekit.pipeline.profiling import dump_operators

    loaded = open_recipe(recipe, overrides)
    plan = Plan.of(loaded, [one_target(loaded, target)], photo_set())
    dump_operators(plan, load_profile(device, device_overrides), print_progress, output)


def _table(document: OperatorsDocument, each: bool) -> Table:
    """Return the operators of the graph, then those inside delegates; by type the slowest first."""
    from rich.markup import escape
    from rich.table import Table

    table = Table()
    for column in ("operator", "name") if each else ("operator", "nodes"):
        table.add_column(column, overflow="fold", justify="right" if column == "nodes" else "left")
    table.add_column("ms", justify="right")
    table.add_column("share", justify="right")

    def add(operator: str, second: str, ms: float) -> None:
        # The names are in brackets, which rich would interpret.
        table.add_row(escape(operator), escape(second), f"{ms:.4f}", f"{ms / document.mean_ms:.1%}")

    for inside in (False, True):
        found = [operator for operator in document.operators if operator.inside == inside]
        if each:
            for operator in found:
                add(operator.operator, operator.name, operator.mean_ms)
        else:
            types: dict[str, list[float]] = defaultdict(list)
            for operator in found:
                types[operator.operator].append(operator.mean_ms)
            for kind, times in sorted(types.items(), key=lambda item: -sum(item[1])):
                add(kind, str(len(times)), sum(times))
        if not inside and document.profiler == "ExecuTorch":  # LiteRT's total is the sum of its nodes
            add("(in no operator)", "", document.elsewhere_ms)
        if not inside and any(operator.inside for operator in document.operators):
            table.add_section()
            table.add_row("inside delegates:", "", "", "")
    return table
