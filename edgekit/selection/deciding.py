"""Who wins in each draw: with which probability a model is the answer, on the Pareto front, or within the budget.

The rule, in each draw: of the models within all limits, the best accuracy counts. All models that have it but for `equal_within`
points are equally accurate. The fastest of these wins. If only an accuracy is required, the fastest model that has it wins.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgekit.selection.posterior import Array, Draws
from edgekit.selection.question import Question

NO_WINNER = -1
"""The winner if no model is within the limits."""
SURE = 0.95
GRID_DRAWS = 1000
"""For the budgets at which the answer changes."""
MOST_BUDGETS = 500
Winners = NDArray[np.int64]
"""The index of the winner in each draw, or :data:`NO_WINNER`."""


@dataclass(frozen=True)
class BudgetSpan:
    """Latency budgets, from `low` (included) to `high` in ms, for which a model is the likeliest answer.

    `probability` is that of the model at the geometric middle of the span. The last span has no upper end.
    """

    low: float
    high: float | None
    winner: int
    probability: float


def within_limits(draws: Draws, question: Question, budget: float | None) -> NDArray[np.bool_]:
    """Return the draws in which a candidate meets the latency budget (ms; None: no budget) and the accuracy."""
    met = np.ones_like(draws.accuracy, dtype=bool) if budget is None else draws.slowest <= budget
    return met if question.min_accuracy is None else met & (draws.accuracy >= question.min_accuracy)


def winners(draws: Draws, question: Question, budget: float | None) -> Winners:
    """Return who wins in each draw."""
    if not draws.accuracy.shape[1]:
        return np.full(len(draws.accuracy), NO_WINNER)
    eligible = within_limits(draws, question, budget)
    if not question.fastest:
        accuracy = np.where(eligible, draws.accuracy, -np.inf)
        eligible &= accuracy >= accuracy.max(axis=1, keepdims=True) - question.equal_within
    latency = np.where(eligible, draws.slowest, np.inf)
    found = latency.argmin(axis=1)
    return np.where(np.isfinite(latency.min(axis=1)), found, NO_WINNER)


def probabilities(found: Winners, candidates: int) -> Array:
    """Return the probability that each candidate wins. The last entry is :data:`NO_WINNER`'s."""
    counts = np.bincount(np.where(found == NO_WINNER, candidates, found), minlength=candidates + 1)
    return np.asarray(counts / len(found))


def on_front(latency: Array, accuracy: Array) -> NDArray[np.bool_]:
    """Return in which draws (rows) a candidate (column) is on the Pareto front.

    It is not if another is at least as fast and as accurate, and better in one of both.
    """
    # By latency; of equally fast ones the more accurate first.
    order = np.lexsort((-accuracy, latency), axis=1)
    ordered = np.take_along_axis(accuracy, order, axis=1)
    best = np.maximum.accumulate(ordered, axis=1)
    front = np.ones_like(ordered, dtype=bool)
    front[:, 1:] = ordered[:, 1:] > best[:, :-1]
    found = np.empty_like(front)
    np.put_along_axis(found, order, front, axis=1)
    return found


def budget_spans(draws: Draws, question: Question) -> list[BudgetSpan]:
    """Return the likeliest answer for every latency budget, from the fastest model's up."""
    slowest, few = draws.slowest, draws.first(GRID_DRAWS)
    if not slowest.shape[1]:
        return []
    low, high = np.quantile(slowest.min(axis=1), 0.001), np.quantile(slowest.max(axis=1), 0.999)
    grid = np.geomspace(low, high, min(MOST_BUDGETS, 2 + int(np.log(high / low) / 0.01)))
    likeliest = [_likeliest(few, question, budget) for budget in grid]
    spans: list[BudgetSpan] = []
    for index, budget in enumerate(grid):
        if index == 0 or likeliest[index] != likeliest[index - 1]:
            spans.append(BudgetSpan(float(budget), None, likeliest[index], 0.0))
    closed = []
    for span, following in zip(spans, [*spans[1:], None], strict=True):
        end = following.low if following else None
        middle = np.sqrt(span.low * end) if end else None
        share = probabilities(winners(draws, question, middle), slowest.shape[1])[span.winner]
        if span.winner != NO_WINNER:
            closed.append(BudgetSpan(span.low, end, span.winner, float(share)))
    return closed


def _likeliest(draws: Draws, question: Question, budget: float) -> int:
    shares = probabilities(winners(draws, question, budget), draws.accuracy.shape[1])
    found = int(shares.argmax())
    return NO_WINNER if found == len(shares) - 1 else found
