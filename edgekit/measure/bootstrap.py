"""Intervals for functions of several medians: a two-level bootstrap with a small-sample correction.

Use it only if no exact interval exists, such as for a geometric mean over several artifacts. The headline's
order-statistic interval and the paired ratio need no bootstrap.

- **Two levels.** Blocks are resampled, then the samples within each session. Artifacts that took turns in the same
  blocks are resampled together, because a block's state affects all of them.
- **No samples are copied.** The median of a resample is drawn directly, see :func:`draw_medians`.
- **Correction.** The interval is estimate +- t * standard error. The standard error is that of the resamples, and t
  is Student's quantile, not the normal one. A percentile interval is too narrow for a few sessions.
  Sources: Efron and Tibshirani, An Introduction to the Bootstrap (1993), 12.2; Hesterberg, What Teachers Should Know
  About the Bootstrap (The American Statistician, 2015), section 4.
- **Degrees of freedom** are those of Welch (1947) and Satterthwaite (1946), over the groups of blocks.

Its coverage is in docs/measurement.md.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from edgekit.measure.statistics import Interval

Array = NDArray[np.float64]
Group = Sequence[Sequence[Sequence[float]]]
"""Artifacts that took turns: [artifact][block][sample]. All of them have the same number of blocks."""
Statistic = Callable[[Array], Array]
"""From medians (artifacts of all groups, resamples) to one value for each resample."""
RESAMPLES = 10_000
LEAST_BLOCKS = 6
"""With fewer blocks the coverage is not known."""


def bootstrap_interval(
    statistic: Statistic,
    groups: Sequence[Group],
    *,
    confidence: float = 0.95,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> tuple[float, Interval]:
    """Return the value of `statistic` for the medians of session medians, and its interval.

    Different groups are independent, as different runs are. A session of which only the centre is known has that one
    value. For a ratio, let `statistic` be the logarithm. ValueError for groups of fewer than :data:`LEAST_BLOCKS`
    blocks, or of artifacts with different numbers of blocks.
    """
    from scipy import stats

    counts = [_blocks(group) for group in groups]
    random = np.random.default_rng(seed)
    drawn = [_resample(group, count, resamples, random) for group, count in zip(groups, counts, strict=True)]
    centres = [np.array([_centre(sessions) for sessions in group])[:, None] for group in groups]
    estimate = float(statistic(np.concatenate(centres))[0])
    error = float(np.std(statistic(np.concatenate(drawn))))
    # What each group alone contributes to the variance.
    alone = [[*centres[:index], drawn[index], *centres[index + 1 :]] for index in range(len(groups))]
    variances = [float(np.var(statistic(_joined(parts, resamples)))) for parts in alone]
    spread = sum(variance**2 / (count - 1) for variance, count in zip(variances, counts, strict=True))
    freedom = sum(variances) ** 2 / spread if spread else min(counts) - 1
    half = float(stats.t.ppf(0.5 + confidence / 2, freedom)) * error
    return estimate, Interval(low=estimate - half, high=estimate + half, confidence=confidence)


def draw_medians(sessions: Sequence[Sequence[float]], chosen: NDArray[np.int64], random: np.random.Generator) -> Array:
    """Return the median of a resample of each `chosen` session; `chosen` holds indices, the result has its shape.

    A resample of n values takes the one of rank ceil(n * U) for each of n uniform numbers U. So its k-th smallest value
    has rank ceil(n * B), and B, the k-th smallest uniform number, is Beta(k, n - k + 1). The next one is the smallest
    of n - k uniform numbers above B. Sources: Efron, Bootstrap Methods (Annals of Statistics, 1979), section 3;
    Devroye, Non-Uniform Random Variate Generation (1986), V.2; David and Nagaraja, Order Statistics (2003), 2.5.
    """
    lengths = np.array([len(session) for session in sessions])
    table = np.zeros((len(sessions), lengths.max()))
    for row, session in zip(table, sessions, strict=True):
        row[: len(session)] = np.sort(session)
    n = lengths[chosen]
    k = (n + 1) // 2
    middle = random.beta(k, n - k + 1)
    after = 1 - (1 - middle) * random.random(n.shape) ** (1 / np.maximum(n - k, 1))
    lower, upper = (np.clip(np.ceil(n * uniform).astype(int), 1, n) - 1 for uniform in (middle, after))
    upper = np.where(n % 2, lower, upper)  # an odd number of values has one in the middle
    return np.asarray((table[chosen, lower] + table[chosen, upper]) / 2)


def _resample(group: Group, blocks: int, resamples: int, random: np.random.Generator) -> Array:
    """Return each artifact's median of session medians in each resample: (artifacts, resamples)."""
    chosen = random.integers(0, blocks, (resamples, blocks))
    return np.array([np.median(draw_medians(sessions, chosen, random), axis=1) for sessions in group])


def _blocks(group: Group) -> int:
    counts = {len(sessions) for sessions in group}
    if len(counts) != 1 or min(counts) < LEAST_BLOCKS:
        raise ValueError(f"a group has {sorted(counts)} blocks: one number is needed, of {LEAST_BLOCKS} at least")
    return counts.pop()


def _centre(sessions: Sequence[Sequence[float]]) -> float:
    return float(np.median([np.median(session) for session in sessions]))


def _joined(parts: Sequence[Array], resamples: int) -> Array:
    return np.concatenate([np.broadcast_to(part, (len(part), resamples)) for part in parts])
