"""`edgekit run list` and `show`: what runs there were, how they ended, and how to go on."""

import json

import pytest
from click.testing import CliRunner

from edgekit.cli import cli
from edgekit.errors import UsageError
from edgekit.ledger import Ledger
from edgekit.pipeline.run import this_process
from tests.selection.selection_ledger import Laboratory


@pytest.fixture
def place(tmp_path):
    url = f"sqlite:///{tmp_path}/runs.sqlite"
    with Ledger.open(url) as ledger:
        lab = Laboratory(ledger)
        lab.measure("v2", 10.0, 70.0)
        ledger.finish_run(lab.run, "done")
        plan = {
            "recipes": [{"recipe": {"name": "v1", "architecture": "a", "model": {}}}],
            "devices": [{"name": "pixel"}],
        }
        lab.run = ledger.begin_run("profile", 7, {"name": "1t-big"}, plan)
        lab.fail("v1")
        ledger.finish_run(lab.run, "interrupted")
    return url, lab.run


def run(url, *arguments):
    return CliRunner().invoke(cli, ["run", *arguments, "--ledger", url], standalone_mode=False)


def rows(done, section=0):
    return json.loads(done.stdout)["sections"][section]["rows"]


def test_runs_are_listed_with_what_they_did_and_how_to_go_on(place):
    url, interrupted = place
    found = rows(run(url, "list", "--format", "json"))
    assert found[0]["run"] == interrupted
    assert found[0]["recipes"] == "v1"
    assert found[0]["devices"] == "pixel"
    assert found[0]["failures"] == 1
    assert found[0]["resume"] == f"edgekit profile --resume {interrupted}"
    done = [one for one in found if one["status"] == "done"]
    assert [(one["artifacts"], one["measurements"], one["accuracies"], one["resume"]) for one in done] == [
        (1, 1, 1, None)
    ]


def test_a_run_that_was_killed_is_interrupted_and_can_go_on(place):
    """Its process is gone without a word, so the ledger still calls it running."""
    url, _ = place
    with Ledger.open(url) as ledger:
        plans = [{"process": {**this_process(), **changed}} for changed in ({"started": "long ago"}, {})]
        killed, alive = (ledger.begin_run("profile", 0, {"name": "1t-big"}, plan) for plan in plans)
    found = {one["run"]: one for one in rows(run(url, "list", "--format", "json"))}
    assert (found[killed]["status"], found[killed]["resume"]) == ("interrupted", f"edgekit profile --resume {killed}")
    assert (found[alive]["status"], found[alive]["resume"]) == ("running", None)


def test_a_limit_says_what_it_leaves_out(place):
    done = run(place[0], "list", "--limit", "1", "--format", "markdown")
    assert done.stdout.count("| profile ") == 1
    assert "older runs are not shown" in done.stdout


def test_one_run_is_shown_with_its_results(place):
    url, interrupted = place
    assert rows(run(url, "show", "--format", "json"))[0]["run"] == interrupted
    measured = next(one["run"] for one in rows(run(url, "list", "--format", "json")) if one["measurements"])
    shown = run(url, "show", measured, "--format", "json")
    assert rows(shown, 1)[0]["latency_ms_measured"] == pytest.approx(10, rel=0.01)
    assert run(url, "show", "0000", "--format", "json").exception.__class__ is UsageError


@pytest.mark.parametrize("width", [80, 200])
def test_the_list_fits_its_terminal(place, monkeypatch, width):
    monkeypatch.setenv("COLUMNS", str(width))
    lines = run(place[0], "list", "--format", "terminal").stdout.splitlines()
    assert max(map(len, lines)) <= width
    assert any(place[1] in line and "interrupted" in line for line in lines)
