"""The runs of commands. Each function returns the id of its run; results and failures are in the ledger."""

from __future__ import annotations

import secrets
from collections.abc import Container, Sequence
from dataclasses import replace
from itertools import product

from edgekit.devices.base import Device, opened
from edgekit.devices.profile import DeviceProfile, readdressed
from edgekit.devices.remote import RemoteDevice
from edgekit.errors import EdgekitError, FailureKind, UsageError, failure_of
from edgekit.ledger import Ledger
from edgekit.ledger.records import FailureRecord
from edgekit.pipeline.building import Ready, build
from edgekit.pipeline.measuring import Timing, measure, provide_runners
from edgekit.pipeline.plan import Plan, Progress, Sweep
from edgekit.pipeline.remaining import Remaining
from edgekit.pipeline.run import Run, begun, ending, is_elsewhere, mark_dead_runs, this_process, under_way
from edgekit.pipeline.turns import timing
from edgekit.target import Target

Cell = tuple[str, str, str, str | None]
"""Recipe, variant, target, device name (None: not yet on a device)."""
TOGETHER = 24
"""Artifacts that take turns. An interruption loses the sessions of all of them."""


def start_run(command: str, sweep: Sweep, ledger: Ledger, progress: Progress, seed: int | None = None) -> str:
    """Compile and verify everything, then time every plan on every device. A failed cell does not end the run.

    `command` is its name in the ledger (``compile``, ``deploy``, ``profile``). A sweep without devices times nothing.
    `seed` is for the order of measurement; None draws one.
    """
    protocol = sweep.protocol.model_dump() if sweep.protocol else {}
    drawn = secrets.randbits(32) if seed is None else seed
    with begun(ledger, command, sweep.written(), protocol, drawn, progress) as run:
        _go(run, sweep, set())
    return run.id


def resume_run(
    command: str, ledger: Ledger, progress: Progress, id: str | None, device_overrides: tuple[str, ...] = ()
) -> str:
    """Resume a run of `command`: ``deploy``, ``profile`` or ``compile``; the newest if `id` is None.

    Only missing cells and retriable failures are done. Devices are reached at their addresses of today, by
    :func:`edgekit.devices.profile.readdressed`, and must be those that the run began with.
    With its `id`, an unfinished run of another machine is taken over.
    UsageError for a run that does not exist, is of another command, or still runs elsewhere.
    """
    mark_dead_runs(ledger, progress)
    known = {run.id: run for run in ledger.runs() if run.command == command}
    if not known:
        raise UsageError(f"The ledger holds no run of `{command}` to go on with.", f"Start one: edgekit {command} ...")
    if id is not None and id not in known:
        message = f"The ledger holds no run {id} of `{command}` to go on with."
        raise UsageError(message, f"Newest: {', '.join(list(known)[:5])}.")
    found = known[id or next(iter(known))]
    gone = found.plan.get("process") if id is not None and is_elsewhere(found) else None
    if found.status == "running" and gone is None:
        raise under_way(found)
    sweep = _reached_today(Sweep.read(found.plan), device_overrides)
    progress(
        f"resuming run {found.id} of {found.started_at:%Y-%m-%d %H:%M} UTC, which is {found.status}: {_described(sweep)}"
    )
    if not ledger.restart_run(found.id, {**found.plan, "process": this_process()}, gone):
        raise under_way(next(run for run in ledger.runs() if run.id == found.id))
    run = Run(found.id, ledger, progress, found.seed)
    with ending(run, command):
        _go(run, sweep, _settled(sweep, ledger, found.id))
    return run.id


def _reached_today(sweep: Sweep, overrides: tuple[str, ...]) -> Sweep:
    """Return the sweep with the addresses of today. UsageError if `overrides` could mean several devices."""
    if overrides and len(sweep.profiles) != 1:
        names = ", ".join(profile.name for profile in sweep.profiles) or "none"
        hint = "Give the address by the environment, or in the profile: EDGEKIT_NAME_HOST."
        raise UsageError(f"--device-option is for one device, and that run has: {names}.", hint)
    return replace(sweep, profiles=tuple(readdressed(profile, overrides) for profile in sweep.profiles))


def _check_same(run: Run, device: Device) -> None:
    """EdgekitError (``unsupported_device``) if the run began on another device of this name."""
    identity, name = device.identify(), device.profile.name
    if run.ledger.identify_device(run.id, name, identity.hash) != identity.hash:
        now = f"{identity.model}, {identity.os_build}"
        message = (
            f"{name} is not the device that run {run.id} began with, or its system was updated since. It is now: {now}."
        )
        hint = "Reach the first device (--device-option), or start a new run."
        raise EdgekitError(FailureKind.unsupported_device, "reach", message, hint, retriable=True)


def _described(sweep: Sweep) -> str:
    """Return what a run was asked to do, in a few words."""
    recipes, devices = [plan.recipe.name for plan in sweep.plans], [profile.name for profile in sweep.profiles]
    what = recipes[0] if len(recipes) == 1 else f"{len(recipes)} recipes"
    return f"{what} on {', '.join(devices)}" if devices else f"{what}, compiled only"


def _go(run: Run, sweep: Sweep, settled: set[Cell]) -> None:
    """Build the artifacts of all open cells, then time them on each device. Recipes take turns as far as :data:`TOGETHER`."""
    _look_for(sweep.profiles, run.progress)
    for name, failure in sweep.unreadable.items():
        run.ledger.record_failure(run.id, failure, recipe=name, variant="")
        run.progress(failure.line(name))
    plans = [_open_part(plan, sweep, settled) for plan in sweep.plans]
    compilations = Remaining(sum(len(plan.targets) for plan in plans))
    ready = [built for plan in plans for built in build(run, plan, compilations)]
    if sweep.protocol is None:
        return
    groups = [
        (profile, group)
        for profile in sweep.profiles
        for group in _together([_timings(run, profile, plan, ready, settled) for plan in sweep.plans])
    ]
    remaining = Remaining(sweep.protocol.sessions * sum(len(own) for _, own in groups))
    for profile, own in groups:
        _time(run, profile, own, sweep, remaining)


