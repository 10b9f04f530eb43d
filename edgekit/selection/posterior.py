"""Draws from the posteriors of latencies and accuracies, given the sessions and the photos.

Latency: of n sessions, the number below the true median has the distribution Binomial(n, 1/2), whatever the noise. So the
true median is drawn between two neighbouring session centres, and beyond the last one as far as that is from the next.
Student's t over the logarithms would be about their mean: with skewed noise it covers the median of 30 sessions in 76 %
instead of 95 % (docs/measurement.md). Fewer than six sessions say too little of the noise. There, the logarithms are
assumed normal, and the true one is their mean plus s / sqrt(n) times Student's t with n - 1 degrees of freedom.
A bootstrap of a few sessions would be too narrow: it ignores the uncertainty of the spread (benchmarks/selection.md).
Source of the first: Thompson, On Confidence Ranges for the Median (Annals of Mathematical Statistics 7, 1936).

Accuracy: the share of correct photos has Jeffreys' posterior, Beta(k + 1/2, n - k + 1/2). Artifacts that were compared
with the same baseline on the same photos share the baseline's draws. They differ only in the photos on which they
differ from it. So the difference between two artifacts of a model is known much better than either.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, reduce

import numpy as np
from numpy.typing import NDArray

from edgekit.selection.candidates import Accuracy, Candidate
from edgekit.selection.question import Percentile

DRAWS = 4000
SMALLEST_SPREAD = 0.001
"""Of session centres, relative. Sessions that agree better do so by the clock's steps or by chance."""
LEAST_FOR_ORDER = 6
"""Sessions from which their order alone gives the posterior."""
PUBLISHED_PHOTOS = 50_000
"""Of ImageNet's validation set."""
Z = 1.959964
"""Standard errors from the middle to the end of a 95 % interval."""
Array = NDArray[np.float64]


@dataclass(frozen=True)
class Draws:
    """Draws of what may be true: latencies in ms (draws, candidates, devices) and accuracies in percent (draws, candidates)."""

    latency: Array
    accuracy: Array

    @cached_property
    def slowest(self) -> Array:
        """The latency on the slowest device: (draws, candidates)."""
        return np.asarray(reduce(np.maximum, np.moveaxis(self.latency, 2, 0)))

    def of(self, chosen: Sequence[int] | NDArray[np.int64]) -> Draws:
        """Return the draws of some candidates."""
        return Draws(self.latency[:, chosen], self.accuracy[:, chosen])

    def first(self, count: int) -> Draws:
        """Return the first `count` draws."""
        return Draws(self.latency[:count], self.accuracy[:count])


def draw(
    candidates: Sequence[Candidate], devices: Sequence[str], percentile: Percentile, seed: int, draws: int = DRAWS
) -> Draws:
    """Return draws for candidates that have a latency on every device and an accuracy."""
    random = np.random.default_rng(seed)
    latency = np.empty((draws, len(candidates), len(devices)))
    for column, candidate in enumerate(candidates):
        for layer, device in enumerate(devices):
            own = draw_latency(candidate.centres[device], random, draws)
            latency[:, column, layer] = own * percentile_factor(candidate, device, percentile)
    return Draws(
        latency, draw_accuracies([candidate.accuracy for candidate in candidates if candidate.accuracy], random, draws)
    )


def draw_latency(centres: Sequence[float], random: np.random.Generator, draws: int = DRAWS) -> Array:
    """Return what the true latency in ms may be, given at least two session centres in ms."""
    logs, count = np.sort(np.log(centres)), len(centres)
    spread = float(logs.std(ddof=1))
    if count < LEAST_FOR_ORDER or spread < SMALLEST_SPREAD:
        return np.asarray(
            np.exp(logs.mean() + max(spread, SMALLEST_SPREAD) / np.sqrt(count) * random.standard_t(count - 1, draws))
        )
    typical = (logs[-1] - logs[0]) / (count - 1)
    below, above = (max(gap, typical) for gap in (logs[1] - logs[0], logs[-1] - logs[-2]))
    ends = np.concatenate([[logs[0] - below], logs, [logs[-1] + above]])
    place = random.binomial(count, 0.5, draws)
    return np.asarray(np.exp(ends[place] + random.random(draws) * (ends[place + 1] - ends[place])))


def percentile_factor(candidate: Candidate, device: str, percentile: Percentile) -> float:
    """Return what a candidate's median is multiplied by: 1, or the upper bound of its 90th percentile over its median."""
    summary = candidate.timings[device].summary
    assert summary is not None
    return 1.0 if percentile == "p50" else float(summary["p90_upper"] / summary["median"])


def draw_accuracies(accuracies: Sequence[Accuracy], random: np.random.Generator, draws: int = DRAWS) -> Array:
    """Return what the true accuracies in percent may be: (draws, accuracies)."""
    found = np.empty((draws, len(accuracies)))
    baselines: dict[tuple[str, str | None, int], Array] = {}
    for column, accuracy in enumerate(accuracies):
        if accuracy.baseline is None or accuracy.only_this is None or accuracy.only_that is None or accuracy.n is None:
            found[:, column] = _draw_alone(accuracy, random, draws)
            continue
        right = round(accuracy.value / 100 * accuracy.n) - accuracy.only_this + accuracy.only_that
        shared = (accuracy.baseline, accuracy.subset_sha256, right)
        if shared not in baselines:
            baselines[shared] = _share(right, accuracy.n, random, draws)
        gained = _share(accuracy.only_this, accuracy.n - right, random, draws)
        lost = _share(accuracy.only_that, right, random, draws)
        found[:, column] = 100 * (baselines[shared] * (1 - lost) + (1 - baselines[shared]) * gained)
    return found


def _draw_alone(accuracy: Accuracy, random: np.random.Generator, draws: int) -> Array:
    low, high = accuracy.interval
    if accuracy.n is None:  # published: somewhere between the sources, of which each has its own error
        error = np.sqrt(max(accuracy.value * (100 - accuracy.value), 1) / PUBLISHED_PHOTOS)
        return np.asarray(np.clip(random.uniform(low, high, draws) + error * random.standard_normal(draws), 0, 100))
    if accuracy.metric == "top1":
        return 100 * _share(round(accuracy.value / 100 * accuracy.n), accuracy.n, random, draws)
    return np.asarray(np.clip(accuracy.value + (high - low) / (2 * Z) * random.standard_normal(draws), 0, 100))


def _share(count: int, n: int, random: np.random.Generator, draws: int) -> Array:
    """Return Jeffreys' posterior of a share."""
    return np.asarray(random.beta(count + 0.5, n - count + 0.5, draws))
