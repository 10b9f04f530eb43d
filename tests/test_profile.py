"""Sweeps: everything in one run, one failed cell ends nothing, what is interrupted or killed goes on."""

import json
import os
import random
import signal
import subprocess
import sys
import time

import pytest

from edgekit.build.photos import photo_set
from edgekit.cache.store import content_sha256
from edgekit.devices.profile import load_profile
from edgekit.ledger import Ledger
from edgekit.pipeline import Sweep, runs, start_run
from edgekit.protocol import PROTOCOLS
from edgekit.recipe.loading import load_recipe

TARGET = "tflite/xnnpack/fp32"
RECIPE = """\
name: {name}
architecture: {architecture}
model: {{width: 0.35, depth: 0.1, resolution: {resolution}, padding: torch, batch_norm_epsilon: 0.001}}
weights: {{random: 0}}
preprocessing: {{crop_fraction: 0.875, interpolation: bilinear, mean: [0.5, 0.5, 0.5], std: [0.5, 0.5, 0.5]}}
targets: [{targets}]
{more}
"""


@pytest.fixture
def recipes(tmp_path, monkeypatch):
    """Write small recipes that ``--all`` does not find among the built-in ones; returns the ``--recipes`` argument."""
    monkeypatch.setenv("EDGEKIT_RECIPES", str(tmp_path))

    def write(**more):
        for number, (name, text) in enumerate(more.items()):
            architecture = ("mobilenet_v1", "mobilenet_v2")[number % 2]
            document = RECIPE.format(
                name=name, architecture=architecture, resolution=32 + 32 * number, targets=TARGET, more=text
            )
            (tmp_path / f"{name}.yaml").write_text(document)
        return ("--recipes", ",".join(more))

    return write


def profile(*arguments, protocol="emulated"):
    return ["profile", *arguments, "--devices", "host", "--protocol", protocol]


def test_every_cell_is_one_run_and_a_broken_one_ends_nothing(edgekit, recipes, ledger):
    chosen = recipes(one="", broken="expect: {0.35/64/depth=0.1: {parameters: 1, multiply_adds: 2}}", three="")
    done = edgekit(*profile(*chosen), "--json")
    assert done.returncode == 1
    document = json.loads(done.stdout)
    assert {entry["recipe"] for entry in document["measurements"]} == {"one", "three"}
    assert [(entry["recipe"], entry["kind"]) for entry in document["failures"]] == [("broken", "contract")]
    assert "[4/4]" in done.stderr
    (run,) = ledger.runs()
    assert (run.command, run.status) == ("profile", "failed")
    assert [one["recipe"]["name"] for one in run.plan["recipes"]] == ["one", "broken", "three"]
    before = [failure.id for failure in ledger.failures()]
    again = edgekit("profile", "--resume")
    assert again.returncode == 1  # the failure is still one
    (said,) = again.stderr.splitlines()  # but it was final: nothing is done again
    assert said.startswith("resuming run ")
    assert [failure.id for failure in ledger.failures()] == before


def test_compile_resumes_only_what_is_missing(edgekit, recipes, ledger, tmp_path):
    recipes(one="", two="")
    names = [str(tmp_path / f"{name}.yaml") for name in ("one", "two")]
    assert edgekit("compile", *names, "--json").returncode == 0
    (run,) = ledger.runs()
    again = edgekit("compile", "--resume")
    assert again.returncode == 0
    assert "[1/" not in again.stderr
    assert [one.id for one in ledger.runs()] == [run.id]
    assert edgekit("compile", "--resume", "nothing").returncode == 2


def test_a_recipe_of_all_that_cannot_be_loaded_is_a_failure_of_its_own(tmp_path, monkeypatch):
    from edgekit.recipe.loading import load_known

    (tmp_path / "broken.yaml").write_text("name: broken\n")
    monkeypatch.setenv("EDGEKIT_RECIPES", str(tmp_path))
    loaded, unreadable = load_known()
    assert list(unreadable) == ["broken"]
    assert {"v1", "v2"} < {recipe.name for recipe in loaded}


def test_a_sweep_measures_every_variant_that_its_recipe_names(edgekit, recipes):
    chosen = recipes(one="sweep: {grids: [{resolution: [32, 64]}]}")
    done = edgekit(*profile(*chosen, "--sweep"), "--json")
    assert done.returncode == 0, done.stderr
    assert [entry["variant"] for entry in json.loads(done.stdout)["measurements"]] == [
        "0.35/32/depth=0.1",
        "0.35/64/depth=0.1",
    ]
    assert "[2/2]" in done.stderr


def test_what_failed_to_compile_for_good_is_not_compiled_again(edgekit, recipes, ledger):
    chosen = recipes(one="parity: {fp32: {max_absolute: 1.0e-12, max_relative: 1.0e-12}}")
    assert edgekit(*profile(*chosen)).returncode == 1
    again = edgekit("profile", "--resume")
    assert again.returncode == 1
    (said,) = again.stderr.splitlines()
    assert said.startswith("resuming run ")
    assert [failure.failure.kind for failure in ledger.failures()] == ["parity"]


