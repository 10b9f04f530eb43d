"""Photos: where they come from, and how they become the network's input.

Calibration uses the two photos of scikit-learn by default, or the user's folder of photos.
Parity always uses the same photos of scikit-image, so it never uses calibration photos.
Both packages are dependencies of the converters. Photos with labels are for evaluation and never used here.
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from edgekit.architectures.registry import Size, sides
from edgekit.cache.store import file_sha256
from edgekit.errors import UsageError, missing_converters
from edgekit.recipe.schema import Preprocessing

if TYPE_CHECKING:
    from PIL.Image import Image

PARITY_PHOTOS = (
    "astronaut.png",
    "chelsea.png",
    "coffee.png",
    "hubble_deep_field.jpg",
    "ihc.png",
    "motorcycle_left.png",
    "retina.jpg",
    "rocket.jpg",
)
"""Photos of scikit-image's package (public domain, CC0): a person, an animal, objects, scenes, and two that few networks know."""
SUFFIXES = {".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff"}


@dataclass(frozen=True)
class PhotoSet:
    """Photo files in the order of their contents' hashes, and the SHA-256 of these hashes.

    `own`: the user's photos, not edgekit's default.
    """

    paths: tuple[Path, ...]
    sha256: str
    own: bool = False


def photo_set(folder: Path | None = None) -> PhotoSet:
    """Return the photos of `folder` and of its sub-folders, or scikit-learn's two if it is None.

    Hidden files and folders are skipped: macOS writes ``._x.jpg`` beside ``x.jpg``.
    UsageError if there are none or one cannot be read.
    EdgekitError (``missing_extra``) if scikit-learn is missing.
    """
    named = folder is not None
    folder = folder or _package_folder("sklearn", "scikit-learn") / "datasets" / "images"
    if not folder.is_dir():
        raise UsageError(f"There is no folder {folder}.", "Name a folder of photos: --photos DIR.")
    paths = _photo_files(folder)
    if not paths:
        raise UsageError(
            f"{folder} does not contain a photo ({', '.join(sorted(SUFFIXES))}).", "Name another folder: --photos DIR."
        )
    for path in paths if named else ():
        open_photo(path)
    hashed = sorted((file_sha256(path), path) for path in paths)
    total = hashlib.sha256("\n".join(content for content, _ in hashed).encode())
    return PhotoSet(tuple(path for _, path in hashed), total.hexdigest(), named)


def default_photos() -> PhotoSet:
    """Return the two default photos for settling and calibrating models."""
    return photo_set()


def parity_photos() -> PhotoSet:
    """Return the photos that every artifact is compared on; EdgekitError (``missing_extra``) if scikit-image is missing."""
    folder = _package_folder("skimage", "scikit-image") / "data"
    paths = tuple(folder / name for name in PARITY_PHOTOS)
    return PhotoSet(paths, hashlib.sha256("\n".join(map(file_sha256, paths)).encode()).hexdigest())


def _package_folder(module: str, distribution: str) -> Path:
    spec = find_spec(module)
    if spec is None or not spec.submodule_search_locations:
        raise missing_converters(ImportError(name=distribution))
    return Path(spec.submodule_search_locations[0])


def _photo_files(folder: Path) -> list[Path]:
    """Return the photo files in a folder tree, linked folders included, each folder once."""
    found, seen = [], set[Path]()
    for root, folders, files in os.walk(folder, followlinks=True):
        resolved = Path(root).resolve()
        folders[:] = [] if resolved in seen else [name for name in folders if not name.startswith(".")]
        names = [] if resolved in seen else [name for name in files if not name.startswith(".")]
        seen.add(resolved)
        found += [Path(root) / name for name in names if Path(name).suffix.lower() in SUFFIXES]
    return found


def open_photo(path: Path) -> Image:
    """Open a photo as RGB, as a viewer shows it: turned upright, 8 bits a channel, transparent parts white.

    UsageError if the file is missing, is not a photo, or does not state the range of its pixels.
    """
    from PIL import Image, ImageOps

    try:
        with Image.open(path) as image:
            photo = _as_shown(ImageOps.exif_transpose(image))
    except FileNotFoundError as error:
        raise UsageError(f"There is no photo at {path}.") from error
    except Exception as error:  # Pillow's readers raise many types for damaged files
        message = f"{path} is not a photo that can be read: {error}."
        raise UsageError(message, "Name another, or remove it from its folder.") from error
    if photo is None:
        message = f"{path} has float or 32-bit pixels, and the file does not state which value is white."
        raise UsageError(message, "Save it with 8 or 16 bits, for example as PNG.")
    return photo


