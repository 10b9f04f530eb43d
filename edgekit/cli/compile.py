"""edgekit compile."""

from __future__ import annotations

from pathlib import Path

import click

from edgekit.cli.options import build_options, plan_of, tell
from edgekit.cli.printing import print_run


@click.command()
@build_options
def command(
    recipe: str, overrides: tuple[str, ...], targets: str | None, photos: Path | None, ledger: str | None, as_json: bool
) -> int:
    """Compile a recipe and verify every artifact against PyTorch; no device.

    Example: edgekit compile recipes/v2.yaml --targets tflite/xnnpack/int8
    """
    from edgekit.ledger import Ledger
    from edgekit.pipeline import compile_run

    plan = plan_of(recipe, overrides, targets, photos)
    with Ledger.open(ledger) as opened:
        run = compile_run(plan, opened, tell)
        return print_run(opened, run, f"{plan.recipe.name}, compiled", as_json, strict=False)
