"""When may measuring stop? A rule for comparisons that holds however often one looks, and whenever one stops.

An ordinary 95 % interval is for one look. Who adds sessions until it excludes 1 finds a difference where there is none,
more often the longer the wait (docs/measurement.md has the figures). This rule is valid at all times:

- If a threshold is the median of a block's ratio, the ratio is above it with probability 1/2, whatever came before.
- So M(n) = 2^n B(k + 1/2, n - k + 1/2) / B(1/2, 1/2) is a martingale. k of n blocks are above, and B is the beta function.
  It is a bet on every other probability, mixed by Jeffreys' prior.
- M exceeds 1 / alpha at any time with a probability of at most alpha (Ville's inequality).
  So a threshold at which it does is not the median. The thresholds that are left are a confidence sequence.

Nothing is assumed of the distribution. Drift that a block's artifacts share cancels in the ratio.
Several questions share alpha (Bonferroni).

Sources: Ville, Etude critique de la notion de collectif (1939); Darling and Robbins, Confidence sequences for mean,
variance, and median (PNAS, 1967); Robbins (Annals of Mathematical Statistics 41, 1970) for mixtures;
Krichevsky and Trofimov (1981) for the prior; Howard and Ramdas, Sequential estimation of quantiles (Bernoulli, 2022).
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Mapping, Sequence
from functools import cache
from itertools import combinations
from math import inf, lgamma, log
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

ALPHA = 0.05
"""The chance that any decision of a run is wrong."""
RULE = "confidence sequence of the median by a beta-binomial mixture of signs (Ville), 95 % for all decisions together"
MINUTES = 30.0
Outcome = Literal["within the budget", "over the budget", "faster", "slower", "within the margin", "undecided"]


class Goal(BaseModel):
    """What has to be settled before measuring stops, or the time that it may take.

    `max_latency_ms`: which artifacts are within this budget, and which one of them is the fastest.
    `margin`: every two artifacts differ, or differ by less than this relative difference.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    max_latency_ms: float | None = Field(None, gt=0)
    margin: float | None = Field(None, gt=0, lt=1)
    max_minutes: float = Field(MINUTES, gt=0)

    @model_validator(mode="after")
    def _one(self) -> Goal:
        if (self.max_latency_ms is None) == (self.margin is None):
            raise ValueError("give either max_latency_ms or margin")
        return self


class Decision(BaseModel):
    """What was decided of `first`: its latency in ms against the budget, or its ratio to `second`'s latency.

    `low` and `high` are the ends of the confidence sequence; None is open. `blocks` is how many blocks it is of.
    """

    model_config = ConfigDict(extra="forbid")
    first: str
    second: str | None
    outcome: Outcome
    low: float | None
    high: float | None
    blocks: int


Centres = Mapping[int, float]
"""Block -> the session's median in ms."""


def confidence_sequence(values: Sequence[float], alpha: float) -> list[tuple[float, float]]:
    """Return the ends of the confidence sequence for the median after each of the values, in the order in which they came.

    It only shrinks, so a decision stands. An end that is not bounded yet is infinite. If the median moved, the ends may cross.
    """
    low, high, ordered, ends = -inf, inf, list[float](), []
    for n, value in enumerate(values, start=1):
        insort(ordered, value)
        left_out = _left_out(n, alpha)
        if left_out is not None:
            low, high = max(low, ordered[left_out]), min(high, ordered[n - 1 - left_out])
        ends.append((low, high))
    return ends


def _last(values: Sequence[float], alpha: float) -> tuple[float, float]:
    return confidence_sequence(values, alpha)[-1] if values else (-inf, inf)


@cache
def _left_out(n: int, alpha: float) -> int | None:
    """Return how many of n sorted values are left out on each side; None if no threshold can be excluded yet.

    A threshold is excluded if at most so many values lie below it, or above it.
    """
    excluded = [k for k in range((n + 1) // 2) if _log_martingale(k, n) >= -log(alpha)]
    return max(excluded, default=None)


def _log_martingale(k: int, n: int) -> float:
    """Return the logarithm of the bets' worth if k of n values lie above a threshold."""
    return n * log(2) + _log_beta(k + 0.5, n - k + 0.5) - _log_beta(0.5, 0.5)


def _log_beta(a: float, b: float) -> float:
    return lgamma(a) + lgamma(b) - lgamma(a + b)


def decide(measured: Mapping[str, Centres], goal: Goal) -> list[Decision]:
    """Return what some artifacts' sessions decide, by the artifacts' names. Ratios are of the blocks that both have."""
    pairs = list(combinations(measured, 2))
    questions = len(pairs) + (0 if goal.max_latency_ms is None else len(measured))
    alpha = ALPHA / max(questions, 1)
    if goal.max_latency_ms is None:
        assert goal.margin is not None
        return [_compared(measured, pair, alpha, goal.margin) for pair in pairs]
    budgets = [_against(name, measured[name], goal.max_latency_ms, alpha) for name in measured]
    return [*budgets, *_fastest(measured, budgets, alpha)]


def is_settled(decisions: Sequence[Decision]) -> bool:
    """Return whether nothing is undecided."""
    return all(decision.outcome != "undecided" for decision in decisions)


def _against(name: str, centres: Centres, budget: float, alpha: float) -> Decision:
    """Decide whether an artifact is within the budget."""
    low, high = _last([centres[block] for block in sorted(centres)], alpha)
    outcome: Outcome = "undecided"
    if low <= high:
        outcome = "within the budget" if high < budget else "over the budget" if low > budget else "undecided"
    return _decision(name, None, outcome, (low, high), len(centres))


def _compared(
    measured: Mapping[str, Centres], pair: tuple[str, str], alpha: float, margin: float | None = None
) -> Decision:
    """Decide whether two artifacts differ, or differ by less than the margin."""
    first, second = (measured[name] for name in pair)
    ratios = [first[block] / second[block] for block in sorted(first.keys() & second.keys())]
    low, high = _last(ratios, alpha)
    outcome: Outcome = "undecided"
    if low <= high:
        if not low <= 1 <= high:
            outcome = "faster" if high < 1 else "slower"
        elif margin is not None and 1 / (1 + margin) < low and high < 1 + margin:
            outcome = "within the margin"
    return _decision(*pair, outcome, (low, high), len(ratios))


def _fastest(measured: Mapping[str, Centres], budgets: Sequence[Decision], alpha: float) -> list[Decision]:
    """Compare the fastest artifact that may be within the budget with every other one that may be."""
    possible = [own.first for own in budgets if own.outcome != "over the budget" and measured[own.first]]
    if not possible:
        return []
    leader = min(possible, key=lambda name: sorted(measured[name].values())[len(measured[name]) // 2])
    return [_compared(measured, (leader, name), alpha) for name in possible if name != leader]


def _decision(first: str, second: str | None, outcome: Outcome, ends: tuple[float, float], blocks: int) -> Decision:
    low, high = (None if abs(end) == inf else end for end in ends)
    return Decision(first=first, second=second, outcome=outcome, low=low, high=high, blocks=blocks)
