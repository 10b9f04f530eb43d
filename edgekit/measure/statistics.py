"""Estimators and intervals. Sessions are the unit: variation between processes is larger than within one.

The headline is the median of session medians; its interval is the order-statistic interval over them. Both are free of any
assumption about the distribution. Times are integers in nanoseconds going in and milliseconds coming out. SciPy's statistics
take two seconds to load: who only reads a ledger does not wait for them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from itertools import chain
from typing import Literal

import numpy as np
from pydantic import BaseModel

from edgekit.protocol import Rule

NANOSECONDS = 1e6  # per millisecond


class Interval(BaseModel):
    """An interval for a median and its actual confidence (at least the requested one, if n allows)."""

    low: float
    high: float
    confidence: float


class ReportedStats(BaseModel):
    """The statistics of a session's runs, in milliseconds, from a program that gives no samples. None is unknown."""

    runs: int
    mean: float
    minimum: float | None = None
    maximum: float | None = None
    standard_deviation: float | None = None
    median: float | None = None


class Summary(BaseModel):
    """The statistics of a measurement, in milliseconds.

    `median` is the median of the sessions' medians, or of their means if `centre` says so. The latter is for programs
    that give neither samples nor a median. Statistics that need samples are then None.
    `windows` are the means of a sustained measurement's parts of `window_seconds` each.
    `p90_upper` bounds p90 from above, at `p90_confidence`. Both are None if there are too few iterations for a bound.
    """

    sessions: int
    iterations: int
    median: float
    interval: Interval
    minimum: float | None
    mean: float
    median_absolute_deviation: float | None
    between_sessions_cv: float
    within_sessions_cv: float | None
    p90: float | None
    p90_upper: float | None
    p90_confidence: float = 0.95
    load: float
    first: float
    centre: Literal["median", "mean"] = "median"
    windows: list[float] = []
    window_seconds: float = 0.0


def order_statistic_interval(values: Sequence[float], confidence: float = 0.95) -> Interval:
    """Return the narrowest symmetric order-statistic interval for the median that has `confidence`.

    With too few values for that (fewer than 6 for 95 %) it is their range, with the confidence that the range has:
    1 - 2 ** (1 - n), the chance that not all values lie on one side of the median. ValueError without values.
    """
    if not values:
        raise ValueError("no values")
    ordered, n = sorted(values), len(values)
    cut, held = _cut(n, confidence)
    return Interval(low=ordered[cut], high=ordered[n - 1 - cut], confidence=held)