def _as_shown(image: Image) -> Image | None:
    """Return an image as RGB; None for float and 32-bit pixels, whose range is unknown."""
    from PIL import Image

    if image.mode.startswith("I;16") or (image.mode == "I" and image.format == "PNG"):
        return Image.fromarray((np.asarray(image) // 257).astype(np.uint8)).convert("RGB")  # 65535 is white
    if image.mode in {"I", "F"}:
        return None
    if "transparency" in image.info or image.mode in {"RGBA", "LA", "PA", "RGBa", "La"}:
        shown = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", shown.size, "white"), shown).convert("RGB")
    return image.convert("RGB")


class Placement(NamedTuple):
    """Where a network's input lies in a photo: the sides that the photo is resized to, and the crop of that, in pixels."""

    resized: tuple[int, int]
    left: int
    top: int
    width: int
    height: int


def placement(photo: tuple[int, int], preprocessing: Preprocessing, size: Size) -> Placement:
    """Return where the input lies in a photo of this width and height."""
    height, width = sides(size)
    if preprocessing.fit == "stretch":
        return Placement((width, height), 0, 0, width, height)
    covered = [round(side / preprocessing.crop_fraction) for side in (width, height)]
    scales = [side / own for side, own in zip(covered, photo, strict=True)]
    # The longer side is cut to an integer, as torchvision does.
    resized_width, resized_height = (
        side if scale == max(scales) else int(own * max(scales))
        for side, scale, own in zip(covered, scales, photo, strict=True)
    )
    left, top = round((resized_width - width) / 2), round((resized_height - height) / 2)
    return Placement((resized_width, resized_height), left, top, width, height)


def preprocess(photo: Image, preprocessing: Preprocessing, size: Size) -> NDArray[np.float32]:
    """Resize, centre-crop and normalise a photo as at evaluation; returns float32 (3, height, width).

    If the preprocessing is ``stretch``, the whole photo is resized to the input's aspect ratio.
    """
    resized, left, top, width, height = placement(photo.size, preprocessing, size)
    image = photo.resize(resized, _filter(preprocessing)).crop((left, top, left + width, top + height))
    return _normalise(image, preprocessing)


def crops(
    photos: PhotoSet, preprocessing: Preprocessing, size: Size, count: int, seed: int, *, varied: bool = False
) -> NDArray[np.float32]:
    """Return `count` random crops, the photos taking turns, as float32 (count, 3, height, width).

    A crop has the input's aspect ratio and 80 to 100 % of the largest possible size, like evaluation.
    Half of the crops are mirrored. With `varied` the size is 50 to 100 %, and three of four crops have changed colours,
    contrast and brightness: a few photos then cover the ranges of many.
    """
    from PIL import Image

    input_height, input_width = sides(size)
    random = np.random.default_rng(seed)
    opened = [open_photo(path) for path in photos.paths]
    images = []
    for index in range(count):
        photo = opened[index % len(opened)]
        shown = np.sqrt(random.uniform(0.25, 1.0)) if varied else random.uniform(0.8, 1.0)
        share = shown * min(photo.width / input_width, photo.height / input_height)
        width, height = int(share * input_width), int(share * input_height)
        left, top = int(random.integers(0, photo.width - width + 1)), int(random.integers(0, photo.height - height + 1))
        box = (left, top, left + width, top + height)
        crop = photo.resize((input_width, input_height), _filter(preprocessing), box)
        if random.random() < 0.5:
            crop = crop.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        if varied and index % 4:
            crop = _recoloured(crop, random)
        images.append(_normalise(crop, preprocessing))
    return np.stack(images)


def _recoloured(crop: Image, random: np.random.Generator) -> Image:
    """Return a crop with other saturation, contrast and brightness, and its colour channels dealt out again half the time."""
    from PIL import Image, ImageEnhance

    for enhancer, lowest, highest in (
        (ImageEnhance.Color, 0.0, 2.0),
        (ImageEnhance.Contrast, 0.5, 2.0),
        (ImageEnhance.Brightness, 0.5, 1.6),
    ):
        crop = enhancer(crop).enhance(random.uniform(lowest, highest))
    if random.random() < 0.5:
        crop = Image.fromarray(np.ascontiguousarray(np.asarray(crop)[..., random.permutation(3)]))
    return crop


def _filter(preprocessing: Preprocessing) -> int:
    from PIL import Image

    return {"bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC}[preprocessing.interpolation]


def _normalise(image: Image, preprocessing: Preprocessing) -> NDArray[np.float32]:
    """Return (pixel / 255 - mean) / std as float32 (3, height, width): looked up, as a pixel has one of 256 values."""
    mean, std = (np.array(values, np.float32)[:, None] for values in (preprocessing.mean, preprocessing.std))
    table = (np.arange(256, dtype=np.float32) / np.float32(255) - mean) / std
    pixels = np.asarray(image, dtype=np.uint8).transpose(2, 0, 1)
    normalised = np.empty(pixels.shape, np.float32)
    for row, plane, into in zip(table, pixels, normalised, strict=True):
        np.take(row, plane, out=into, mode="clip")  # "clip" writes without a copy between
    return normalised
