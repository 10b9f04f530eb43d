"""The ratio of two latencies with an interval, and the smallest difference that some sessions can show.

Sessions are the unit. The ratio is the median of all ratios of a session of one side to a session of the other
(Hodges-Lehmann). Its interval inverts the exact Mann-Whitney test. The distribution may have any shape, but apart from
the ratio both sides must have the same. If one side varies much more, false alarms exceed 5 % (docs/comparing.md).
Welch's interval would then be valid, but one disturbed session in twenty halves its power.
Differences between runs that are equal in all sessions are not in the interval.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from functools import cache
from typing import Literal

import numpy as np
from pydantic import BaseModel

CONFIDENCE = 0.95
POWER = 0.8
"""How often a difference of the size that is called the smallest is shown."""
LEAST_SESSIONS = 4
"""With fewer on each side no outcome has the confidence."""
EXACT = 100
"""Up to so many sessions of a side the test is exact. The normal approximation of 30 covers 94.7 %, not 95 %."""
UNEVEN = 3
"""How many times the spread of one side may be that of the other. Of 6 sessions with equal spreads 3 % exceed it."""
MOST_SESSIONS = 200
"""More sessions than these are not recommended."""
EFFICIENCY = 3 / np.pi
"""How many sessions a t test needs for those of a rank test, if sessions are log-normal (Lehmann, Nonparametrics, 1975)."""


class Ratio(BaseModel):
    """How many times the second side takes what the first takes; below 1 the second is faster.

    `low` and `high` are the ends of the interval, None if there are too few sessions for one. `smallest` is the relative
    difference that these sessions would show in 80 % of the cases, None if they show none. `spreads` are the standard
    deviations of the logarithms of both sides' sessions: about their relative spreads.
    """

    value: float
    low: float | None
    high: float | None
    smallest: float | None
    spreads: tuple[float, float]

    @property
    def uneven(self) -> bool:
        """Whether one side varies so much more than the other that the interval is too narrow."""
        return max(self.spreads) > UNEVEN * min(self.spreads)

    @property
    def shown(self) -> bool:
        """Whether a difference is shown: 1 is outside the interval."""
        return self.low is not None and self.high is not None and not self.low <= 1 <= self.high


def ratio(first: Sequence[float], second: Sequence[float]) -> Ratio:
    """Compare the centres of two sides' sessions, in one unit; ValueError if a side has none."""
    if not first or not second:
        raise ValueError("a side has no sessions")
    logs = (np.log(first), np.log(second))
    pairs = np.sort((logs[1][:, None] - logs[0][None, :]).ravel())
    cut = _cut(len(first), len(second))
    low, high = (None, None) if cut is None else (float(np.exp(pairs[cut])), float(np.exp(pairs[-1 - cut])))
    own, other = (float(np.std(values, ddof=1)) if len(values) > 1 else 0.0 for values in logs)
    spreads = (own, other)
    smallest = None if cut is None else _smallest(spreads, (len(first), len(second)))
    return Ratio(value=float(np.exp(np.median(pairs))), low=low, high=high, smallest=smallest, spreads=spreads)


def sessions_needed(first: Sequence[float], second: Sequence[float], difference: float) -> int | None:
    """Return how many sessions each side needs to show a relative `difference`; None if :data:`MOST_SESSIONS` do not."""
    spreads = [float(np.std(np.log(values), ddof=1)) if len(values) > 1 else 0.0 for values in (first, second)]
    counts = range(LEAST_SESSIONS, MOST_SESSIONS + 1)
    return next((n for n in counts if _smallest(spreads, (n, n)) <= difference), None)


def _smallest(spreads: Sequence[float], counts: Sequence[int]) -> float:
    """Return the relative difference that is shown with :data:`POWER`, from the spreads of the sessions' logarithms."""
    from scipy import stats

    freedom = sum(counts) - 2
    error = np.sqrt(sum(spread**2 / (n * EFFICIENCY) for spread, n in zip(spreads, counts, strict=True)))
    quantiles = stats.t.ppf(0.5 + CONFIDENCE / 2, freedom) + stats.t.ppf(POWER, freedom)
    return float(np.expm1(quantiles * error))


@cache
def _cut(first: int, second: int) -> int | None:
    """Return how many of the sorted pairs lie below the interval; None if even all of them do not give the confidence."""
    from scipy import stats

    method: Literal["exact", "asymptotic"] = "exact" if max(first, second) <= EXACT else "asymptotic"

    def chance(below: int) -> float:
        """Return the p value if of all pairs so many have the first side's session as the larger one."""
        full, rest = divmod(below, second)
        own = np.array([second + 1.0] * full + [rest - 0.5] + [-1.0] * first)[:first]
        return float(stats.mannwhitneyu(own, np.arange(second, dtype=float), method=method).pvalue)

    rejected = bisect_right(range(first * second // 2), 1 - CONFIDENCE, key=chance)
    return rejected - 1 if rejected else None
