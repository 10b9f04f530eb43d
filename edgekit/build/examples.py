"""Examples of a network's inputs: photos as they are preprocessed, the user's values, or noise.

Those of parity are never those of calibration.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from edgekit.architectures.inputs import IMAGE, Array, Inputs
from edgekit.build.photos import PhotoSet, crops, default_photos, open_photo, parity_photos, preprocess
from edgekit.errors import EdgekitError, FailureKind, UsageError
from edgekit.recipe.own_model import OwnInput, OwnModel
from edgekit.recipe.schema import Recipe

SETTLE = (32, 0)
CALIBRATION = (64, 1)
PARITY = (64, 2)
"""How many crops, and their seed. The photos of parity are never those of calibration."""
RANDOM_CALIBRATION = (32, 1)
RANDOM_PARITY = (16, 2)
"""A network with random weights is settled on few photos, so it is judged on other crops of them.

Recoloured crops widen its ranges until nothing is left: EfficientNet-B0 has -19 dB with them and 10 dB without.
"""
FEW_PHOTOS = 32
"""With fewer photos of the user's, crops of them in turn make up the number."""
LITTLE_VARIETY = 0.25
"""Photos look alike if they differ from their mean by less than this share of their contrast."""
FLAT = 1e-3
"""A photo is flat if its pixels vary by less, in units of the network's input."""
LARGE = 512 * 512
"""Larger inputs (in pixels) get fewer crops, at least two, to limit their total size."""


@dataclass(frozen=True)
class Examples:
    """What a model is settled on, calibrated on and judged on.

    `chosen` says how `calibration` was chosen. `warnings` are its problems.
    """

    settle: Inputs
    calibration: Inputs
    parity: Inputs
    chosen: dict[str, Any]
    warnings: tuple[str, ...]


def examples_of(recipe: Recipe, photos: PhotoSet, random: bool) -> Examples:
    """Return the examples of a recipe's model; `random`: its weights are not trained.

    UsageError if photos for calibration show nothing, EdgekitError (``own_model``) for values that do not fit their input.
    """
    model = recipe.model
    if isinstance(model, OwnModel) and not model.takes_photos:
        return _own_examples(recipe, model, random)
    calibration, chosen, warnings = calibration_images(recipe, photos, random)
    judged = _crops(recipe, default_photos(), RANDOM_PARITY) if random else _crops(recipe, parity_photos(), PARITY)
    name = next(iter(model.inputs)) if isinstance(model, OwnModel) else IMAGE
    settle = _crops(recipe, default_photos(), SETTLE)
    inputs = [Inputs({name: images}) for images in (settle, calibration, judged)]
    return Examples(inputs[0], inputs[1], inputs[2], chosen, tuple(warnings))


