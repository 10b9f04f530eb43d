"""edgekit profile."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from edgekit.cli.live import live_progress
from edgekit.cli.options import (
    device_set_option,
    devices_option,
    json_option,
    ledger_option,
    note_own_code,
    open_recipe,
    parts_of_all,
    photos_option,
    print_progress,
    profile_operators_option,
    protocol_option,
    recipes_option,
    repeat_option,
    resume_option,
    scope_option,
    seed_option,
    set_option,
    strict_option,
    targets_option,
)
from edgekit.cli.printing import print_run

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from edgekit.devices.profile import DeviceProfile
    from edgekit.errors import Failure
    from edgekit.protocol import Protocol as MeasuringProtocol
    from edgekit.recipe.schema import Recipe


@click.command()
@click.option("--all", "every", is_flag=True, help="Every recipe x target x reachable device.")
@recipes_option
@set_option
@targets_option
@devices_option
@device_set_option
@click.option("--sweep", "swept", is_flag=True, help="Also every variant of a recipe's `sweep`.")
@protocol_option
@scope_option
@repeat_option
@profile_operators_option
@seed_option
@resume_option
@strict_option
@photos_option
@ledger_option
@json_option
def command(
    every: bool,
    recipes: tuple[str, ...],
    overrides: tuple[str, ...],
    targets: tuple[str, ...],
    devices: tuple[str, ...],
    device_overrides: tuple[str, ...],
    swept: bool,
    protocol: str | None,
    scope: str,
    repeat_marked: int | None,
    profile_operators: bool,
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
    from edgekit.build.photos import photo_set
    from edgekit.errors import UsageError
    from edgekit.ledger import Ledger
    from edgekit.pipeline import Sweep, resume_run, start_run
    from edgekit.protocol import protocol_named, scoped

    if resume is None and not (every or recipes or devices or targets):
        raise UsageError(
            "There is nothing to profile.", "Everything: --all; a part: --recipe, --target, --device; or --resume."
        )
    choices = (
        every,
        recipes,
        overrides,
        targets,
        devices,
        swept,
        protocol,
        photos,
        scope != "inference",
        repeat_marked is not None,
        profile_operators,
        seed is not None,
    )
    if resume is not None and any(choices):
        raise UsageError("--resume continues the plan of its run.", "Omit the other options, except --device-option.")
    with Ledger.open(ledger, must_exist=resume is not None) as opened:
        if resume is not None:
            with live_progress() as progress:
                run = resume_run("profile", opened, progress, resume or None, device_overrides)
        else:
            loaded, unreadable = _recipes(parts_of_all(recipes), overrides)
            built = [variant for recipe in loaded for variant in (recipe.variants() if swept else (recipe,))]
            profiles = _profiles(parts_of_all(devices), device_overrides)
            chosen = scoped(protocol_named(protocol) if protocol else _protocol_of(profiles), scope)
            names = parts_of_all(targets)
            sweep = Sweep.of(built, names, profiles, chosen, photo_set(photos), photos, unreadable)
            sweep = replace(sweep, repeat_marked=repeat_marked or 0, profile_operators=profile_operators)
            with live_progress() as progress:
                run = start_run("profile", sweep, opened, progress, seed)
        return print_run(opened, run, f"run {run}", as_json, strict)


def _recipes(named: list[str], overrides: tuple[str, ...]) -> tuple[list[Recipe], Mapping[str, Failure]]:
    """Return the recipes named, or all known ones and the failures of those that cannot be loaded."""
    from edgekit.recipe.loading import load_known

    if named:
        return [open_recipe(name, overrides) for name in named], {}
    loaded, unreadable = load_known(overrides)
    note_own_code(loaded)
    return loaded, unreadable


def _protocol_of(profiles: Sequence[DeviceProfile]) -> MeasuringProtocol:
    """Return the protocol of the devices' profiles, as `deploy` does; UsageError if they differ."""
    from edgekit.errors import UsageError
    from edgekit.protocol import protocol_named

    names = {profile.name: profile.protocol for profile in profiles}
    if len(set(names.values())) > 1:
        differing = ", ".join(f"{name}: {protocol}" for name, protocol in names.items())
        raise UsageError(
            f"The devices' profiles name different protocols ({differing}).", "Choose one: --protocol NAME"
        )
    return protocol_named(next(iter(names.values())))


def _profiles(named: list[str], overrides: tuple[str, ...]) -> tuple[DeviceProfile, ...]:
    """Return the named profiles, or all reachable ones, one per device. Skipped ones are reported.

    If two profiles reach a phone, the one that names its model is used.
    """
    from edgekit.devices.base import opened
    from edgekit.devices.profile import known_profiles, load_profile
    from edgekit.errors import EdgekitError, UsageError, failure_of

    if named:
        return tuple(load_profile(name, overrides) for name in named)
    if overrides:
        raise UsageError("--device-option changes one device's profile.", "Name it: --device NAME")
    profiles: list[DeviceProfile] = []
    reachable: dict[str, DeviceProfile] = {}
    for name, file in sorted(known_profiles().items()):
        try:
            profiles.append(load_profile(str(file)))
        except EdgekitError as error:
            print_progress(error.failure.line(f"{name}: skipped"))
    for profile in sorted(profiles, key=lambda profile: profile.model is None):
        try:
            with opened(profile) as device:
                kept = reachable.setdefault(device.identify().hash, profile)
        except Exception as error:  # noqa: BLE001  (if one device fails, the others are still measured)
            print_progress(failure_of(error, "reach").line(f"{profile.name}: skipped"))
        else:
            if kept is not profile:
                print_progress(f"{profile.name}: skipped: it is the device of {kept.name}")
    if not reachable:
        raise UsageError("No device is reachable.", "See: edgekit device list")
    return tuple(reachable.values())
