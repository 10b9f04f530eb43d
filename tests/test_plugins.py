"""A backend and a device from a separate package, found by their entry points."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import tiny

PLUGIN = Path(__file__).parent / "plugin"
ERRING = """\
class Erring:
    def __init__(self, profile): pass
    def identify(self): raise KeyError("who")
    def release(self): pass
"""


@pytest.fixture(scope="module")
def environment(tmp_path_factory):
    """The environment in which the plug-in is installed, beside edgekit."""
    folder = tmp_path_factory.mktemp("plugin")
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(folder), str(PLUGIN)]
    subprocess.run(command, check=True)
    profiles = folder / "profiles"
    profiles.mkdir()
    (profiles / "next-door.yaml").write_text(
        "name: next-door\nkind: neighbour\nruns: [tflite]\nprotocol: emulated\nhouse: 7\n"
    )
    (profiles / "both.yaml").write_text(
        "name: both\nkind: neighbour\nruns: [tflite, torchscript]\nprotocol: emulated\n"
    )
    return {"PYTHONPATH": str(folder), "EDGEKIT_PROFILES": str(profiles), "PATH": os.environ["PATH"]}


def test_a_plugged_backend_compiles_and_is_verified(edgekit_process, environment):
    done = edgekit_process("compile", *tiny.OPTIONS, "--targets", "torchscript/-/fp32", "--json", env=environment)
    assert done.returncode == 0, done.stderr
    (artifact,) = json.loads(done.stdout)["artifacts"]
    assert (artifact["format"], artifact["parity_top1_agreement"]) == ("pt", 1.0)


def test_a_plugged_device_is_listed_and_measured_on(edgekit_process, environment):
    assert "next-door" in edgekit_process("devices", env=environment).stdout
    targets = "tflite/xnnpack/fp32,torchscript/-/fp32"
    done = edgekit_process(
        "deploy", *tiny.OPTIONS, "--targets", targets, "--device", "next-door", "--json", env=environment
    )
    assert done.returncode == 0, done.stderr
    (measurement,) = json.loads(done.stdout)["measurements"]
    assert (measurement["device"], measurement["target"]) == ("next-door", "tflite/xnnpack/fp32")
    assert "torchscript/-/fp32: compiled only; next-door runs tflite" in done.stderr


def test_a_plugged_device_has_options_of_its_own(edgekit_process, environment):
    done = edgekit_process("devices", "check", "next-door", "--device-set", "hous=8", env=environment)
    assert done.returncode == 2
    assert "unknown key hous. Did you mean house? Of its own this kind of device has house." in done.stderr


def test_a_delegate_that_the_runner_does_not_time_is_only_compiled(edgekit_process, environment):
    targets = "torchscript/gpu/fp32"
    done = edgekit_process("deploy", *tiny.OPTIONS, "--targets", targets, "--device", "both", "--json", env=environment)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["measurements"] == []
    said = "torchscript/gpu/fp32: compiled only; the runner of both for torchscript times -, not gpu"
    assert said in " ".join(done.stderr.split())


@pytest.fixture
def broken(tmp_path):
    """The environment in which a package is installed whose backend, device and architecture do not work."""
    (tmp_path / "broken_things.py").write_text("import nowhere_to_be_found\n")
    (tmp_path / "broken_device.py").write_text("def connect(profile):\n    raise ZeroDivisionError('somebody erred')\n")
    (tmp_path / "erring_device.py").write_text(ERRING)
    information = tmp_path / "broken_things-1.0.dist-info"
    information.mkdir()
    (information / "METADATA").write_text("Metadata-Version: 2.1\nName: broken-things\nVersion: 1.0\n")
    (information / "entry_points.txt").write_text(
        "[edgekit.backends]\nbroken = broken_things:Backend\n[edgekit.devices]\nbroken = broken_device:connect\n"
        "erring = erring_device:Erring\n"
        "[edgekit.architectures]\nbroken_net = broken_things:net\n"
    )
    for folder in ("profiles", "recipes"):
        (tmp_path / folder).mkdir()
    (tmp_path / "profiles" / "odd.yaml").write_text("name: odd\nkind: broken\nruns: [tflite]\n")
    (tmp_path / "profiles" / "erring.yaml").write_text("name: erring\nkind: erring\nruns: [tflite]\n")
    recipe = (Path(__file__).parents[1] / "recipes" / "v1.yaml").read_text()
    (tmp_path / "recipes" / "odd.yaml").write_text(
        recipe.replace("mobilenet_v1", "broken_net").replace("width: 1.0", "width: 0.5")
    )
    places = {f"EDGEKIT_{kind.upper()}": str(tmp_path / kind) for kind in ("profiles", "recipes")}
    return {"PYTHONPATH": str(tmp_path), **places, "PATH": os.environ["PATH"]}


@pytest.mark.parametrize(
    ("command", "said"),
    [
        (
            ("compile", "v1", "--targets", "broken/-/fp32"),
            "(edgekit.backends) of the package broken-things does not work",
        ),
        (("deploy", "v1", "--device", "odd"), "ZeroDivisionError: somebody erred"),
        (("inspect", "odd"), "The plug-in broken_net (edgekit.architectures) of the package broken-things"),
    ],
)
def test_a_plug_in_that_does_not_work_is_named_with_its_package(edgekit_process, broken, command, said):
    done = edgekit_process(*command, *(tiny.OPTIONS[1:] if command[0] == "deploy" else ()), env=broken)
    assert done.returncode == 1
    assert said in done.stderr
    assert "pip uninstall broken-things" in done.stderr
    assert "edgekit[convert]" not in done.stderr


def test_a_plug_in_that_does_not_work_hides_nothing_else(edgekit_process, broken):
    assert edgekit_process("--help", env=broken).returncode == 0
    listed = edgekit_process("recipes", env=broken)
    assert listed.returncode == 0, listed.stderr
    assert "mobilenet_v2" in edgekit_process("recipes", "--json", env=broken).stdout
    assert "odd: recipe error: The plug-in broken_net" in listed.stdout
    devices = " ".join(edgekit_process("devices", env=broken).stdout.split())
    assert "reachable" in devices
    assert "KeyError: 'who'" in devices
    done = edgekit_process("compile", *tiny.OPTIONS, "--targets", "tflite/xnnpack/fp32", env=broken)
    assert done.returncode == 0, done.stderr


@pytest.fixture
def rival(tmp_path):
    """The environment in which a package provides names of edgekit's own in each group, with an attribute that is missing."""
    information = tmp_path / "rival-1.0.dist-info"
    information.mkdir()
    (information / "METADATA").write_text("Metadata-Version: 2.1\nName: rival\nVersion: 1.0\n")
    (information / "entry_points.txt").write_text(
        "[edgekit.backends]\ncoreml = no such module\n[edgekit.devices]\niphone = no such module\n"
        "[edgekit.architectures]\nmobilenet_v2 = no such module\nodd_net = no such module\n"
    )
    return {"PYTHONPATH": str(tmp_path), "PATH": os.environ["PATH"]}


