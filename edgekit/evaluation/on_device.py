"""An artifact's answers on a device: preprocessed photos go there, its own runner computes, the outputs come back."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from edgekit.backends.base import Artifact, by_name
from edgekit.build.worker import Workers
from edgekit.cache.store import temporary_folder
from edgekit.devices.base import Device, opened
from edgekit.devices.profile import DeviceProfile
from edgekit.errors import EdgekitError, FailureKind
from edgekit.evaluation.datasets import Example
from edgekit.evaluation.jobs import InputsJob
from edgekit.evaluation.running import MODULES, PhotoProgress, Shard, Task, kept, read_shard, split, write_shard
from edgekit.evaluation.shards import answer_or_failure
from edgekit.measure.session import broken
from edgekit.pipeline import Progress
from edgekit.pipeline.measuring import provide_runners
from edgekit.pipeline.turns import timing
from edgekit.runners import split_outputs

MOST_BYTES = 32_000_000
"""Of a shard's inputs: what lies on the device at a time."""
MOST_PHOTOS = 50
LOADING_SECONDS, PHOTO_SECONDS = 600, 60
"""The time limit of a shard: what loading may take, and each photo."""


@dataclass(frozen=True)
class Inputs:
    """A shard's photos as the runner takes them; `indices` are those that could be read."""

    file: Path
    indices: list[int]
    failed: dict[str, str]


def run_on_device(
    task: Task, artifact: Artifact, profile: DeviceProfile, progress: Progress, logs: Path
) -> tuple[list[Shard], str]:
    """Return an artifact's answers on a device, and the device's identity. Finished shards come from the cache.

    EdgekitError if the device or its runner fails; the shards that were done are kept.
    """
    shards = split(task.dataset.examples, shard_size(artifact))
    with opened(profile) as device, timing(device, progress):
        provide_runners(device, progress)
        device.prepare()
        identity = device.identify().hash
        runner = device.runner(artifact.target.backend)
        subject = f"{artifact.manifest.sha256} {identity} {json.dumps(list(runner))}"
        with kept(task.key(subject, len(shards[0]))) as folder:
            missing = [index for index in range(len(shards)) if read_shard(folder, index) is None]
            name = f"{artifact.manifest.target} on {profile.name}"
            counter = PhotoProgress(f"{task.recipe.name} {name}", shards, missing, progress)
            there = Runner(device, runner, device.push(artifact.path), artifact, name) if missing else None
            for index, inputs in prepared_inputs(task, artifact, shards, missing, logs):
                assert there
                outputs = there.run(inputs) if inputs.indices else []
                write_shard(folder, index, _shard(task, shards[index], inputs, outputs))
                counter.step(len(shards[index]))
            done = [shard for index in range(len(shards)) if (shard := read_shard(folder, index))]
    return done, identity


@dataclass(frozen=True)
class Runner:
    """A device's runner with an artifact that is there."""

    device: Device
    command: Sequence[str]
    model: str
    artifact: Artifact
    name: str

    def run(self, inputs: Inputs) -> list[dict[str, Any]]:
        """Run a shard's photos, and return the outputs of each by name. Its inputs are removed from the device.

        EdgekitError (``crashed``, ``timed_out``) if the runner fails or writes something else.
        """
        specs, count = self.artifact.manifest.outputs, len(inputs.indices)
        remote, output = self.device.push(inputs.file), self.device.scratch("outputs.bin")
        arguments = ("--model", self.model, "--input", remote, "--output", output, "--iterations", "0")
        completed = self.device.run([*self.command, *arguments], LOADING_SECONDS + PHOTO_SECONDS * count)
        if completed.exit_status:
            raise broken(self.name, completed)
        local = inputs.file.with_suffix(".out")
        self.device.pull(output, local)
        self.device.run(("rm", "-f", remote, output), 60)
        values = np.fromfile(local, dtype=np.float32)
        local.unlink()
        if values.size != (expected := count * sum(math.prod(spec.shape) for spec in specs)):
            message = f"{self.name} wrote {values.size} values instead of {expected}."
            raise EdgekitError(FailureKind.crashed, "evaluate", message, retriable=True)
        outputs = by_name(specs, split_outputs(values, count, [list(spec.shape) for spec in specs]))
        return [{name: array[place] for name, array in outputs.items()} for place in range(count)]


def shard_size(artifact: Artifact) -> int:
    """Return how many photos a shard holds."""
    bytes_each = 4 * math.prod(artifact.manifest.inputs[0].shape)
    return max(1, min(MOST_PHOTOS, MOST_BYTES // bytes_each))


def prepared_inputs(
    task: Task, artifact: Artifact, shards: Sequence[tuple[Example, ...]], missing: Sequence[int], logs: Path
) -> Iterator[tuple[int, Inputs]]:
    """Yield the `missing` shards' inputs in turn; the next ones are preprocessed while the device works. Files go after use."""
    with temporary_folder() as folder, Workers(task.jobs) as workers, ThreadPoolExecutor(task.jobs) as pool:

        def make(index: int) -> Inputs:
            file = Path(folder) / f"{index:05}.bin"
            job = InputsJob(
                recipe=task.job_recipe(),
                layout=artifact.manifest.inputs[0].layout,
                photos=tuple(example.photo for example in shards[index]),
                file=file,
            )
            log = logs / f"inputs-{index:05}.log"
            done = workers.call(job, log, modules=MODULES["tflite"][1:])
            return Inputs(file, done["indices"], done["failed"])

        under_way: dict[int, Future[Inputs]] = {}
        try:
            for place, index in enumerate(missing):
                for ahead in missing[place : place + task.jobs + 1]:
                    if ahead not in under_way:
                        under_way[ahead] = pool.submit(make, ahead)
                inputs = under_way.pop(index).result()
                yield index, inputs
                inputs.file.unlink(missing_ok=True)  # the host itself has removed it
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
            workers.kill()


def _shard(task: Task, examples: Sequence[Example], inputs: Inputs, outputs: Sequence[dict[str, Any]]) -> Shard:
    answers: list[Any] = [None] * len(examples)
    failed = dict(inputs.failed)
    for index, own in zip(inputs.indices, outputs, strict=True):
        answers[index] = answer_or_failure(task.recipe, own, examples[index].label, index, failed)
    return Shard(answers=answers, failed=failed)
