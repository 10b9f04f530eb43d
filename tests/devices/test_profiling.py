"""Operator profiles and memory of artifacts on phones and boards, by the native runner over the real daemons."""

import pytest
import tiny

from edgekit.build.photos import photo_set
from edgekit.measure.operators import stored_profile
from edgekit.pipeline import Plan, start_run
from edgekit.pipeline.plan import Sweep
from edgekit.pipeline.profiling import profile_operators
from edgekit.protocol import PROTOCOLS
from edgekit.recipe.loading import load_recipe

TARGETS = ("tflite/xnnpack/fp32", "executorch/xnnpack/fp32")


@pytest.mark.parametrize("where", ["android", "board"])
def test_a_deploy_keeps_profile_and_memory_of_each_artifact(where, request, profile_of, ledger, capsule):
    there = request.getfixturevalue(where)
    plan = Plan.of(load_recipe(*tiny.TINY), TARGETS, photo_set())
    sweep = Sweep((plan,), (profile_of(there),), PROTOCOLS["emulated"], None, profile_operators=True)
    run = start_run("deploy", sweep, ledger, lambda line: None, seed=0)
    assert ledger.failures(run) == []
    found = {one.target: one.conditions for one in ledger.measurements(run)}
    assert set(found) == set(TARGETS)
    for conditions in found.values():
        profile = stored_profile(conditions)
        layers = [one.module for one in profile.operators if one.operator.startswith(("Conv", "Fully"))]
        assert (layers[0], layers[-1], len(layers)) == ("features.0.0", "classifier.1", 12)
        assert profile.fallback_share == 0
        assert conditions["memory"]["model_rss_kb"] > 0
        assert conditions["parity_on_device"]["photos"] == 8
    assert found[TARGETS[0]]["memory"]["planned_bytes"] is None
    assert found[TARGETS[1]]["memory"]["planned_bytes"] > 0
    assert there.left_running() == []


def test_an_emulated_arm64_phone_profiles_tflite(android_arm64, profile_of, capsule_arm64):
    plan = Plan.of(load_recipe(*tiny.TINY), TARGETS[:1], photo_set())
    document = profile_operators(plan, profile_of(android_arm64), lambda line: None)
    assert document.profiler == "LiteRT"
    assert document.modules[0].module == "features.0.0"
