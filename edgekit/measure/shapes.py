"""What is wrong with the shape of a measurement's samples: a warm-up that is not over, drift, two modes, bursts.

Each rule looks at the samples of all sessions, and returns its evidence or None. A rule needs a size, so that it finds
what changes the number, and a pattern, so that it does not find noise. How often each rule is right on traces with a
known truth is in docs/measurement.md (``python benchmarks/verdicts.py``).

Sources: a steady state by comparing parts of a run, Barrett et al., "Virtual Machine Warmup Blows Hot and Cold" (2017);
trend by Kendall's rank correlation, Mann (1945), with the slope of Theil and Sen; two modes by Otsu's threshold (1979).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

Sessions = Sequence[NDArray[np.float64]]
"""Samples of each session in the order of time, in any unit."""

SIZE = 0.04
"""The smallest change that a rule reports: 4 % of the latency."""
MOST = 2 / 3
"""The part of the sessions that must show what happens within a session."""
APART = 1.5
"""Two groups of sessions are apart by at least so many times the spread of the wider group."""
LEAST_SAMPLES = 20
"""Sessions with fewer samples have no shape."""
TREND_P = 0.02
"""Of six sessions, orders with at most one pair the wrong way round are a trend: p is 0.017."""
SHARE = 0.1
"""The part of the samples that the smaller of two modes has at least."""
FEWEST_VALUES = 12
"""Samples with fewer different values are those of a coarse clock, which looks like modes."""
SLOW = 1.25
"""Samples that take 1.25 times the session's median belong to a burst, if LEAST_BURST of them follow each other."""
LEAST_BURST = 3
BURST_SHARE = 0.08
"""The part of all samples that bursts have at least. Fewer change neither the median nor p90 by much."""
CLUSTERED = 0.6
"""The part of the slow samples that bursts have at least. Slow samples that are spread over a session are a mode of it."""


def not_steady(sessions: Sessions) -> str | None:
    """Find sessions whose first fifth is slower than their second half: the warm-up was too short."""
    changes = [_median(one[: len(one) // 5]) / _median(one[len(one) // 2 :]) - 1 for one in sessions]
    if not changes or np.mean([change > SIZE for change in changes]) < MOST:
        return None
    return f"the first fifth of a session is {np.median(changes):.0%} slower than its second half: warm-up is not over"


def drifting(sessions: Sessions) -> str | None:
    """Find latencies that rise or fall from session to session, or within most sessions."""
    within = [_median(one[-(len(one) // 5) :]) / _median(one[: len(one) // 2]) - 1 for one in sessions]
    if within and np.mean([change > SIZE for change in within]) >= MOST:
        return f"the last fifth of a session is {np.median(within):.0%} slower than its first half"
    centres = [_median(one) for one in sessions]
    if len(centres) < 5:
        return None
    from scipy import stats

    blocks = np.arange(len(centres))
    trend = stats.kendalltau(blocks, centres)
    slope = stats.theilslopes(centres, blocks).slope
    change = slope * (len(centres) - 1) / np.median(centres)
    if trend.pvalue <= TREND_P and abs(change) >= SIZE:
        return (
            f"the latency {'rises' if change > 0 else 'falls'} by {abs(change):.0%} from the first session to the last"
        )
    return _step(np.array(centres))


def _step(centres: NDArray[np.float64]) -> str | None:
    """Find sessions that are all slower, or all faster, from one of them on."""
    for cut in range(2, len(centres) - 1):
        before, after = centres[:cut], centres[cut:]
        low, high = sorted((before, after), key=_median)
        gap, spread = float(low.max()), max(float(np.ptp(low)), float(np.ptp(high)))
        if high.min() - gap > max(SIZE * gap, APART * spread):
            change = _median(after) / _median(before) - 1
            return f"the latency is {abs(change):.0%} {'higher' if change > 0 else 'lower'} from session {cut + 1} on"
    return None


def bimodal(sessions: Sessions) -> str | None:
    """Find two modes: of the sessions (two layouts in memory, two cores), or of the samples within them."""
    if len(sessions) < 4:
        return None
    centres = np.sort([_median(one) for one in sessions])
    for cut in range(2, len(centres) - 1):
        low, high = centres[:cut], centres[cut:]
        spread = max(float(np.ptp(low)), float(np.ptp(high)))
        if high[0] - low[-1] > max(SIZE * low[-1], APART * spread):
            return f"{len(low)} sessions take {_median(low):.4g} ms, and {len(high)} take {_median(high):.4g} ms"
    split = [_modes(one) for one in sessions]
    found = [ratio for ratio in split if ratio is not None]
    if len(found) / len(sessions) < MOST:
        return None
    return f"a session's samples have two modes, the slower one {np.median(found):.0%} above the other"


def interfered(sessions: Sessions) -> str | None:
    """Find bursts of slow samples, as another program on the same core makes them. One slow sample is no burst."""
    bursts = sum(_burst_samples(one) for one in sessions)
    slow = sum(int((one > SLOW * np.median(one)).sum()) for one in sessions)
    share = bursts / max(1, sum(map(len, sessions)))
    if share < BURST_SHARE or bursts < CLUSTERED * slow:
        return None
    return f"{share:.0%} of the samples are in bursts of {LEAST_BURST} or more that take over {SLOW:g} times the median"


RULES: Mapping[str, Callable[[Sessions], str | None]] = {
    "not_steady": not_steady,
    "interfered": interfered,
    "drifting": drifting,
    "bimodal": bimodal,
}
"""Verdict -> its rule, in the order in which they are asked: an earlier one may cause a later one."""


def shape_of(samples: Sequence[Sequence[int]]) -> tuple[str, str] | None:
    """Return the verdict and the evidence of the first rule that finds something in sessions of nanoseconds, else None."""
    sessions = [np.asarray(one, dtype=np.float64) / 1e6 for one in samples if len(one) >= LEAST_SAMPLES]
    if len(sessions) < len(samples):
        return None
    return next(((name, found) for name, rule in RULES.items() if (found := rule(sessions)) is not None), None)


def _modes(values: NDArray[np.float64]) -> float | None:
    """Return how far the slower mode is above the faster one, as a part of it; None if there is one mode.

    Otsu's threshold splits the samples. The modes are two if their middle is nearly empty.
    """
    if len(np.unique(values)) < FEWEST_VALUES:
        return None
    ordered = np.sort(values)
    count = len(ordered)
    sizes = np.arange(1, count)
    sums = np.cumsum(ordered)[:-1]
    between = sizes * (count - sizes) * (sums / sizes - (ordered.sum() - sums) / (count - sizes)) ** 2
    cut = int(np.argmax(between)) + 1
    if min(cut, count - cut) < SHARE * count:
        return None
    low, high = _median(ordered[:cut]), _median(ordered[cut:])
    middle = np.mean((ordered > low + (high - low) / 3) & (ordered < high - (high - low) / 3))
    return high / low - 1 if high / low - 1 > SIZE and middle < 0.02 else None


def _burst_samples(values: NDArray[np.float64]) -> int:
    """Return how many samples are in runs of at least LEAST_BURST slow ones."""
    slow = np.concatenate([[False], values > SLOW * np.median(values), [False]])
    edges = np.flatnonzero(slow[1:] != slow[:-1])
    lengths = edges[1::2] - edges[::2]
    return int(lengths[lengths >= LEAST_BURST].sum())


def _median(values: NDArray[np.float64]) -> float:
    return float(np.median(values))
