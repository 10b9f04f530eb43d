"""edgekit deploy."""

from __future__ import annotations

from pathlib import Path

import click

from edgekit.cli.options import Once, build_options, device_set_option, plan_of, seed_option, strict_option, tell
from edgekit.cli.printing import print_run


@click.command()
@build_options
@click.option("--device", cls=Once, required=True, metavar="NAME", help="Device profile, e.g. host.")
@device_set_option
@click.option("--protocol", cls=Once, metavar="NAME", help="1t-big, quick or emulated; default: the device profile's.")
@seed_option
@strict_option
def command(
    recipe: str,
    inputs: tuple[str, ...],
    weights: str | None,
    overrides: tuple[str, ...],
    targets: str | None,
    photos: Path | None,
    ledger: str | None,
    as_json: bool,
    device: str,
    device_overrides: tuple[str, ...],
    protocol: str | None,
    seed: int | None,
    strict: bool,
) -> int:
    """Build a recipe, verify it, time it on a device and print the table.

    RECIPE may be a network of your own: FILE.py:FUNCTION, package.module:FUNCTION, or FILE.pt2.

    Example: edgekit deploy recipes/v3_large.yaml --device host --protocol quick
    """
    from edgekit.devices.profile import load_profile
    from edgekit.ledger import Ledger
    from edgekit.pipeline import Sweep, start_run
    from edgekit.protocol import protocol_named

    plan, profile = plan_of(recipe, overrides, targets, photos, inputs, weights), load_profile(device, device_overrides)
    chosen = protocol_named(protocol or profile.protocol)
    with Ledger.open(ledger) as opened:
        run = start_run("deploy", Sweep((plan,), (profile,), chosen, photos), opened, tell, seed)
        return print_run(opened, run, f"{plan.recipe.name} on {profile.name}, protocol {chosen.name}", as_json, strict)
