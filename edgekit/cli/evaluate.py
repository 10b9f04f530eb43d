"""edgekit evaluate."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from edgekit.cli.live import live_progress
from edgekit.cli.options import (
    Once,
    console,
    device_set_option,
    json_option,
    ledger_option,
    one_target,
    open_recipe,
    photos_option,
    print_progress,
    recipe_argument,
    set_option,
    target_option,
)

if TYPE_CHECKING:
    from edgekit.evaluation.datasets import Format

FORMATS = ("folders", "csv", "imagenet", "coco", "masks")


@click.command()
@recipe_argument
@target_option
@click.option(
    "--data",
    cls=Once,
    required=True,
    type=click.Path(path_type=Path),
    metavar="PATH",
    help="Labelled photos: a folder, a CSV file or COCO's JSON. The format is detected.",
)
@click.option("--format", "format", cls=Once, type=click.Choice(FORMATS), help="Read the data in this format.")
@click.option(
    "--images",
    cls=Once,
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="The photos of COCO's JSON if they are not beside it.",
)
@click.option("--limit", cls=Once, type=click.IntRange(min=1), metavar="N", help="A random subset of N photos.")
@click.option("--seed", type=click.IntRange(0, 2**63 - 1), default=0, show_default=True, help="Seed of the subset.")
@click.option(
    "--against",
    default="pytorch",
    show_default=True,
    metavar="T",
    help="The baseline on the same photos: pytorch, another target, or none.",
)
@click.option("--device", cls=Once, metavar="NAME", help="Run the artifact on this device, with its runner.")
@click.option("--jobs", cls=Once, type=click.IntRange(min=1), metavar="N", help="Processes; default: one for each CPU.")
@set_option
@device_set_option
@photos_option
@ledger_option
@json_option
def command(
    recipe: str,
    target: str,
    data: Path,
    format: Format | None,
    images: Path | None,
    limit: int | None,
    seed: int,
    against: str,
    device: str | None,
    jobs: int | None,
    overrides: tuple[str, ...],
    device_overrides: tuple[str, ...],
    photos: Path | None,
    ledger: str | None,
    as_json: bool,
) -> int:
    """Measure the accuracy of an artifact on labelled photos, and its loss against PyTorch.

    Photos that cannot be read are listed and do not count: the exit code is 1. To resume an interrupted evaluation, start it
    again.

    Example: edgekit evaluate recipes/v2.yaml --target tflite/xnnpack/int8 --data photos.csv
    """
    from edgekit.build.photos import photo_set
    from edgekit.build.worker import usable_cpus
    from edgekit.devices.profile import load_profile
    from edgekit.errors import ExitCode
    from edgekit.evaluation.evaluate import NOTHING, PYTORCH, Request, evaluate
    from edgekit.evaluation.formats import load_dataset
    from edgekit.ledger import Ledger
    from edgekit.report.evaluation import evaluation_report
    from edgekit.report.terminal import terminal

    loaded, found = open_recipe(recipe, overrides), load_dataset(data, format, images)
    print_progress(f"{data}: {found.description}")
    request = Request(
        recipe=loaded,
        target=one_target(loaded, target),
        dataset=found.sample(limit, seed),
        available=len(found.examples),
        seed=seed,
        jobs=jobs or usable_cpus(),
        photos=photo_set(photos),
        against=against if against in {PYTORCH, NOTHING} else one_target(loaded, against),
        device=load_profile(device, device_overrides) if device else None,
    )
    with Ledger.open(ledger) as opened, live_progress() as progress:
        document = evaluate(request, opened, progress)
    if as_json:
        click.echo(document.model_dump_json(by_alias=True, indent=2))
    else:
        screen = console()
        screen.print(terminal(evaluation_report(document), screen.width, "--json"), crop=False)
    return ExitCode.done if document.complete else ExitCode.failure
