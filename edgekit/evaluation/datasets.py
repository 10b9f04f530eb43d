"""Labelled photos: data sets, random subsets, and the hash of their photos and labels."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np

from edgekit.architectures.registry import Task
from edgekit.cache.store import file_sha256

Format = Literal["folders", "csv", "imagenet", "coco", "masks"]
TASKS: dict[Format, Task] = {
    "folders": "classification",
    "csv": "classification",
    "imagenet": "classification",
    "coco": "detection",
    "masks": "segmentation",
}
UNREADABLE = "unreadable"
"""Replaces the hash of a file that cannot be read."""


@dataclass(frozen=True)
class Example:
    """A photo and its truth.

    `label` is the data set's name of the class, the id of an image in COCO's JSON, or the path of a mask.
    """

    photo: Path
    label: str


@dataclass(frozen=True)
class Dataset:
    """Labelled photos in a fixed order.

    `classes` are the labels that occur, as they are written. Those of masks are known when the masks are read.
    `source` is what the user named: a folder, or a CSV or JSON file. `left_out` counts photos there that have no label.
    """

    name: str
    format: Format
    source: Path
    examples: tuple[Example, ...]
    classes: tuple[str, ...] = ()
    left_out: int = 0

    @property
    def task(self) -> Task:
        """What models are made for that this data set can judge."""
        return TASKS[self.format]

    @property
    def description(self) -> str:
        """What was recognised, for people."""
        left_out = f"; {self.left_out} photos without a label are left out" if self.left_out else ""
        return f"{self.format}, {len(self.examples)} photos{left_out}"

    def sample(self, limit: int | None, seed: int) -> Dataset:
        """Return a random subset of `limit` examples in the data set's order; all of them if there are no more."""
        if limit is None or limit >= len(self.examples):
            return self
        chosen = np.sort(np.random.default_rng(seed).choice(len(self.examples), limit, replace=False))
        return replace(self, examples=tuple(self.examples[index] for index in chosen.tolist()))


def example_hashes(dataset: Dataset, truths: Sequence[str], jobs: int) -> list[str]:
    """Return a SHA-256 of each example: of the photo's bytes, and of its truth or the mask's bytes.

    `truths` are texts, one for each example. File names do not count. A file that cannot be read has no bytes.
    """
    with ThreadPoolExecutor(jobs) as pool:
        photos = list(pool.map(_sha256, (example.photo for example in dataset.examples)))
        if dataset.format == "masks":
            truths = list(pool.map(_sha256, (Path(truth) for truth in truths)))
    pairs = zip(photos, truths, strict=True)
    return [hashlib.sha256(f"{photo}\0{truth}".encode()).hexdigest() for photo, truth in pairs]


def subset_hash(dataset: Dataset, hashes: Sequence[str]) -> str:
    """Return the SHA-256 of a subset: of its task and its examples' hashes, in any order."""
    return hashlib.sha256("\n".join([dataset.task, *sorted(hashes)]).encode()).hexdigest()


def _sha256(path: Path) -> str:
    try:
        return file_sha256(path)
    except OSError:
        return UNREADABLE
