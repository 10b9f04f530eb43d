"""The capsule: edgekit's native runners with every library they need, down to the loader, in one folder.

It runs on any Linux or Android of its architecture: no root, no app, no NDK, nothing of the device's own C library. Built from
the libraries that the runtimes' wheels carry; CPU only, since GPU and NPU drivers are the device's own.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgekit.cache.store import content_sha256, is_whole
from edgekit.errors import EdgekitError, FailureKind
from edgekit.runners.bundle.build import ARCHITECTURES, build_capsule, capsules_folder, source_hash

__all__ = ["ARCHITECTURES", "Bundle", "build_capsule", "built_capsule", "capsule_for", "command"]

BUILT_HERE = "built here"
DIGITS = 12
RUNNERS = {"tflite": "litert_runner", "executorch": "executorch_runner"}


@dataclass(frozen=True)
class Bundle:
    """The native runners for one kind of machine: the `folder` with programs and libraries, and its manifest."""

    folder: Path
    manifest: Mapping[str, Any]

    @property
    def facts(self) -> dict[str, Any]:
        """What a measurement records of the build that timed it."""
        return {
            "runner_origin": self.manifest.get("origin", BUILT_HERE),
            "runner_sources": self.manifest["sources"][:DIGITS],
            "runner_bundle_sha256": content_sha256(self.folder),
        }


def built_capsule(machine: str) -> Bundle | None:
    """Return the newest capsule of these sources for a machine (`uname -m`), or None."""
    if machine not in ARCHITECTURES:
        return None
    current = source_hash(machine)
    found = [
        Bundle(file.parent / "capsule", manifest)
        for file in capsules_folder().glob("*/manifest.json")
        if (manifest := json.loads(file.read_text(encoding="utf-8"))).get("sources") == current
        if is_whole(file.parent)
    ]
    return max(found, key=lambda bundle: bundle.folder.stat().st_mtime, default=None)


def capsule_for(machine: str) -> Bundle:
    """Return the capsule for a machine; EdgekitError names the command that builds it, or says that there is none."""
    if machine not in ARCHITECTURES:
        message = f"edgekit has no native runner for {machine}; it has: {', '.join(ARCHITECTURES)}."
        raise EdgekitError(FailureKind.unsupported_device, "push", message)
    found = built_capsule(machine)
    if found is None:
        message = f"The native runners for {machine} are not built yet."
        raise EdgekitError(
            FailureKind.missing_extra, "push", message, f"Run: edgekit capsule build --arch {machine}", retriable=True
        )
    return found


def command(root: str, machine: str, backend: str) -> Sequence[str]:
    """Return the command that starts a backend's runner in a capsule at `root` on the device."""
    if backend not in RUNNERS:
        message = f"The capsule has no runner for {backend}; it has: {', '.join(RUNNERS)}."
        raise EdgekitError(FailureKind.unsupported_target, "push", message)
    return (
        f"{root}/lib/{ARCHITECTURES[machine].loader}",
        "--library-path",
        f"{root}/lib",
        f"{root}/bin/{RUNNERS[backend]}",
    )