@cache
def _cut(n: int, confidence: float) -> tuple[int, float]:
    """Return how many of n values the interval leaves out on each side, and its confidence."""
    from scipy import stats

    best = (0, 1 - 2.0 ** (1 - n))
    for cut in range(1, n // 2):
        held = float(1 - 2 * stats.binom.cdf(cut, n, 0.5))
        if held < confidence:
            break
        best = (cut, held)
    return best


def quantile_upper_bound(values: Sequence[float], quantile: float, confidence: float = 0.95) -> float | None:
    """Return the smallest order statistic that lies above the `quantile` with `confidence`, None if n is too small.

    Distribution-free; needs n >= 29 for 90 % and n >= 299 for 99 %.
    """
    from scipy import stats

    n = len(values)
    rank = int(
        stats.binom.ppf(confidence, n, quantile)
    )  # P(fewer than rank + 1 values below the quantile) >= confidence
    return sorted(values)[rank] if rank < n else None


def early_stopping_bound(values: Sequence[float], quantile: float, confidence: float = 0.99) -> float | None:
    """Return MLPerf's estimate of the `quantile` by early stopping; None if there are too few values.

    It is the t-th largest value. t is the largest number for which t or fewer values above the true quantile have a
    probability of at most 1 - `confidence`. At least one is required, so p90 needs 64 values with 99 %, and p99 662.
    Source: ``early_stopping.cc`` of MLPerf's LoadGen.
    """
    from scipy import stats

    n, above = len(values), 1 - quantile
    allowed = int(stats.binom.ppf(1 - confidence, n, above))
    while allowed >= 0 and stats.binom.cdf(allowed, n, above) > 1 - confidence:
        allowed -= 1
    return sorted(values)[n - allowed] if allowed >= 1 else None


P90_BOUNDS: Mapping[Rule, tuple[Callable[[Sequence[float], float, float], float | None], float]] = {
    "order-statistic": (quantile_upper_bound, 0.95),
    "early-stopping": (early_stopping_bound, 0.99),
}
"""Rule of a protocol -> the bound of a quantile, and its confidence."""


def summarise(
    samples: Sequence[Sequence[int]],
    loads: Sequence[int],
    firsts: Sequence[int],
    p90_rule: Rule = "order-statistic",
) -> Summary:
    """Summarise the sessions of one measurement; all but the rule have an entry per session, in nanoseconds."""
    from scipy import stats

    medians = [session_centre(session, None) for session in samples]
    pooled = np.fromiter(chain.from_iterable(samples), dtype=np.float64) / NANOSECONDS
    bound, confidence = P90_BOUNDS[p90_rule]
    upper = bound(pooled.tolist(), 0.9, confidence)
    return Summary(
        sessions=len(samples),
        iterations=len(pooled),
        median=float(np.median(medians)),
        interval=order_statistic_interval(medians),
        minimum=float(pooled.min()),
        mean=float(pooled.mean()),
        median_absolute_deviation=float(stats.median_abs_deviation(pooled)),
        between_sessions_cv=_cv(medians),
        within_sessions_cv=float(np.median([_cv(session) for session in samples])),
        p90=None if upper is None else float(np.quantile(pooled, 0.9)),
        p90_upper=upper,
        p90_confidence=confidence,
        load=float(np.median(loads)) / NANOSECONDS,
        first=float(np.median(firsts)) / NANOSECONDS,
    )


def summarise_reported(reported: Sequence[ReportedStats], loads: Sequence[int], firsts: Sequence[int]) -> Summary:
    """Summarise sessions of a program that gives no samples; loads and first runs are in nanoseconds.

    `centre` is ``median`` only if every session has one.
    """
    centre: Literal["median", "mean"] = "median" if all(session.median is not None for session in reported) else "mean"
    centres = [
        session.median if centre == "median" and session.median is not None else session.mean for session in reported
    ]
    minima = [session.minimum for session in reported if session.minimum is not None]
    spreads = [
        session.standard_deviation / session.mean for session in reported if session.standard_deviation is not None
    ]
    runs = sum(session.runs for session in reported)
    return Summary(
        sessions=len(reported),
        iterations=runs,
        median=float(np.median(centres)),
        interval=order_statistic_interval(centres),
        minimum=min(minima, default=None),
        mean=sum(session.mean * session.runs for session in reported) / runs,
        median_absolute_deviation=None,
        between_sessions_cv=_cv(centres),
        within_sessions_cv=float(np.median(spreads)) if spreads else None,
        p90=None,
        p90_upper=None,
        load=float(np.median(loads)) / NANOSECONDS,
        first=float(np.median(firsts)) / NANOSECONDS,
        centre=centre,
    )


def session_centre(samples: Sequence[int], reported: ReportedStats | None) -> float:
    """Return a session's median in milliseconds, from samples in nanoseconds or as reported, else the reported mean."""
    if reported is not None:
        return reported.mean if reported.median is None else reported.median
    return float(np.median(samples)) / NANOSECONDS


def paired_ratio(slower: Mapping[int, float], faster: Mapping[int, float]) -> tuple[float, Interval]:
    """Return the ratio of the times of `slower` and `faster`: the median over blocks, and its interval.

    Arguments map a block to that block's session median. Only common blocks count, because they had the same state of
    the machine. ValueError if there is none.
    """
    ratios = [slower[block] / faster[block] for block in sorted(slower.keys() & faster.keys())]
    return float(np.median(ratios)) if ratios else float("nan"), order_statistic_interval(ratios)


def _cv(values: Sequence[float]) -> float:
    """Return the coefficient of variation, 0 for a single value."""
    return float(np.std(values, ddof=1) / np.mean(values)) if len(values) > 1 else 0.0
