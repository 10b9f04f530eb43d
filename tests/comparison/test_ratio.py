"""The ratio of two latencies: its interval has the confidence that it claims, and finds what it claims to find."""

import numpy as np
import pytest

from edgekit.comparison.ratio import MOST_SESSIONS, ratio, sessions_needed


def shares(difference, sessions, spread, repeats, noise="standard_normal", seed=0, second_side=None):
    """How often a difference is shown, and how often the interval has the true one.

    `second_side` has its own number of sessions and spread if they differ.
    """
    sides = ((sessions, spread), second_side or (sessions, spread))
    random = np.random.default_rng(seed)
    shown = held = 0
    for _ in range(repeats):
        first, second = (np.exp(wide * np.clip(getattr(random, noise)(count), -100, 100)) for count, wide in sides)
        found = ratio(first.tolist(), (difference * second).tolist())
        shown += found.shown
        held += found.low <= difference <= found.high
    return shown / repeats, held / repeats


@pytest.mark.parametrize("sessions", [6, 12])
@pytest.mark.parametrize("noise", ["standard_normal", "standard_exponential", "standard_cauchy"])
def test_false_alarms_are_at_most_5_percent_whatever_the_distribution(sessions, noise):
    shown, held = shares(1.0, sessions, 0.02, 600, noise)
    assert shown <= 0.065  # 0.05 and two standard errors of 600 repeats
    assert held >= 0.935


def test_3_percent_are_found_by_12_sessions_in_at_least_80_percent():
    found, _ = shares(1.03, 12, 0.02, 600)
    assert found >= 0.8


@pytest.mark.slow
def test_the_figures_of_the_documentation():
    alarms = [shares(1.0, sessions, 0.02, 10_000)[0] for sessions in (6, 12)]
    power = {spread: shares(1.03, 12, spread, 10_000)[0] for spread in (0.01, 0.02, 0.025)}
    uneven = [shares(1.0, 12, 0.01, 10_000, second_side=(count, 0.06))[0] for count in (12, 6)]
    print("false alarms:", alarms, "3 % found:", power, "false alarms of uneven sides:", uneven)
    assert max(alarms) <= 0.055
    assert power[0.02] >= 0.8


def test_the_smallest_difference_is_shown_in_about_80_percent():
    random = np.random.default_rng(1)
    claimed = np.median([ratio(*np.exp(0.02 * random.standard_normal((2, 10))).tolist()).smallest for _ in range(200)])
    found, _ = shares(1 + claimed, 10, 0.02, 600)
    assert 0.72 <= found <= 0.88


def test_sides_that_vary_unlike_are_named():
    quiet, wild = [10.0, 10.1, 10.05, 10.02], [10.0, 12.0, 9.0, 11.0]
    assert ratio(quiet, wild).uneven
    assert ratio(wild, quiet).uneven
    assert not ratio(quiet, [9.0, 9.1, 9.05, 9.02]).uneven


def test_three_sessions_a_side_show_nothing():
    found = ratio([1.0, 1.01, 1.02], [9.0, 9.1, 9.2])
    assert found.value == pytest.approx(9.0, rel=0.02)
    assert (found.low, found.high, found.smallest, found.shown) == (None, None, None, False)
    assert ratio([1.0, 1.01, 1.02, 1.03], [9.0, 9.1, 9.2, 9.3]).shown


def test_one_session_that_was_disturbed_does_not_move_the_ratio():
    steady = [10.0, 10.1, 10.2, 10.05, 10.15, 10.12]
    assert ratio(steady, [*steady[:5], 30.0]).value == pytest.approx(1, abs=0.01)


def test_the_ratio_of_the_other_way_round_is_the_inverse():
    first, second = [1.0, 1.1, 1.2, 1.3, 1.25], [2.0, 2.3, 2.1, 2.2, 2.4]
    there, back = ratio(first, second), ratio(second, first)
    assert there.value == pytest.approx(1 / back.value)
    assert (there.low, there.high) == pytest.approx((1 / back.high, 1 / back.low))


def test_how_many_sessions_would_do():
    spread = np.exp(0.02 * np.random.default_rng(0).standard_normal(6)).tolist()
    few, many = sessions_needed(spread, spread, 0.05), sessions_needed(spread, spread, 0.01)
    assert 4 <= few < many <= MOST_SESSIONS
    assert sessions_needed(spread, spread, 1e-6) is None


def test_a_side_without_sessions_is_an_error():
    with pytest.raises(ValueError, match="no sessions"):
        ratio([], [1.0])
