"""A run waits for its turn, and one failed cell never ends it, whatever was raised."""

import errno
from types import SimpleNamespace

import pytest
import tiny
from filelock import Timeout

from edgekit.backends.build import build_target
from edgekit.devices.profile import load_profile
from edgekit.errors import FailureKind, UsageError
from edgekit.measure.protocol import PROTOCOLS
from edgekit.models.prepare import Prepared
from edgekit.models.weights import resolve
from edgekit.photos import photo_set
from edgekit.pipeline import Plan, Sweep, building, runs, start_run, turns
from edgekit.recipe import load_recipe
from edgekit.target import Target

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

    run = compile_with(ledger, prepare, monkeypatch)
    assert {kind for _, kind, _ in failures_of(ledger, run)} == {FailureKind.disk_full}


def test_whatever_befalls_one_model_the_others_are_gone_on_with(ledger, monkeypatch):
    def prepare(recipe, resolved, photos, logs):
        raise FULL if recipe.name == "one" else ValueError("nobody expected that")

    run = compile_with(ledger, prepare, monkeypatch)
    assert failures_of(ledger, run) == {("one", FailureKind.disk_full, True), ("two", FailureKind.internal, False)}
    assert [one.status for one in ledger.runs()] == ["failed"]


def test_what_the_system_refuses_while_compiling_is_the_targets_failure(tmp_path):
    def refuse(*arguments, **options):
        raise PermissionError(errno.EACCES, "Permission denied", str(tmp_path))

    prepared = Prepared(folder=tmp_path, key="k", parameters=1, multiply_adds=1, contract="met", photos_sha256="")
    target, workers = Target.parse(TARGET), SimpleNamespace(call=refuse)
    built = build_target(RECIPES[0], resolve(RECIPES[0].weights), prepared, target, tmp_path, workers)
    assert (built.failure.kind, built.failure.stage) == (FailureKind.no_permission, "compile")
    assert str(tmp_path) in built.failure.message
    assert "EDGEKIT_CACHE" in built.failure.hint


def test_recipes_that_the_ledger_could_not_tell_apart_are_refused():
    with pytest.raises(UsageError, match=f"2 of the recipes are named one and are of the variant {tiny.VARIANT}"):
        Sweep.of((*RECIPES, RECIPES[0].changed({"depth": 0.2}), RECIPES[0]), [TARGET], (), None, photo_set(), None)


@pytest.fixture
def ready(monkeypatch, tmp_path):
    """Let artifacts be there without being built, of the size that the pipeline looks at."""

    def build(run, plan, remaining):
        manifest = SimpleNamespace(recipe=plan.recipe.name, sha256="a" * 64)
        artifact = SimpleNamespace(target=Target.parse(TARGET), manifest=manifest)
        return [building.Ready(0, artifact, plan, None)]

    monkeypatch.setattr(runs, "build", build)


def test_an_unexpected_error_of_a_device_is_a_failure_of_its_cells_only(ledger, ready, monkeypatch):
    measured = []

    def measure(run, device, timings, protocol, remaining):
        measured.append(timings[0].ready.plan.recipe.name)
        raise ZeroDivisionError("in somebody's plug-in")

    monkeypatch.setattr(runs, "measure", measure)
    plans = tuple(Plan.of(recipe, [TARGET], photo_set()) for recipe in RECIPES)
    sweep = Sweep(plans, (load_profile("host"),), PROTOCOLS["emulated"], None)
    run = start_run("profile", sweep, ledger, lambda line: None)
    assert measured == ["one", "two"]
    assert failures_of(ledger, run) == {(name, FailureKind.internal, False) for name in measured}
    assert {(one.target, one.device) for one in ledger.failures(run)} == {(TARGET, "host")}
