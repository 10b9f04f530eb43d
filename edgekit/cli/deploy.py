"""edgekit deploy."""

from __future__ import annotations

from pathlib import Path

import click

from edgekit.cli.live import live_progress
from edgekit.cli.options import (
    Once,
    build_options,
    device_set_option,
    plan_of,
    profile_operators_option,
    protocol_option,
    repeat_option,
    resume_option,
    scope_option,
    seed_option,
    strict_option,
)
from edgekit.cli.printing import print_run


@click.command()
@build_options
@click.option("--device", cls=Once, metavar="NAME", help="Device profile, e.g. host; default: that of your settings.")
@resume_option
@device_set_option
@protocol_option
@scope_option
@repeat_option
@profile_operators_option
@seed_option
@strict_option
def command(
    recipes: tuple[str, ...],
    inputs: tuple[str, ...],
    weights: str | None,
    overrides: tuple[str, ...],
    targets: tuple[str, ...],
    photos: Path | None,
    ledger: str | None,
    as_json: bool,
    device: str | None,
    resume: str | None,
    device_overrides: tuple[str, ...],
    protocol: str | None,
    scope: str,
    repeat_marked: int | None,
    profile_operators: bool,
    seed: int | None,
    strict: bool,
) -> int:
    """Build recipes, verify them, time them on a device and print the table.

    Several recipes take turns in the same blocks, and are compared block by block.
    A RECIPE may also be your own network: FILE.py:FUNCTION, package.module:FUNCTION, or FILE.pt2.

    Example: edgekit deploy v2 v3_small --device host --protocol quick
    """
    from edgekit.config.settings import settings
    from edgekit.devices.profile import load_profile
    from edgekit.errors import UsageError
    from edgekit.ledger import Ledger
    from edgekit.pipeline import Sweep, resume_run, start_run
    from edgekit.protocol import protocol_named, scoped

    if resume is not None:
        choices = (
            recipes,
            device,
            overrides,
            targets,
            inputs,
            weights,
            photos,
            protocol,
            scope != "inference",
            repeat_marked is not None,
            profile_operators,
            seed is not None,
        )
        if any(choices):
            raise UsageError(
                "--resume continues the plan of its run.", "Omit the other options, except --device-option."
            )
        with Ledger.open(ledger, must_exist=True) as opened:
            with live_progress() as progress:
                run = resume_run("deploy", opened, progress, resume or None, device_overrides)
            return print_run(opened, run, f"run {run}", as_json, strict)
    if not recipes:
        raise UsageError("Name a recipe, or use --resume.", "For example: edgekit deploy recipes/v2.yaml --device host")
    device = device or settings().device
    if device is None:
        raise UsageError(
            "Name a device.", 'For example: --device host. To set a default, write to your settings: device = "host"'
        )
    profile = load_profile(device, device_overrides)
    if len(recipes) > 1 and (inputs or weights):
        option = "--input" if inputs else "--weights"
        raise UsageError(f"{option} is for one network of your own.", "Deploy it alone, or write a recipe for each.")
    plans = tuple(plan_of(recipe, overrides, targets, photos, inputs, weights, (profile,)) for recipe in recipes)
    chosen = scoped(protocol_named(protocol or profile.protocol), scope)
    with Ledger.open(ledger) as opened:
        with live_progress() as progress:
            sweep = Sweep(
                plans,
                (profile,),
                chosen,
                photos,
                repeat_marked=repeat_marked or 0,
                profile_operators=profile_operators,
            )
            run = start_run("deploy", sweep, opened, progress, seed)
        names = ", ".join(plan.recipe.name for plan in plans)
        return print_run(opened, run, f"{names} on {profile.name}, protocol {chosen.name}", as_json, strict)