def _timings(
    run: Run, profile: DeviceProfile, plan: Plan, ready: Sequence[Ready], settled: Container[Cell]
) -> list[Timing]:
    """Return the open timings of a recipe on a device. Report its artifacts that are not timed there."""
    found: list[Timing] = []
    for built in (built for built in ready if built.plan.recipe == plan.recipe):
        timings = profile.timings(built.artifact.target)
        if not timings:
            name = f"{plan.recipe.name} {built.artifact.target}"
            run.progress(f"{name}: compiled only; {profile.why_not(built.artifact.target)}")
        found += [Timing(built, target, tool) for target, tool in timings.items()]
    recipe = (plan.recipe.name, plan.recipe.model.variant)
    return [cell for cell in found if (*recipe, cell.target, profile.name) not in settled]


def _together(recipes: Sequence[Sequence[Timing]]) -> list[list[Timing]]:
    """Return groups of whole recipes that take turns, each of :data:`TOGETHER` timings at most if a recipe has no more."""
    groups: list[list[Timing]] = []
    for own in (own for own in recipes if own):
        if groups and len(groups[-1]) + len(own) <= TOGETHER:
            groups[-1] += own
        else:
            groups.append(list(own))
    return groups


def _look_for(profiles: Sequence[DeviceProfile], progress: Progress) -> None:
    """Report how devices are reached. Report unreachable ones and missing runners early: the user can act meanwhile."""
    for profile in profiles:
        try:
            with opened(profile) as device:
                if isinstance(device, RemoteDevice):
                    progress(f"{profile.name}: {device.identify().model} over {device.link.where}")
                provide_runners(device, progress)
        except Exception as error:  # noqa: BLE001  (if one device fails, the others are still measured)
            progress(
                f"warning: {failure_of(error, 'reach').line(profile.name)} edgekit tries again after all compilations."
            )


def _time(run: Run, profile: DeviceProfile, timings: Sequence[Timing], sweep: Sweep, remaining: Remaining) -> None:
    """Time artifacts on a locked device. If it cannot be reached or prepared, all of them fail."""
    protocol = sweep.protocol
    assert protocol
    try:
        with opened(profile) as device, timing(device, run.progress):
            _check_same(run, device)
            measure(run, device, timings, protocol, remaining, sweep.repeat_marked, sweep.profile_operators)
    except Exception as error:
        failure = failure_of(error, "measure")
        if failure.stage == "ledger":
            raise
        remaining.give_up(protocol.sessions * len(timings))
        done = _measured(run.ledger, run.id)
        for cell in timings:
            recipe, manifest = cell.ready.plan.recipe, cell.ready.artifact.manifest
            if (recipe.name, recipe.model.variant, cell.target, profile.name) not in done:
                run.fail(failure, cell.ready.plan, cell.target, profile.name, manifest.sha256)
        run.progress(failure.line(profile.name))


def _open_part(plan: Plan, sweep: Sweep, settled: set[Cell]) -> Plan:
    """Return the plan with the targets that still have something to do."""
    recipe = (plan.recipe.name, plan.recipe.model.variant)

    def is_open(target: Target) -> bool:
        return any((*recipe, *cell) not in settled for cell in sweep.cells(target) or {(str(target), None)})

    targets = tuple(target for target in plan.targets if is_open(target))
    return Plan(plan.recipe, targets, plan.photos)


def _measured(ledger: Ledger, run_id: str) -> set[Cell]:
    """Return the cells of a run that are measured.

    Devices have the names that the run knows them by: in the ledger, a later run may have given them another.
    """
    names: dict[str, set[str]] = {}
    for name, identity in ledger.identities(run_id).items():
        names.setdefault(identity, set()).add(name)
    return {
        (found.recipe, found.variant, found.target, name)
        for found in ledger.measurements(run_id)
        for name in names.get(found.device_id, {found.device_name})
    }


def _settled(sweep: Sweep, ledger: Ledger, run_id: str) -> set[Cell]:
    """Return the cells of a run that need nothing more: measured, failed for good, or compiled with nowhere to run.

    A failure without a target (a contract) settles all of its recipe, one without a device (a compilation) all devices.
    """
    cells = _measured(ledger, run_id)
    cells |= {(a.recipe, a.variant, a.target, None) for a in ledger.artifacts(run_id)}
    final = [failure for failure in ledger.failures(run_id, latest=True) if not failure.failure.retriable]
    for plan, failure in product(sweep.plans, final):
        recipe, variant = plan.recipe.name, plan.recipe.model.variant
        if (failure.recipe, failure.variant) != (recipe, variant):
            continue
        for target in plan.targets:
            own = sweep.cells(target) | {(str(target), None)}
            cells |= {(recipe, variant, *cell) for cell in own if _concerns(failure, str(target), *cell)}
    return cells


def _concerns(failure: FailureRecord, compiled_for: str, timed_as: str, device: str | None) -> bool:
    """Return whether a failure leaves nothing to do for an artifact as it is timed on a device (None: not yet on one)."""
    if failure.device is None:
        return failure.target in {None, compiled_for}
    return failure.device == device and failure.target in {None, timed_as}
