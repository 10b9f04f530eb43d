"""The job of a separate process: preprocess one shard of photos and run a model on it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekit.architectures.inputs import Array, Inputs, nhwc
from edgekit.backends.base import TensorSpec, backend_of, by_name, parity_kind
from edgekit.build.photos import open_photo, preprocess
from edgekit.errors import UsageError
from edgekit.evaluation.answers import answer
from edgekit.evaluation.jobs import ArtifactOnHost, InputsJob, PreparedModel, ShardJob
from edgekit.recipe.schema import Recipe
from edgekit.target import Target

Predict = Callable[[Array], dict[str, NDArray[np.float32]]]
"""(N, 3, H, W) -> output name -> (N, ...), in the model's layout."""
OWN_RUNTIMES = {"tflite": "TFLite", "executorch": "ExecuTorch"}
"""Backend -> the class of the Python runner that runs its artifacts, image by image."""
AT_ONCE = 16
"""Photos that a backend without a runner here is given at a time: it may load the artifact for each call."""


def run_shard(job: ShardJob) -> dict[str, Any]:
    """Run a shard's photos through a model; returns `answers`, None for a failed photo, and `failed`: index -> message."""
    recipe = job.recipe
    predict, at_once = predictor(recipe, job.subject)
    answers: list[Any] = [None] * len(job.photos)
    failed: dict[str, str] = {}
    for batch in _batches(preprocessed(recipe, job.photos, failed), at_once):
        outputs = predict(np.stack([image for _, image in batch]))
        for place, (index, _) in enumerate(batch):
            own = {name: values[place] for name, values in outputs.items()}
            answers[index] = answer_or_failure(recipe, own, job.labels[index], index, failed)
    return {"answers": answers, "failed": failed}


def write_inputs(job: InputsJob) -> dict[str, Any]:
    """Write a shard's preprocessed photos to a file.

    Returns `indices`, those of the photos that were read, and `failed`: index -> message.
    """
    failed, indices = dict[str, str](), list[int]()
    with job.file.open("wb") as file:
        for index, image in preprocessed(job.recipe, job.photos, failed):
            laid_out = image.transpose(1, 2, 0) if job.layout == "NHWC" else image
            file.write(np.ascontiguousarray(laid_out).tobytes())
            indices.append(index)
    return {"indices": indices, "failed": failed}


def preprocessed(
    recipe: Recipe, photos: Sequence[Path], failed: dict[str, str]
) -> Iterator[tuple[int, NDArray[np.float32]]]:
    """Yield index and input (3, H, W) of each photo; of one that cannot be read the message goes into `failed`."""
    for index, photo in enumerate(photos):
        try:
            yield index, preprocess(open_photo(photo), *recipe.photos)
        except UsageError as error:
            failed[str(index)] = error.failure.message


def answer_or_failure(
    recipe: Recipe, outputs: dict[str, NDArray[np.float32]], label: str, index: int, failed: dict[str, str]
) -> Any:
    """Return the answer, or None if the photo's mask cannot be read: the message goes into `failed`."""
    try:
        return answer(recipe, outputs, label)
    except UsageError as error:
        failed[str(index)] = error.failure.message
        return None


def predictor(recipe: Recipe, subject: ArtifactOnHost | PreparedModel) -> tuple[Predict, int]:
    """Return what computes a subject's outputs, and for how many photos at a time."""
    if isinstance(subject, PreparedModel):
        return _pytorch(recipe, subject.folder), 1
    target, path, specs = Target.parse(subject.target), subject.path, subject.outputs
    if target.backend in OWN_RUNTIMES and parity_kind(target) == "measured":
        return _own_runtime(OWN_RUNTIMES[target.backend], path, specs, subject.layout), 1
    backend = backend_of(target)
    return lambda images: by_name(specs, backend.execute(path, Inputs.of_images(images))), AT_ONCE


def _pytorch(recipe: Recipe, folder: Path) -> Predict:
    import torch

    from edgekit.architectures.outputs import named_outputs
    from edgekit.build.prepare import load_prepared

    model = load_prepared(recipe, folder)

    def predict(images: Array) -> dict[str, NDArray[np.float32]]:
        return {name: output.numpy() for name, output in named_outputs(model, torch.from_numpy(images)).items()}

    return predict


def _own_runtime(name: str, path: Path, specs: Sequence[TensorSpec], layout: str) -> Predict:
    """Return what runs one image in the class of the runner that also times the artifact, with one thread."""
    from edgekit.runners import python_runner

    session = getattr(python_runner, name)(str(path), 1)

    def predict(images: Array) -> dict[str, NDArray[np.float32]]:
        session.set_inputs([nhwc(images) if layout == "NHWC" else np.ascontiguousarray(images)])
        session.run()
        return by_name(specs, tuple(np.array(output, dtype=np.float32) for output in session.get_outputs()))

    return predict


def _batches(
    images: Iterator[tuple[int, NDArray[np.float32]]], size: int
) -> Iterator[list[tuple[int, NDArray[np.float32]]]]:
    batch = []
    for image in images:
        batch.append(image)
        if len(batch) == size:
            yield batch
            batch = []
    if batch:
        yield batch
