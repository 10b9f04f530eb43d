"""Whether measured latencies put networks into the order that a paper does, even if the milliseconds differ."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats

LEAST_FOR_TAU, LEAST_FOR_INTERVAL = 2, 5
RESAMPLES = 999
ROUNDING = 1e-9
SEED = 0


@dataclass(frozen=True)
class Timed:
    """A network with its published latency, and the measured one with its interval, in ms."""

    name: str
    published: float
    measured: float
    low: float
    high: float


@dataclass(frozen=True)
class Order:
    """How two orders of the same networks agree.

    `tau` is Kendall's tau-b, 1 for the same order and -1 for the reverse; None for a single network, or if all are equal.
    `interval` is its 95 % percentile interval, bootstrapped over networks. It is None for fewer than 5, and if all pairs
    agree: so do those of every resample, which would give an interval without width. That covered 77 % of 6 networks
    with a correlation of 0.95; elsewhere it covers 94 to 98 %.
    Of the pairs whose published latencies differ, `same` and `other` are those that the measured intervals decide, and
    `undecided` the rest.
    """

    networks: int
    tau: float | None
    interval: tuple[float, float] | None
    same: int
    other: Sequence[tuple[Timed, Timed]]
    undecided: int


def compare_order(networks: Sequence[Timed], with_interval: bool = True) -> Order:
    """Compare the measured order of some networks with the published one.

    Without its interval, the comparison takes a thousandth of the time.
    """
    published = np.array([network.published for network in networks])
    measured = np.array([network.measured for network in networks])
    pairs = [_sorted(pair) for pair in combinations(networks, 2) if pair[0].published != pair[1].published]
    other = [(first, second) for first, second in pairs if second.high < first.low]
    same = sum(first.high < second.low for first, second in pairs)
    tau = _tau(published, measured) if len(networks) >= LEAST_FOR_TAU else None
    varies = tau is not None and abs(tau) < 1 - ROUNDING and len(networks) >= LEAST_FOR_INTERVAL
    return Order(
        networks=len(networks),
        tau=tau,
        interval=_interval(published, measured) if with_interval and varies else None,
        same=same,
        other=other,
        undecided=len(pairs) - same - len(other),
    )


def _sorted(pair: tuple[Timed, Timed]) -> tuple[Timed, Timed]:
    """Return a pair with the network first that is published as the faster one."""
    return pair if pair[0].published < pair[1].published else (pair[1], pair[0])


def _tau(published: NDArray[Any], measured: NDArray[Any]) -> float | None:
    found = float(stats.kendalltau(published, measured).statistic)
    return None if np.isnan(found) else found


def _interval(published: NDArray[Any], measured: NDArray[Any]) -> tuple[float, float] | None:
    """Return the percentile interval; resamples of one network alone have no order and do not count."""
    result = stats.bootstrap(
        (published, measured),
        lambda first, second: stats.kendalltau(first, second).statistic,
        paired=True,
        vectorized=False,
        n_resamples=RESAMPLES,
        method="percentile",
        rng=np.random.default_rng(SEED),
    )
    taus = result.bootstrap_distribution
    known = taus[~np.isnan(taus)]
    if not known.size:
        return None
    low, high = np.quantile(known, (0.025, 0.975))
    return float(low), float(high)
