"""edgekit weights."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from edgekit.weights.checkpoints import DownloadProgress


@click.group()
def command() -> None:
    """List, fetch and import checkpoints in the cache."""


@command.command("list")
def list_() -> None:
    """List the checkpoints in the cache: SHA-256, bytes, name."""
    from edgekit.weights.checkpoints import cached_checkpoints, weights_folder

    found = cached_checkpoints()
    for checkpoint in found:
        click.echo(f"{checkpoint.sha256}  {checkpoint.path.stat().st_size:>11,}  {checkpoint.name}")
    if not found:
        click.echo(f"No checkpoint in {weights_folder()}.", err=True)


@command.command("import")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--sha256", default="", help="The file's required hash, or its first digits.")
def import_(file: Path, sha256: str) -> None:
    """Copy a checkpoint into the cache. Recipes find it by its hash.

    Example: edgekit weights import mobilenet_v2-b0353104.pth --sha256 b0353104
    """
    from edgekit.weights.checkpoints import import_checkpoint

    click.echo(f"{import_checkpoint(file, sha256.lower()).sha256}  {file.name}")


@command.command()
@click.argument("source", type=click.Path(path_type=Path))
@click.option(
    "--key-map", required=True, metavar="NAME", help="The map of names: a file of edgekit/weights/importers/keymaps."
)
@click.option("--output", required=True, type=click.Path(path_type=Path), help="The .safetensors file to write.")
def convert(source: Path, key_map: str, output: Path) -> None:
    """Convert a TensorFlow graph (.pb) or a float TFLite file to a checkpoint in the cache.

    Example: edgekit weights convert frozen_inference_graph.pb --key-map object_detection_ssd_mobilenet_v2 --output
    ssd_mobilenet_v2_coco.safetensors
    """
    from edgekit.weights.checkpoints import import_checkpoint
    from edgekit.weights.importers import convert as convert_file

    convert_file(source, key_map, output)
    click.echo(f"{import_checkpoint(output).sha256}  {output.name}")


@command.command()
@click.argument("recipe")
def fetch(recipe: str) -> None:
    """Download a recipe's checkpoint into the cache, if it is missing. An interrupted download is resumed.

    A checkpoint that a recipe names as a file has no address: use `edgekit weights import` or `convert`.

    Example: edgekit weights fetch recipes/v2.yaml
    """
    from edgekit.errors import EdgekitError, FailureKind
    from edgekit.recipe.loading import load_recipe
    from edgekit.weights.checkpoints import resolve

    loaded = load_recipe(recipe)
    if loaded.weights.random is not None:
        click.echo(f"{loaded.name} has random weights (seed {loaded.weights.random}): there is nothing to fetch.")
        return
    with _progress() as progress:
        resolved = resolve(loaded.weights, progress)
    if resolved.checkpoint is None:
        raise EdgekitError(FailureKind.weights_missing, "weights", resolved.warning, retriable=True)
    click.echo(f"{resolved.checkpoint.sha256}  {resolved.checkpoint.name}")


@contextmanager
def _progress() -> Iterator[DownloadProgress | None]:
    """Yield a progress bar for a download on standard error; None without a terminal."""
    if not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TimeRemainingColumn, TransferSpeedColumn

    columns = (BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as shown:
        bar = shown.add_task("download", total=None, visible=False)
        yield lambda done, total: shown.update(bar, completed=done, total=total, visible=True)
