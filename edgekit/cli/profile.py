"""edgekit profile."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from edgekit.cli.options import (
    Once,
    json_option,
    ledger_option,
    note_own_code,
    open_recipe,
    parts,
    photos_option,
    resume_option,
    seed_option,
    strict_option,
    targets_option,
    tell,
)
from edgekit.cli.printing import print_run

if TYPE_CHECKING:
    from edgekit.devices.profile import DeviceProfile
    from edgekit.pipeline import Sweep


@click.command()
@click.option("--all", "every", is_flag=True, help="Every recipe x target x reachable device.")
@click.option("--recipes", cls=Once, metavar="R,R", help="Only these recipes.")
@targets_option
@click.option(
    "--devices",
    "--device",
    cls=Once,
    metavar="D,D",
    help="Only these devices; one that is unreachable is then a failure.",
)
@click.option(
    "--sweep", "swept", is_flag=True, help="Every variant of the `sweep` that a recipe has, not only its own."
)
@click.option("--protocol", cls=Once, metavar="NAME", help="1t-big, quick or emulated; default: 1t-big.")
@seed_option
@resume_option
@strict_option
@photos_option
@ledger_option
@json_option
def command(
    every: bool,
    recipes: str | None,
    targets: str | None,
    devices: str | None,
    swept: bool,
    protocol: str | None,
    seed: int | None,
    resume: str | None,
    strict: bool,
    photos: Path | None,
    ledger: str | None,
    as_json: bool,
) -> int:
    """Measure every recipe on every device, in one run that can be interrupted and resumed.

    Example: edgekit profile --all --protocol quick
    """
    from edgekit.errors import UsageError
    from edgekit.ledger import Ledger
    from edgekit.pipeline import resume_run, start_run

    if resume is None and not (every or recipes or devices or targets):
        raise UsageError(
            "Say what to profile.", "Everything: --all; a part: --recipes, --targets, --devices; or --resume."
        )
    choices = (every, recipes, targets, devices, swept, protocol, photos, seed is not None)
    if resume is not None and any(choices):
        raise UsageError("--resume goes on with what its run had planned.", "Leave the other choices out.")
    with Ledger.open(ledger, must_exist=resume is not None) as opened:
        if resume is not None:
            run = resume_run("profile", opened, tell, resume or None)
        else:
            sweep = _sweep(recipes, swept, targets, devices, protocol or "1t-big", photos)
            run = start_run("profile", sweep, opened, tell, seed)
        return print_run(opened, run, f"run {run}", as_json, strict)


def _sweep(
    recipes: str | None, swept: bool, targets: str | None, devices: str | None, protocol: str, photos: Path | None
) -> Sweep:
    from edgekit.build.photos import photo_set
    from edgekit.pipeline import Sweep
    from edgekit.protocol import protocol_named
    from edgekit.recipe.loading import load_known

    chosen = protocol_named(protocol)
    named = parts(recipes)
    loaded, unreadable = ([open_recipe(name) for name in named], {}) if named else load_known()
    if not named:
        note_own_code(loaded)
    built = [variant for recipe in loaded for variant in (recipe.variants() if swept else (recipe,))]
    return Sweep.of(built, parts(targets), _profiles(parts(devices)), chosen, photo_set(photos), photos, unreadable)


def _profiles(named: list[str]) -> tuple[DeviceProfile, ...]:
    """Return the profiles named, or of all known ones those that can be reached now, one a device; the others are told of.

    A phone that two profiles reach is measured under that which asks for its model.
    """
    from edgekit.devices.base import opened
    from edgekit.devices.profile import known_profiles, load_profile
    from edgekit.errors import EdgekitError, UsageError, failure_of

    if named:
        return tuple(load_profile(name) for name in named)
    profiles: list[DeviceProfile] = []
    reachable: dict[str, DeviceProfile] = {}
    for name, file in sorted(known_profiles().items()):
        try:
            profiles.append(load_profile(str(file)))
        except EdgekitError as error:
            tell(error.failure.line(f"{name}: skipped"))
    for profile in sorted(profiles, key=lambda one: one.model is None):
        try:
            with opened(profile) as device:
                kept = reachable.setdefault(device.identify().hash, profile)
        except Exception as error:  # noqa: BLE001  (whatever befalls one device, the others are measured)
            tell(failure_of(error, "reach").line(f"{profile.name}: skipped"))
        else:
            if kept is not profile:
                tell(f"{profile.name}: skipped: it is the device of {kept.name}")
    if not reachable:
        raise UsageError("No device can be reached.", "See: edgekit devices")
    return tuple(reachable.values())
