import numpy as np
import pytest

from edgekit.evaluation.metrics import (
    Comparison,
    Estimate,
    compare_top1,
    format_comparison,
    mcnemar,
    mean_overlap,
    metrics_of_top5,
    paired_difference,
    pixel_counts,
    resampled,
    share,
)


def test_wilsons_interval_is_that_of_newcombes_example():
    """Newcombe 1998, Statistics in Medicine 17:857-872, Table I: 81 of 263, method 3."""
    low, high = share(81, 263).interval
    assert (low, high) == (pytest.approx(25.53, abs=0.005), pytest.approx(36.62, abs=0.005))


def test_mcnemar_is_the_exact_binomial_test():
    assert mcnemar(0, 8) == pytest.approx(2 / 2**8)
    assert mcnemar(1, 9) == pytest.approx(2 * 11 / 2**10)
    assert mcnemar(0, 0) == 1


def test_the_paired_difference_is_walds_after_a_half_is_added_to_each_cell():
    found = paired_difference(150, 86, 1600)  # approval ratings, Agresti's Categorical Data Analysis, section 10.1
    assert found.value == pytest.approx(4.0)
    assert found.interval == (pytest.approx(2.1, abs=0.1), pytest.approx(5.9, abs=0.1))
    none = paired_difference(0, 0, 20)
    assert none.interval[0] == pytest.approx(-none.interval[1])
    assert none.interval[1] > 5  # Wald's own is empty


@pytest.mark.parametrize(("n", "gain", "loss"), [(30, 0.05, 0.15), (200, 0.01, 0.03), (1000, 0.02, 0.02)])
def test_the_paired_interval_holds_the_truth_in_95_of_100_cases(n, gain, loss):
    random = np.random.default_rng(0)
    draws = random.multinomial(n, [gain, loss, 1 - gain - loss], 2000)
    truth, held = 100 * (gain - loss), 0
    for only_this, only_that, _ in draws.tolist():
        low, high = paired_difference(only_this, only_that, n).interval
        held += low <= truth <= high
    assert 0.935 <= held / len(draws) <= 0.99


def test_top1_and_top5_of_answers_that_may_be_none():
    found = metrics_of_top5([[3, 1], [1, 3], []], [3, 3, 3])
    assert found["top1"].value == pytest.approx(100 / 3)
    assert found["top5"].value == pytest.approx(200 / 3)


def test_a_comparison_counts_discordant_photos_and_agreement():
    labels, that = [1, 1, 1, 1, 1], [1, 1, 1, 0, 0]
    found = compare_top1([1, 0, 2, 0, 1], that, labels, "pytorch", "hash")
    assert (found.only_this, found.only_that, found.n) == (1, 2, 5)
    assert found.difference.value == pytest.approx(-20)
    assert found.agreement.value == pytest.approx(40)
    assert found.p == 1


def test_a_comparison_reads_as_a_sentence():
    comparison = Comparison(
        against="pytorch",
        against_sha256="h",
        metric="top1",
        n=1000,
        difference=Estimate(value=-0.8, interval=(-1.4, -0.2)),
        p=0.01,
        agreement=Estimate(value=96.3, interval=(95.0, 97.3)),
    )
    assert format_comparison("int8", comparison) == (
        "int8 lost 0.8 [0.2, 1.4] points of top1 against pytorch, p = 0.01; agreement 96.3 [95.0, 97.3] % (n = 1000)"
    )


def test_mean_overlap_is_over_the_classes_of_the_truth():
    answers = [{"0": [6, 2, 0], "1": [2, 0, 2]}, {"0": [8, 0, 2], "2": [0, 2, 0]}]
    statistic = mean_overlap(pixel_counts(answers, 4))
    # class 0: 14 / (14 + 2 + 2); class 1: 2 / 4; class 2 is not in the truth
    assert statistic(np.array([0, 1])) == pytest.approx(100 * (14 / 18 + 0.5) / 2)
    assert statistic(np.array([1, 1])) == pytest.approx(80)


def test_a_bootstrap_is_seeded_and_of_one_photo_has_no_interval():
    values = np.random.default_rng(0).normal(50, 10, 200)

    def statistic(chosen):
        return float(values[chosen].mean())

    first, again = (resampled(statistic, 200, 5) for _ in range(2))
    assert first == again
    low, high = first.interval
    error = 1.96 * values.std() / np.sqrt(200)
    assert (low, high) == (pytest.approx(first.value - error, abs=0.4), pytest.approx(first.value + error, abs=0.4))
    assert resampled(statistic, 1, 5).interval is None
