"""edgekit quantize."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from edgekit.cli.evaluate import FORMATS
from edgekit.cli.live import live_progress
from edgekit.cli.options import (
    Finite,
    Once,
    console,
    json_option,
    ledger_option,
    one_target,
    photos_option,
    recipe_argument,
)

if TYPE_CHECKING:
    from rich.table import Table

    from edgekit.evaluation.datasets import Format
    from edgekit.search.float_layers import QuantizeDocument


@click.command()
@recipe_argument
@click.option(
    "--target", default="tflite/xnnpack/int8", show_default=True, metavar="T", help="The int8 target to judge."
)
@click.option(
    "--max-drop",
    type=Finite(0, 100),
    default=0.5,
    show_default=True,
    help="The largest loss of int8: points of accuracy with --data, else percent of the clear decisions.",
)
@click.option(
    "--data",
    cls=Once,
    type=click.Path(path_type=Path),
    metavar="PATH",
    help="Labelled photos, as in `evaluate`; default: agreement with PyTorch on the parity images.",
)
@click.option("--format", "format", cls=Once, type=click.Choice(FORMATS), help="Read the data in this format.")
@click.option("--limit", cls=Once, type=click.IntRange(min=1), metavar="N", help="A random subset of N photos.")
@click.option(
    "--output",
    cls=Once,
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Write the recipe to this new file; default: into the recipe itself.",
)
@click.option("--dry-run", is_flag=True, help="Write nothing.")
@photos_option
@ledger_option
@json_option
def command(
    recipe: str,
    target: str,
    max_drop: float,
    data: Path | None,
    format: Format | None,
    limit: int | None,
    output: Path | None,
    dry_run: bool,
    photos: Path | None,
    ledger: str | None,
    as_json: bool,
) -> int:
    """Find the layers that int8 must keep in float, and write them to the recipe.

    A scan orders the layers by their sensitivity. Artifacts with 0, 1, 2, 4, ... of them in float are built, judged and
    timed on this machine, until the loss is at most --max-drop. The exit code is 1 if no artifact achieves that.

    Example: edgekit quantize recipes/v2.yaml --data photos.csv --max-drop 0.5
    """
    from edgekit.build.photos import photo_set
    from edgekit.build.worker import usable_cpus
    from edgekit.errors import ExitCode, UsageError
    from edgekit.evaluation.formats import load_dataset
    from edgekit.ledger import Ledger
    from edgekit.recipe.files import destination, write_float_layers
    from edgekit.recipe.loading import load_recipe
    from edgekit.search.float_layers import Request, quantize

    if data is None and (format or limit):
        raise UsageError("--format and --limit are for --data.", "Name labelled photos: --data PATH.")
    loaded, (source, file) = load_recipe(recipe), destination(recipe, output)
    found = load_dataset(data, format) if data else None
    request = Request(
        recipe=loaded,
        target=one_target(loaded, target),
        max_drop=max_drop,
        photos=photo_set(photos),
        jobs=usable_cpus(),
        dataset=found.sample(limit, 0) if found else None,
        available=len(found.examples) if found else 0,
    )
    with Ledger.open(ledger) as opened, live_progress() as progress:
        document = quantize(request, opened, progress)
    if document.chosen and file and not dry_run:
        write_float_layers(source, document.chosen, file)
        document.written = str(file)
    if as_json:
        click.echo(document.model_dump_json(by_alias=True, indent=2))
    else:
        console().print(_table(document))
        for line in conclusion(document):
            click.echo(line)
    return ExitCode.failure if document.chosen is None else ExitCode.done


def _table(document: QuantizeDocument) -> Table:
    from rich.table import Table

    from edgekit.evaluation.metrics import format_estimate

    table = Table(title=f"{document.recipe} {document.variant} {document.target}", title_justify="left")
    columns = ("layers in float", "MB", "ms on this machine [range]", "SNR dB", f"{document.judged_by} % [95 %]")
    for column in (*columns, "drop [95 %]"):
        table.add_column(column, justify="right")
    table.add_column("")
    for row in document.curve:
        times = (row.latency_ms, *(row.latency_range_ms or ()))
        latency = "failed" if row.latency_ms is None else "{:.2f} [{:.2f}, {:.2f}]".format(*times)
        quality, drop = (format_estimate(value) if value else "-" for value in (row.quality, row.drop))
        note = "kept" if row.kept else "" if row.within_parity else "outside parity"
        size = f"{row.size_bytes / 1e6:.2f}"
        table.add_row(str(row.float_layers), size, latency, f"{row.snr_db:.1f}", quality, drop, note)
    return table


def conclusion(document: QuantizeDocument) -> list[str]:
    """Return the lines under the table: the judge, the choice, and the written file."""
    what = "clear decisions on the parity images" if document.judged_by == "agreement" else "labelled photos"
    lines = [f"Judged by {document.judged_by} on {document.judged} {what}. Timed with protocol {document.protocol}."]
    last = document.curve[-1].drop
    if last and last.interval and last.value <= document.max_drop < last.interval[1]:
        lines.append(
            f"The true loss may be up to {last.interval[1]:.1f}: more labelled photos (--data) give a better estimate."
        )
    if document.chosen is None:
        lines.append(f"No artifact loses at most {document.max_drop:g}. Nothing was written.")
    elif not document.chosen:
        lines.append(f"int8 loses at most {document.max_drop:g} without float layers. Nothing was written.")
    else:
        lines += ["quantization:", "  float_layers:", *(f"    - {name}" for name in document.chosen)]
        written = f"written: {document.written}" if document.written else "Nothing was written: use --output FILE."
        lines.append(written)
    return lines
