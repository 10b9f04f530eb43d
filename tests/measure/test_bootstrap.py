"""The bootstrap draws what a resample would give, is fast, and keeps blocks together. Its coverage: tests/test_coverage.py."""

import time

import numpy as np
import pytest
from scipy import stats

from edgekit.measure.bootstrap import bootstrap_interval, draw_medians


def log_ratio(medians):
    return np.log(medians[1]) - np.log(medians[0])


def sessions(random, blocks=6, samples=200, level=1.0):
    return [(level * (1 + 0.01 * random.normal(size=samples))).tolist() for _ in range(blocks)]


@pytest.mark.parametrize("count", [1, 2, 5, 6])
def test_drawn_medians_have_the_distribution_of_medians_of_resamples(count):
    random, draws, values = np.random.default_rng(0), 100_000, np.arange(count) ** 2.0
    drawn = draw_medians([values], np.zeros(draws, dtype=int), random)
    copied = np.median(random.choice(values, (draws, count)), axis=1)
    for value in np.union1d(drawn, copied):
        assert np.mean(drawn == value) == pytest.approx(np.mean(copied == value), abs=0.008)


def test_sessions_of_different_lengths_keep_their_own_samples():
    random = np.random.default_rng(0)
    drawn = draw_medians([[1.0], [2.0, 2.0, 2.0], [3.0] * 10], np.array([[0, 1], [2, 2]]), random)
    assert drawn.tolist() == [[1, 2], [3, 3]]


def test_samples_within_sessions_are_resampled_too():
    same = [np.linspace(1, 2, 21).tolist()] * 6
    _, found = bootstrap_interval(lambda medians: medians[0], [[same]])
    _, centres_only = bootstrap_interval(lambda medians: medians[0], [[[[1.5]] * 6]])
    assert found.high - found.low > 0.1
    assert centres_only.low == centres_only.high == 1.5


def test_a_state_that_all_artifacts_of_a_block_share_cancels():
    states = [1.0, 1.5, 0.7, 2.0, 1.2, 0.9, 1.7, 1.1]
    artifacts = [[[state * level] for state in states] for level in (1.0, 1.1)]
    value, together = bootstrap_interval(log_ratio, [artifacts])
    _, apart = bootstrap_interval(log_ratio, [[artifact] for artifact in artifacts])
    assert value == pytest.approx(np.log(1.1))
    assert together.high - together.low < 1e-9
    assert apart.high - apart.low > 0.5


@pytest.mark.parametrize(("together", "freedom"), [(True, 5), (False, 10)])
def test_students_quantile_has_the_degrees_of_freedom_of_the_blocks(together, freedom):
    same = sessions(np.random.default_rng(0))
    groups = [[same, same]] if together else [[same], [same]]
    halves = []
    for confidence in (0.5, 0.95):
        value, found = bootstrap_interval(lambda medians: medians.sum(axis=0), groups, confidence=confidence)
        halves.append(found.high - value)
    expected = stats.t.ppf(0.975, freedom) / stats.t.ppf(0.75, freedom)
    assert halves[1] / halves[0] == pytest.approx(expected, rel=0.003)


def test_ten_thousand_resamples_of_six_sessions_take_less_than_a_second():
    random = np.random.default_rng(0)
    groups = [[sessions(random)], [sessions(random)]]
    start = time.perf_counter()
    bootstrap_interval(log_ratio, groups, resamples=10_000)
    assert time.perf_counter() - start < 1


@pytest.mark.parametrize("group", [[[[1.0]] * 5], [[[1.0]] * 6, [[1.0]] * 7]])
def test_too_few_blocks_and_unequal_ones_are_errors(group):
    with pytest.raises(ValueError, match="blocks"):
        bootstrap_interval(log_ratio, [group])
