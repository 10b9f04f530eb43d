"""The first half of the way: recipe -> model -> artifacts, each recorded when it is done."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from edgekit.backends.base import Artifact
from edgekit.build.compile import Built, build_targets
from edgekit.build.parity import explain
from edgekit.build.prepare import Prepared, prepare_cached
from edgekit.errors import EdgekitError, failure_of
from edgekit.pipeline.plan import Plan, Progress
from edgekit.pipeline.remaining import Remaining
from edgekit.pipeline.run import Run
from edgekit.pipeline.turns import compiling
from edgekit.weights.checkpoints import Resolved, resolve


@dataclass(frozen=True)
class Ready:
    """An artifact within parity, with its id in the ledger and the plan and model that it came from."""

    id: int
    artifact: Artifact
    plan: Plan
    prepared: Prepared


def prepare_model(plan: Plan, progress: Progress, logs: Path) -> tuple[Resolved, Prepared]:
    """Return the plan's weights and its model, ready to be compiled; EdgekitError if either is unavailable."""
    resolved = resolve(plan.recipe.weights)
    if resolved.warning:
        progress(f"warning: {resolved.warning}")
    with compiling(progress):
        prepared = prepare_cached(plan.recipe, resolved, plan.photos, logs)
    resolved = replace(resolved, part=prepared.checkpoint_part)
    for warning in prepared.warnings:
        progress(f"warning: {warning}")
    counted = f"{prepared.parameters:,} parameters, {prepared.multiply_adds:,} multiply-adds"
    contract = "as its recipe expects" if prepared.contract == "met" else "no contract for this variant"
    progress(f"{plan.recipe.name} {plan.recipe.model.variant}: {counted} ({contract}); weights {resolved.label}")
    return resolved, prepared


def build_artifacts(plan: Plan, progress: Progress, logs: Path) -> tuple[Prepared, list[Built]]:
    """Prepare the model and build every target of the plan; EdgekitError if the model fails."""
    resolved, prepared = prepare_model(plan, progress, logs)
    return prepared, list(_build(plan, resolved, prepared, progress, logs, Remaining(len(plan.targets))))


def build_artifact(plan: Plan, progress: Progress, logs: Path) -> tuple[Prepared, Artifact]:
    """Prepare the model and build the plan's one target; EdgekitError if either fails."""
    prepared, (built,) = build_artifacts(plan, progress, logs)
    if built.failure:
        raise EdgekitError(**vars(built.failure))
    assert built.artifact
    return prepared, built.artifact


def build(run: Run, plan: Plan, remaining: Remaining) -> list[Ready]:
    """Build and record all artifacts. Return those within parity, in the order of the plan's targets."""
    ready: list[Ready] = []
    if not plan.targets:
        return ready
    try:
        resolved, prepared = prepare_model(plan, run.progress, run.logs)
    except Exception as error:  # noqa: BLE001  (one failed recipe never ends a sweep)
        failure = failure_of(error, "model")
        remaining.give_up(len(plan.targets))
        run.fail(failure, plan)
        run.progress(failure.line(plan.recipe.name))
        return []
    for built in _build(plan, resolved, prepared, run.progress, run.logs, remaining):
        manifest = built.artifact.manifest if built.artifact else None
        id = run.ledger.record_artifact(run.id, manifest.model_dump(mode="json")) if manifest else 0
        if built.failure:
            run.fail(built.failure, plan, str(built.target), artifact_sha256=manifest.sha256 if manifest else None)
        elif built.artifact:
            ready.append(Ready(id, built.artifact, plan, prepared))
    return sorted(ready, key=lambda built: plan.targets.index(built.artifact.target))


def _build(
    plan: Plan, resolved: Resolved, prepared: Prepared, progress: Progress, logs: Path, remaining: Remaining
) -> Iterator[Built]:
    with compiling(progress):
        remaining.begin()
        for built in build_targets(plan.recipe, resolved, prepared, plan.targets, logs, plan.jobs):
            name, state = f"{plan.recipe.name} {built.target}", remaining.step(costs=not built.cached)
            progress(built.failure.line(name) if built.failure else f"{name}: {_describe_artifact(built)} {state}")
            yield built


def _describe_artifact(built: Built) -> str:
    assert built.artifact
    manifest = built.artifact.manifest
    how = "from the cache" if built.cached else f"compiled in {manifest.compile_seconds:.0f} s"
    delegation = manifest.delegation
    parts = f", {delegation.partitions} delegate{'s' if delegation.partitions != 1 else ''}" if delegation else ""
    parity = f"parity ({manifest.parity.kind}): {explain(manifest.parity)}"
    unknown = manifest.parity.layers_unknown
    layers = f"; its layers were not compared: {unknown}" if unknown else ""
    return f"{how}, {manifest.size_bytes / 1e6:.1f} MB{parts}; {parity}{layers}"
