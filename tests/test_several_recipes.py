"""Several recipes of one run take turns in the same blocks, and are compared block by block."""

import json

import pytest

from edgekit.pipeline.runs import TOGETHER, _together
from edgekit.report.ratios import RecipeRatioEntry, recipe_ratios
from edgekit.report.rows import rows_of
from edgekit.report.tables import recipe_ratio_lines
from tests.test_profile import RECIPE, TARGET


@pytest.fixture
def named(tmp_path):
    """Write two recipes of the same network family, and return their files."""
    files = []
    for name, resolution in (("small", 32), ("large", 128)):
        files.append(tmp_path / f"{name}.yaml")
        text = RECIPE.format(name=name, architecture="mobilenet_v1", resolution=resolution, targets=TARGET, more="")
        files[-1].write_text(text)
    return list(map(str, files))


def test_recipes_of_one_deploy_share_blocks_and_are_compared(edgekit, named, ledger):
    done = edgekit("deploy", *named, "--device", "host", "--protocol", "quick", "--json")
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    (ratio,) = document["recipe_ratios"]
    assert (ratio["recipe"], ratio["baseline"], ratio["target"]) == ("small", "large", TARGET)
    assert ratio["blocks"] == 3
    assert ratio["interval"][0] <= ratio["speedup"] <= ratio["interval"][1]
    assert ratio["speedup"] > 2
    # In turns: each block is over before the next one begins. Recipe by recipe, three of one would come first.
    came = [line.split(":")[1] for line in done.stderr.splitlines() if ": session " in line]
    assert came == [f" session {block} of 3" for block in (1, 1, 2, 2, 3, 3)]
    measured = ledger.measurements()
    assert len({one.conditions["shared_blocks"] for one in measured}) == 1
    # Two recipes, one target: each has its own input and output on the device.
    assert all(one.conditions["parity_on_device"]["snr_db"] > 60 for one in measured)


def test_recipes_that_did_not_share_blocks_are_not_compared(edgekit, named, ledger, monkeypatch):
    for name in named:
        assert edgekit("deploy", name, "--device", "host", "--protocol", "emulated").returncode == 0
    rows = rows_of(ledger)
    assert len(rows) == 2
    assert recipe_ratios(ledger, rows) == []


def test_an_option_for_one_own_network_is_refused_for_several(edgekit, named):
    done = edgekit("deploy", *named, "--device", "host", "--input", "3x32x32")
    assert done.returncode == 2
    assert "one network of your own" in done.stderr


def test_whole_recipes_take_turns_up_to_a_limit():
    recipes = [[object()] * count for count in (2, 0, TOGETHER - 2, 1, TOGETHER + 1)]
    assert [len(group) for group in _together(recipes)] == [TOGETHER, 1, TOGETHER + 1]


def test_the_table_compares_each_recipe_with_the_fastest():
    def entry(recipe, baseline):
        names = {"recipe": recipe, "baseline": baseline, "variant": "", "baseline_variant": ""}
        numbers = {"speedup": 2.0, "interval": (1.9, 2.1), "interval_confidence": 0.97, "blocks": 6}
        return RecipeRatioEntry(target=TARGET, device="host", **names, **numbers)

    lines = recipe_ratio_lines([entry("a", "b"), entry("a", "c"), entry("b", "c")])
    assert len(lines) == 2
    assert all(" a  is 2.00 [1.90, 2.10] times as fast as " in line for line in lines)
