"""COCO's instances JSON: its photos and boxes, and mean average precision by pycocotools."""

from __future__ import annotations

import contextlib
import io
import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekit.errors import EdgekitError, FailureKind, UsageError
from edgekit.evaluation.datasets import Dataset, Example

FIRST_BYTES = 2_000
PLACES = (".", "images", "JPEGImages", "..", "../images", "../JPEGImages", "../val2017", "../train2017")
"""Where photos lie, from the folder of the JSON."""


def is_coco(path: Path) -> bool:
    """Say whether a file is a JSON object with images, annotations and categories."""
    if path.suffix.lower() != ".json":
        return False
    try:
        with path.open(encoding="utf-8") as file:
            if not file.read(FIRST_BYTES).lstrip().startswith("{"):
                return False
        content = read_coco(path)
    except (OSError, UnicodeDecodeError, UsageError):
        return False
    return {"images", "annotations", "categories"} <= content.keys()


@cache
def read_coco(path: Path) -> dict[str, Any]:
    """Return the content of COCO's JSON; UsageError if it is not JSON. Nothing may change what is returned."""
    try:
        content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise UsageError(f"{path} is not JSON: {error}.", "Name COCO's instances JSON.") from error
    return content


def load_coco(source: Path, images: Path | None) -> Dataset:
    """Read COCO's JSON; its photos are in `images`, or beside it as :data:`PLACES` says.

    The classes are the names of the categories that annotations have. UsageError if the JSON lacks something.
    """
    content = read_coco(source)
    try:
        names = {category["id"]: str(category["name"]) for category in content["categories"]}
        used = {names[annotation["category_id"]] for annotation in content["annotations"]}
        files = {str(image["id"]): str(image["file_name"]) for image in content["images"]}
        known = all(str(annotation["image_id"]) in files for annotation in content["annotations"])
    except (KeyError, TypeError) as error:
        message = f"{source} is not in COCO's format: {error!r} is missing or wrong."
        raise UsageError(message, "It needs images, annotations and categories.") from error
    if not known:
        raise UsageError(f"{source} has annotations of images that it does not list.", "Repair the JSON.")
    folder = images or _photo_folder(source, files.values())
    examples = tuple(Example(folder / file, id) for id, file in files.items())
    return Dataset(source.resolve().parent.name + "/" + source.stem, "coco", source, examples, tuple(sorted(used)))


def _photo_folder(source: Path, files: Any) -> Path:
    first = next(iter(files), "")
    for place in PLACES:
        if (source.parent / place / first).is_file():
            return source.parent / place
    raise UsageError(f"The photos of {source} are not beside it: {first}.", "Name their folder: --images DIR.")


def truths_of(dataset: Dataset) -> list[str]:
    """Return the annotations of each example as canonical JSON, without ids of files; categories by their names."""
    content = read_coco(dataset.source)
    names = {category["id"]: category["name"] for category in content["categories"]}
    own: dict[str, list[Any]] = defaultdict(list)
    for annotation in content["annotations"]:
        kept = [names[annotation["category_id"]], annotation["bbox"], int(annotation.get("iscrowd", 0))]
        own[str(annotation["image_id"])].append(kept)
    return [json.dumps(sorted(own[example.label], key=json.dumps)) for example in dataset.examples]


@dataclass
class CocoResults:
    """What pycocotools found in each image: mean average precision over any choice of them, also one image twice."""

    evaluator: Any
    matched: list[Any]
    images: int
    known: dict[bytes, tuple[float, float]] = field(default_factory=dict)

    def precision(self, chosen: NDArray[np.int64] | None = None) -> tuple[float, float]:
        """Return mAP at IoU 0.50 to 0.95, and at 0.50, in percent, of the images at the indices `chosen`, or of all.

        Not a number if none of them has an object. What was computed is kept: bootstraps of two metrics have the same choices.
        """
        chosen = np.arange(self.images) if chosen is None else chosen
        if (key := chosen.tobytes()) not in self.known:
            self.known[key] = self._precision(chosen)
        return self.known[key]

    def _precision(self, chosen: NDArray[np.int64]) -> tuple[float, float]:
        evaluator, matched = self.evaluator, self.matched
        cells = len(matched) // self.images
        evaluator.evalImgs = [matched[cell * self.images + image] for cell in range(cells) for image in chosen.tolist()]
        # pycocotools only counts the images here, and keeps what it matched with.
        evaluator.params.imgIds = evaluator._paramsEval.imgIds = list(range(len(chosen)))
        with contextlib.redirect_stdout(io.StringIO()):
            evaluator.accumulate()
        # (IoU thresholds, recalls, categories, areas, most detections); -1 where a category has no object.
        precision = evaluator.eval["precision"][:, :, :, 0, 0]
        return _mean(precision), _mean(precision[0])