@pytest.mark.parametrize(
    ("command", "said"),
    [
        (("compile", "v1", "--targets", "coreml/-/fp16"), "edgekit and rival both provide coreml (edgekit.backends)"),
        (("devices", "check", "iphone"), "edgekit and rival both provide iphone (edgekit.devices)"),
        (
            ("inspect", "v2"),
            "The package rival provides an architecture named mobilenet_v2, and so does edgekit itself.",
        ),
    ],
)
def test_a_name_that_two_packages_provide_is_an_error_only_if_it_is_used(edgekit_process, rival, command, said):
    done = edgekit_process(*command, env=rival)
    assert done.returncode == 2, done.stdout
    assert said in " ".join(done.stderr.split())
    assert "pip uninstall rival" in done.stderr


@pytest.mark.parametrize(
    "command",
    [
        ("--help",),
        ("recipes",),
        ("inspect", "v1"),
        ("devices",),
        ("compile", *tiny.OPTIONS, "--targets", "tflite/xnnpack/fp32"),
    ],
)
def test_a_package_with_names_of_edgekits_breaks_nothing_that_does_not_use_them(edgekit_process, rival, command):
    done = edgekit_process(*command, env=rival)
    assert done.returncode == 0, done.stderr


def test_without_the_plug_in_its_names_are_unknown_and_the_known_ones_are_named(edgekit_process, environment):
    done = edgekit_process("compile", *tiny.OPTIONS, "--targets", "torchscript/-/fp32")
    assert done.returncode == 2
    assert "tflite/xnnpack/fp32" in done.stderr
    done = edgekit_process(
        "deploy", *tiny.OPTIONS, "--device", "next-door", env={"EDGEKIT_PROFILES": environment["EDGEKIT_PROFILES"]}
    )
    assert done.returncode == 1 or done.returncode == 2
    assert "nothing provides the kind neighbour" in done.stderr
