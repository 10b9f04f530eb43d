"""MnasNet's reward: accuracy x (latency / budget) ^ w, Tan et al. 2019, arXiv:1807.11626, equation 2.

The paper's search uses w = -0.07: twice the latency must bring 5 % more accuracy (relative). The budget scales all rewards
alike, so it has no part in the ranking.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from edgekit.selection.posterior import Array, Draws

EXPONENTS = (-0.07, -0.15)
STEEPEST = -0.5
"""Flips of the ranking are sought between this exponent and 0."""


@dataclass(frozen=True)
class Ranking:
    """Candidates by their reward, best first; `probability` is that of the first to be the best in truth."""

    w: float
    order: list[int]
    probability: float


@dataclass(frozen=True)
class Span:
    """Exponents for which a candidate is the best."""

    low: float
    high: float
    best: int


def rank(accuracy: Array, latency: Array, draws: Draws, w: float) -> Ranking:
    """Rank candidates by their values (percent, ms: one per candidate); all draws together say how sure the first is."""
    order = np.argsort(-log_reward(accuracy, latency, w), kind="stable")
    best = log_reward(draws.accuracy, draws.slowest, w).argmax(axis=1)
    return Ranking(w, [int(index) for index in order], float((best == order[0]).mean()))


def log_reward(accuracy: Array, latency: Array, w: float) -> Array:
    """Return the logarithm of the reward but for the budget's constant; minus infinity without accuracy."""
    with np.errstate(divide="ignore"):
        return np.asarray(np.log(accuracy) + w * np.log(latency))


def spans(accuracy: Array, latency: Array) -> list[Span]:
    """Return the spans of w from :data:`STEEPEST` to 0 with their best candidates.

    A candidate's log reward is a straight line in w. The best ones are the upper envelope.
    """
    found: list[Span] = []
    low, best = STEEPEST, int(log_reward(accuracy, latency, STEEPEST).argmax())
    while low < 0:
        with np.errstate(divide="ignore", invalid="ignore"):
            crossing = (np.log(accuracy[best]) - np.log(accuracy)) / (np.log(latency) - np.log(latency[best]))
        # Only a slower candidate overtakes as w rises to 0.
        crossing = np.where((latency > latency[best]) & (crossing >= low), crossing, np.inf)
        high = min(0.0, float(crossing.min()))
        found.append(Span(low, high, best))
        if high < 0:
            at = np.flatnonzero(crossing == crossing.min())
            best = int(at[latency[at].argmax()])
        low = high
    return found