def test_resuming_does_only_what_is_missing(edgekit, recipes, ledger, monkeypatch):
    chosen = recipes(one="", two="")[1].split(",")
    monkeypatch.setattr(runs, "TOGETHER", 1)  # the recipes do not take turns, so the first one is done first

    def progress(line):
        if line.startswith("two ") and "session 1 of 3" in line:
            raise KeyboardInterrupt

    sweep = Sweep.of(
        [load_recipe(name) for name in chosen],
        [TARGET],
        [load_profile("host")],
        PROTOCOLS["quick"],
        photo_set(),
        None,
    )
    with pytest.raises(KeyboardInterrupt):
        start_run("profile", sweep, ledger, progress)
    before = {m.recipe: m.id for m in ledger.measurements()}
    assert before.keys() == {"one"}
    done = edgekit("profile", "--resume", "--json")
    assert done.returncode == 0, done.stderr
    assert "one " not in done.stderr
    after = {m.recipe: m.id for m in ledger.measurements()}
    assert after.keys() == {"one", "two"}
    assert after["one"] == before["one"]
    assert [run.status for run in ledger.runs()] == ["done"]
    assert json.loads(done.stdout)["recipe_ratios"] == []  # they shared no block


def test_recipes_that_took_turns_are_timed_again_together(edgekit, recipes, ledger):
    chosen = recipes(one="", two="")
    process = subprocess.Popen(
        [sys.executable, "-m", "edgekit", *profile(*chosen, protocol="quick")],
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
    )
    for line in process.stderr:
        if "session 2 of 3" in line:
            process.send_signal(signal.SIGINT)
            break
    process.communicate(timeout=60)
    assert process.returncode == 130
    assert ledger.measurements() == []
    done = edgekit("profile", "--resume", "--json")
    assert done.returncode == 0, done.stderr
    assert "compiled in" not in done.stderr
    (ratio,) = json.loads(done.stdout)["recipe_ratios"]
    assert ratio["blocks"] == 3


def test_without_anything_to_resume_or_to_do_it_says_so(edgekit, ledger):
    ledger.begin_run("compile", 0, {}, {})
    for arguments, said in (
        ((), "There is nothing to profile"),
        (("--resume",), "no run of `profile`"),
        (("--resume", "x"), "no run of `profile`"),
    ):
        done = edgekit("profile", *arguments)
        assert done.returncode == 2
        assert said in done.stderr


def test_a_named_device_that_is_unreachable_is_a_failure_and_of_all_it_is_skipped(edgekit, recipes):
    done = edgekit("profile", *recipes(one=""), "--devices", "pixel", "--json")
    assert done.returncode == 1
    assert [entry["kind"] for entry in json.loads(done.stdout)["failures"]] == ["offline"]
    done = edgekit("profile", *recipes(one=""), "--protocol", "emulated")
    assert done.returncode == 0
    assert "pixel: skipped: device offline" in done.stderr


def test_two_edgekits_do_not_time_on_one_machine_at_once(recipes):
    chosen = recipes(one="")
    started = [
        subprocess.Popen(
            [
                sys.executable,
                "-m",
                "edgekit",
                "profile",
                *chosen,
                "--devices",
                "host",
                "--protocol",
                "quick",
                "--ledger",
                url,
            ],
            stderr=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            text=True,
        )
        for url in (os.environ["EDGEKIT_LEDGER"], os.environ["EDGEKIT_LEDGER"] + "2")
    ]
    told = [process.communicate(timeout=120)[1] for process in started]
    assert [process.returncode for process in started] == [0, 0]
    spans = []
    for url in (os.environ["EDGEKIT_LEDGER"], os.environ["EDGEKIT_LEDGER"] + "2"):
        with Ledger.open(url) as opened:
            sessions = opened.sessions(opened.measurements()[0].id)
            spans.append((sessions[0].started_at, opened.measurements()[0].finished_at))
    first, second = sorted(spans)
    assert first[1] <= second[0], told


@pytest.mark.parametrize("kills", [1, pytest.param(20, marks=pytest.mark.slow)])
def test_kills_at_random_points_lose_nothing_and_the_sweep_completes(
    edgekit, recipes, ledger, tmp_path, monkeypatch, kills
):
    monkeypatch.setenv("EDGEKIT_CACHE", str(tmp_path / "cache"))
    names = ("one", "two", "three", "four")
    chosen, chance, measured, killed = recipes(**dict.fromkeys(names, "")), random.Random(kills), {}, 0
    command = profile(*chosen)
    while killed < kills:
        before = len(ledger.runs())
        process = subprocess.Popen(
            [sys.executable, "-m", "edgekit", *command],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        while "--resume" not in command and len(ledger.runs()) == before:
            time.sleep(0.1)  # before its first line in the ledger there is nothing to go on with
        time.sleep(chance.uniform(0.3, 8))
        alive = process.poll() is None
        process.kill()
        process.wait()
        assert alive or process.returncode == 0
        killed += alive
        command = ["profile", "--resume"] if alive else profile(*chosen)  # it was done: all over again
        found = {m.id: m.summary for m in ledger.measurements()}
        assert found.items() >= measured.items()  # nothing that was committed is lost
        measured = found
    done = edgekit("profile", "--resume", "--json")
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert {entry["recipe"] for entry in document["measurements"]} == set(names)
    assert {m.id: m.summary for m in ledger.measurements()}.items() >= measured.items()
    for facts in (tmp_path / "cache" / "artifacts").glob("*/facts.json"):
        written = json.loads(facts.read_text())
        assert content_sha256(facts.parent / written["file"]) == written["sha256"]
    assert {run.status for run in ledger.runs()} == {"done"}
