"""The second half of the way: artifact -> device -> measurement -> ledger."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
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
from edgekit.ledger import Ledger
from edgekit.measure.own_runner import OwnRunner
from edgekit.measure.session import Builds, Program, Session, Subject, run_interleaved
from edgekit.measure.statistics import Summary, summarise, summarise_reported
from edgekit.measure.tools import tool_program
from edgekit.measure.verdict import judge
from edgekit.pipeline.building import Ready
from edgekit.pipeline.plan import Progress
from edgekit.pipeline.remaining import Remaining
from edgekit.pipeline.run import Run
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


def measure(run: Run, device: Device, timings: Sequence[Timing], protocol: Protocol, remaining: Remaining) -> None:
    """Time artifacts on a device in turns, and record sessions, results and failures as they come.

    A failure that is not the device's ends only its own cell. EdgekitError if the device is lost before the first session.
    """
    device.prepare()
    identity, before = device.identify(), device.state()
    described = {"model": identity.model, "os_build": identity.os_build, **identity.facts}
    if device.profile.published:
        described["published_as"] = device.profile.published
    run.ledger.record_device(identity.hash, device.profile.name, described)
    ids = [
        run.ledger.begin_measurement(timing.ready.id, identity.hash, timing.target, protocol.model_dump())
        for timing in timings
    ]
    sessions: list[list[Session]] = [[] for _ in timings]
    failed: set[int] = set()

    def on_session(index: int, block: int, session: Session) -> None:
        run.ledger.add_session(
            ids[index],
            block,
            load_ns=session.load_ns,
            first_ns=session.first_ns,
            samples=session.samples,
            environment={
                **session.environment,
                **({"told": session.reported.model_dump()} if session.reported else {}),
            },
            started_at=session.started_at,
        )
        sessions[index].append(session)
        count = f"session {block + 1} of {protocol.sessions}"
        run.progress(f"{timings[index].name}: {count}: {session.centre:.2f} ms, {session.runs} runs {remaining.step()}")

    def on_failure(index: int, failure: Failure) -> None:
        failed.add(index)
        remaining.give_up(protocol.sessions - len(sessions[index]))
        ready, target = timings[index].ready, timings[index].target
        run.fail(failure, ready.plan, target, device.profile.name, ready.artifact.manifest.sha256)
        run.progress(failure.line(timings[index].name))

    parities: dict[int, dict[str, float] | None] = {}
    with temporary_folder() as folder:
        subjects: dict[int, Subject] = {}
        for index, timing in enumerate(timings):
            try:
                subjects[index] = push(device, timing, Path(folder))
            except EdgekitError as error:
                on_failure(index, error.failure)

        def check(index: int) -> None:
            parities[index] = _compare(device, subjects[index], timings[index].ready, Path(folder))

        remaining.begin()
        run_interleaved(device, subjects, protocol, run.seed, check, on_session, on_failure)
    conditions = {**described, "before": before, "after": _state_after(device)}
    for index, timing in enumerate(timings):
        if index not in failed:
            on_device = {"parity_on_device": parities[index]}
            manifest, facts = timing.ready.artifact.manifest, {**conditions, **on_device}
            finish(run.ledger, ids[index], sessions[index], protocol, timing.target, manifest, facts)


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
    file = folder / f"{timing.target.replace('/', '-')}-input.bin"
    write_inputs(
        in_layout(Inputs.load(timing.ready.prepared.folder / "parity.npz")[:1], artifact.manifest.inputs), file
    )
    output = device.scratch(f"{timing.target.replace('/', '-')}.bin")
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


def _summarise(sessions: Sequence[Session], protocol: Protocol) -> Summary:
    loads, firsts = [session.load_ns for session in sessions], [session.first_ns for session in sessions]
    reported = [session.reported for session in sessions if session.reported is not None]
    return (
        summarise_reported(reported, loads, firsts)
        if reported
        else summarise([session.samples for session in sessions], loads, firsts, protocol.p90_rule)
    )


def finish(
    ledger: Ledger,
    id: int,
    sessions: Sequence[Session],
    protocol: Protocol,
    target: str,
    manifest: Manifest,
    facts: dict[str, Any],
    at: datetime | None = None,
) -> None:
    """Judge a measurement by its sessions, and record its result. `facts` of the device become conditions.

    `at` is when it ended; None means now.
    """
    summary = _summarise(sessions, protocol)
    judgement = judge(summary, [session.samples for session in sessions if session.reported is None])
    # What differs between sessions stays with the sessions; conditions are what all of them shared.
    shared = {
        key: value
        for key, value in sessions[0].environment.items()
        if all(session.environment.get(key) == value for session in sessions)
    }
    conditions = {
        **facts,
        **shared,
        "delegate": target.split("/")[1],
        "edgekit": version("edgekit"),
        "tools": manifest.tools,
        "artifact_sha256": manifest.sha256,
        "recorded_at": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    ledger.finish_measurement(
        id,
        verdict=judgement.verdict,
        evidence=judgement.evidence,
        summary=summary.model_dump(),
        conditions=conditions,
        at=at,
    )
