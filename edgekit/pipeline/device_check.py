"""A check of a device in small steps, end to end, which shows the first failure."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Generator, Set
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from edgekit.backends.base import backends
from edgekit.build.photos import photo_set
from edgekit.cache.store import temporary_folder
from edgekit.config.paths import shipped
from edgekit.devices.base import Device, opened
from edgekit.devices.profile import DeviceProfile
from edgekit.errors import EdgekitError, Failure, FailureKind
from edgekit.ledger import Ledger
from edgekit.pipeline.measuring import provide_runners
from edgekit.pipeline.plan import Plan, Progress, Sweep
from edgekit.pipeline.runs import start_run
from edgekit.pipeline.turns import timing
from edgekit.protocol import PROTOCOLS
from edgekit.recipe.loading import load_recipe
from edgekit.target import Target

TINY = ("v1", ("model.width=0.25", "model.depth=0.1", "model.resolution=64", "weights={random: 0}"))
PROBE = b"edgekit\n" * 1024
CANNOT = {FailureKind.unsupported_device, FailureKind.unsupported_target}
"""The kinds of failures that show a missing ability of the device, not a temporary problem."""


@dataclass(frozen=True)
class Step:
    """One step: `do` returns its finding, or raises EdgekitError.

    If the kind of the error is in `skipped`, the next step can still be tried.
    """

    name: str
    do: Callable[[], str]
    skipped: Set[FailureKind] = frozenset()


def check_device(profile: DeviceProfile, progress: Progress) -> Generator[Step]:
    """Yield the steps; each needs the previous ones. Close the generator if one fails, to release the device.

    The device is locked for other processes.
    """
    yield Step("reach", lambda: _reach(profile))
    with opened(profile) as device, timing(device, progress):
        yield Step("state", lambda: ", ".join(f"{key} {value}" for key, value in device.state().items()))
        yield Step("files", lambda: _files(device))
        yield Step("programs", lambda: _program(device))
        runtimes = Runtimes()
        for backend in profile.backends:
            yield Step(f"{backend} runner", partial(runtimes.find, device, backend, progress), CANNOT)
    yield Step("measure a tiny model", lambda: _measure(profile, runtimes, progress))


@dataclass
class Runtimes:
    """Which of a profile's backends have a runner on the device, and why the others have none."""

    there: list[str] = field(default_factory=list)
    refused: list[Failure] = field(default_factory=list)

    def find(self, device: Device, backend: str, progress: Progress) -> str:
        """Return the command of the runner for a backend and note it; EdgekitError if there is none."""
        try:
            provide_runners(device, progress)
            command = device.runner(backend)
        except EdgekitError as error:
            self.refused.append(error.failure)
            raise
        self.there.append(backend)
        return shlex.join(command)


def _reach(profile: DeviceProfile) -> str:
    with opened(profile) as device:
        identity = device.identify()
    return f"{identity.model}, {identity.os_build}, {identity.facts.get('machine', 'unknown')}"


def _files(device: Device) -> str:
    with temporary_folder() as folder:
        there, back = Path(folder) / "probe.txt", Path(folder) / "back.txt"
        there.write_bytes(PROBE)
        device.pull(device.push(there), back)
        if back.read_bytes() != PROBE:
            raise EdgekitError(FailureKind.hash_mismatch, "pull", "A file that was pushed came back changed.")
    return f"{len(PROBE):,} bytes there and back"


def _program(device: Device) -> str:
    done = device.run(("sh", "-c", "echo out; echo err >&2; exit 7"), 30)
    if (done.exit_status, done.stdout.strip(), done.stderr.strip()) != (7, "out", "err"):
        raise EdgekitError(FailureKind.crashed, "run", f"A program's status or output was lost: {done}.")
    cpus = device.timing_cpus()
    return f"status and output come back; timing on CPU {', '.join(map(str, cpus)) or 'unknown'}"


def _measure(profile: DeviceProfile, runtimes: Runtimes, progress: Progress) -> str:
    runs = tuple(text for text in profile.runs if text.partition("/")[0] in runtimes.there)
    profile = profile.model_copy(update={"runs": runs})
    targets = _targets(profile)
    if not targets:
        raise _nothing_runs(profile, runtimes)
    name, settings = TINY
    recipe = load_recipe(str(shipped("recipes") / f"{name}.yaml"), settings)  # and none of the user's by that name
    sweep = Sweep((Plan.of(recipe, targets, photo_set()),), (profile,), PROTOCOLS["emulated"], None)
    with (
        temporary_folder() as folder,
        Ledger.open(f"sqlite:///{folder}/check.sqlite") as ledger,
    ):
        run = start_run("deploy", sweep, ledger, progress)
        if failures := ledger.failures(run):
            failure = failures[0].failure
            raise EdgekitError(failure.kind, failure.stage, failure.message, failure.hint)
        medians = [
            f"{measurement.target} {measurement.summary['median']:.2f} ms"
            for measurement in ledger.measurements(run)
            if measurement.summary
        ]
    return ", ".join(medians) + " (a quick look, not a measurement)"


def _targets(profile: DeviceProfile) -> list[str]:
    """Return the first target of each runner and of each tool of the device."""
    first: dict[str, Target] = {}
    for target in (target for backend in backends().values() for target in backend.targets):
        for timed_as in profile.timings(target):
            first.setdefault(timed_as.rpartition("/")[0], target)
    return [str(target) for target in dict.fromkeys(first.values())]


def _nothing_runs(profile: DeviceProfile, runtimes: Runtimes) -> EdgekitError:
    if not runtimes.refused:
        message = (
            f"{profile.name} names neither a runtime (`runs`) nor a tool (`tools`) that times what is compiled here."
        )
        return EdgekitError(FailureKind.usage, "check", message, "List the targets that it can run in the profile.")
    reason = runtimes.refused[0]
    message = f"None of the runtimes that {profile.name} names runs on this device: {reason.message}"
    return EdgekitError(FailureKind.unsupported_device, "check", message, reason.hint)
