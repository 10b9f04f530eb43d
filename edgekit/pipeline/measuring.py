"""The second half of the way: artifact -> device -> measurement -> ledger."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekit.architectures.inputs import Inputs
from edgekit.backends.base import Manifest, by_name, in_layout
from edgekit.build.parity import compare, explain
from edgekit.cache.store import temporary_folder
from edgekit.devices.base import DescribesRunner, Device, RunsNatively
from edgekit.devices.profile import Tool
from edgekit.errors import EdgekitError, Failure, FailureKind
from edgekit.measure.deciding import Goal
from edgekit.measure.own_runner import OwnRunner
from edgekit.measure.session import Builds, Interleaved, Program, Session, Subject
from edgekit.measure.tools import tool_program
from edgekit.pipeline.building import Ready
from edgekit.pipeline.load_pass import cold_loads
from edgekit.pipeline.plan import Progress
from edgekit.pipeline.recording import Recorded, Recorder
from edgekit.pipeline.remaining import Remaining
from edgekit.pipeline.run import Run
from edgekit.pipeline.stopping import Stopping
from edgekit.protocol import Protocol
from edgekit.recipe.limits import ParityLimits
from edgekit.runners import split_outputs, write_inputs
from edgekit.runners.bundle import RUNNERS, bundle_for
from edgekit.target import Target


@dataclass(frozen=True)
class Timing:
    """An artifact that is timed as `target`: its own, by edgekit's own runner, or a tool's."""

    ready: Ready
    target: str
    tool: Tool | None

    @property
    def name(self) -> str:
        """For people."""
        return f"{self.ready.artifact.manifest.recipe} {self.target}"

    @property
    def full_name(self) -> str:
        """For people, and different for every timing of a run on a device."""
        manifest = self.ready.artifact.manifest
        return f"{manifest.recipe} {manifest.variant} {self.target}"


def measure(
    run: Run,
    device: Device,
    timings: Sequence[Timing],
    protocol: Protocol,
    remaining: Remaining,
    repeat_marked: int = 0,
    until: Goal | None = None,
) -> None:
    """Time artifacts on a device in turns, and record sessions, results and failures as they come.

    Blocks are added until what `until` asks is decided, or its time ends. Then at most `repeat_marked` blocks that were
    disturbed are repeated. A failure that is not the device's ends only its own
    cell. EdgekitError if the device is lost before the first session.
    """
    device.prepare()
    identity, before = device.identify(), device.state()
    described = {"model": identity.model, "os_build": identity.os_build, **identity.facts}
    if device.profile.published:
        described["published_as"] = device.profile.published
    run.ledger.record_device(identity.hash, device.profile.name, described)
    measurements = [
        Recorded(run.ledger.begin_measurement(timing.ready.id, identity.hash, timing.target, protocol.model_dump()))
        for timing in timings
    ]

    def session_came(index: int, block: int, session: Session) -> None:
        count = f"session {block + 1} of {protocol.sessions}" if block < protocol.sessions else f"session {block + 1}"
        run.progress(f"{timings[index].name}: {count}: {session.centre:.2f} ms, {session.runs} runs {remaining.step()}")

    def failed(index: int, failure: Failure) -> None:
        remaining.give_up(max(0, protocol.sessions - len(measurements[index].sessions)))
        ready, target = timings[index].ready, timings[index].target
        run.fail(failure, ready.plan, target, device.profile.name, ready.artifact.manifest.sha256)
        run.progress(failure.line(timings[index].name))

    parities: dict[int, dict[str, float] | None] = {}
    with temporary_folder() as folder:
        subjects: dict[int, Subject] = {}

        def compare(index: int) -> None:
            parities[index] = _compare(device, subjects[index], timings[index].ready, Path(folder))

        recorder = Recorder(run.ledger, measurements, compare, session_came, failed)
        for index, timing in enumerate(timings):
            try:
                subjects[index] = push(device, timing, Path(folder))
            except EdgekitError as error:
                recorder.on_failure(index, error.failure)
        remaining.begin()
        turns = Interleaved(device, subjects, protocol, run.seed, recorder)
        compared = dict(zip((timing.full_name for timing in timings), measurements, strict=True))
        stopping = Stopping(until, compared) if until else None
        turns.run()
        if stopping:
            stopping.extend(turns, remaining, run.progress)
        repeated: Counter[int] = Counter()
        while repeated.total() < repeat_marked and (marked := recorder.marked_blocks()):
            block = min(marked, key=lambda number: (repeated[number], number))
            repeated[block] += 1
            run.progress(f"{device.profile.name}: block {block + 1} was disturbed and is repeated")
            remaining.give_up(-len(turns.alive))
            turns.block(block)
        cold = {index: cold_loads(device, subjects[index], protocol) for index in turns.alive if protocol.cold_loads}
    # Blocks have numbers, but only those of one call of this function were the same blocks.
    shared = min((one.id for one in measurements), default=0)
    conditions = {**described, "before": before, "after": _state_after(device), "shared_blocks": shared}
    for index, timing in enumerate(timings):
        if index not in recorder.gone:
            facts = {**conditions, "parity_on_device": parities[index]}
            if stopping:
                facts["stopping"] = stopping.conditions(timing.full_name)
            if index in cold:
                facts["cold_load"] = cold[index]
            recorder.finish(index, protocol, timing.target, timing.ready.artifact.manifest, facts)


def _state_after(device: Device) -> dict[str, Any]:
    """Return the device's state; of a device that was lost at the very end nothing is known."""
    try:
        return device.state()
    except EdgekitError as error:
        return {"unknown": error.failure.message}


