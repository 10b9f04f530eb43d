"""The wheel ``edgekit-runners``: native runners that were built elsewhere (``make runners-wheel``)."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from edgekit.cache.store import cached_folder, file_sha256
from edgekit.errors import EdgekitError, FailureKind
from edgekit.runners.bundle.build import ARCHITECTURES, Progress

PACKAGE, MODULE = "edgekit-runners", "edgekit_runners"


@dataclass(frozen=True)
class Installed:
    """The runners of one architecture in the installed wheel."""

    arch: str
    version: str
    folder: Path
    manifest: Mapping[str, Any]

    @property
    def sources(self) -> str:
        """The hash of the sources that they were built from."""
        return str(self.manifest["sources"])


def installed(arch: str) -> Installed | None:
    """Return the runners for an architecture in the installed wheel, or None. Nothing is checked yet."""
    found = find_spec(MODULE)
    for place in (found.submodule_search_locations or ()) if found else ():
        file = Path(place) / arch / "manifest.json"
        if file.is_file():
            manifest = json.loads(file.read_text(encoding="utf-8"))
            return Installed(arch, metadata.version(PACKAGE), file.parent, manifest)
    return None


def fetch(package: Installed, root: Path, progress: Progress) -> Path:
    """Copy the runners into the cache below `root`, and check the hash of every file.

    EdgekitError (``hash_mismatch``) if a file is missing or is not the one that the manifest lists.
    """
    text = json.dumps(package.manifest, sort_keys=True)
    key = hashlib.sha256(f"{PACKAGE} {package.version}\n{text}".encode()).hexdigest()

    def make(folder: Path) -> None:
        for name, sha256 in package.manifest["files"].items():
            source, target = package.folder / "capsule" / name, folder / "capsule" / name
            if not source.is_file() or file_sha256(source) != sha256:
                raise _damaged(package, name)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, target)
            # Not every installer keeps the modes of a wheel's files.
            is_program = name.startswith("bin/") or name == f"lib/{ARCHITECTURES[package.arch].loader}"
            target.chmod(0o755 if is_program else 0o644)
        manifest = {**package.manifest, "origin": f"{PACKAGE} {package.version}"}
        (folder / "manifest.json").write_text(json.dumps(manifest, indent=2), encoding="utf-8")

    folder, cached = cached_folder(root, key, make)
    if not cached:
        progress(f"native runners for {package.arch}: from {PACKAGE} {package.version}, hashes checked")
    return folder


def _damaged(package: Installed, name: str) -> EdgekitError:
    message = (
        f"{name} for {package.arch} in {PACKAGE} {package.version} is missing or changed: its hash is another one."
    )
    hint = f"Run: pip install --force-reinstall {PACKAGE}=={package.version}"
    return EdgekitError(FailureKind.hash_mismatch, "push", message, hint)
