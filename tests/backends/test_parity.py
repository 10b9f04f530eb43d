import numpy as np
import pytest

from edgekit.backends.parity import compare
from edgekit.recipe import ParityLimits

RANDOM = np.random.default_rng(0)
REFERENCE = RANDOM.normal(0, 3, (16, 100)).astype(np.float32)


def judge(artifact, precision="fp32", trained=True):
    named = {"logits": artifact.astype(np.float32)}
    return compare({"logits": REFERENCE}, named, precision, ParityLimits(), kind="measured", trained=trained)


def test_equality_passes_at_every_precision():
    for precision in ("fp32", "fp16", "int8"):
        result = judge(REFERENCE, precision)
        assert result.passed
        assert (result.max_absolute, result.top1_agreement, result.snr_db) == (0, 1, 999)


@pytest.mark.parametrize(
    ("noise", "fp32", "fp16", "int8"),
    [(1e-5, True, True, True), (3e-2, False, True, True), (1.0, False, False, True), (4.0, False, False, False)],
)
def test_noise_passes_where_the_precision_allows_it(noise, fp32, fp16, int8):
    artifact = REFERENCE + noise * RANDOM.normal(size=REFERENCE.shape)
    assert [judge(artifact, precision).passed for precision in ("fp32", "fp16", "int8")] == [fp32, fp16, int8]


def test_the_signal_to_noise_ratio_is_that_of_powers():
    assert judge(REFERENCE * 1.1, "int8").snr_db == pytest.approx(20, abs=1e-3)


def test_another_networks_logits_fail_at_every_precision_trained_or_not():
    other = RANDOM.normal(0, 3, REFERENCE.shape)
    for precision in ("fp32", "fp16", "int8"):
        assert not judge(other, precision).passed
        assert not judge(other, precision, trained=False).passed


def test_top1_is_judged_only_where_it_means_something():
    swapped = REFERENCE.copy()
    swapped[:, 0] = swapped.max(1) + 0.1  # every photo becomes class 0, with little noise
    trained, random = judge(swapped, "int8"), judge(swapped, "int8", trained=False)
    assert trained.snr_db > 3
    assert not trained.passed
    assert random.passed
    assert "min_top1_agreement" in trained.limits
    assert "min_top1_agreement" not in random.limits


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_what_is_not_finite_fails_and_can_be_written_as_json(value):
    broken = REFERENCE.copy()
    broken[0, 0] = value
    for precision in ("fp32", "fp16", "int8"):
        result = judge(broken, precision)
        assert not result.passed
        assert "NaN" not in result.model_dump_json()
        assert "null" not in result.model_dump_json()


@pytest.mark.parametrize(("artifact", "passed"), [(0.0, True), (0.1, False)])
def test_a_reference_of_zeros_only_has_no_scale_and_is_met_by_zeros_only(artifact, passed):
    zeros = np.zeros((4, 10), np.float32)
    named = {"logits": zeros + np.float32(artifact)}
    for precision in ("fp32", "int8"):
        result = compare({"logits": zeros}, named, precision, ParityLimits(), kind="measured", trained=False)
        assert result.passed == passed
