"""How accurate, with which interval; and how two models differ on the same photos. Everything is in percent or points."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel
from scipy.stats import binomtest, bootstrap, norm

CONFIDENCE = 0.95
RESAMPLES = 1000
"""Of a bootstrap over photos."""
Statistic = Callable[[NDArray[np.int64]], float]
"""A metric of the photos at some indices, of which one may be there several times."""


class Estimate(BaseModel):
    """A value with its 95 % interval; None if there are too few photos for one."""

    value: float
    interval: tuple[float, float] | None


class Comparison(BaseModel):
    """A model against a baseline, paired by photo: `difference` in points, negative for a loss.

    For top-1 there are `p` of McNemar's exact test, and `agreement`: the share of photos with the same first class.
    """

    against: str
    against_sha256: str
    metric: str
    n: int
    difference: Estimate
    p: float | None = None
    agreement: Estimate | None = None
    only_this: int | None = None
    only_that: int | None = None


def share(successes: int, n: int) -> Estimate:
    """Return a share in percent with Wilson's interval (Wilson 1927)."""
    interval = binomtest(successes, n).proportion_ci(CONFIDENCE, method="wilson")
    return Estimate(value=100 * successes / n, interval=(100 * interval.low, 100 * interval.high))


def mcnemar(only_this: int, only_that: int) -> float:
    """Return the exact p of McNemar's test: `only_this` photos are right in one model only, `only_that` in the other only."""
    discordant = only_this + only_that
    return float(binomtest(only_this, discordant).pvalue) if discordant else 1.0


def paired_difference(only_this: int, only_that: int, n: int) -> Estimate:
    """Return the difference of two paired shares, in points, with the interval of Agresti and Min.

    Wald's interval after 1/2 is added to each of the four cells: Agresti and Min 2005, "Simple improved confidence intervals
    for comparing matched proportions", Statistics in Medicine 24:729-740.
    """
    total, gain, loss = n + 2, only_this + 0.5, only_that + 0.5
    centre = (gain - loss) / total
    error = np.sqrt((gain + loss) / total - centre**2) / np.sqrt(total)
    reach = float(norm.ppf((1 + CONFIDENCE) / 2) * error)
    interval = (100 * max(-1.0, centre - reach), 100 * min(1.0, centre + reach))
    return Estimate(value=100 * (only_this - only_that) / n, interval=interval)


def compare_top1(
    this: Sequence[int | None], that: Sequence[int | None], labels: Sequence[int], against: str, sha256: str
) -> Comparison:
    """Compare first classes, photo by photo, with those of a baseline; None means no answer."""
    rows = list(zip(this, that, labels, strict=True))
    only_this = sum(mine == label != theirs for mine, theirs, label in rows)
    only_that = sum(theirs == label != mine for mine, theirs, label in rows)
    return Comparison(
        against=against,
        against_sha256=sha256,
        metric="top1",
        n=len(rows),
        difference=paired_difference(only_this, only_that, len(rows)),
        p=mcnemar(only_this, only_that),
        agreement=share(sum(mine == theirs for mine, theirs, _ in rows), len(rows)),
        only_this=only_this,
        only_that=only_that,
    )


def resampled(statistic: Statistic, n: int, seed: int, resamples: int = RESAMPLES) -> Estimate:
    """Return a statistic of `n` photos, its 95 % interval by the percentile bootstrap over photos (SciPy)."""
    everything = np.arange(n)
    value = statistic(everything)
    if n < 2:
        return Estimate(value=value, interval=None)
    found = bootstrap(
        (everything,),
        lambda chosen: statistic(np.asarray(chosen, dtype=np.int64)),
        n_resamples=resamples,
        vectorized=False,
        confidence_level=CONFIDENCE,
        method="percentile",
        rng=np.random.default_rng(seed),
    )
    # A resample may hold no object at all: it has no value.
    values = np.sort(found.bootstrap_distribution[np.isfinite(found.bootstrap_distribution)])
    tail = 100 * (1 - CONFIDENCE) / 2
    interval = (float(np.percentile(values, tail)), float(np.percentile(values, 100 - tail))) if values.size else None
    return Estimate(value=value, interval=interval)


def pixel_counts(answers: Sequence[dict[str, list[int]]], classes: int) -> NDArray[np.int64]:
    """Return (photos, classes, 3): the pixels that are rightly, wrongly and not of a class, as the answers have them."""
    counts = np.zeros((len(answers), classes, 3), np.int64)
    for row, answer in enumerate(answers):
        for index, values in answer.items():
            counts[row, int(index)] = values
    return counts


def mean_overlap(counts: NDArray[np.int64]) -> Statistic:
    """Return mIoU, in percent, as a statistic: the mean over the classes that occur in the truth of the chosen photos."""

    def statistic(chosen: NDArray[np.int64]) -> float:
        weights = np.bincount(chosen, minlength=len(counts))
        right, wrong, missed = np.tensordot(weights, counts, 1).T
        there = right + missed > 0
        if not there.any():
            return float("nan")
        return float(100 * np.mean(right[there] / (right + wrong + missed)[there]))

    return statistic


def format_comparison(target: str, comparison: Comparison) -> str:
    """Return what a person reads of a comparison."""
    difference = comparison.difference
    word = "lost" if difference.value < 0 else "gained" if difference.value > 0 else "differs by"
    sign = -1 if difference.value < 0 else 1
    value = f"{abs(difference.value):.1f}"
    if difference.interval:
        low, high = sorted(sign * end for end in difference.interval)
        value += f" [{low:.1f}, {high:.1f}]"
    said = f"{target} {word} {value} points of {comparison.metric} against {comparison.against}"
    if comparison.p is not None:
        said += f", p = {comparison.p:.2g}"
    if comparison.agreement is not None:
        said += f"; agreement {format_estimate(comparison.agreement)} %"
    return f"{said} (n = {comparison.n})"


def format_estimate(estimate: Estimate) -> str:
    """Return ``value [low, high]`` with one decimal."""
    if estimate.interval is None:
        return f"{estimate.value:.1f}"
    return f"{estimate.value:.1f} [{estimate.interval[0]:.1f}, {estimate.interval[1]:.1f}]"


def metrics_of_top5(answers: Sequence[list[int]], labels: Sequence[int]) -> dict[str, Estimate]:
    """Return top-1 and top-5 of the likeliest classes of each photo."""
    pairs: list[tuple[Any, int]] = list(zip(answers, labels, strict=True))
    first = sum(answer[:1] == [label] for answer, label in pairs)
    among = sum(label in answer for answer, label in pairs)
    return {"top1": share(first, len(pairs)), "top5": share(among, len(pairs))}
