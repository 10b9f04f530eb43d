"""What a device computed for some photos, beside PyTorch: the gate before any latency is reported."""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgekit.backends.base import Manifest, by_name
from edgekit.build.parity import compare, explain
from edgekit.build.prepare import Prepared
from edgekit.devices.base import Device
from edgekit.errors import EdgekitError, FailureKind
from edgekit.measure.session import Subject
from edgekit.pipeline.building import Ready
from edgekit.recipe.limits import ParityLimits
from edgekit.runners import split_outputs
from edgekit.target import Target

PHOTOS = 8
"""How many photos are compared on a device, of those that the artifact was compared on when it was built."""
ONE_PHOTO_DB = 6.0
"""How much less than the recipe's `min_snr_db` one photo alone may have: the photos of a good int8 network differ so much."""
NOTHING_DB = 1.0
"""Below this, an output has nothing of PyTorch's: zeros, or what belongs to another photo, have 0 dB at most."""


def compared_photos(prepared: Prepared) -> list[int]:
    """Return which of a model's parity photos are compared on devices, by their places; the timed one is the first.

    They are spread over classes: a photo whose largest output PyTorch has not seen comes before one of a known class.
    """
    with np.load(prepared.folder / "reference.npz") as saved:
        first = next(iter(saved.values()))
    classes = first.reshape(len(first), -1).argmax(axis=1).tolist()
    new = [place for place, name in enumerate(classes) if name not in classes[:place]]
    others = [place for place in range(len(classes)) if place not in new]
    return [*new, *others][:PHOTOS]


def references(prepared: Prepared, photos: list[int]) -> dict[str, NDArray[np.float32]]:
    """Return PyTorch's outputs for some parity photos, by the outputs' names."""
    with np.load(prepared.folder / "reference.npz") as saved:
        return {name: array[photos] for name, array in saved.items()}


def compare_on_device(device: Device, subject: Subject, ready: Ready, folder: Path) -> dict[str, float] | None:
    """Compare the device's outputs with PyTorch's for the same photos, under the recipe's limits.

    None if the program is a tool without outputs. A tool with outputs computes one photo.
    EdgekitError (``parity``) if they differ: a fast wrong model is a failure.
    """
    manifest = ready.artifact.manifest
    names, parts = [spec.name for spec in manifest.outputs], []
    for remote in subject.program.outputs(subject.output, len(manifest.outputs)):
        device.pull(remote, folder / "output.bin")
        parts.append(subject.program.values(folder / "output.bin", names))
    if not parts:
        return None
    photos = compared_photos(ready.prepared) if subject.examples else [0]
    where = (subject.name, device.profile.name)
    reference = references(ready.prepared, photos)
    return check_outputs(np.concatenate(parts), reference, manifest, ready.plan.recipe.parity, where)


def check_outputs(
    values: NDArray[np.float32],
    reference: Mapping[str, NDArray[np.float32]],
    manifest: Manifest,
    limits: ParityLimits,
    where: tuple[str, str],
) -> dict[str, float]:
    """Compare a device's outputs for some examples, as its runner wrote them, with PyTorch's `reference`.

    All examples together must be within the limits. Each one alone must have something of PyTorch's: in the sum of many,
    one wrong photo is hardly seen. `where` are the names of the target and of the device.
    EdgekitError: ``crashed`` if there are too few or too many values, ``parity`` if they differ by more than the limits.
    """
    name, device_name = where
    photos = len(next(iter(reference.values())))
    if values.size != (expected := photos * sum(math.prod(spec.shape) for spec in manifest.outputs)):
        message = f"{name} wrote {values.size} values on {device_name} instead of {expected}."
        raise EdgekitError(FailureKind.crashed, "measure", message)
    outputs = by_name(manifest.outputs, split_outputs(values, photos, [list(spec.shape) for spec in manifest.outputs]))
    # These photos show the noise; the decisions were judged on all photos when the artifact was built.
    judge = partial(compare, precision=Target.parse(manifest.target).precision, limits=limits, kind="measured")
    judge = partial(judge, trained=manifest.trained, judge_decisions=False)
    found = judge(reference, outputs)
    hint = "On this machine it was within its limits: suspect the runtime's build, or the device."
    if not found.passed:
        message = f"{name} computes something else on {device_name} than PyTorch: {explain(found)}."
        raise EdgekitError(FailureKind.parity, "measure", message, hint)
    each = [judge(_only(reference, place), _only(outputs, place)).snr_db for place in range(photos)]
    least = max(NOTHING_DB, found.limits.get("min_snr_db", 0.0) - ONE_PHOTO_DB)
    if min(each) < least:
        message = (
            f"{name} computes something else on {device_name} than PyTorch for photo {each.index(min(each)) + 1} of {photos}: "
            f"a signal-to-noise ratio of {min(each):.1f} dB, less than {least:.1f} dB."
        )
        raise EdgekitError(FailureKind.parity, "measure", message, hint)
    return {
        "photos": photos,
        "max_absolute": found.max_absolute,
        "max_relative": found.max_relative,
        "snr_db": found.snr_db,
        "worst_photo_snr_db": min(each),
    }


def _only(arrays: Mapping[str, NDArray[np.float32]], place: int) -> dict[str, NDArray[np.float32]]:
    return {name: array[place : place + 1] for name, array in arrays.items()}
