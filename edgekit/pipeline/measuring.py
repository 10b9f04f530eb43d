"""The second half of the way: artifact -> device -> measurement -> ledger."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from edgekit.architectures.inputs import Inputs
from edgekit.backends.base import in_layout
from edgekit.cache.store import temporary_folder
from edgekit.devices.base import DescribesRunner, Device, RunsNatively
from edgekit.devices.profile import Tool
from edgekit.errors import EdgekitError, Failure, FailureKind
from edgekit.measure.deciding import Goal
from edgekit.measure.own_runner import OwnRunner
from edgekit.measure.session import Builds, Interleaved, Program, Session, Subject
from edgekit.measure.tools import tool_program
from edgekit.pipeline.building import Ready
from edgekit.pipeline.end_to_end import compare_frame, with_frame
from edgekit.pipeline.extra_passes import extra_passes
from edgekit.pipeline.outputs import compare_on_device, compared_photos
from edgekit.pipeline.plan import Progress
from edgekit.pipeline.recording import Recorded, Recorder
from edgekit.pipeline.remaining import Remaining
from edgekit.pipeline.run import Run
from edgekit.pipeline.stopping import Stopping
from edgekit.protocol import Protocol
from edgekit.runners import write_inputs
from edgekit.runners.bundle import RUNNERS, bundle_for


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
    profile_operators: bool = False,
    until: Goal | None = None,
) -> None:
    """Time artifacts on a device in turns, and record sessions, results and failures as they come.

    At most `repeat_marked` blocks of the protocol that were disturbed are repeated. Then blocks are added until what `until`
    asks is decided, or its time ends. With `profile_operators`, every artifact's operators are profiled after the timing
    (:mod:`edgekit.pipeline.extra_passes`). A failure that is not the device's ends only its own cell.
    EdgekitError if the device is lost before the first session.
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
            parities[index] = compare_on_device(device, subjects[index], timings[index].ready, Path(folder))
            compare_frame(device, subjects[index], timings[index].ready, Path(folder))

        recorder = Recorder(run.ledger, measurements, compare, session_came, failed, protocol.sessions)
        for index, timing in enumerate(timings):
            try:
                subjects[index] = _subject(device, timing, protocol, Path(folder))
            except EdgekitError as error:
                recorder.on_failure(index, error.failure)
        remaining.begin()
        turns = Interleaved(device, subjects, protocol, run.seed, recorder)
        names = [timing.full_name for timing in timings]
        stopping = Stopping(until, dict(zip(names, measurements, strict=True))) if until else None
        turns.run()
        _repeat(turns, recorder, repeat_marked, run, remaining)  # before decisions, which are of what is kept
        if stopping:
            stopping.extend(turns, remaining, run.progress)
        after = _state_after(device)
        # Blocks have numbers, but only those of one call of this function were the same blocks.
        shared = min((one.id for one in measurements), default=0)
        conditions = {**described, "before": before, "after": after, "shared_blocks": shared}
        for index, timing in enumerate(timings):
            if index in recorder.gone:
                continue
            facts = {**conditions, "parity_on_device": parities[index]}
            if stopping:
                facts["stopping"] = stopping.conditions(names[index])
            if early := recorder.ended_early.get(index):
                facts["ended_early"] = early.message
                run.progress(f"{timing.name}: ends early: {early.message}")
            lost = after.get("unknown", "") or facts.get("ended_early", "")
            passes = partial(extra_passes, device, subjects[index], timing.ready, protocol, profile_operators)
            _finish(index, timing, recorder, protocol, facts, partial(passes, Path(folder), lost))


def _finish(
    index: int,
    timing: Timing,
    recorder: Recorder,
    protocol: Protocol,
    facts: dict[str, Any],
    passes: Callable[[], dict[str, Any]],
) -> None:
    """Find out what is beside the timing, and record a measurement; a pass may fail its cell."""
    try:
        facts |= passes()
    except EdgekitError as error:
        recorder.discard(index, error.failure)
    else:
        recorder.finish(index, protocol, timing.target, timing.ready.artifact.manifest, facts)


def _subject(device: Device, timing: Timing, protocol: Protocol, folder: Path) -> Subject:
    """Bring to the device all that a protocol needs. EdgekitError (``unsupported_target``) if it cannot be followed."""
    if timing.tool is not None and protocol.cores == "little":
        message = f"{timing.name} on {device.profile.name}: edgekit cannot pin a tool of yours to little cores."
        raise EdgekitError(FailureKind.unsupported_target, "push", message, "Choose a protocol with `cores: big`.")
    subject = push(device, timing, folder)
    return with_frame(device, subject, timing.ready, folder) if protocol.scope == "end-to-end" else subject


def _repeat(turns: Interleaved, recorder: Recorder, most: int, run: Run, remaining: Remaining) -> None:
    """Repeat at most so many blocks that were disturbed, those first that were repeated least."""
    repeated: Counter[int] = Counter()
    while repeated.total() < most and (marked := recorder.marked_blocks()):
        block = min(marked, key=lambda number: (repeated[number], number))
        repeated[block] += 1
        run.progress(f"{turns.device.profile.name}: block {block + 1} was disturbed and is repeated")
        remaining.give_up(-len(turns.alive))
        turns.block(block)


def _state_after(device: Device) -> dict[str, Any]:
    """Return the device's state; of a device that was lost at the very end nothing is known."""
    try:
        return device.state()
    except EdgekitError as error:
        return {"unknown": error.failure.message}


def push(device: Device, timing: Timing, folder: Path) -> Subject:
    """Bring the artifact, examples in its layout (by way of `folder`), and what times it to the device."""
    artifact, prepared = timing.ready.artifact, timing.ready.prepared
    photos = compared_photos(prepared)
    saved = in_layout(Inputs.load(prepared.folder / "parity.npz"), artifact.manifest.inputs)
    # Recipes of one run take turns, and most have the same targets.
    own = f"{artifact.manifest.build_key[:12]}-{timing.target.replace('/', '-')}"
    files = [folder / f"{own}-{name}.bin" for name in ("input", "examples")]
    for file, places in zip(files, (photos[:1], photos), strict=True):
        write_inputs([array[places] for array in saved], file)
    output = device.scratch(f"{own}.bin")
    if timing.tool is None:
        program: Program = own_runner(device, artifact.target.backend)
        examples = device.push(files[1])
    else:
        program, examples = tool_program(device, timing.tool, artifact.manifest.inputs), ""
    subject = Subject(timing.target, program, device.push(artifact.path), device.push(files[0]), output, examples)
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
