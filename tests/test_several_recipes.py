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


def until(named, *question):
    return ("deploy", *named, "--device", "host", "--protocol", "emulated", "--until", "decided", *question)


def test_sessions_are_added_until_it_is_decided(edgekit, named, ledger):
    done = edgekit(*until(named, "--margin", "3%"), "--json")
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    (decision,) = document["decisions"]
    assert decision["outcome"] == "faster"
    assert decision["first"].startswith("small ") and decision["second"].startswith("large ")
    assert decision["low"] <= decision["high"] < 1
    for entry in document["measurements"]:  # the summary is of all sessions, not of the protocol's two
        assert entry["sessions"] == decision["blocks"] >= 7
    (run,) = ledger.runs()
    assert run.plan["until"] == {"margin": 0.03, "max_latency_ms": None, "max_minutes": 30}
    assert all(one.conditions["stopping"]["optional"] for one in ledger.measurements())
    report = edgekit("report").stdout
    assert "sessions were added until a comparison was decided" in report


def test_what_stays_undecided_is_printed_and_is_no_success(edgekit, named):
    done = edgekit(*until(named, "--max-latency", "500ms", "--max-minutes", "0.001"))
    assert done.returncode == 3
    assert "not all is decided" in done.stdout
    assert "undecided: [unknown, unknown] ms after" in done.stdout


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--until", "decided"], "needs one question"),
        (["--until", "decided", "--margin", "3%", "--max-latency", "2ms"], "needs one question"),
        (["--margin", "3%"], "are for --until decided"),
        (["--until", "decided", "--margin", "3"], "is not a percentage"),
        (["--until", "decided", "--max-latency", "20"], "has no unit"),
    ],
)
def test_questions_that_are_none_are_refused(edgekit, named, options, said):
    done = edgekit("deploy", *named, "--device", "host", *options)
    assert done.returncode == 2
    assert said in done.stderr.replace("\n", " ")
