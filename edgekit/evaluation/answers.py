"""From a model's outputs for a photo to its answer: what is kept of it, as JSON."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekit.errors import EdgekitError, FailureKind
from edgekit.evaluation.detection import detect, ssd300_anchors, ssd_anchors
from edgekit.evaluation.masks import IGNORED, open_mask
from edgekit.recipe.schema import Recipe

Outputs = Mapping[str, NDArray[np.float32]]
"""Output name -> the values for one photo, in the model's layout, without the dimension of images."""
LEAST_SCORE = 0.01
"""A detection with a lower score does not count: it changes mean average precision by little, and takes most of the time."""
SSD300 = "ssd300_vgg16"


def answer(recipe: Recipe, outputs: Outputs, label: str) -> Any:
    """Return the answer to one photo, whose truth is `label`; :class:`edgekit.evaluation.datasets.Example` says what that is.

    Classification: the five likeliest classes, none if a logit is not finite. Detection: (class, score, ymin, xmin, ymax,
    xmax) of each object. Segmentation: class -> pixels that are rightly, wrongly and not of that class.
    UsageError if the mask cannot be read.
    """
    task = recipe.task
    if task == "classification":
        return likeliest(outputs["logits"])
    if task == "detection":
        return objects(recipe, outputs)
    return overlap(outputs["logits"], open_mask(Path(label)))


def likeliest(logits: NDArray[np.float32], count: int = 5) -> list[int]:
    """Return the `count` classes with the largest logits, best first; of equal ones the first."""
    if not np.isfinite(logits).all():
        return []
    best: list[int] = np.argsort(-logits, kind="stable")[:count].tolist()
    return best


def objects(recipe: Recipe, outputs: Outputs) -> list[list[float]]:
    """Return what a detector found: class, score and the corners of the box, from 0 to 1."""
    anchors = _anchors(recipe.architecture, recipe.photos[1])
    if len(anchors) != len(outputs["box_codes"]):
        message = f"edgekit does not know the anchors of {recipe.architecture}."
        hint = "Mean average precision is for edgekit's own detectors."
        raise EdgekitError(FailureKind.usage, "evaluate", message, hint)
    exclusive = recipe.architecture == SSD300
    found = detect(outputs["class_logits"], outputs["box_codes"], anchors, LEAST_SCORE, exclusive=exclusive)
    return [
        [detection.label, round(detection.score, 6), *(round(side, 6) for side in detection.box)] for detection in found
    ]


def overlap(logits: NDArray[np.float32], truth: NDArray[np.uint8]) -> dict[str, list[int]]:
    """Return class -> [right, wrong, missed] pixels; those whose truth is 255 do not count.

    `logits` (classes, height, width) are resized bilinearly to the mask's size before the class is chosen.
    """
    from PIL import Image

    height, width = truth.shape
    resized = [
        np.asarray(Image.fromarray(plane).resize((width, height), Image.Resampling.BILINEAR))
        for plane in np.ascontiguousarray(logits, dtype=np.float32)
    ]
    classes, counted = len(resized), truth != IGNORED
    predicted = np.stack(resized).argmax(0)[counted]
    pairs = np.bincount(truth[counted].astype(np.int64) * classes + predicted, minlength=classes**2)
    confusion = pairs.reshape(classes, classes)
    right = np.diag(confusion)
    wrong, missed = confusion.sum(0) - right, confusion.sum(1) - right
    columns = np.stack([right, wrong, missed], 1)
    return {str(index): columns[index].tolist() for index in np.flatnonzero(columns.any(1)).tolist()}


@cache
def _anchors(architecture: str, size: tuple[int, int]) -> NDArray[np.float32]:
    return ssd300_anchors() if architecture == SSD300 else ssd_anchors(size)
