"""The wheel edgekit-runners: reproducible, complete, and taken instead of a compiler."""

import json
import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import tiny

from edgekit import __version__
from edgekit.build.photos import photo_set
from edgekit.pipeline import Plan, Sweep, start_run
from edgekit.protocol import PROTOCOLS
from edgekit.recipe.loading import load_recipe
from edgekit.runners.bundle import ARCHITECTURES, bundle_for, source_hash
from edgekit.runners.bundle import build as build_module

ROOT = Path(__file__).parents[2]


def build(output, cache=None):
    environment = {**os.environ, "SOURCE_DATE_EPOCH": "1580601600", **({"EDGEKIT_CACHE": str(cache)} if cache else {})}
    command = [sys.executable, "packaging/runners/build.py", output]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return Path(done.stdout.split()[0])


@pytest.fixture(scope="module")
def wheel(capsule, capsule_arm64, tmp_path_factory):
    return build(tmp_path_factory.mktemp("dist"))


@pytest.fixture
def site(wheel, tmp_path, monkeypatch):
    """The installed wheel, an empty cache and no compiler."""
    pip = (sys.executable, "-m", "pip", "install", "--quiet", "--no-index", "--no-deps", "--target", tmp_path / "site")
    subprocess.run([*map(str, (*pip, wheel))], check=True)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "site"))
    monkeypatch.syspath_prepend(tmp_path / "site")
    monkeypatch.setenv("EDGEKIT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("CC", "no-such-compiler")
    compilers = build_module._Compilers
    monkeypatch.setattr(compilers, "found", staticmethod(lambda arch: pytest.fail("a compiler was looked for")))


def test_two_builds_from_nothing_have_the_same_bytes(wheel, tmp_path):
    again = build(tmp_path / "dist", tmp_path / "cache")
    assert again.name == wheel.name == f"edgekit_runners-{__version__}-py3-none-any.whl"
    assert again.read_bytes() == wheel.read_bytes()


def test_it_has_fixed_dates_and_modes(wheel):
    with zipfile.ZipFile(wheel) as archive:
        entries = archive.infolist()
    assert {entry.date_time for entry in entries} == {(2020, 2, 2, 0, 0, 0)}
    assert {oct(entry.external_attr >> 16 & 0o777) for entry in entries} <= {"0o644", "0o755"}
    programs = [entry for entry in entries if re.search(r"/bin/\w+_runner$|/ld-linux", entry.filename)]
    assert len(programs) == 3 * len(ARCHITECTURES)
    assert all(entry.external_attr >> 16 & 0o111 for entry in programs)


def test_its_manifests_are_of_these_sources_and_list_every_file(wheel):
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        for arch in ARCHITECTURES:
            manifest = json.loads(archive.read(f"edgekit_runners/{arch}/manifest.json"))
            assert manifest["sources"] == source_hash(arch)
            inside = {name.partition("/capsule/")[2] for name in names if f"/{arch}/capsule/" in name}
            assert inside == set(manifest["files"])


def test_it_brings_the_licences_that_redistribution_needs(wheel):
    with zipfile.ZipFile(wheel) as archive:
        texts = {Path(name).name: archive.read(name).decode() for name in archive.namelist() if "/licenses/" in name}
    assert {"edgekit-Apache-2.0.txt", "LGPL-2.1.txt", "GPL-3.txt"} <= set(texts)
    assert "ExecuTorch" in texts["executorch-LICENSE.txt"]
    assert "Apache License" in texts["ai_edge_litert-LICENSE.txt"]
    assert any("RUNTIME LIBRARY EXCEPTION" in text.upper() for name, text in texts.items() if "libstdc++" in name)
    packages = re.findall(r"^- (\S+) \d\S*$", texts["NOTICE"], re.MULTILINE)
    assert {f"{package}-copyright.txt" for package in packages} <= set(texts)
    assert any("libc6" in package for package in packages)


@pytest.mark.parametrize("arch", ARCHITECTURES)
def test_what_pip_installs_is_taken_without_a_compiler(site, arch):
    found = bundle_for(arch)
    assert found.origin == f"edgekit-runners {__version__}"


def test_deploy_times_a_phone_without_a_compiler_and_records_the_wheel(android, site, profile_of, ledger):
    plan = Plan.of(load_recipe(*tiny.TINY), ["tflite/xnnpack/fp32"], photo_set())
    said = []
    run = start_run("deploy", Sweep((plan,), (profile_of(android),), PROTOCOLS["emulated"], None), ledger, said.append)
    assert [failure.failure.message for failure in ledger.failures(run)] == []
    (measurement,) = ledger.measurements(run)
    assert measurement.conditions["runner"] == "native"
    assert measurement.conditions["runner_origin"] == f"edgekit-runners {__version__}"
    assert said[1] == f"native runners for x86_64: from edgekit-runners {__version__}, hashes checked"


def test_a_phone_is_timed_by_the_wheels_runners(android_arm64, site, profile_of):
    from edgekit.devices.base import opened
    from edgekit.pipeline.measuring import own_runner, provide_runners

    said = []
    with opened(profile_of(android_arm64)) as device:
        provide_runners(device, said.append)
        runner = own_runner(device, "tflite")
        done = device.run([*runner.command, "--model", "/nowhere", "--input", "/nowhere"], 60)
    assert said == [f"native runners for aarch64: from edgekit-runners {__version__}, hashes checked"]
    assert runner.facts["runner_origin"] == f"edgekit-runners {__version__}"
    assert '"event": "error"' in done.stdout, done
