"""What the commands run. Each returns the id of its run in the ledger, where its results and its failures are."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from itertools import product

from edgekit.devices.base import opened
from edgekit.devices.profile import DeviceProfile
from edgekit.errors import EdgekitError, FailureKind, UsageError
from edgekit.ledger import Ledger
from edgekit.measure.protocol import Protocol
from edgekit.pipeline.building import Ready, build, told
from edgekit.pipeline.measuring import measure
from edgekit.pipeline.plan import Plan, Sweep, Tell
from edgekit.pipeline.remaining import Remaining
from edgekit.pipeline.run import Run, begun, ending, mark_dead_runs, this_process
from edgekit.pipeline.turns import timing

Cell = tuple[str, str, str, str | None]
"""Recipe, variant, target, device name (None: not yet on a device)."""


def start_run(command: str, sweep: Sweep, ledger: Ledger, tell: Tell, seed: int | None = None) -> str:
    """Compile and verify everything, then time everything: every plan on every device. One failed cell never ends it.

    `command` is what the ledger calls it (``compile``, ``deploy``, ``profile``); a sweep without devices times nothing. `seed` is
    that of the order of measurement, drawn where it is None.
    """
    protocol = sweep.protocol.model_dump() if sweep.protocol else {}
    drawn = secrets.randbits(32) if seed is None else seed
    with begun(ledger, command, sweep.written(), protocol, drawn, tell) as run:
        _go(run, sweep, set())
    return run.id


def resume_run(command: str, ledger: Ledger, tell: Tell, id: str | None) -> str:
    """Go on with a run of `command`, ``profile`` or ``compile`` (the newest where `id` is None).

    Only what is missing or failed in a retriable way is done. UsageError for a run that is not there, is of another command, or
    is still under way elsewhere.
    """
    mark_dead_runs(ledger, tell)
    known = [run for run in ledger.runs() if run.command == command and id in {None, run.id}]
    if not known:
        what = f"no run {id} of `{command}`" if id else f"no run of `{command}`"
        raise UsageError(f"The ledger holds {what} to go on with.", f"Start one: edgekit {command} --all")
    found = known[0]
    if found.status == "running":
        raise UsageError(
            f"Run {found.id} is under way in process {found.plan['process']['pid']}.", "Wait for it, or end it."
        )
    sweep = Sweep.read(found.plan)
    ledger.restart_run(found.id, {**found.plan, "process": this_process()})
    run = Run(found.id, ledger, tell, found.seed)
    with ending(run, command):
        _go(run, sweep, _settled(sweep, ledger, found.id))
    return run.id


def _go(run: Run, sweep: Sweep, settled: set[Cell]) -> None:
    """Build what is needed for the cells that are not settled, then time them, recipe by recipe on each device."""
    for name, failure in sweep.unreadable.items():
        run.ledger.record_failure(run.id, failure, recipe=name, variant="")
        run.tell(told(name, failure))
    plans = [_open_part(plan, sweep, settled) for plan in sweep.plans]
    compilations = Remaining(sum(len(plan.targets) for plan in plans))
    ready = [one for plan in plans for one in build(run, plan, compilations)]
    groups: list[tuple[DeviceProfile, list[Ready]]] = []
    for profile in sweep.profiles:
        for plan in sweep.plans:
            own = [one for one in ready if one.plan.recipe == plan.recipe and _cell(one, profile) not in settled]
            for one in own:
                if one.artifact.target.backend not in profile.runs:
                    run.tell(
                        f"{plan.recipe.name} {one.artifact.target}: compiled only; {profile.name} runs {', '.join(profile.runs)}"
                    )
            groups.append((profile, [one for one in own if one.artifact.target.backend in profile.runs]))
    if sweep.protocol is None:
        return
    remaining = Remaining(sweep.protocol.sessions * sum(len(own) for _, own in groups))
    for profile, own in groups:
        if own:
            _time(run, profile, own, sweep.protocol, remaining)


def _time(run: Run, profile: DeviceProfile, ready: Sequence[Ready], protocol: Protocol, remaining: Remaining) -> None:
    """Time artifacts on a device that nobody else uses meanwhile; a device that cannot be reached or prepared fails them all."""
    try:
        with opened(profile) as device, timing(device, run.tell):
            measure(run, device, ready, protocol, remaining)
    except EdgekitError as error:
        if error.failure.kind is FailureKind.ledger:
            raise
        remaining.give_up(protocol.sessions * len(ready))
        for one in ready:
            manifest = one.artifact.manifest
            run.fail(error.failure, one.plan, manifest.target, profile.name, manifest.sha256)
        run.tell(told(profile.name, error.failure))


def _open_part(plan: Plan, sweep: Sweep, settled: set[Cell]) -> Plan:
    """Return the plan with the targets that still have something to do."""
    recipe = (plan.recipe.name, plan.recipe.model.variant)

    def is_open(target: str, backend: str) -> bool:
        devices: list[str | None] = [profile.name for profile in sweep.profiles if backend in profile.runs]
        return any((*recipe, target, device) not in settled for device in devices or [None])

    targets = tuple(target for target in plan.targets if is_open(str(target), target.backend))
    return Plan(plan.recipe, targets, plan.photos)


def _settled(sweep: Sweep, ledger: Ledger, run_id: str) -> set[Cell]:
    """Return the cells of a run that need nothing more: measured, failed for good, or compiled with nowhere to run.

    A failure without a target (a contract) settles all of its recipe, one without a device (a compilation) all devices.
    """
    cells: set[Cell] = {(m.recipe, m.variant, m.target, m.device_name) for m in ledger.measurements(run_id)}
    cells |= {(a.recipe, a.variant, a.target, None) for a in ledger.artifacts(run_id)}
    final = [failure for failure in ledger.failures(run_id, latest=True) if not failure.failure.retriable]
    for plan, device in product(sweep.plans, (None, *(profile.name for profile in sweep.profiles))):
        recipe, variant = plan.recipe.name, plan.recipe.model.variant
        cells |= {
            (recipe, variant, str(target), device)
            for target in plan.targets
            for failure in final
            if (failure.recipe, failure.variant) == (recipe, variant)
            and failure.target in {None, str(target)}
            and failure.device in {None, device}
        }
    return cells


def _cell(ready: Ready, profile: DeviceProfile) -> Cell:
    manifest = ready.artifact.manifest
    return (manifest.recipe, manifest.variant, manifest.target, profile.name)
