"""What the Makefile fetches for tests, and what becomes of a test that lacks it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ROOT / ".cache" / "packages"


def missing(reason: str) -> None:
    """Skip the test and say why; under CI=true, where everything is to be had, fail."""
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)


def fetched(path: Path, target: str) -> Path:
    """Return a file that the Makefile fetches from a package; skip where it is missing, fail under CI=true."""
    if not path.exists():
        missing(f"{path.relative_to(ROOT)} is not there: run `make {target}`")
    return path