def match(
    dataset: Dataset, outputs: Mapping[str, int], found: Sequence[Sequence[Sequence[float]]], counted: Sequence[int]
) -> CocoResults:
    """Match detections with a data set's objects, for the examples at the indices `counted`.

    `outputs` lead from a category's name to the model's output. Each of `found` belongs to one of `counted` and lists
    (output, score, ymin, xmin, ymax, xmax), box corners from 0 to 1. EdgekitError without pycocotools.
    """
    coco, evaluation = _pycocotools()
    content = read_coco(dataset.source)
    sizes = {str(image["id"]): (image["id"], image["height"], image["width"]) for image in content["images"]}
    categories = {
        outputs[category["name"]]: category["id"] for category in content["categories"] if category["name"] in outputs
    }
    results, ids = [], []
    for index, detections in zip(counted, found, strict=True):
        id, height, width = sizes[dataset.examples[index].label]
        ids.append(id)
        for output, score, ymin, xmin, ymax, xmax in detections:
            if int(output) in categories:
                box = [xmin * width, ymin * height, (xmax - xmin) * width, (ymax - ymin) * height]
                category = categories[int(output)]
                results.append({"image_id": id, "category_id": category, "bbox": box, "score": score})
    with contextlib.redirect_stdout(io.StringIO()):
        truth = coco()
        truth.dataset = {
            **content,
            "annotations": [_complete(annotation, key) for key, annotation in _numbered(content)],
        }
        truth.createIndex()
        evaluator = evaluation(truth, _detections(coco, content, results), "bbox")
        evaluator.params.imgIds = sorted(ids)
        evaluator.params.catIds = sorted(categories.values())
        evaluator.params.maxDets, evaluator.params.areaRngLbl = [100], ["all"]
        evaluator.params.areaRng = evaluator.params.areaRng[:1]
        evaluator.evaluate()
    order = np.argsort(np.argsort(ids))  # pycocotools sorts the images by their ids
    cells = len(evaluator.evalImgs) // len(ids)
    matched = [evaluator.evalImgs[cell * len(ids) + image] for cell in range(cells) for image in order.tolist()]
    return CocoResults(evaluator, matched, len(ids))


def _detections(coco: Any, content: dict[str, Any], results: list[dict[str, Any]]) -> Any:
    """Return the detections as pycocotools takes them; its own reader refuses a list without any."""
    found = coco()
    annotations = [
        {**result, "id": number, "area": result["bbox"][2] * result["bbox"][3], "iscrowd": 0}
        for number, result in enumerate(results, 1)
    ]
    found.dataset = {"images": content["images"], "categories": content["categories"], "annotations": annotations}
    found.createIndex()
    return found


def _numbered(content: dict[str, Any]) -> enumerate[dict[str, Any]]:
    # pycocotools takes 0 as the id of an object for no object.
    return enumerate(content["annotations"], 1)


def _complete(annotation: dict[str, Any], id: int) -> dict[str, Any]:
    box = annotation["bbox"]
    return {
        **annotation,
        "id": id,
        "iscrowd": annotation.get("iscrowd", 0),
        "area": annotation.get("area", box[2] * box[3]),
    }


def _mean(precision: NDArray[np.float64]) -> float:
    valid = precision[precision > -1]
    return float(valid.mean() * 100) if valid.size else float("nan")


def _pycocotools() -> tuple[Any, Any]:
    try:
        from pycocotools.coco import COCO
        from pycocotools.cocoeval import COCOeval
    except ImportError as error:
        message = "Mean average precision is computed by the package pycocotools, which is not installed."
        hint = "pip install 'edgekit[convert]'"
        raise EdgekitError(FailureKind.missing_extra, "evaluate", message, hint) from error
    return COCO, COCOeval
