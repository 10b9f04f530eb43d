"""Intervals cover the truth as often as they say, and the simulation finds an interval that does not."""

import numpy as np
import pytest

from benchmarks.coverage import INTERVALS, NO_TRUTH, coverage, sessions, true_latency
from benchmarks.generated import write_part

FAST = [name for name in INTERVALS if name != "several"]


def percentile_bootstrap(random, shape, count):
    medians = np.median(sessions(random, shape, count)[0], axis=1)
    resampled = np.median(random.choice(medians, (400, count)), axis=1)
    low, high = np.quantile(resampled, (0.025, 0.975))
    return low <= true_latency(shape) <= high, 0.95


@pytest.mark.parametrize("name", FAST)
@pytest.mark.parametrize("shape", ["normal", "skewed", "drifting"])
def test_an_interval_covers_as_often_as_it_says(name, shape):
    printed = INTERVALS[name]
    if shape in printed.not_for:
        assert shape in NO_TRUTH
        return
    for count in (6, 12):
        assert coverage(printed.simulate, shape, count, 2500, at_least=printed.at_least).problem is None


@pytest.mark.parametrize("shape", ["normal", "shared"])
def test_the_bootstrap_covers_a_function_of_several_medians(shape):
    assert coverage(INTERVALS["several"].simulate, shape, 6, 600).problem is None


def test_a_percentile_bootstrap_is_found_to_be_too_narrow():
    assert coverage(percentile_bootstrap, "normal", 6, 2500).problem == "too narrow"


def test_an_interval_that_covers_more_than_it_says_is_found():
    def everything(random, shape, count):
        return True, 0.95

    assert coverage(everything, "normal", 6, 2500).problem == "too wide"


def test_a_generated_part_replaces_only_itself(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("a\n<!-- benchmarks/x.py -->\nold\n<!-- end -->\nb\n<!-- benchmarks/y.py -->\n<!-- end -->\n")
    write_part("x.py", "new\n", page)
    assert page.read_text().startswith("a\n<!-- benchmarks/x.py -->\nnew\n<!-- end -->\nb\n<!-- benchmarks/y.py -->\n")
    with pytest.raises(ValueError, match="has no part"):
        write_part("z.py", "new\n", page)
