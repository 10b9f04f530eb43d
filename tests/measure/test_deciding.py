"""The rule decides what is so, keeps a decision, and stays right however often one looks."""

from itertools import pairwise

import numpy as np
import pytest
from pydantic import ValidationError

from benchmarks.deciding import naive_differs, rates
from edgekit.measure.deciding import Goal, confidence_sequence, decide, is_settled


def centres(level, blocks=30, spread=0.005, seed=0):
    random = np.random.default_rng([seed, round(1000 * level)])
    return dict(enumerate((level * np.exp(spread * random.normal(size=blocks))).tolist()))


def outcomes(decisions):
    return {(decision.first, decision.second): decision.outcome for decision in decisions}


def test_seven_blocks_that_agree_are_the_least_that_decide():
    assert confidence_sequence([2.0] * 7, 0.05) == [(-np.inf, np.inf)] * 6 + [(2.0, 2.0)]


def test_a_sequence_only_shrinks():
    values = np.random.default_rng(0).normal(size=60).tolist()
    ends = confidence_sequence(values, 0.05)
    assert all(one[0] <= two[0] and one[1] >= two[1] for one, two in pairwise(ends))
    assert ends[29] == confidence_sequence(values[:30], 0.05)[-1]


def test_two_artifacts_differ_or_are_within_the_margin_or_neither():
    measured = {"a": centres(10.0), "b": centres(10.001), "c": centres(12.0)}
    found = outcomes(decide(measured, Goal(margin=0.03)))
    assert found == {("a", "b"): "within the margin", ("a", "c"): "faster", ("b", "c"): "faster"}
    few = {name: dict(list(own.items())[:4]) for name, own in measured.items()}
    decisions = decide(few, Goal(margin=0.03))
    assert set(outcomes(decisions).values()) == {"undecided"}
    assert not is_settled(decisions)
    assert all(decision.low is None and decision.high is None for decision in decisions)


def test_a_budget_asks_who_is_within_it_and_who_is_the_fastest_of_those():
    measured = {"slow": centres(30.0), "second": centres(12.0), "first": centres(10.0)}
    decisions = decide(measured, Goal(max_latency_ms=20))
    assert outcomes(decisions) == {
        ("slow", None): "over the budget",
        ("second", None): "within the budget",
        ("first", None): "within the budget",
        ("first", "second"): "faster",
    }
    assert is_settled(decisions)


def test_an_artifact_at_the_budget_stays_undecided():
    (decision,) = decide({"only": centres(20.0)}, Goal(max_latency_ms=20))
    assert decision.outcome == "undecided"
    assert decision.low < 20 < decision.high


def test_only_common_blocks_count():
    first, second = {0: 1.0, 1: 1.0, 2: 1.0}, {2: 2.0, 3: 2.0}
    (decision,) = decide({"a": first, "b": second}, Goal(margin=0.1))
    assert decision.blocks == 1


def test_a_ratio_that_moves_is_not_decided_both_ways():
    moved = {block: 1.0 if block < 12 else 3.0 for block in range(120)}
    (decision,) = decide({"a": moved, "b": dict.fromkeys(range(120), 2.0)}, Goal(margin=0.1))
    assert decision.outcome == "undecided"


@pytest.mark.parametrize("values", [{}, {"margin": 0.1, "max_latency_ms": 1}, {"margin": 0}, {"max_latency_ms": -1}])
def test_a_goal_is_one_question(values):
    with pytest.raises(ValidationError):
        Goal(**values)


@pytest.mark.parametrize("shape", ["normal", "skewed"])
def test_looking_after_every_block_decides_wrongly_in_at_most_5_percent(shape):
    found = rates(shape, 1.0, trials=600)
    assert max(found.ever, found.differs) <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / 600)
    assert rates(shape, 1.03, trials=600).within <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / 600)


def test_looking_at_ordinary_intervals_after_every_block_is_wrong_much_more_often():
    random = np.random.default_rng(0)
    wrong = np.mean([naive_differs(np.exp(0.01 * random.normal(size=60)).tolist()) for _ in range(300)])
    assert wrong > 0.15


def test_3_percent_are_decided():
    assert rates("normal", 1.03, trials=300).differs >= 0.95
