"""A run waits for its turn, and one failed cell never ends it, whatever was raised."""

import errno
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import tiny
from filelock import Timeout

from edgekit.build import compile as build
from edgekit.build.compile import build_target
from edgekit.build.parity import compare
from edgekit.build.photos import photo_set
from edgekit.build.prepare import Prepared
from edgekit.devices.host import Host
from edgekit.devices.profile import load_profile
from edgekit.errors import Failure, FailureKind, UsageError
from edgekit.evaluation import classify
from edgekit.pipeline import Plan, Sweep, building, resume_run, run, runs, start_run, turns
from edgekit.protocol import PROTOCOLS
from edgekit.recipe.limits import ParityLimits
from edgekit.recipe.loading import load_recipe
from edgekit.target import Target
from edgekit.weights.checkpoints import resolve

TARGET = "tflite/xnnpack/fp32"
RECIPES = tuple(load_recipe(tiny.RECIPE, (*tiny.SETTINGS, f"name={name}")) for name in ("one", "two"))
FULL = OSError(errno.ENOSPC, "No space left on device", "/cache/logs/run")


def failures_of(ledger, run):
    return {(one.recipe, one.failure.kind, one.failure.retriable) for one in ledger.failures(run)}


def compile_with(ledger, prepare, monkeypatch):
    monkeypatch.setattr(building, "prepare_cached", prepare)
    sweep = Sweep.of(RECIPES, [TARGET], (), None, photo_set(), None)
    return start_run("compile", sweep, ledger, lambda line: None)


def test_a_model_is_prepared_while_no_edgekit_may_time(ledger, monkeypatch):
    def prepare(recipe, resolved, photos, logs):
        with pytest.raises(Timeout), turns._lock(turns.THIS_MACHINE).write_lock(0):
            pass
        raise FULL

    found = failures_of(ledger, compile_with(ledger, prepare, monkeypatch))
    assert {kind for _, kind, _ in found} == {FailureKind.disk_full}


def test_a_photo_is_classified_while_no_edgekit_may_time(monkeypatch):
    def predict(*arguments):
        with pytest.raises(Timeout), turns._lock(turns.THIS_MACHINE).write_lock(0):
            pass
        return np.eye(1, 1000, 7)

    monkeypatch.setattr(classify, "build_artifacts", lambda *arguments: (None, []))
    monkeypatch.setattr(classify, "_predict", predict)
    plan = Plan.of(RECIPES[0], [], photo_set())
    assert [one.index for one in classify.classify(plan, plan.photos.paths[0], print, 1)] == [7]


def test_whatever_befalls_one_model_the_others_are_gone_on_with(ledger, monkeypatch):
    def prepare(recipe, resolved, photos, logs):
        raise FULL if recipe.name == "one" else ValueError("nobody expected that")

    found = failures_of(ledger, compile_with(ledger, prepare, monkeypatch))
    assert found == {("one", FailureKind.disk_full, True), ("two", FailureKind.internal, False)}
    assert [one.status for one in ledger.runs()] == ["failed"]


def test_what_the_system_refuses_while_compiling_is_the_targets_failure(tmp_path):
    def refuse(*arguments, **options):
        raise PermissionError(errno.EACCES, "Permission denied", str(tmp_path))

    prepared = Prepared(
        folder=tmp_path, key="k", parameters=1, multiply_adds=1, contract="met", photos_sha256="", calibration={}
    )
    target, workers = Target.parse(TARGET), SimpleNamespace(call=refuse)
    built = build_target(RECIPES[0], resolve(RECIPES[0].weights), prepared, target, tmp_path, workers)
    assert (built.failure.kind, built.failure.stage) == (FailureKind.no_permission, "compile")
    assert str(tmp_path) in built.failure.message
    assert "EDGEKIT_CACHE" in built.failure.hint


@pytest.mark.parametrize(
    ("target", "found", "said"),
    [
        ("tflite/xnnpack/fp32", 1.0, "only if you know why it differs."),
        ("tflite/xnnpack/int8", 1.0, "only if you know why it differs. More calibration photos"),
        ("tflite/xnnpack/fp32", np.nan, "Its outputs are not finite"),
    ],
)
def test_the_hint_of_a_failed_parity_is_of_its_kind(target, found, said):
    reference = np.array([[1.0, 2.0, 3.0]], np.float32)
    artifact = {"logits": np.array([[9.0, -5.0, found]], np.float32)}
    target = Target.parse(target)
    result = compare({"logits": reference}, artifact, target.precision, ParityLimits(), kind="measured", trained=True)
    built = build._judge(build.Built(target, SimpleNamespace(manifest=SimpleNamespace(parity=result)), None))
    assert said in built.failure.hint
    assert ("calibration" in built.failure.hint) == (target.precision == "int8")


