"""A backend and a device from a separate package, found by their entry points."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import tiny

PLUGIN = Path(__file__).parent / "plugin"


@pytest.fixture(scope="module")
def environment(tmp_path_factory):
    """The environment in which the plug-in is installed, beside edgekit."""
    folder = tmp_path_factory.mktemp("plugin")
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(folder), str(PLUGIN)]
    subprocess.run(command, check=True)
    profiles = folder / "profiles"
    profiles.mkdir()
    (profiles / "next-door.yaml").write_text("name: next-door\nkind: neighbour\nruns: [tflite]\nprotocol: emulated\n")
    return {"PYTHONPATH": str(folder), "EDGEKIT_PROFILES": str(profiles), "PATH": os.environ["PATH"]}


def test_a_plugged_backend_compiles_and_is_verified(edgekit, environment):
    done = edgekit("compile", *tiny.OPTIONS, "--targets", "torchscript/-/fp32", "--json", env=environment)
    assert done.returncode == 0, done.stderr
    (artifact,) = json.loads(done.stdout)["artifacts"]
    assert (artifact["format"], artifact["parity_top1_agreement"]) == ("pt", 1.0)


def test_a_plugged_device_is_listed_and_measured_on(edgekit, environment):
    assert "next-door" in edgekit("devices", env=environment).stdout
    targets = "tflite/xnnpack/fp32,torchscript/-/fp32"
    done = edgekit("deploy", *tiny.OPTIONS, "--targets", targets, "--device", "next-door", "--json", env=environment)
    assert done.returncode == 0, done.stderr
    (measurement,) = json.loads(done.stdout)["measurements"]
    assert (measurement["device"], measurement["target"]) == ("next-door", "tflite/xnnpack/fp32")
    assert "torchscript/-/fp32: compiled only; next-door runs tflite" in done.stderr


def test_without_the_plug_in_its_names_are_unknown_and_the_known_ones_are_named(edgekit, environment):
    done = edgekit("compile", *tiny.OPTIONS, "--targets", "torchscript/-/fp32")
    assert done.returncode == 2
    assert "tflite/xnnpack/fp32" in done.stderr
    done = edgekit(
        "deploy", *tiny.OPTIONS, "--device", "next-door", env={"EDGEKIT_PROFILES": environment["EDGEKIT_PROFILES"]}
    )
    assert done.returncode == 1 or done.returncode == 2
    assert "nothing provides the kind neighbour" in done.stderr
