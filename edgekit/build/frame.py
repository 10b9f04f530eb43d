"""A camera's frame, and how it becomes a network's input: what is timed end to end besides the inference."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from edgekit.architectures.registry import Size
from edgekit.build.photos import open_photo, parity_photos, placement, preprocess
from edgekit.recipe.schema import Preprocessing

if TYPE_CHECKING:
    from PIL.Image import Image

WIDTH, HEIGHT = 640, 480
"""Of the frame in pixels: that of a camera's preview, and of the photos of COCO."""


def camera_frame() -> Image:
    """Return the frame: the first of the photos that artifacts are compared on, resized."""
    return open_photo(parity_photos().paths[0]).resize((WIDTH, HEIGHT))


def write_frame(file: Path) -> None:
    """Write the frame as 8-bit RGB, row after row, without a header."""
    file.write_bytes(np.asarray(camera_frame(), dtype=np.uint8).tobytes())


def frame_plan(preprocessing: Preprocessing, size: Size, layout: str) -> str:
    """Return how the frame becomes an input of `layout` ``NHWC`` or ``NCHW``, as the native runners read it.

    The numbers are width and height of the frame, and of what it is resized to; left, top, width and height of the crop;
    1 for bicubic; 1 for channels first; three means; three standard deviations.
    """
    place = placement((WIDTH, HEIGHT), preprocessing, size)
    flags = (int(preprocessing.interpolation == "bicubic"), int(layout == "NCHW"))
    numbers = (WIDTH, HEIGHT, *place.resized, place.left, place.top, place.width, place.height, *flags)
    return ",".join(map(repr, (*numbers, *preprocessing.mean, *preprocessing.std)))


def expected_input(preprocessing: Preprocessing, size: Size, layout: str) -> NDArray[np.float32]:
    """Return what the frame becomes, by Pillow: the values of the input, flat, in `layout`."""
    planes = preprocess(camera_frame(), preprocessing, size)
    return np.ascontiguousarray(planes if layout == "NCHW" else planes.transpose(1, 2, 0)).ravel()
