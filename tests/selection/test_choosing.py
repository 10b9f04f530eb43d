"""The answer, what takes no part and why, and that accuracy and latency are always of one artifact."""

import pytest

from edgekit.errors import UsageError
from edgekit.selection.choosing import choose
from edgekit.selection.document import SelectDocument
from edgekit.selection.question import Question
from tests.selection.selection_ledger import TARGET, Laboratory
from tests.synthetic_ledger import device_id


@pytest.fixture
def lab(ledger):
    return Laboratory(ledger)


def ask(lab, *devices, **limits) -> SelectDocument:
    return choose(lab.ledger, Question(devices=devices or ("pixel",), **limits))


def names(document, ids):
    return [document.candidates[one].recipe for one in ids]


def winner(document):
    return document.candidates[document.answer.winner].recipe


def reasons(document):
    return {one.recipe: one.reason.value for one in document.exclusions}


@pytest.fixture
def three(lab):
    lab.measure("small", 5, 60)
    lab.measure("middle", 10, 70)
    lab.measure("large", 30, 80)
    return lab


def test_the_most_accurate_model_within_the_budget_wins(three):
    found = ask(three, max_latency_ms=20)
    assert winner(found) == "middle"
    assert found.answer.decided
    assert found.answer.probability > 0.99
    assert [one.id for one in found.answer.tied] == [found.answer.winner]
    assert winner(ask(three, max_latency_ms=40)) == "large"


def test_the_runner_up_and_the_margin_are_of_the_winner_against_it(three):
    found = ask(three, max_latency_ms=20)
    second = found.answer.runner_up
    assert names(found, [second.id]) == ["small"]
    assert second.accuracy_points.value == pytest.approx(10, abs=0.3)
    low, high = second.accuracy_points.interval
    assert 5 < low < 10 < high < 15
    assert second.latency_ratio.value == pytest.approx(2, rel=0.01)


def test_without_a_budget_but_with_an_accuracy_the_fastest_wins(three):
    assert winner(ask(three, min_accuracy=65)) == "middle"
    assert winner(ask(three, min_accuracy=75)) == "large"
    assert winner(ask(three)) == "large"


def test_no_model_within_the_limits_is_no_answer_to_ship(three):
    found = ask(three, max_latency_ms=4)
    assert (found.answer.winner, found.answer.decided, found.answer.runner_up) == (None, False, None)
    assert found.answer.p_none == 1
    assert found.answer.tied == []


def test_a_latency_at_the_budget_is_undecided(lab):
    lab.measure("small", 5, 60)
    lab.measure("edge", 20, 80, spread=0.01)
    found = ask(
        lab, max_latency_ms=20.05
    )  # at 20 the two are as likely, and then any measurement may change the answer
    assert not found.answer.decided
    assert 0.3 < found.candidates[found.answer.tied[0].id].p_within <= 1
    assert sum(one.probability for one in found.answer.tied) >= 0.95
    assert set(names(found, [one.id for one in found.answer.tied])) == {"small", "edge"}
    assert found.next_step.what == "time"
    assert found.next_step.title.startswith("edge")


def test_models_as_accurate_as_their_photos_can_show_are_tied(lab):
    lab.measure("one", 10, 70)
    lab.measure("other", 11, 71)
    found = ask(lab, max_latency_ms=20)
    assert not found.answer.decided
    assert len(found.answer.tied) == 2
    assert found.next_step.what == "evaluate"


def test_equally_accurate_models_are_decided_by_latency(lab):
    """Both were compared with PyTorch on the same photos, so that their difference is known well."""
    compared = {"against": "pytorch", "against_sha256": "p", "metric": "top1", "n": 1000, "p": 1.0, "agreement": None}
    compared |= {"difference": {"value": 0, "interval": None}, "only_this": 1, "only_that": 1}
    for recipe, milliseconds in (("fast", 10), ("slow", 11)):
        lab.measure(recipe, milliseconds, 70, evaluation={"comparison": compared})
    found = ask(lab, max_latency_ms=20)
    assert (winner(found), found.answer.decided) == ("fast", True)
    apart = ask(lab, max_latency_ms=20, equal_within=0)
    assert not apart.answer.decided


def test_the_front_and_what_to_retire(three):
    three.measure("poor", 31, 55)
    found = ask(three, max_latency_ms=20)
    by_name = {one.recipe: one for one in found.candidates}
    assert {name for name, one in by_name.items() if one.on_front} == {"small", "middle", "large"}
    assert by_name["poor"].p_front == 0
    assert by_name["middle"].p_front > 0.99
    (retired,) = found.retired
    assert names(found, [retired.id, retired.by])[0] == "poor"
    assert retired.probability == 1
    assert retired.p_by > 0.9


def test_budgets_have_the_models_in_the_order_of_their_latency(three):
    found = ask(three)
    assert names(found, [one.id for one in found.budgets]) == ["small", "middle", "large"]
    assert [one.from_ms for one in found.budgets] == pytest.approx([5, 10, 30], rel=0.015)
    assert [one.to_ms for one in found.budgets[:-1]] == [one.from_ms for one in found.budgets[1:]]
    assert found.budgets[-1].to_ms is None


