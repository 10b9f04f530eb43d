import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgekit.measure.statistics import (
    early_stopping_bound,
    order_statistic_interval,
    paired_ratio,
    quantile_upper_bound,
    session_centre,
    summarise,
)

positive = st.floats(min_value=0.01, max_value=1e6)


def test_six_sessions_give_their_range_and_its_real_confidence():
    interval = order_statistic_interval([3.0, 1.0, 2.0, 6.0, 5.0, 4.0])
    assert (interval.low, interval.high) == (1.0, 6.0)
    assert interval.confidence == pytest.approx(0.96875)


def test_nine_sessions_leave_out_the_extremes():
    interval = order_statistic_interval(list(range(9)))
    assert (interval.low, interval.high) == (1, 7)
    assert interval.confidence == pytest.approx(1 - 20 / 512)


def test_too_few_sessions_say_how_little_their_range_covers():
    assert order_statistic_interval([1.0, 2.0, 3.0]).confidence == pytest.approx(0.75)
    assert order_statistic_interval([1.0]).confidence == 0


def test_no_sessions_are_an_error():
    with pytest.raises(ValueError, match="no values"):
        order_statistic_interval([])


@given(st.lists(positive, min_size=1, max_size=40), st.floats(min_value=0.5, max_value=0.99))
def test_the_interval_holds_the_median_and_shrinks_with_confidence(values, confidence):
    wide, narrow = order_statistic_interval(values, 0.99), order_statistic_interval(values, confidence)
    assert narrow.low <= np.median(values) <= narrow.high
    assert wide.low <= narrow.low
    assert narrow.high <= wide.high


@given(st.lists(positive, min_size=1, max_size=40), st.floats(min_value=0.1, max_value=10))
def test_the_interval_scales_with_its_unit(values, factor):
    once, scaled = order_statistic_interval(values), order_statistic_interval([value * factor for value in values])
    assert scaled.low == pytest.approx(once.low * factor)
    assert scaled.confidence == once.confidence


@pytest.mark.parametrize("sessions", [6, 8, 12])
@pytest.mark.parametrize("shape", ["lognormal", "two clusters"])
def test_the_interval_covers_the_true_median_as_often_as_it_says(sessions, shape):
    random, trials = np.random.default_rng(sessions), 4000
    if shape == "lognormal":
        truth, traces = 1.0, random.lognormal(0, 0.3, (trials, sessions))
    else:  # half the processes land on a slower memory layout
        truth, traces = 1.5, random.choice([1.0, 2.0], (trials, sessions)) + random.normal(0, 0.05, (trials, sessions))
    intervals = [order_statistic_interval(list(trace)) for trace in traces]
    covered = np.mean([interval.low <= truth <= interval.high for interval in intervals])
    claimed = intervals[0].confidence
    assert claimed >= 0.95
    assert covered == pytest.approx(claimed, abs=3 * np.sqrt(claimed * (1 - claimed) / trials) + 0.002)


@pytest.mark.parametrize(("quantile", "least"), [(0.9, 29), (0.99, 299)])
def test_a_quantile_is_bounded_only_where_there_are_enough_runs(quantile, least):
    assert quantile_upper_bound(list(range(least - 1)), quantile) is None
    assert quantile_upper_bound(list(range(least)), quantile) == least - 1


@pytest.mark.parametrize(("quantile", "least"), [(0.9, 64), (0.99, 662)])
def test_mlperfs_early_stopping_needs_as_many_runs_as_its_rules_say(quantile, least):
    assert early_stopping_bound(list(range(least - 1)), quantile) is None
    assert early_stopping_bound(list(range(least)), quantile) == least - 1


def test_mlperfs_early_stopping_covers_the_true_p90_with_99_percent():
    random = np.random.default_rng(0)
    truth, traces = float(np.log(10)), random.exponential(1.0, (3000, 200))
    covered = np.mean([early_stopping_bound(list(trace), 0.9) >= truth for trace in traces])
    assert covered >= 0.985


def test_the_bound_of_p90_covers_the_true_p90():
    random = np.random.default_rng(0)
    truth, traces = float(np.log(10)), random.exponential(1.0, (2000, 60))
    covered = np.mean([quantile_upper_bound(list(trace), 0.9) >= truth for trace in traces])
    assert covered >= 0.94


def test_a_summary_is_in_milliseconds_and_takes_sessions_as_units():
    samples = [[1_000_000] * 30, [2_000_000] * 30, [9_000_000] * 300]
    summary = summarise(samples, [4_000_000] * 3, [5_000_000] * 3)
    assert summary.median == 2.0  # not pulled by the session that ran most often
    assert (summary.interval.low, summary.interval.high) == (1.0, 9.0)
    assert (summary.minimum, summary.load, summary.first) == (1.0, 4.0, 5.0)
    assert (summary.sessions, summary.iterations) == (3, 360)


def test_few_runs_have_no_bound_of_p90():
    found = summarise([[1_000_000] * 3] * 2, [1, 1], [1, 1])
    assert (found.p90, found.p90_upper) == (None, None)
    assert summarise([[1_000_000] * 30], [1], [1]).p90 == 1.0
    bounded = summarise([[1_000_000] * 64], [1], [1], "early-stopping")
    assert (bounded.p90, bounded.p90_upper, bounded.p90_confidence) == (1.0, 1.0, 0.99)


def test_a_ratio_is_paired_by_block():
    ratio, interval = paired_ratio({0: 2.0, 1: 20.0, 2: 4.0, 3: 1.0}, {0: 1.0, 1: 10.0, 2: 2.0})
    assert (ratio, interval.low, interval.high) == (2.0, 2.0, 2.0)  # the drift of block 1 hit both alike


def test_a_ratio_without_common_blocks_is_an_error():
    with pytest.raises(ValueError, match="no values"):
        paired_ratio({0: 1.0}, {1: 1.0})


def test_a_sessions_centre_is_in_milliseconds():
    assert session_centre([1_000_000, 3_000_000, 2_000_000], None) == 2.0
