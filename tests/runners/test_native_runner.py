"""The native runners beside the Python runner: the same arguments, lines and numbers."""

import json
import platform
import subprocess
import sys

import numpy as np
import pytest
import tiny

from edgekit.build.photos import photo_set
from edgekit.errors import EdgekitError, UsageError
from edgekit.measure.operators import read_profile
from edgekit.pipeline import Plan, build_artifacts
from edgekit.recipe.loading import load_recipe
from edgekit.runners import PYTHON_RUNNER, read_events
from edgekit.runners.bundle import build_capsule, command
from edgekit.runners.bundle.build import _Compilers

TARGETS = ("tflite/xnnpack/fp32", "executorch/xnnpack/fp32")

MACHINE = platform.machine()
LAYERS = ["features.0.0", *(f"features.{i}.{j}.0" for i in range(1, 6) for j in range(2)), "classifier.1"]
"""The modules with weights of the tiny network, in order of execution."""


@pytest.fixture(scope="module", params=TARGETS)
def artifact(request, tmp_path_factory):
    plan = Plan.of(load_recipe(*tiny.TINY), [request.param], photo_set())
    _, (built,) = build_artifacts(plan, lambda line: None, tmp_path_factory.mktemp("logs"))
    return built.artifact


@pytest.fixture(scope="module")
def detector(tmp_path_factory):
    """A network with several outputs."""
    small = ("model.width=0.35", "model.resolution=64", "model.input_width=96")
    plan = Plan.of(load_recipe("ssdlite_v3_small", small), TARGETS[:1], photo_set())
    _, (built,) = build_artifacts(plan, lambda line: None, tmp_path_factory.mktemp("logs"))
    return built.artifact


def run(runner, artifact, folder, *more, images=2):
    shape = artifact.manifest.inputs[0].shape
    np.random.default_rng(0).normal(size=(images, *shape[1:])).astype(np.float32).tofile(folder / "in.bin")
    arguments = ("--model", artifact.path, "--input", folder / "in.bin", "--output", folder / "out.bin", *more)
    done = subprocess.run([*map(str, (*runner, *arguments))], capture_output=True, text=True, check=False)
    events = {event["event"]: event for event in read_events(done.stdout)}
    return done, events, np.fromfile(folder / "out.bin", np.float32) if (folder / "out.bin").exists() else None


def test_outputs_and_lines_are_those_of_the_python_runner(artifact, capsule, tmp_path):
    native = command(str(capsule), MACHINE, artifact.target.backend)
    timing = ("--iterations", "5", "--warmup-seconds", "0.1", "--min-seconds", "1", "--cpus", "0")
    done, ours, values = run(native, artifact, tmp_path, *timing)
    assert done.returncode == 0, done.stderr
    _, theirs, expected = run((sys.executable, PYTHON_RUNNER), artifact, tmp_path, *timing)
    assert list(ours) == list(theirs)
    if artifact.target.backend == "tflite":
        assert values.tobytes() == expected.tobytes()
    else:
        np.testing.assert_allclose(values, expected, atol=1e-5)
    for event, fields in theirs.items():
        assert set(fields) - set(ours[event]) <= {"python", "numpy", "delegate_partitions"}, event
    assert ours["load"]["output_shapes"] == theirs["load"]["output_shapes"]
    assert (ours["environment"]["runner"], theirs["environment"]["runner"]) == ("native", "python")
    assert ours["environment"]["affinity"] == [0]
    assert ours["done"]["cpus_seen"] == [0]
    assert ours["done"]["threads_busy"] == 1
    assert len(ours["samples"]["ns"]) >= 5
    assert sum(ours["samples"]["ns"]) <= ours["done"]["wall_ns"]


def test_several_outputs_come_in_the_order_of_the_manifest(detector, capsule, tmp_path):
    _, ours, values = run(command(str(capsule), MACHINE, "tflite"), detector, tmp_path)
    _, theirs, expected = run((sys.executable, PYTHON_RUNNER), detector, tmp_path)
    assert len(ours["load"]["output_shapes"]) > 1
    assert ours["load"]["output_shapes"] == theirs["load"]["output_shapes"]
    assert values.tobytes() == expected.tobytes()


def test_what_cannot_be_done_is_an_error_line_and_a_status(artifact, capsule, tmp_path):
    native = command(str(capsule), MACHINE, artifact.target.backend)
    (tmp_path / "damaged").write_bytes(b"no model" * 1000)  # of a file cut short LiteRT dies: pushes check hashes
    (tmp_path / "short.bin").write_bytes(bytes(100))
    np.zeros(artifact.manifest.inputs[0].shape, np.float32).tofile(tmp_path / "in.bin")
    for model, question, more in (
        (tmp_path / "missing", tmp_path / "in.bin", ()),
        (tmp_path / "damaged", tmp_path / "in.bin", ()),
        (artifact.path, tmp_path / "missing.bin", ()),
        (artifact.path, tmp_path / "short.bin", ()),
        (artifact.path, tmp_path / "in.bin", ("--cpus", "999")),
        (artifact.path, tmp_path / "in.bin", ("--iterations", "many")),
        (artifact.path, tmp_path / "in.bin", ("--output", "/nowhere/out.bin")),
    ):
        arguments = (*native, "--model", model, "--input", question, *more)
        done = subprocess.run([*map(str, arguments)], capture_output=True, text=True, check=False)
        assert done.returncode == 1, (model, question, more)
        (error,) = (event for event in read_events(done.stdout) if event["event"] == "error")
        assert error["message"]


