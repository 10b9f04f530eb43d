"""From answers to metrics, for one subject or for two on the same photos."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from math import isfinite
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekit.errors import UsageError
from edgekit.evaluation import coco
from edgekit.evaluation.datasets import Dataset
from edgekit.evaluation.metrics import (
    Comparison,
    Estimate,
    Statistic,
    compare_top1,
    mean_overlap,
    metrics_of_top5,
    pixel_counts,
    resampled,
)
from edgekit.evaluation.running import Shard

COCO_RESAMPLES = 200
"""Of a bootstrap of mAP: each takes a second with COCO's 5000 photos."""
METRICS = {"classification": "top1", "detection": "map", "segmentation": "miou"}
"""Task -> its chief metric."""


@dataclass(frozen=True, eq=False)
class Answers:
    """A subject's answers to a data set, None for a failed photo; and why those failed, by the index of the photo."""

    values: Sequence[Any]
    failed: Mapping[int, str]

    @staticmethod
    def of(shards: Sequence[Shard]) -> Answers:
        """Join the shards."""
        values: list[object] = []
        failed: dict[int, str] = {}
        for shard in shards:
            failed |= {len(values) + int(index): message for index, message in shard.failed.items()}
            values += shard.answers
        return Answers(values, failed)


@dataclass(frozen=True)
class Scorer:
    """Judges answers by the truth of a data set.

    `outputs` lead from its classes to the outputs of the model, which has `classes`.
    """

    dataset: Dataset
    outputs: Mapping[str, int]
    classes: int
    seed: int
    _known: dict[tuple[Answers, tuple[int, ...]], dict[str, Statistic]] = field(default_factory=dict)

    @property
    def metric(self) -> str:
        """The chief metric."""
        return METRICS[self.dataset.task]

    @cached_property
    def labels(self) -> list[int]:
        """The model's output for each photo's class."""
        return [self.outputs[example.label] for example in self.dataset.examples]

    def metrics(self, answers: Answers) -> dict[str, Estimate]:
        """Return metric -> value and interval over the photos that have an answer; UsageError if there is nothing to score."""
        counted = self._counted(answers)
        if self.dataset.task == "classification":
            return metrics_of_top5([answers.values[index] for index in counted], [self.labels[i] for i in counted])
        found = {
            name: resampled(statistic, len(counted), self.seed, self._resamples)
            for name, statistic in self._statistics(answers, counted).items()
        }
        if not all(isfinite(estimate.value) for estimate in found.values()):
            raise UsageError(
                f"No photo of {self.dataset.name} that was asked has an object.", "Use more photos: --limit."
            )
        return found

    def compare(self, this: Answers, that: Answers, against: str, sha256: str) -> Comparison:
        """Compare with a baseline on the photos that both have an answer to."""
        counted = sorted(set(self._counted(this)) & set(self._counted(that)))
        if self.dataset.task == "classification":
            firsts = [[_first(answers.values[index]) for index in counted] for answers in (this, that)]
            return compare_top1(firsts[0], firsts[1], [self.labels[index] for index in counted], against, sha256)
        mine, theirs = (self._statistics(answers, counted)[self.metric] for answers in (this, that))

        def difference(chosen: NDArray[np.int64]) -> float:
            return mine(chosen) - theirs(chosen)

        paired = resampled(difference, len(counted), self.seed, self._resamples)
        return Comparison(against=against, against_sha256=sha256, metric=self.metric, n=len(counted), difference=paired)

    @property
    def _resamples(self) -> int:
        return COCO_RESAMPLES if self.dataset.task == "detection" else 1000

    def _counted(self, answers: Answers) -> list[int]:
        counted = [index for index, value in enumerate(answers.values) if value is not None]
        if not counted:
            first = next(iter(answers.failed.values()))
            raise UsageError(f"None of the {len(answers.values)} photos could be read: {first}", "Check the data set.")
        return counted

    def _statistics(self, answers: Answers, counted: Sequence[int]) -> dict[str, Statistic]:
        """Return metric -> its statistic of the `counted` photos. Matching boxes takes long, so it is done once."""
        key = (answers, tuple(counted))
        if key not in self._known:
            self._known[key] = self._new_statistics([answers.values[index] for index in counted], counted)
        return self._known[key]

    def _new_statistics(self, values: Sequence[Any], counted: Sequence[int]) -> dict[str, Statistic]:
        if self.dataset.task == "segmentation":
            return {"miou": mean_overlap(pixel_counts(values, self.classes))}
        results = coco.match(self.dataset, self.outputs, values, counted)
        return {
            "map": lambda chosen: results.precision(chosen)[0],
            "map50": lambda chosen: results.precision(chosen)[1],
        }


def _first(answer: object) -> int | None:
    assert isinstance(answer, list)
    return answer[0] if answer else None
