"""The real runner with a real artifact, and with a runtime that does not do as it is told."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tiny

from edgekit.build.photos import photo_set
from edgekit.pipeline import Plan, build_artifacts
from edgekit.recipe.loading import load_recipe
from edgekit.runners import PYTHON_RUNNER, read_events


@pytest.fixture(scope="module", params=["tflite/xnnpack/fp32", "executorch/xnnpack/fp32"])
def artifact(request, tmp_path_factory):
    plan = Plan.of(load_recipe(*tiny.TINY), [request.param], photo_set())
    _, (built,) = build_artifacts(plan, lambda line: None, tmp_path_factory.mktemp("log") / "log")
    return built.artifact


def run(artifact, tmp_path, *arguments, count=1, prelude=""):
    images = np.random.default_rng(0).normal(size=(count, *artifact.manifest.inputs[0].shape[1:])).astype(np.float32)
    images.tofile(tmp_path / "in.bin")
    command = ["--model", artifact.path, "--input", tmp_path / "in.bin", "--output", tmp_path / "out.bin", *arguments]
    program = [str(PYTHON_RUNNER)]
    if prelude:
        (tmp_path / "lying.py").write_text(
            f"{prelude}\nimport runpy\nrunpy.run_path({str(PYTHON_RUNNER)!r}, run_name='__main__')"
        )
        program = [str(tmp_path / "lying.py")]
    done = subprocess.run([sys.executable, *program, *map(str, command)], capture_output=True, text=True, check=False)
    return done, {event["event"]: event for event in read_events(done.stdout)}


def test_it_reports_what_it_did_and_that_it_was_one_thread_on_one_cpu(artifact, tmp_path):
    cpu = max(os.sched_getaffinity(0))
    done, events = run(
        artifact, tmp_path, "--cpus", cpu, "--iterations", 20, "--min-seconds", 1, "--warmup-seconds", 0.1
    )
    assert done.returncode == 0, done.stderr
    assert list(events) == ["environment", "load", "first", "samples", "done"]
    assert events["environment"]["affinity"] == events["done"]["cpus_seen"] == [cpu]
    assert events["environment"]["threads"] == events["done"]["threads_busy"] == 1
    assert len(events["samples"]["ns"]) >= 20
    assert sum(events["samples"]["ns"]) >= 0.9 * 0.5e9
    assert min(events["samples"]["ns"]) > 0


def test_outputs_are_one_per_input_in_their_order(artifact, tmp_path):
    run(artifact, tmp_path, count=3)
    three = np.fromfile(tmp_path / "out.bin", np.float32).reshape(3, 1000)
    run(artifact, tmp_path, count=1)
    one = np.fromfile(tmp_path / "out.bin", np.float32)
    assert np.array_equal(three[0], one)
    assert not np.array_equal(three[0], three[1])


def test_a_runtime_that_starts_other_threads_than_asked_is_seen(tmp_path):
    plan = Plan.of(load_recipe(*tiny.TINY), ["tflite/xnnpack/fp32"], photo_set())
    _, (built,) = build_artifacts(plan, lambda line: None, tmp_path / "log")
    lie = (
        "import ai_edge_litert.interpreter as i\nreal = i.Interpreter\n"
        "i.Interpreter = lambda path, num_threads: real(path, num_threads=4)"
    )
    arguments = ("--threads", 1, "--cpus", max(os.sched_getaffinity(0)), "--iterations", 20, "--min-seconds", 1)
    done, events = run(built.artifact, tmp_path, *arguments, prelude=lie)
    assert done.returncode == 0, done.stderr
    assert events["environment"]["threads"] == 1  # what it was asked for
    assert events["done"]["threads_busy"] > 1  # what it did


def test_a_file_that_is_no_model_gives_an_error_event(tmp_path):
    for name in ("model.tflite", "model.pte"):
        Path(tmp_path / name).write_bytes(b"no model")
        np.zeros(4, np.float32).tofile(tmp_path / "in.bin")
        command = [sys.executable, PYTHON_RUNNER, "--model", tmp_path / name, "--input", tmp_path / "in.bin"]
        done = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False)
        assert done.returncode == 1
        assert json.loads(done.stdout.splitlines()[-1])["event"] == "error"
