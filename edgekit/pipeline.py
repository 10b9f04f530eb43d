"""The way of the data in one place: recipe -> model -> artifact -> device -> measurement -> ledger."""

from __future__ import annotations

import os
import secrets
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from edgekit.backends.base import Artifact, backend_of
from edgekit.backends.build import Built, build_targets
from edgekit.backends.parity import explain
from edgekit.devices.base import Device, open_device
from edgekit.devices.profile import DeviceProfile
from edgekit.errors import EdgekitError, Failure, FailureKind, UsageError
from edgekit.ledger import Ledger
from edgekit.measure.protocol import Protocol
from edgekit.measure.session import Session, Subject, run_interleaved
from edgekit.measure.statistics import summarise
from edgekit.measure.verdict import judge
from edgekit.models.prepare import Prepared, prepare_cached
from edgekit.models.weights import Resolved, resolve
from edgekit.photos import PhotoSet
from edgekit.places import cache_folder
from edgekit.recipe import Recipe
from edgekit.target import Target

Tell = Callable[[str], None]
"""Takes one line of progress for a person."""


@dataclass(frozen=True)
class Plan:
    """What a run is asked to do."""

    recipe: Recipe
    targets: tuple[Target, ...]
    photos: PhotoSet
    jobs: int

    @staticmethod
    def of(recipe: Recipe, targets: Sequence[str], photos: PhotoSet) -> Plan:
        """Check the targets; UsageError for one that nothing compiles. No target: the model alone."""
        parsed = tuple(dict.fromkeys(_parse_target(target) for target in targets))
        for target in parsed:
            backend_of(target)
        return Plan(recipe, parsed, photos, jobs=len(os.sched_getaffinity(0)))


def compile_run(plan: Plan, ledger: Ledger, tell: Tell) -> str:
    """Compile and verify, time nothing. Returns the id of the run in the ledger, where its failures are too."""
    with _run(ledger, "compile", plan, {}, 0, tell) as run:
        _build(run, plan, ledger, tell)
    return run


def deploy_run(
    plan: Plan, profile: DeviceProfile, protocol: Protocol, ledger: Ledger, tell: Tell, seed: int | None
) -> str:
    """Compile, verify, push, time and record. Returns the id of the run in the ledger, where its failures are too."""
    seed = secrets.randbits(32) if seed is None else seed
    with _run(ledger, "deploy", plan, protocol.model_dump(), seed, tell, profile.name) as run:
        prepared, built = _build(run, plan, ledger, tell)
        verified = [(id, one.artifact) for id, one in built if one.artifact and not one.failure]
        artifacts = [(id, artifact) for id, artifact in verified if artifact.target.backend in profile.runs]
        for _, artifact in verified:
            if artifact.target.backend not in profile.runs:
                tell(f"{artifact.target}: compiled only; {profile.name} runs {', '.join(profile.runs)}")
        if not artifacts or prepared is None:
            return run
        try:
            device = open_device(profile)
        except EdgekitError as error:
            for _, artifact in artifacts:
                _fail(run, ledger, plan, error.failure, artifact, profile.name)
            tell(_told(profile.name, error.failure))
            return run
        try:
            _measure(run, device, artifacts, prepared, plan, protocol, ledger, tell, seed)
        finally:
            device.release()
    return run


def prepare_model(plan: Plan, tell: Tell, logs: Path) -> tuple[Resolved, Prepared]:
    """Return the plan's weights and its model, ready to be compiled; EdgekitError where they cannot be had."""
    resolved = resolve(plan.recipe.weights)
    if resolved.warning:
        tell(f"warning: {resolved.warning}")
    prepared = prepare_cached(plan.recipe, resolved, plan.photos, logs)
    counted = f"{prepared.parameters:,} parameters, {prepared.multiply_adds:,} multiply-adds"
    contract = "as its recipe expects" if prepared.contract == "met" else "no contract for this variant"
    tell(f"{plan.recipe.name} {plan.recipe.model.variant}: {counted} ({contract}); weights {resolved.label}")
    return resolved, prepared