def test_photos_that_are_gone_are_told_of_without_an_option_that_resume_refuses(tmp_path):
    written = {**Sweep((), (), None, None).written(), "photos": str(tmp_path / "gone")}
    with pytest.raises(UsageError, match="That run cannot be continued: There is no folder") as raised:
        Sweep.read(written)
    assert "--photos" not in raised.value.failure.hint


def test_recipes_that_the_ledger_could_not_tell_apart_are_refused():
    with pytest.raises(UsageError, match=f"2 of the recipes are named one and are of the variant {tiny.VARIANT}"):
        Sweep.of((*RECIPES, RECIPES[0].changed({"depth": 0.2}), RECIPES[0]), [TARGET], (), None, photo_set(), None)


def dead_process():
    """Return what a run's plan holds of a process that is gone: it began and ended here."""
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        known = {**run.this_process(), "pid": process.pid, "started": run._started(process.pid)}
        assert known["started"]
    return known


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="the kernel has no /proc to compare with")
def test_when_a_process_started_is_told_in_the_kernels_clock():
    """Ledgers of older versions hold this text, and a change of the system's clock does not change it."""
    ticks = Path("/proc/self/stat").read_text().rpartition(")")[2].split()[19]
    assert run._started(os.getpid()) == ticks


def test_a_run_whose_process_is_gone_is_interrupted(ledger):
    alive = ledger.begin_run("profile", 0, {}, {"process": run.this_process()})
    dead = ledger.begin_run("profile", 0, {}, {"process": dead_process()})
    run.mark_dead_runs(ledger, lambda line: None)
    assert {one.id: one.status for one in ledger.runs()} == {alive: "running", dead: "interrupted"}


@pytest.mark.parametrize(("command", "said"), [("deploy", True), ("evaluate", False), ("import-results", False)])
def test_only_a_command_that_can_resume_is_named_after_a_lost_device(command, said, ledger):
    lost = Failure(kind=FailureKind.link_lost, stage="measure", message="The board was lost.", retriable=True)
    lines = []
    with run.begun(ledger, command, {}, {}, 0, lines.append) as begun:
        ledger.record_failure(begun.id, lost, recipe="one", variant="", device="board")
    assert [f"edgekit {command} --resume {begun.id}" in line for line in lines] == [True] * said


def test_a_run_of_another_machine_is_named_and_taken_over_where_it_is_asked_for(ledger):
    sweep = Sweep((), (), None, None)
    written = sweep.written()
    process = {"host": "laptop", "pid": 16003, "started": "1"}
    id = ledger.begin_run("compile", 0, {}, {**written, "process": process})
    with pytest.raises(UsageError, match=f"Run {id} is under way in process 16003 of laptop") as raised:
        resume_run("compile", ledger, print, None)
    assert f"take it over: `edgekit compile --resume {id}`" in raised.value.failure.hint
    assert resume_run("compile", ledger, print, id) == id
    assert [one.status for one in ledger.runs()] == ["done"]


def test_of_two_who_go_on_with_a_run_the_second_is_refused(ledger, monkeypatch):
    sweep = Sweep((), (), None, None)
    written = sweep.written()
    id = ledger.begin_run("compile", 0, {}, written)
    ledger.finish_run(id, "interrupted")

    def read(plan):
        """The other one is faster."""
        ledger.restart_run(id, {**plan, "process": run.this_process()})
        return sweep

    monkeypatch.setattr(Sweep, "read", read)
    with pytest.raises(UsageError, match=f"Run {id} is under way in process {os.getpid()}"):
        resume_run("compile", ledger, print, id)


@pytest.fixture
def ready(monkeypatch, tmp_path):
    """Let artifacts be there without being built, of the size that the pipeline looks at."""

    def build(run, plan, remaining):
        manifest = SimpleNamespace(recipe=plan.recipe.name, sha256="a" * 64)
        artifact = SimpleNamespace(target=Target.parse(TARGET), manifest=manifest)
        return [building.Ready(0, artifact, plan, None)]

    monkeypatch.setattr(runs, "build", build)


def test_an_unexpected_error_of_a_device_is_a_failure_of_its_cells_only(ledger, ready, monkeypatch):
    measured, told = [], []

    def measure(run, device, timings, *others):
        measured.extend(timing.ready.plan.recipe.name for timing in timings)  # they take turns
        raise ZeroDivisionError("in somebody's plug-in")

    monkeypatch.setattr(runs, "measure", measure)
    plans = tuple(Plan.of(recipe, [TARGET], photo_set()) for recipe in RECIPES)
    sweep = Sweep(plans, (load_profile("host"),), PROTOCOLS["emulated"], None)
    monkeypatch.setattr(Host, "release", lambda self: 1 / 0)
    id = start_run("profile", sweep, ledger, told.append)
    assert "host: internal error: ZeroDivisionError: division by zero" in told[0]
    assert measured == ["one", "two"]
    assert failures_of(ledger, id) == {(name, FailureKind.internal, False) for name in measured}
    assert {(one.target, one.device) for one in ledger.failures(id)} == {(TARGET, "host")}
