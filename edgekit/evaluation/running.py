"""A subject's answers to all photos of a data set: shard by shard, each kept in the cache as soon as it is done."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass
from math import ceil
from pathlib import Path
from typing import Any

from filelock import FileLock
from pydantic import BaseModel, ValidationError

from edgekit.backends.base import Artifact, parity_kind
from edgekit.build.compile import tool_versions
from edgekit.build.prepare import Prepared, source_hash
from edgekit.build.worker import Workers
from edgekit.config.paths import cache_folder
from edgekit.evaluation.datasets import Dataset, Example
from edgekit.evaluation.jobs import ArtifactOnHost, PreparedModel, ShardJob
from edgekit.pipeline import Progress
from edgekit.pipeline.remaining import Remaining
from edgekit.pipeline.turns import compiling
from edgekit.recipe.schema import Recipe

MOST, LEAST, SHARDS = {"classification": 250, "detection": 50, "segmentation": 50}, 25, 8
"""Photos in a shard at most and at least, and how many shards a small data set has."""
MODULES = {
    "pytorch": ("torch", "edgekit.evaluation.shards", "PIL.JpegImagePlugin"),
    "tflite": ("ai_edge_litert.interpreter", "edgekit.evaluation.shards", "PIL.JpegImagePlugin"),
    "executorch": ("torch", "executorch.runtime", "edgekit.evaluation.shards", "PIL.JpegImagePlugin"),
}
"""What a subject's processes have loaded before they are forked for a shard."""


class Shard(BaseModel):
    """The answers to one shard's photos, in their order, None for a failed one; and why those failed."""

    answers: list[Any]
    failed: dict[str, str]


@dataclass(frozen=True)
class Subject:
    """The evaluated subject: an artifact on this machine, or PyTorch.

    `key` identifies it together with its runtime, `sha256` is that of the artifact or of PyTorch's weights, and `kind` is
    that of the results.
    """

    target: str
    sha256: str
    key: str
    kind: str
    modules: tuple[str, ...]
    job: ArtifactOnHost | PreparedModel


@dataclass(frozen=True)
class Task:
    """A recipe, the photos that are asked, their hashes, and how many processes work on them."""

    recipe: Recipe
    dataset: Dataset
    hashes: Sequence[str]
    jobs: int

    def shards(self) -> list[tuple[Example, ...]]:
        """Return the examples in shards, the same for any number of jobs, so that an evaluation can be resumed."""
        size = shard_size(len(self.dataset.examples), MOST[self.dataset.task])
        return split(self.dataset.examples, size)

    def job_recipe(self) -> Recipe:
        """Return the recipe for a process; published figures, which take it long to read, are left out."""
        return self.recipe.model_copy(update={"published": None})

    def key(self, subject_key: str, size: int) -> str:
        """Return what identifies the answers of a subject, in shards of `size`."""
        preprocessing = self.recipe.model_dump_json(include={"architecture", "model", "preprocessing"})
        parts = [
            subject_key,
            preprocessing,
            str(size),
            source_hash("evaluation", "build/photos.py", "runners"),
            *self.hashes,
        ]
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def artifact_subject(artifact: Artifact) -> Subject:
    """Return an artifact as it runs on this machine, in its runtime if that can be here."""
    manifest, kind = artifact.manifest, parity_kind(artifact.target)
    versions = json.dumps(tool_versions(artifact.target), sort_keys=True)
    job = ArtifactOnHost(
        path=artifact.path, target=manifest.target, outputs=manifest.outputs, layout=manifest.inputs[0].layout
    )
    modules = MODULES.get(artifact.target.backend, ("edgekit.evaluation.shards",))
    return Subject(manifest.target, manifest.sha256, f"{manifest.sha256} {versions}", kind, modules, job)


def pytorch_subject(prepared: Prepared) -> Subject:
    """Return the model that all artifacts of a recipe are made from, in PyTorch."""
    job = PreparedModel(folder=prepared.folder)
    return Subject("pytorch", prepared.key, f"pytorch {prepared.key}", "measured", MODULES["pytorch"], job)


def run_on_host(task: Task, subject: Subject, progress: Progress, logs: Path) -> list[Shard]:
    """Return the answers of a subject on this machine. Finished shards come from the cache.

    EdgekitError if a process fails; the shards that were done are kept.
    """
    shards = task.shards()
    with kept(task.key(subject.key, len(shards[0]))) as folder, Workers(task.jobs) as workers, compiling(progress):
        missing = [index for index in range(len(shards)) if read_shard(folder, index) is None]
        counter = PhotoProgress(f"{task.recipe.name} {subject.target}", shards, missing, progress)

        def run(index: int) -> int:
            job = ShardJob(
                recipe=task.job_recipe(),
                subject=subject.job,
                photos=tuple(example.photo for example in shards[index]),
                labels=tuple(example.label for example in shards[index]),
            )
            log = logs / f"{subject.target.replace('/', '-')}-{index:05}.log"
            done = workers.call(job, log, timeout=24 * 3600, modules=subject.modules)
            write_shard(folder, index, Shard.model_validate(done))
            return len(shards[index])

        with ThreadPoolExecutor(task.jobs) as pool:
            started = [pool.submit(run, index) for index in missing]
            try:
                for done in as_completed(started):
                    counter.step(done.result())
            finally:
                pool.shutdown(wait=False, cancel_futures=True)
                workers.kill()
        return [shard for index in range(len(shards)) if (shard := read_shard(folder, index))]


class PhotoProgress:
    """The progress of an evaluation: finished photos, missing shards and remaining time."""

    def __init__(
        self, name: str, shards: Sequence[Sequence[Example]], missing: Sequence[int], progress: Progress
    ) -> None:
        self._name, self._progress, self._remaining = name, progress, Remaining(len(missing))
        self._total = sum(map(len, shards))
        self._done = self._total - sum(len(shards[index]) for index in missing)
        if self._done:
            progress(f"{name}: {self._done} of {self._total} photos from the cache")

    def step(self, photos: int) -> None:
        """Report a finished shard of so many photos."""
        self._done += photos
        self._progress(f"{self._name}: {self._done} of {self._total} photos {self._remaining.step()}")


@contextmanager
def kept(key: str) -> Iterator[Path]:
    """Give the cache's folder for the shards of an evaluation. Other processes wait for it."""
    root = cache_folder() / "evaluations"
    folder = root / key
    root.mkdir(parents=True, exist_ok=True)
    with FileLock(root / f"{key}.lock"):
        folder.mkdir(exist_ok=True)
        yield folder


def read_shard(folder: Path, index: int) -> Shard | None:
    """Return a shard that was done, None if it was not or its file is damaged."""
    try:
        return Shard.model_validate_json((folder / f"{index:05}.json").read_bytes())
    except (FileNotFoundError, ValidationError):
        return None


def write_shard(folder: Path, index: int, shard: Shard) -> None:
    """Keep a shard: its file is there whole, or not at all."""
    file = folder / f"{index:05}.json"
    unfinished = file.with_name(f".{file.name}-{os.getpid()}")
    unfinished.write_text(shard.model_dump_json(), encoding="utf-8")
    unfinished.replace(file)


def shard_size(count: int, most: int) -> int:
    """Return how many of `count` photos a shard holds: enough that starting it costs little, and few if they are few."""
    return min(most, max(LEAST, ceil(count / SHARDS)))


def split(examples: tuple[Example, ...], size: int) -> list[tuple[Example, ...]]:
    """Return the examples in their order, `size` at a time."""
    return [examples[start : start + size] for start in range(0, len(examples), size)]
