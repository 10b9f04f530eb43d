"""An artifact beside PyTorch, also one that did not pass: as a whole, and layer by layer."""

from __future__ import annotations

from dataclasses import dataclass

from edgekit.backends.base import ParityResult, backend_of
from edgekit.build.jobs import CompareLayersJob
from edgekit.build.layer_parity import LayerParity
from edgekit.build.worker import Workers
from edgekit.config.paths import cache_folder
from edgekit.errors import EdgekitError
from edgekit.pipeline.building import build_artifacts
from edgekit.pipeline.plan import Plan, Progress
from edgekit.target import Target


@dataclass(frozen=True)
class Compared:
    """The result for a target, and its layers if they were asked for."""

    target: Target
    parity: ParityResult
    layers: tuple[LayerParity, ...] = ()


def compare_artifact(plan: Plan, by_layer: bool, progress: Progress) -> Compared:
    """Build the plan's one target and compare it; EdgekitError if the build or the comparison of layers fails."""
    logs = cache_folder() / "logs" / "parity"
    prepared, (built,) = build_artifacts(plan, progress, logs)
    if built.artifact is None:
        assert built.failure
        raise EdgekitError(**vars(built.failure))
    parity = built.artifact.manifest.parity
    if not by_layer:
        return Compared(built.target, parity)
    job = CompareLayersJob(
        recipe=plan.recipe, prepared=prepared.folder, target=str(built.target), artifact=built.artifact.path
    )
    with Workers() as workers:
        modules = (*backend_of(built.target).modules, "edgekit.build.compile")
        found = workers.call(job, logs / "layers.log", modules=modules)
    return Compared(built.target, parity, tuple(LayerParity(**layer) for layer in found))
