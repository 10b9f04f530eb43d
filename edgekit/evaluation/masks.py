"""Masks whose pixels are class indices, as Pascal VOC's; 255 means no class."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgekit.errors import UsageError
from edgekit.evaluation.class_names import NAMED_AT_MOST
from edgekit.evaluation.datasets import Dataset
from edgekit.recipe.schema import Recipe

IGNORED = 255
"""What VOC's masks have on the borders of objects."""


def open_mask(path: Path) -> NDArray[np.uint8]:
    """Return a mask's class indices (height, width); UsageError if the file is not a mask of indices."""
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(path) as image:
            if image.mode not in {"P", "L"}:
                message = f"{path} holds colours (mode {image.mode}), not class indices."
                raise UsageError(message, "Save masks as palette PNGs: labelme and VOC do.")
            return np.asarray(image, dtype=np.uint8)
    except (OSError, UnidentifiedImageError, SyntaxError, ValueError) as error:  # what Pillow raises for damaged PNGs
        raise UsageError(f"{path} is not a mask that can be read: {error}.", "Repair it, or remove it.") from error


def check_masks(dataset: Dataset, recipe: Recipe, jobs: int) -> None:
    """UsageError if masks hold indices that the model has no class for, or hold no indices. Damaged masks are for later."""
    classes = recipe.classes
    with ThreadPoolExecutor(jobs) as pool:
        unfit = list(pool.map(lambda example: _beyond(Path(example.label), classes), dataset.examples))
    found = sorted(set().union(*unfit))
    if found:
        masks = [Path(example.label).name for example, indices in zip(dataset.examples, unfit, strict=True) if indices]
        named = ", ".join(map(str, found[:NAMED_AT_MOST]))
        message = (
            f"{len(masks)} masks hold classes that {recipe.name} has no output for: {named} "
            f"(first in {masks[0]}). It has {classes} classes, 0 to {classes - 1}."
        )
        raise UsageError(message, "Use a data set for these classes; 255 is for pixels that do not count.")


def _beyond(path: Path, classes: int) -> set[int]:
    try:
        mask = open_mask(path)
    except UsageError:
        return set()  # named when its photo is evaluated
    return set(np.unique(mask[mask != IGNORED]).tolist()) - set(range(classes))
