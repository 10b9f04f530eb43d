"""One photo through a model or one of its artifacts."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.special import softmax

from edgekit.backends.base import Artifact
from edgekit.build.jobs import CompiledArtifact, PredictJob
from edgekit.build.photos import open_photo, preprocess
from edgekit.build.prepare import Prepared
from edgekit.build.worker import Workers
from edgekit.cache.store import in_use, temporary_folder
from edgekit.config.paths import cache_folder
from edgekit.errors import UsageError
from edgekit.evaluation.class_names import named_classes_of
from edgekit.pipeline import Plan, Progress, build_artifact, build_artifacts
from edgekit.pipeline.turns import compiling
from edgekit.recipe.schema import Recipe


@dataclass(frozen=True)
class Rank:
    """A class with its softmax probability."""

    index: int
    name: str
    probability: float


def classify(plan: Plan, photo: Path, progress: Progress, count: int = 5) -> list[Rank]:
    """Return the `count` likeliest classes of a photo, from the plan's target, or from PyTorch without one.

    UsageError if the file is not a photo, or the model is not a classifier with named classes.
    EdgekitError if the build fails.
    """
    recipe = plan.recipe
    if recipe.task != "classification":
        made_for = recipe.task or "another task, or does not say which"
        raise UsageError(f"{recipe.name} is not a classifier: {recipe.network} is made for {made_for}.")
    names = named_classes_of(recipe).names
    image = preprocess(open_photo(photo), *recipe.photos)[None]
    logs = cache_folder() / "logs" / "classify"
    with in_use():
        artifact: Artifact | None = None
        if plan.targets:
            prepared, artifact = build_artifact(plan, progress, logs)
        else:
            prepared, _ = build_artifacts(plan, progress, logs)
        with compiling(progress):
            probabilities = softmax(_predict(recipe, prepared, artifact, image, logs)[0].astype(np.float64))
    best = np.argsort(-probabilities)[:count].tolist()
    return [Rank(index, names[index], float(probabilities[index])) for index in best]


def _predict(
    recipe: Recipe, prepared: Prepared, artifact: Artifact | None, image: NDArray[np.float32], logs: Path
) -> NDArray[np.float32]:
    with temporary_folder() as folder, Workers() as workers:
        question, answer = Path(folder) / "input.npy", Path(folder) / "output.npz"
        np.save(question, image)
        compiled = None
        if artifact:
            manifest = artifact.manifest
            compiled = CompiledArtifact(path=artifact.path, target=manifest.target, outputs=manifest.outputs)
        job = PredictJob(recipe=recipe, prepared=prepared.folder, artifact=compiled, input=question, output=answer)
        workers.call(job, logs / "predict.log", modules=("torch",))
        with np.load(answer) as outputs:
            logits: NDArray[np.float32] = outputs["logits"]
    return logits