def build_artifacts(plan: Plan, tell: Tell, logs: Path) -> tuple[Prepared, list[Built]]:
    """Prepare the model and build every target of the plan; EdgekitError where the model itself cannot be had."""
    resolved, prepared = prepare_model(plan, tell, logs)
    built = []
    for one in build_targets(plan.recipe, resolved, prepared, plan.targets, logs, plan.jobs):
        tell(_told_built(one))
        built.append(one)
    return prepared, built


def _parse_target(text: str) -> Target:
    try:
        return Target.parse(text)
    except ValueError as error:
        raise UsageError(f"{error}.") from error


@contextmanager
def _run(
    ledger: Ledger, command: str, plan: Plan, protocol: dict[str, Any], seed: int, tell: Tell, device: str | None = None
) -> Iterator[str]:
    written = {"recipe": plan.recipe.name, "recipe_hash": plan.recipe.hash, "targets": [str(t) for t in plan.targets]}
    run = ledger.begin_run(command, seed, protocol, {**written, "device": device})
    try:
        yield run
    except KeyboardInterrupt:
        ledger.finish_run(run, "interrupted")
        tell(f"Interrupted: the sessions that were done are in the ledger, run {run}.")
        raise
    except EdgekitError as error:
        # Only the ledger itself ends a run early; whatever else fails has been recorded where it did.
        _fail(run, ledger, plan, error.failure)
        ledger.finish_run(run, "failed")
        raise
    except Exception as error:
        failure = Failure(
            FailureKind.internal, command, f"{type(error).__name__}: {error}", "Report it: this is a bug in edgekit."
        )
        _fail(run, ledger, plan, failure)
        ledger.finish_run(run, "failed")
        raise
    ledger.finish_run(run, "failed" if ledger.failures(run) else "done")


def _fail(
    run: str, ledger: Ledger, plan: Plan, failure: Failure, artifact: Artifact | None = None, device: str | None = None
) -> None:
    ledger.record_failure(
        run,
        failure,
        recipe=plan.recipe.name,
        variant=plan.recipe.model.variant,
        target=artifact.manifest.target if artifact else None,
        device=device,
        artifact_sha256=artifact.manifest.sha256 if artifact else None,
    )


def _build(run: str, plan: Plan, ledger: Ledger, tell: Tell) -> tuple[Prepared | None, list[tuple[int, Built]]]:
    """Build, and record what comes of it as it comes: artifacts with their ids in the ledger, and failures."""
    logs, recorded = cache_folder() / "logs" / run, []
    try:
        resolved, prepared = prepare_model(plan, tell, logs)
    except EdgekitError as error:
        _fail(run, ledger, plan, error.failure)
        tell(_told(plan.recipe.name, error.failure))
        return None, []
    for one in build_targets(plan.recipe, resolved, prepared, plan.targets, logs, plan.jobs):
        tell(_told_built(one))
        if one.artifact:
            recorded.append((ledger.record_artifact(run, one.artifact.manifest.model_dump(mode="json")), one))
        if one.failure:
            ledger.record_failure(
                run,
                one.failure,
                recipe=plan.recipe.name,
                variant=plan.recipe.model.variant,
                target=str(one.target),
                artifact_sha256=one.artifact.manifest.sha256 if one.artifact else None,
            )
    return prepared, sorted(recorded, key=lambda pair: plan.targets.index(pair[1].target))


