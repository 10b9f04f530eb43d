"""The built wheel, away from the checkout: core without torch, with the converters, and on a board."""

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
from edgekit.runners import read_events


def run(*command, **options):
    return subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False, **options)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wheel")
    done = run(
        sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", folder, Path(__file__).parents[1]
    )
    assert done.returncode == 0, done.stderr
    (built,) = folder.glob("*.whl")
    return built


def install(folder, requirement):
    """Install into an environment of its own; pip stays outside and compiles nothing, which takes half of the time."""
    assert run(sys.executable, "-m", "venv", "--without-pip", folder).returncode == 0
    pip = (sys.executable, "-m", "pip", "--python", folder / "bin/python")
    done = run(*pip, "install", "--quiet", "--no-compile", requirement)
    assert done.returncode == 0, done.stderr
    return folder / "bin"


def test_core_works_without_torch_and_names_the_extra_that_is_missing(wheel, tmp_path):
    programs = install(tmp_path / "core", wheel)
    (tmp_path / "empty").mkdir()
    assert run(programs / "python", "-c", "import torch").returncode != 0

    def edgekit(*arguments):
        return run(programs / "edgekit", *arguments, cwd=tmp_path / "empty")

    assert "v3_large" in edgekit("recipes").stdout
    assert "reachable" in edgekit("devices").stdout
    assert "There is no ledger at " in edgekit("report").stderr
    run(programs / "python", "-c", "from edgekit.ledger import Ledger; Ledger.open().close()")
    assert "holds no result yet" in edgekit("report").stdout
    for command in (("inspect", "v3_large"), ("compile", "v3_large"), ("deploy", "v3_large", "--device", "host")):
        done = edgekit(*command)
        assert done.returncode == 1, command
        assert "edgekit[convert]" in done.stderr
        assert "Traceback" not in done.stderr


def test_the_wheel_in_an_empty_folder_finds_its_recipes_and_deploys(wheel, tmp_path):
    (tmp_path / "empty").mkdir()
    target = tmp_path / "installed"
    assert (
        run(sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", target, wheel).returncode == 0
    )
    environment = {**os.environ, "PYTHONPATH": str(target)}
    arguments = (
        *tiny.OPTIONS,
        "--device",
        "host",
        "--protocol",
        "emulated",
        "--targets",
        "tflite/xnnpack/fp32",
        "--json",
    )
    done = run(sys.executable, "-P", "-m", "edgekit", "deploy", *arguments, cwd=tmp_path / "empty", env=environment)
    assert done.returncode == 0, done.stderr
    assert len(json.loads(done.stdout)["measurements"]) == 1
    where = run(
        sys.executable, "-P", "-c", "import edgekit; print(edgekit.__file__)", cwd=tmp_path / "empty", env=environment
    )
    assert where.stdout.startswith(str(target))


@pytest.mark.skipif(sys.version_info >= (3, 12), reason="tflite-runtime has no wheel for Python 3.12 and newer")
def test_the_board_extra_runs_the_runner_with_tflite_runtime(wheel, tmp_path):
    programs = install(tmp_path / "board", f"{wheel}[board]")
    recipe = load_recipe(*tiny.TINY)
    _, (built,) = build_artifacts(Plan.of(recipe, ["tflite/xnnpack/fp32"], photo_set()), lambda line: None, tmp_path)
    image = np.random.default_rng(0).normal(size=(1, 64, 64, 3)).astype(np.float32)
    image.tofile(tmp_path / "in.bin")
    find = "from edgekit.runners import PYTHON_RUNNER; print(PYTHON_RUNNER)"
    runner = run(programs / "python", "-P", "-c", find, cwd=tmp_path).stdout.strip()
    assert runner.startswith(str(tmp_path))
    arguments = (
        "--model",
        built.artifact.path,
        "--input",
        tmp_path / "in.bin",
        "--output",
        tmp_path / "out.bin",
        "--iterations",
        5,
    )
    done = run(programs / "python", runner, *arguments)
    assert done.returncode == 0, done.stderr
    events = {event["event"]: event for event in read_events(done.stdout)}
    assert events["environment"]["runtime"] == "tflite_runtime"
    assert events["environment"]["numpy"].startswith("1.")
    assert events["load"]["delegate_partitions"] is None
    ours = tmp_path / "ours.bin"
    run(sys.executable, runner, "--model", built.artifact.path, "--input", tmp_path / "in.bin", "--output", ours)
    board, here = (np.fromfile(file, np.float32) for file in (tmp_path / "out.bin", ours))
    np.testing.assert_allclose(board, here, atol=1e-5)


def test_shell_completion_completes_commands(tmp_path):
    environment = {**os.environ, "_EDGEKIT_COMPLETE": "bash_complete", "COMP_WORDS": "edgekit de", "COMP_CWORD": "1"}
    program = Path(sys.executable).with_name("edgekit")
    done = run(program, env=environment)
    assert {"plain,deploy", "plain,device"} <= set(done.stdout.split())