def _compare(device: Device, subject: Subject, ready: Ready, folder: Path) -> dict[str, float] | None:
    """Compare the device's output with PyTorch's for the same photo, under the recipe's limits.

    None if the program is a tool without outputs. EdgekitError (``parity``) if they differ: a fast wrong model is a failure.
    """
    manifest = ready.artifact.manifest
    names, parts = [spec.name for spec in manifest.outputs], []
    for remote in subject.program.outputs(subject.output, len(manifest.outputs)):
        device.pull(remote, folder / "output.bin")
        parts.append(subject.program.values(folder / "output.bin", names))
    if not parts:
        return None
    with np.load(ready.prepared.folder / "reference.npz") as saved:
        reference = {name: array[:1] for name, array in saved.items()}
    where = (subject.name, device.profile.name)
    return check_outputs(np.concatenate(parts), reference, manifest, ready.plan.recipe.parity, where)


def check_outputs(
    values: NDArray[np.float32],
    reference: Mapping[str, NDArray[np.float32]],
    manifest: Manifest,
    limits: ParityLimits,
    where: tuple[str, str],
) -> dict[str, float]:
    """Compare a device's outputs for one example, as its runner wrote them, with PyTorch's `reference`.

    `where` are the names of the target and of the device. EdgekitError: ``crashed`` if there are too few or too many values,
    ``parity`` if they differ by more than the recipe's limits.
    """
    name, device_name = where
    if values.size != (expected := sum(math.prod(spec.shape) for spec in manifest.outputs)):
        message = f"{name} wrote {values.size} values on {device_name} instead of {expected}."
        raise EdgekitError(FailureKind.crashed, "measure", message)
    outputs = by_name(manifest.outputs, split_outputs(values, 1, [list(spec.shape) for spec in manifest.outputs]))
    # One photo shows the noise; the decisions were judged on all photos when the artifact was built.
    precision = Target.parse(manifest.target).precision
    found = compare(reference, outputs, precision, limits, kind="measured", trained=manifest.trained)
    if not found.passed:
        message = f"{name} computes something else on {device_name} than PyTorch: {explain(found)}."
        hint = "On this machine it was within its limits: suspect the runtime's build, or the device."
        raise EdgekitError(FailureKind.parity, "measure", message, hint)
    return {"max_absolute": found.max_absolute, "max_relative": found.max_relative, "snr_db": found.snr_db}


def push(device: Device, timing: Timing, folder: Path) -> Subject:
    """Bring the artifact, one example in its layout (by way of `folder`), and what times it to the device."""
    artifact = timing.ready.artifact
    # Recipes of one run take turns, and most have the same targets.
    name = f"{artifact.manifest.build_key[:12]}-{timing.target.replace('/', '-')}"
    file = folder / f"{name}-input.bin"
    write_inputs(
        in_layout(Inputs.load(timing.ready.prepared.folder / "parity.npz")[:1], artifact.manifest.inputs), file
    )
    output = device.scratch(f"{name}.bin")
    if timing.tool is None:
        program: Program = own_runner(device, artifact.target.backend)
    else:
        program = tool_program(device, timing.tool, artifact.manifest.inputs)
    subject = Subject(timing.target, program, device.push(artifact.path), device.push(file), output)
    if isinstance(program, Builds):
        program.build(device, subject)
    return subject


def provide_runners(device: Device, progress: Progress) -> None:
    """Find, fetch or build the native runners that a device needs, and report what that takes.

    EdgekitError if they cannot be had.
    """
    machine = device.native_machine() if isinstance(device, RunsNatively) else None
    if machine and set(RUNNERS) & set(device.profile.backends):
        bundle_for(machine, progress)


def own_runner(device: Device, backend: str) -> OwnRunner:
    """Bring edgekit's own runner for a backend to the device."""
    command = device.runner(backend)
    facts = device.runner_facts(backend) if isinstance(device, DescribesRunner) else {}
    return OwnRunner(command, device.profile.emulated, facts)