def _own_examples(recipe: Recipe, model: OwnModel, random: bool) -> Examples:
    values = {name: _values(recipe, name, spec) for name, spec in model.inputs.items() if spec.values is not None}
    count = min((len(array) for array in values.values()), default=None)

    def of(chosen: tuple[int, int], rows: slice) -> Inputs:
        wanted, seed = chosen
        size = wanted if count is None else min(wanted, len(range(count)[rows]))
        noise = np.random.default_rng(seed)
        return Inputs(
            {
                name: values[name][rows][:size]
                if name in values
                else noise.standard_normal((size, *spec.shape)).astype(np.float32)
                for name, spec in model.inputs.items()
            }
        )

    first, second = (
        (slice(None), slice(None)) if count in {None, 1} else (slice(0, count // 2), slice(count // 2, None))
    )
    calibration = of(RANDOM_CALIBRATION if random else CALIBRATION, first)
    choice = " and ".join([*(["values of the recipe"] if values else []), *(["normal noise"] if noisy(model) else [])])
    warnings = []
    if noisy(model):
        warnings.append(f"{', '.join(noisy(model))}: normal noise replaces examples. Accuracy has no meaning with it.")
    if count == 1:
        warnings.append("There is one example: int8 is calibrated on it and judged by it.")
    facts = {"choice": choice, "photos": 0, "images": len(calibration), "seed": CALIBRATION[1]}
    return Examples(
        of(SETTLE, first), calibration, of(RANDOM_PARITY if random else PARITY, second), facts, tuple(warnings)
    )


def noisy(model: OwnModel) -> list[str]:
    """Return the inputs that get noise instead of examples."""
    return [] if model.takes_photos else [name for name, spec in model.inputs.items() if spec.values is None]


def _values(recipe: Recipe, name: str, given: OwnInput) -> Array:
    place = Path(given.values or "")
    try:
        values: Array = np.load(place, allow_pickle=False).astype(np.float32)
    except (OSError, ValueError) as error:
        message = f"{recipe.name}: the values of the input {name} in {place} cannot be read: {error}."
        hint = "Write them with numpy.save: an array of numbers, examples first."
        raise EdgekitError(FailureKind.own_model, "model", message, hint) from error
    if values.shape[1:] != given.shape or not len(values):
        message = (
            f"{recipe.name}: {place} has the shape {values.shape}; the input {name} needs (N, {str(given.shape)[1:]}."
        )
        raise EdgekitError(FailureKind.own_model, "model", message, "Correct the file, or `inputs` under `model`.")
    return values


def calibration_images(recipe: Recipe, photos: PhotoSet, random: bool) -> tuple[Array, dict[str, Any], list[str]]:
    """Return images (N, 3, H, W) to calibrate on, how they were chosen, and warnings.

    The default photos give varied crops, and plain crops for `random` weights.
    The user's photos are prepared as at evaluation: up to `calibration.count`, in a seeded order.
    If there are few, crops of them are added. UsageError if all photos are flat.
    """
    (preprocessing, size), seed = recipe.photos, CALIBRATION[1]
    if not photos.own:
        images = _crops(recipe, photos, RANDOM_CALIBRATION if random else CALIBRATION, varied=not random)
        kind = "plain" if random else "varied"
        chosen = {"choice": f"{kind} crops of the default photos", "photos": len(photos.paths)}
        return images, {**chosen, "images": len(images), "seed": seed}, []
    count = crop_count(recipe.calibration.count, size)
    order = np.random.default_rng(seed).permutation(len(photos.paths))[:count]
    found = [preprocess(open_photo(photos.paths[index]), preprocessing, size) for index in order]
    warnings = _shortcomings(np.stack(found))
    choice, shown = "photos as at evaluation", len(found)
    if len(found) < (wanted := min(count, FEW_PHOTOS)):
        few = PhotoSet(tuple(photos.paths[index] for index in order), "", own=True)
        found += list(crops(few, preprocessing, size, wanted - len(found), seed))
        choice += ", and crops of them"
    return np.stack(found), {"choice": choice, "photos": shown, "images": len(found), "seed": seed}, warnings


def _shortcomings(images: Array) -> list[str]:
    """Return the problems of photos for calibration; UsageError if all of them are flat."""
    flat = int((images.std((2, 3)).max(1) < FLAT).sum())
    if flat == len(images):
        message = f"Each of the {flat} calibration photos has a single colour: no range can be found."
        raise UsageError(message, "Name a folder with typical photos for the network: --photos DIR.")
    found = [f"{flat} of {len(images)} calibration photos have a single colour."] if flat else []
    if len(images) < FEW_PHOTOS:
        advice = f"int8 is more accurate with {FEW_PHOTOS} or more."
        found.append(f"There are only {len(images)} calibration photos; {advice}")
    within = images.std((1, 2, 3)).mean()
    if len(images) > 1 and (images - images.mean(0)).std() < LITTLE_VARIETY * within:
        found.append("The calibration photos look alike: int8 may be wrong on photos that differ from them.")
    return found


def _crops(recipe: Recipe, photos: PhotoSet, chosen: tuple[int, int], *, varied: bool = False) -> Array:
    count, seed = chosen
    preprocessing, size = recipe.photos
    return crops(photos, preprocessing, size, crop_count(count, size), seed, varied=varied)


def crop_count(count: int, size: tuple[int, int]) -> int:
    """Return how many of `count` crops there are at (height, width)."""
    return min(count, max(2, count * LARGE // (size[0] * size[1])))
