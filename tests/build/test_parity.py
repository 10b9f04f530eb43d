import numpy as np
import pytest

from edgekit.build.parity import compare, exceeded
from edgekit.recipe.limits import ParityLimits

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
    [(1e-5, True, True, True), (3e-2, False, True, True), (0.5, False, False, True), (1.5, False, False, False)],
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


def test_decisions_are_judged_only_where_they_mean_something():
    swapped = REFERENCE.copy()
    swapped[:, 0] = swapped.max(1) + 0.1  # every photo becomes class 0, with little noise
    trained, random = judge(swapped, "int8"), judge(swapped, "int8", trained=False)
    assert trained.snr_db > ParityLimits().int8.min_snr_db
    assert exceeded(trained) == ["agreement on clear decisions 0.0 % (at least 95.0 %)"]
    assert not trained.passed
    assert random.passed
    assert random.limits == {"min_snr_db": 3.0}


def test_one_photo_of_a_trained_network_is_judged_by_its_noise():
    noise = RANDOM.normal(size=(1, 100)).astype(np.float32)
    found = [
        compare(
            {"logits": REFERENCE[:1]},
            {"logits": REFERENCE[:1] + size * noise},
            "int8",
            ParityLimits(),
            kind="measured",
            trained=trained,
        )
        for size, trained in ((0.5, True), (1.5, True), (1.5, False))
    ]
    assert [one.limits for one in found] == [{"min_snr_db": 10.0}, {"min_snr_db": 10.0}, {"min_snr_db": 3.0}]
    assert [one.passed for one in found] == [True, False, True]


def test_a_decision_that_is_nearly_a_tie_is_not_held_against_an_artifact():
    reference = np.tile(np.array([[0.0, 1.0, 5.0, 5.01]], np.float32), (16, 1))
    reference[:4, 3] = 9  # four are clear
    swapped = reference.copy()
    swapped[4:, 2:] = swapped[4:, [3, 2]]
    result = compare({"logits": reference}, {"logits": swapped}, "int8", ParityLimits(), kind="measured", trained=True)
    assert (result.top1_agreement, result.clear_agreement, result.clear_decisions) == (0.25, 1.0, 4)
    assert result.agreement_interval == pytest.approx((0.510, 1.0), abs=1e-3)  # Wilson, 4 of 4
    assert result.passed


def test_outputs_that_end_at_a_limit_fail_although_there_is_little_noise():
    limit = np.sort(REFERENCE.max(1))[8]
    saturated = np.minimum(REFERENCE, limit)
    result = judge(saturated, "int8")
    assert result.snr_db > 20
    assert result.saturation == 7 / 16
    assert not result.passed
    assert "photos at the end of the output's range 43.8 % (at most 10.0 %)" in exceeded(result)


def test_ties_that_pytorch_does_not_have_fail():
    tied = REFERENCE.copy()
    second = np.sort(tied, 1)[:, -2]
    tied[np.arange(16), tied.argmax(1)] = second
    result = judge(tied, "int8")
    assert result.ties == 1
    assert "ties at the maximum 100.0 % (at most 5.0 %)" in exceeded(result)
    assert judge(REFERENCE, "int8").ties == 0


def test_what_exceeds_a_limit_is_named_with_both_figures():
    assert exceeded(judge(REFERENCE + 3, "fp32")) == [
        "largest error 3 (at most 0.001)",
        f"largest error over the largest value {3 / np.abs(REFERENCE).max():.2g} (at most 0.0001)",
    ]
    assert exceeded(judge(REFERENCE, "fp32")) == []


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_what_is_not_finite_fails_and_can_be_written_as_json(value):
    broken = REFERENCE.copy()
    broken[0, 0] = value
    for precision in ("fp32", "fp16", "int8"):
        result = judge(broken, precision)
        assert not result.passed
        assert "NaN" not in result.model_dump_json()
        assert "null" not in result.model_dump_json(exclude={"layer_db", "first_departure", "layers_unknown"})


@pytest.mark.parametrize(("artifact", "passed"), [(0.0, True), (0.1, False)])
def test_a_reference_of_zeros_only_has_no_scale_and_is_met_by_zeros_only(artifact, passed):
    zeros = np.zeros((4, 10), np.float32)
    named = {"logits": zeros + np.float32(artifact)}
    for precision in ("fp32", "int8"):
        result = compare({"logits": zeros}, named, precision, ParityLimits(), kind="measured", trained=False)
        assert result.passed == passed
