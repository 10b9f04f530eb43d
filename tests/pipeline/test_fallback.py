"""Operators off the delegate: found by the runtimes' profilers, named with their modules, and limited by a recipe."""

import json

import pytest

from edgekit.ledger import Ledger
from edgekit.measure.fallback import fallback_evidence
from edgekit.measure.operators import OperatorsDocument, OperatorTime, stored, stored_profile
from edgekit.recipe.schema import Recipe

NETWORKS = """
import torch
from torch import nn


class Cumulative(nn.Module):
    '''XNNPACK has no cumulative sum.'''

    def forward(self, x):
        return torch.cumsum(x, dim=2) * 0.05


class Network(nn.Module):
    def __init__(self, between):
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 16, 3, 2, 1), nn.ReLU())
        self.between = between
        self.head = nn.Conv2d(16, 10, 3, 2, 1)

    def forward(self, x):
        return self.head(self.between(self.stem(x)))


def odd():
    return Network(Cumulative())


def plain():
    return Network(nn.Identity())
"""
RECIPE = """
name: {name}
model: {{source: networks.py:{name}, inputs: 3x64x64}}
preprocessing: {{crop_fraction: 1.0, interpolation: bilinear, mean: [0.5, 0.5, 0.5], std: [0.5, 0.5, 0.5]}}
weights: {{random: 0}}
targets: [{targets}]
{more}
"""
TFLITE, EXECUTORCH = "tflite/xnnpack/fp32", "executorch/xnnpack/fp32"


@pytest.fixture
def recipe(tmp_path):
    (tmp_path / "networks.py").write_text(NETWORKS)

    def written(name, targets=TFLITE, more=""):
        file = tmp_path / f"{name}.yaml"
        file.write_text(RECIPE.format(name=name, targets=targets, more=more))
        return file

    return written


def deploy(edgekit, file, *more):
    done = edgekit("deploy", file, "--device", "host", "--protocol", "emulated", "--json", *more)
    return done, json.loads(done.stdout)


@pytest.mark.parametrize(("target", "operator"), [(TFLITE, "CUMSUM"), (EXECUTORCH, "cumsum.out")])
def test_a_recipe_that_limits_the_fallback_fails_with_the_operator_and_its_module(
    target, operator, recipe, edgekit, capsule
):
    done, document = deploy(edgekit, recipe("odd", target, "max_fallback_share: 5%"))
    assert done.returncode == 1
    (failure,) = document["failures"]
    assert failure["kind"] == "fallback"
    assert f"{operator} of between (" in failure["message"]
    assert "more than the recipe's max_fallback_share of 5.0%" in failure["message"]
    assert document["measurements"] == []


def test_the_same_network_without_the_operator_passes_and_its_profile_is_kept(recipe, edgekit, capsule, tmp_path):
    done, document = deploy(edgekit, recipe("plain", TFLITE, "max_fallback_share: 5%"))
    assert (done.returncode, document["failures"]) == (0, [])
    with Ledger.open() as ledger:
        (measurement,) = ledger.measurements()
    profile = stored_profile(measurement.conditions)
    assert profile.fallback_share == 0
    assert [one.module for one in profile.operators if one.operator.startswith("Convolution")] == ["stem.0", "head"]
    assert "fallback" not in measurement.evidence
    assert edgekit("report", "--html", tmp_path / "page.html").returncode == 0
    assert "Time by layer" in (tmp_path / "page.html").read_text()


def test_a_limit_that_is_kept_passes_and_the_verdict_still_names_the_fallback(recipe, edgekit, capsule):
    done, document = deploy(edgekit, recipe("odd", TFLITE, "max_fallback_share: 0.99"))
    assert done.returncode == 0
    (measured,) = document["measurements"]
    assert "fallback: " in measured["evidence"]
    assert "(CUMSUM)" in measured["evidence"]


@pytest.mark.parametrize("name", ["odd", "plain"])
def test_without_a_profile_the_runtimes_word_counts(name, recipe, edgekit):
    _, document = deploy(edgekit, recipe(name))
    (measured,) = document["measurements"]
    assert ("the runtime says that operators ran off the delegate" in measured["evidence"]) == (name == "odd")
    with Ledger.open() as ledger:
        (measurement,) = ledger.measurements()
    assert "operators" not in measurement.conditions


def test_the_memory_of_an_artifact_is_that_of_a_process_of_its_own(recipe, edgekit):
    deploy(edgekit, recipe("plain"))
    with Ledger.open() as ledger:
        (measurement,) = ledger.measurements()
    memory = measurement.conditions["memory"]
    assert 0 < memory["model_rss_kb"] == memory["peak_rss_kb"] - memory["baseline_rss_kb"]
    # The stem's output of 16 x 32 x 32 values is alive with the input or the head's output.
    assert 4 * 16 * 32 * 32 < memory["activations_bytes"] <= 4 * (3 * 64 * 64 + 16 * 32 * 32)
    assert memory["activations_kind"] == "derived"


@pytest.mark.parametrize(("written", "read"), [("5%", 0.05), ("12.5%", 0.125), (0.05, 0.05), (1, 1.0), (None, None)])
def test_a_share_is_written_in_percent_or_as_a_number(written, read, recipe):
    value = "" if written is None else f"max_fallback_share: {written}"
    from edgekit.recipe.loading import load_recipe

    loaded = load_recipe(str(recipe("plain", TFLITE, value)))
    assert loaded.max_fallback_share == read
    assert Recipe.model_validate(loaded.model_dump(mode="json")) == loaded


@pytest.mark.parametrize("written", ["110%", "-1", "many", "5 %"])
def test_what_is_no_share_is_refused(written, recipe, edgekit):
    done = edgekit("compile", recipe("plain", TFLITE, f"max_fallback_share: {written}"))
    assert done.returncode == 2
    assert "key max_fallback_share: " in done.stderr


def profile(*operators):
    times = [OperatorTime(operator=name, name=name, mean_ms=ms, inside=inside) for name, ms, inside in operators]
    return OperatorsDocument(profiler="LiteRT", runs=20, mean_ms=1.0, operators=times)


def test_a_profile_shows_how_much_it_is_and_a_little_does_not_count():
    much, little = profile(("SIGN", 0.02, False), ("Conv", 0.9, True)), profile(("SIGN", 0.005, False))
    assert fallback_evidence({"fully_accelerated": False}, much) == "2.0% of a run was spent off the delegate (SIGN)"
    assert fallback_evidence({"fully_accelerated": False}, little) == ""
    assert fallback_evidence({"fully_accelerated": False}, None)
    assert fallback_evidence({"delegated": "not completely"}, None)
    assert fallback_evidence({"fully_accelerated": True}, None) == ""
    assert fallback_evidence({"fully_accelerated": None}, None) == ""


def test_a_stored_profile_is_the_same_profile():
    document = profile(("SIGN", 0.02, False), ("Conv", 0.9, True))
    assert stored_profile({"operators": json.loads(json.dumps(stored(document)))}) == document
    assert stored_profile({}) is None