def test_rewards_rank_by_accuracy_and_latency(three):
    found = ask(three)
    soft, hard = found.rewards
    # 80 x 30^-0.07 = 63.0, 70 x 10^-0.07 = 59.6, 60 x 5^-0.07 = 53.6; with -0.15: 48.0, 49.6, 47.1.
    assert names(found, soft.ranking) == ["large", "middle", "small"]
    assert names(found, hard.ranking) == ["middle", "large", "small"]
    spans = [(names(found, [one.id])[0], one.from_w, one.to_w) for one in found.reward_spans]
    assert [name for name, _, _ in spans] == ["small", "middle", "large"]
    assert spans[2][1] == pytest.approx(-0.1215, abs=0.001)  # ln(80 / 70) / ln(30 / 10)
    assert spans[-1][2] == 0


def test_one_model_for_several_devices(three):
    """The small one is the only one that is fast enough on both."""
    three.measure("small", 15, device="board")
    three.measure("middle", 25, device="board")
    three.measure("large", 60, device="board")
    found = ask(three, "pixel", "board", max_latency_ms=20)
    assert (winner(found), found.answer.decided) == ("small", True)
    (pair,) = found.agreement
    assert (pair.tau, pair.models) == (1.0, 3)
    assert found.candidates[found.answer.winner].latency_ms == pytest.approx(15, rel=0.001)


def test_accuracy_is_never_that_of_another_artifact(three):
    three.measure("middle", 9.9, sha256="e" * 64)  # built again, not evaluated
    found = ask(three, max_latency_ms=20)
    assert winner(found) == "small"
    assert reasons(found) == {"middle": "no_accuracy"}
    assert found.next_step.what == "evaluate"
    assert found.next_step.title == f"middle 1.0/224 {TARGET}"
    assert found.next_step.guessed


def test_latency_on_two_devices_is_of_one_artifact(three):
    three.measure("small", 15, device="board")
    three.measure("middle", 18, 70, device="board", sha256="e" * 64)
    found = ask(three, "pixel", "board", max_latency_ms=20)
    assert winner(found) == "small"
    assert {one.reason.value for one in found.exclusions if one.recipe == "middle"} == {"not_measured"}


@pytest.mark.parametrize(
    ("change", "limits", "reason"),
    [
        ({"spread": 0.2}, {}, "noisy"),
        ({"spread": 0.04, "shape": True}, {}, "noisy"),  # its interval is narrow enough, and it drifts
        ({"sessions": 2}, {}, "too_few_sessions"),
        ({"protocol": "quick", "sessions": 3}, {}, "other_protocol"),
        ({"conditions": {"emulated": True}}, {}, "emulated"),
        ({"conditions": {"before": {"clock_rung": "fixed"}}}, {}, "other_clock"),
        ({"accuracy": None}, {}, "no_accuracy"),
        ({"evaluation": {"subset_sha256": "6" * 64}}, {}, "other_photos"),
        (
            {"evaluation": {"metric": "map", "metrics": {"map": {"value": 20, "interval": [19, 21]}}}},
            {},
            "other_metric",
        ),
        ({"identity": "f" * 16}, {}, "other_device"),
        ({"size_bytes": 4_000_001}, {"max_size_bytes": 4_000_000}, "too_large"),
        ({"weights": "random(0)"}, {"weights": "trained"}, "random_weights"),
    ],
)
def test_what_takes_no_part_has_a_reason(three, change, limits, reason):
    given = {"accuracy": 75, **change}
    accuracy = given.pop("accuracy")
    three.measure("best", 10, accuracy, **given)
    three.measure("small", 5, 60)  # so that the phone is the device that was measured last
    found = ask(three, max_latency_ms=20, **limits)
    assert reasons(found) == {"best": reason}
    assert winner(found) == "middle"
    without = ask(three, max_latency_ms=20)
    expected = {"best": reason} if not limits else {}
    assert reasons(without) == expected


def test_memory_is_a_limit(three):
    assert winner(ask(three, max_latency_ms=20, max_memory_bytes=60_000_000)) == "middle"
    found = ask(three, max_latency_ms=20, max_memory_bytes=51_000_000)
    assert found.answer.winner is None
    assert set(reasons(found).values()) == {"too_much_memory"}


def test_a_failure_that_nothing_settled_excludes(three):
    three.fail("middle")
    three.fail("unbuilt", device=None, target=None)
    three.fail("large", device="board")
    found = ask(three, max_latency_ms=20)
    assert reasons(found) == {"middle": "failed", "unbuilt": "failed"}
    assert winner(found) == "small"


def test_what_was_only_compiled_is_named(three):
    three.artifact("compiled")
    assert reasons(ask(three, max_latency_ms=20)) == {"compiled": "not_measured"}


def test_what_may_not_run_on_a_device_is_named_and_not_proposed(three):
    three.artifact("compiled", "coreml/-/fp16")
    found = ask(three, max_latency_ms=20)
    assert reasons(found) == {"compiled": "no_runtime"}
    assert found.next_step is None