def _measure(
    run: str,
    device: Device,
    artifacts: list[tuple[int, Artifact]],
    prepared: Prepared,
    plan: Plan,
    protocol: Protocol,
    ledger: Ledger,
    tell: Tell,
    seed: int,
) -> None:
    identity, before = device.identify(), device.state()
    described = {"model": identity.model, "os_build": identity.os_build, **identity.facts}
    ledger.record_device(identity.hash, device.profile.name, described)
    ids = [
        ledger.begin_measurement(id, identity.hash, artifact.manifest.target, protocol.model_dump())
        for id, artifact in artifacts
    ]
    sessions: list[list[Session]] = [[] for _ in artifacts]
    failed: set[int] = set()

    def on_session(index: int, block: int, session: Session) -> None:
        ledger.add_session(
            ids[index],
            block,
            load_ns=session.load_ns,
            first_ns=session.first_ns,
            samples=session.samples,
            environment=session.environment,
            started_at=session.started_at,
        )
        sessions[index].append(session)
        name, median = artifacts[index][1].manifest.target, float(np.median(session.samples)) / 1e6
        tell(f"{name}: session {block + 1} of {protocol.sessions}: {median:.2f} ms, {len(session.samples)} runs")

    def on_failure(index: int, failure: Failure) -> None:
        failed.add(index)
        artifact = artifacts[index][1]
        _fail(run, ledger, plan, failure, artifact, device.profile.name)
        tell(_told(artifact.manifest.target, failure))

    with tempfile.TemporaryDirectory(prefix="edgekit-") as folder:
        subjects = [_push(device, artifact, prepared, Path(folder)) for _, artifact in artifacts]
        run_interleaved(device, subjects, protocol, seed, on_session, on_failure)
    after = device.state()
    for index, (_, artifact) in enumerate(artifacts):
        if index not in failed:
            _finish(ids[index], sessions[index], artifact, {**described, "before": before, "after": after}, ledger)


def _push(device: Device, artifact: Artifact, prepared: Prepared, folder: Path) -> Subject:
    """Bring the artifact and one real photo, in its layout, to the device."""
    spec = artifact.manifest.inputs[0]
    image = np.load(prepared.folder / "parity.npy")[:1]
    if spec.layout == "NHWC":
        image = image.transpose(0, 2, 3, 1)
    file = folder / f"{spec.layout}.bin"
    np.ascontiguousarray(image).tofile(file)
    return Subject(artifact.manifest.target, device.push(artifact.path), device.push(file))


def _finish(id: int, sessions: list[Session], artifact: Artifact, device: dict[str, Any], ledger: Ledger) -> None:
    summary = summarise(
        [session.samples for session in sessions],
        [session.load_ns for session in sessions],
        [session.first_ns for session in sessions],
    )
    judgement = judge(summary)
    # What differs between sessions stays with the sessions; conditions are what all of them shared.
    shared = {
        key: value
        for key, value in sessions[0].environment.items()
        if all(session.environment.get(key) == value for session in sessions)
    }
    conditions = {
        **device,
        **shared,
        "delegate": artifact.target.delegate,
        "edgekit": version("edgekit"),
        "tools": artifact.manifest.tools,
        "artifact_sha256": artifact.manifest.sha256,
        "recorded_at": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    ledger.finish_measurement(
        id,
        verdict=judgement.verdict,
        evidence=judgement.evidence,
        summary=summary.model_dump(),
        conditions=conditions,
    )


def _told_built(built: Built) -> str:
    if built.failure or not built.artifact:
        return _told(str(built.target), built.failure) if built.failure else str(built.target)
    manifest = built.artifact.manifest
    how = "from the cache" if built.cached else f"compiled in {manifest.compile_seconds:.0f} s"
    delegation = manifest.delegation
    parts = f", {delegation.partitions} delegate{'s' if delegation.partitions != 1 else ''}" if delegation else ""
    parity = f"parity ({manifest.parity.kind}): {explain(manifest.parity)}"
    return f"{built.target}: {how}, {manifest.size_bytes / 1e6:.1f} MB{parts}; {parity}"


def _told(subject: str, failure: Failure) -> str:
    hint = f" {failure.hint}" if failure.hint else ""
    return f"{subject}: {failure.kind.label}: {failure.message}{hint}"
