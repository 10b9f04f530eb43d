"""edgekit operators."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from edgekit.cli.options import console, json_option

if TYPE_CHECKING:
    from rich.table import Table

    from edgekit.measure.operators import OperatorsDocument


@click.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--each", is_flag=True, help="Every operator in the order in which they run, not their types.")
@json_option
def command(file: Path, each: bool, as_json: bool) -> None:
    """Show where an inference spends its time, from the FILE that a runtime's profiler wrote.

    FILE is the CSV of LiteRT's benchmark_model (--enable_op_profiling=true --op_profiling_output_mode=csv) or the ETDump
    of an ExecuTorch runner.

    Example: edgekit operators profile.csv
    """
    from edgekit.measure.operators import read_profile

    document = read_profile(file)
    if as_json:
        click.echo(document.model_dump_json(by_alias=True, indent=2))
        return
    console().print(_table(document, each))
    runs = "1 run" if document.runs == 1 else f"{document.runs} runs"
    console().print(
        f"Mean of {runs} in {document.profiler}: {document.mean_ms:.3f} ms, profiler included: no latency of the model."
    )


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
        # The names are in brackets, which rich would take for its own.
        table.add_row(escape(operator), escape(second), f"{ms:.4f}", f"{ms / document.mean_ms:.1%}")

    for inside in (False, True):
        found = [one for one in document.operators if one.inside == inside]
        if each:
            for one in found:
                add(one.operator, one.name, one.mean_ms)
        else:
            types: dict[str, list[float]] = defaultdict(list)
            for one in found:
                types[one.operator].append(one.mean_ms)
            for operator, times in sorted(types.items(), key=lambda item: -sum(item[1])):
                add(operator, str(len(times)), sum(times))
        if not inside and document.profiler == "ExecuTorch":  # LiteRT's whole is the sum of its nodes
            add("(in no operator)", "", document.elsewhere_ms)
        if not inside and any(one.inside for one in document.operators):
            table.add_section()
            table.add_row("inside delegates:", "", "", "")
    return table