@pytest.mark.parametrize(
    ("multiply_adds", "proposed"), [(100_000_000, True), (30_000_000_000, False)], ids=["cheap", "costly"]
)
def test_what_was_not_measured_is_proposed_if_it_may_win(three, multiply_adds, proposed):
    """Its latency follows from its multiply-adds: the others take 5 to 30 ms for 300 million."""
    three.evaluate("new", three.artifact("new", multiply_adds=multiply_adds), 90)
    found = ask(three, max_latency_ms=20)
    assert winner(found) == "middle"
    if proposed:
        step = found.next_step
        assert (step.what, step.title, step.guessed) == ("time", f"new 1.0/224 {TARGET}", True)
        assert step.probability > 0.8
        assert step.command == f"edgekit profile --recipe new --target {TARGET} --device pixel"
    else:
        assert found.next_step is None or found.next_step.probability < 0.05


def test_a_noisy_model_that_may_win_is_proposed_and_a_failed_one_is_not(three):
    three.measure("noisy", 12, 90, spread=0.1)
    three.measure("broken", 12, 95)
    three.fail("broken")
    step = ask(three, max_latency_ms=20).next_step
    assert (step.what, step.title, step.device, step.guessed) == ("time", f"noisy 1.0/224 {TARGET}", "pixel", False)
    assert step.probability > 0.9


def test_a_measurement_by_another_protocol_beside_the_common_one_is_no_reason(three):
    three.measure("middle", 10, protocol="quick", sessions=3)
    found = ask(three, max_latency_ms=20)
    assert (winner(found), found.exclusions) == ("middle", [])
    quick = ask(three, max_latency_ms=20, protocol="quick")
    assert (winner(quick), quick.answer.decided) == ("middle", True)
    assert quick.devices[0].protocol == "quick"


def test_p90_counts_with_its_upper_bound(three):
    found = ask(three, max_latency_ms=10.05, percentile="p90")
    assert winner(found) == "small"
    assert winner(ask(three, max_latency_ms=10.05)) == "middle"
    by_name = {one.recipe: one for one in found.candidates}
    assert 10.05 < by_name["middle"].latency_ms < 10.15


def test_published_accuracies_stand_in_only_if_nothing_was_measured(lab):
    published = {"model": "MobileNetV2", "variant": "", "head": ""}
    for width, milliseconds in ((1.0, 10), (0.5, 5)):
        model = {"width": width, "resolution": 224, "classes": 1000}
        lab.measure(f"v2_{width}", milliseconds, target="tflite/xnnpack/fp32", model=model, published=published)
    found = ask(lab, max_latency_ms=20)
    assert found.accuracy.kind == "published"
    assert "no measured accuracy" in found.accuracy.note
    assert winner(found) == "v2_1.0"
    assert {one.accuracy.kind for one in found.candidates} == {"published"}
    assert set(reasons(ask(lab, max_latency_ms=20, accuracy="measured")).values()) == {"no_accuracy"}
    lab.measure(
        "v2_0.5",
        5,
        60,
        target="tflite/xnnpack/fp32",
        model={"width": 0.5, "resolution": 224, "classes": 1000},
        published=published,
    )
    mixed = ask(lab, max_latency_ms=20)
    assert (winner(mixed), mixed.accuracy.kind) == ("v2_0.5", "measured")
    assert reasons(mixed) == {"v2_1.0": "no_accuracy"}
    assert ask(lab, max_latency_ms=20, accuracy="any").accuracy.kind == "measured and published"


def test_an_unknown_device_and_one_without_measurements_are_errors(three):
    with pytest.raises(UsageError, match="knows no device pixle") as raised:
        ask(three, "pixle")
    assert "pixel" in raised.value.failure.hint
    three.ledger.record_device("b" * 16, "board", {})
    with pytest.raises(UsageError, match="was measured on board"):
        ask(three, "board")
    three.artifact("compiled")
    with pytest.raises(UsageError, match="was measured on pixel"):
        ask(three, recipes=("compiled",))
    with pytest.raises(UsageError, match="by the protocol slow"):
        ask(three, protocol="slow")
    with pytest.raises(UsageError, match="names a device twice"):
        ask(three, "pixel", "pixel")
    with pytest.raises(UsageError, match="name the same device"):
        ask(three, "pixel", device_id("pixel")[:8])


def test_a_device_goes_by_its_id_as_well(three):
    found = ask(three, device_id("pixel")[:8], max_latency_ms=20)
    assert (found.devices[0].name, winner(found)) == ("pixel", "middle")


def test_the_same_seed_gives_the_same_document(three):
    assert ask(three, max_latency_ms=20) == ask(three, max_latency_ms=20)


def test_filters_leave_out_silently_what_was_not_asked(three):
    three.measure("other", 9, 79, target="executorch/xnnpack/int8")
    assert winner(ask(three, max_latency_ms=20)) == "other"
    found = ask(three, max_latency_ms=20, runtimes=("tflite",))
    assert (winner(found), found.exclusions) == ("middle", [])
    assert winner(ask(three, max_latency_ms=20, targets=("executorch/xnnpack/int8",))) == "other"
    assert winner(ask(three, max_latency_ms=20, recipes=("small", "large"))) == "small"
