"""Where the native runners come from: the cache, the installed wheel, a compiler, or an error with one command."""

import json
import platform
import shutil

import pytest
import tiny

from edgekit import __version__
from edgekit.cache.store import content_sha256, file_sha256
from edgekit.errors import EdgekitError, FailureKind
from edgekit.runners import bundle
from edgekit.runners.bundle import build, bundle_for, cached_bundle, source_hash

MACHINE = platform.machine()


@pytest.fixture
def empty(capsule, tmp_path, monkeypatch):
    """An empty cache. `capsule` is in the tests' own."""
    monkeypatch.setenv("EDGEKIT_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def no_compiler(monkeypatch):
    monkeypatch.setenv("CC", "no-such-compiler")


@pytest.fixture
def wheel(capsule, tmp_path, monkeypatch):
    """The package as pip installs it, with the files of `capsule`; an installer that loses modes."""
    package = tmp_path / "site" / "edgekit_runners"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    shutil.copytree(capsule, package / MACHINE / "capsule", copy_function=shutil.copyfile)
    shutil.copy(capsule.parent / "manifest.json", package / MACHINE)
    info = tmp_path / "site" / "edgekit_runners-9.9.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: edgekit-runners\nVersion: 9.9\n")
    monkeypatch.syspath_prepend(tmp_path / "site")
    return package / MACHINE


def test_a_compiler_builds_what_is_missing_and_says_so(empty):
    said = []
    found = bundle_for(MACHINE, said.append)
    assert said[0].startswith(f"building the native runners for {MACHINE}, once")
    assert found.origin == "built here"
    assert bundle_for(MACHINE, said.append) == found
    assert sum(line.startswith("building") for line in said) == 1


def test_an_installed_wheel_is_taken_without_a_compiler(empty, no_compiler, wheel, capsule):
    said = []
    found = bundle_for(MACHINE, said.append)
    assert found.origin == "edgekit-runners 9.9"
    assert said == [f"native runners for {MACHINE}: from edgekit-runners 9.9, hashes checked"]
    assert content_sha256(found.folder) == content_sha256(capsule)
    assert (found.folder / "bin/litert_runner").stat().st_mode & 0o111
    assert found.facts["runner_origin"] == "edgekit-runners 9.9"
    assert cached_bundle(MACHINE) == found


def test_a_damaged_wheel_is_refused_even_where_a_compiler_is(empty, wheel):
    (wheel / "capsule/bin/litert_runner").write_bytes(b"another program")
    with pytest.raises(EdgekitError, match=r"bin/litert_runner .* is missing or changed") as raised:
        bundle_for(MACHINE)
    assert raised.value.failure.kind is FailureKind.hash_mismatch
    assert "pip install --force-reinstall edgekit-runners==9.9" in raised.value.failure.hint
    assert cached_bundle(MACHINE) is None
    (wheel / "capsule/bin/litert_runner").unlink()
    with pytest.raises(EdgekitError, match="missing or changed"):
        bundle_for(MACHINE)


@pytest.fixture
def of_other_sources(wheel):
    manifest = json.loads((wheel / "manifest.json").read_text())
    (wheel / "manifest.json").write_text(json.dumps({**manifest, "sources": "0123456789abcdef"}))


def test_a_wheel_of_other_sources_is_never_used_in_silence(empty, of_other_sources):
    said = []
    found = bundle_for(MACHINE, said.append)
    assert found.origin == "built here"
    assert said[0].startswith(
        "warning: The installed edgekit-runners 9.9 is not used: its runners are of the sources 0123"
    )
    assert f"needs edgekit-runners {__version__}" in said[0]


def test_without_a_compiler_a_wheel_of_other_sources_is_an_error(empty, of_other_sources, no_compiler):
    with pytest.raises(EdgekitError, match=r"edgekit-runners 9\.9 is not used") as raised:
        bundle_for(MACHINE)
    assert raised.value.failure.kind is FailureKind.missing_extra
    assert f"needs edgekit-runners {__version__}" in raised.value.failure.message


@pytest.mark.parametrize(("apt", "command"), [("/usr/bin/apt-get", "apt-get install g++"), (None, "pip install ")])
def test_without_wheel_and_compiler_the_hint_is_one_command(empty, no_compiler, monkeypatch, apt, command):
    which = shutil.which
    monkeypatch.setattr(build.shutil, "which", lambda name: apt if name == "apt-get" else which(name))
    with pytest.raises(EdgekitError, match="needs no-such-compiler") as raised:
        bundle_for(MACHINE)
    assert raised.value.failure.hint.startswith("Run: ")
    assert command in raised.value.failure.hint


def test_a_download_that_fails_says_what_else_can_be_done(empty, monkeypatch):
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    with pytest.raises(EdgekitError, match="was not downloaded") as raised:
        bundle_for(MACHINE)
    assert raised.value.failure.kind is FailureKind.offline
    assert "install the wheel" in raised.value.failure.hint


@pytest.mark.parametrize("machine", ["armv7l", "armv8l", "i686"])
def test_a_32_bit_system_is_refused_with_a_sentence(machine):
    with pytest.raises(EdgekitError, match=f"no native runner for {machine}") as raised:
        bundle_for(machine)
    assert raised.value.failure.kind is FailureKind.unsupported_device
    assert "32-bit systems are not offered" in raised.value.failure.hint


def test_deploy_builds_what_is_missing_before_it_compiles_and_records_it(empty, edgekit, ledger, monkeypatch, cache):
    done = edgekit(
        *("deploy", *tiny.OPTIONS, "--target", "tflite/fp32", "--device", "host", "--protocol", "emulated"),
        *("--device-option", "runner=native"),
    )
    assert done.returncode == 0, done.stderr
    lines = done.stderr.splitlines()
    building = next(number for number, line in enumerate(lines) if line.startswith("building the native runners"))
    assert building < next(number for number, line in enumerate(lines) if "parameters" in line)
    (measurement,) = ledger.measurements()
    assert measurement.conditions["runner"] == "native"
    assert measurement.conditions["runner_origin"] == "built here"
    assert source_hash(MACHINE).startswith(measurement.conditions["runner_sources"])


def test_deploy_without_wheel_and_compiler_says_so_before_it_compiles(empty, no_compiler, edgekit, ledger):
    done = edgekit(
        *("deploy", *tiny.OPTIONS, "--target", "tflite/fp32", "--device", "host", "--protocol", "emulated"),
        *("--device-option", "runner=native"),
    )
    assert done.returncode == 1
    assert done.stderr.splitlines()[0].startswith("warning: host: package missing: Building the native runners")
    (failure,) = ledger.failures()
    assert (failure.failure.kind, failure.device) == (FailureKind.missing_extra, "host")
    assert failure.failure.hint.startswith("Run: ")


def test_the_earlier_name_of_the_command_works(capsule, edgekit):
    for name in ("runner", "capsule"):
        done = edgekit(name, "list")
        assert f"{MACHINE}   built here: {capsule}" in done.stdout


def test_the_bundle_is_of_the_files_that_its_manifest_lists(capsule):
    manifest = json.loads((capsule.parent / "manifest.json").read_text())
    assert {name: file_sha256(capsule / name) for name in manifest["files"]} == manifest["files"]
    assert bundle.ARCHITECTURES.keys() == {"aarch64", "x86_64"}