def test_executorch_dumps_times_of_operators_inside_the_delegate(artifact, capsule, tmp_path):
    from executorch.devtools import Inspector

    if artifact.target.backend != "executorch":
        pytest.skip("LiteRT has no ETDump")
    native = command(str(capsule), MACHINE, "executorch")
    done, _, _ = run(native, artifact, tmp_path, "--iterations", "3", "--operators", tmp_path / "run.etdp")
    assert done.returncode == 0, done.stdout
    table = Inspector(etdump_path=str(tmp_path / "run.etdp")).to_dataframe()
    assert any("Convolution" in name or "GEMM" in name for name in table["event_name"])


@pytest.mark.parametrize("target", TARGETS)
def test_the_command_line_profiles_a_recipe_on_a_device(target, capsule, edgekit, tmp_path):
    kept = tmp_path / "kept"
    done = edgekit("operators", *tiny.OPTIONS, "--device", "host", "--target", target, "--output", kept, "--json")
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert document["runs"] >= 20
    assert document["fallback_share"] == 0
    layers = [one["module"] for one in document["operators"] if one["operator"].startswith(("Conv", "Fully"))]
    assert layers == LAYERS
    assert [total["module"] for total in document["modules"] if total["module"] in LAYERS] == LAYERS
    raw = read_profile(kept)
    assert [(one.operator, one.mean_ms) for one in raw.operators] == [
        (one["operator"], one["mean_ms"]) for one in document["operators"]
    ]


def test_the_tables_show_modules_as_deep_as_asked(capsule, edgekit):
    command = ("operators", *tiny.OPTIONS, "--device", "host")
    done = edgekit(*command, "--modules", "--depth", "1")
    shown = [line.split("│")[1].strip() for line in done.stdout.splitlines() if line.count("│") == 6]
    assert shown == ["features", "(the network)", "classifier"]
    each = edgekit(*command, "--each").stdout
    assert "in delegate" in each
    assert "features.1.0.0" in each


def test_what_cannot_be_profiled_is_said(edgekit, tmp_path):
    dump = tmp_path / "kept.etdp"
    dump.write_bytes(b"\xff\0\0\0\0\0\0\0ED00")
    for arguments, code, said in (
        (("v1", "--device", "host", "--target", "coreml/-/fp16"), 2, "not coreml/-/fp16"),
        (("nowhere.etdp", "--modules"), 2, "Name a device"),
        (("nowhere.etdp", "--depth", "2"), 2, "Add --modules"),
        (("nowhere.etdp",), 2, "There is no file at nowhere.etdp"),
        (("nowhere.etdp", "--output", "x"), 2, "Name a device"),
        (("v1", "--device", "host", "--output", tmp_path), 2, "is a folder"),
        (("v1", "--device", "host", "--output", tmp_path / "no/x.etdp"), 2, "There is no folder"),
        ((dump, "--device", "host"), 2, "is not a recipe or device profile: it is not text"),
    ):
        done = edgekit("operators", *arguments)
        assert done.returncode == code
        assert said in " ".join(done.stderr.split())
    done = edgekit("operators", *tiny.OPTIONS, "--device", "pixel")
    assert done.returncode == 1
    assert "pixel cannot be reached" in done.stderr
    assert "parameters" not in done.stderr  # of a model that is compiled


def test_the_capsule_brings_all_that_it_asks_for_and_says_what_it_is(capsule):
    manifest = json.loads((capsule.parent / "manifest.json").read_text())
    assert manifest["arch"] == MACHINE
    assert set(manifest["files"]) == {
        path.relative_to(capsule).as_posix() for path in capsule.rglob("*") if path.is_file()
    }
    for runner in ("litert_runner", "executorch_runner"):
        loader = command(str(capsule), MACHINE, "tflite")[0]
        listed = subprocess.run(
            [loader, "--library-path", capsule / "lib", "--list", capsule / "bin" / runner],
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        assert "not found" not in listed
        outside = [line for line in listed.splitlines() if "=>" in line and str(capsule) not in line]
        assert outside == []


def test_an_unknown_architecture_and_a_missing_compiler_are_told(monkeypatch):
    with pytest.raises(UsageError, match="no native runners for mips"):
        build_capsule("mips", lambda line: None)
    monkeypatch.setenv("CC", "no-such-compiler")
    with pytest.raises(EdgekitError, match="needs no-such-compiler") as raised:
        _Compilers.found(MACHINE)
    assert "apt-get install" in raised.value.failure.hint
