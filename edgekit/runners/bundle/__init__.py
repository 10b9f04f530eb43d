"""The capsule: edgekit's native runners with every library they need, down to the loader, in one folder.

It runs on any Linux or Android of its architecture: no root, no app, no NDK, nothing of the device's own C library. Built from
the libraries that the runtimes' wheels carry; CPU only, since GPU and NPU drivers are the device's own.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from edgekit.cache.store import is_whole
from edgekit.errors import EdgekitError, FailureKind
from edgekit.runners.bundle.build import ARCHITECTURES, build_capsule, capsules_folder, source_hash

__all__ = ["ARCHITECTURES", "build_capsule", "built_capsule", "capsule_for", "command"]

RUNNERS = {"tflite": "litert_runner", "executorch": "executorch_runner"}


def built_capsule(machine: str) -> Path | None:
    """Return the newest capsule of these sources for a machine (`uname -m`), or None."""
    if machine not in ARCHITECTURES:
        return None
    current = source_hash(machine)
    found = [
        manifest.parent / "capsule"
        for manifest in capsules_folder().glob("*/manifest.json")
        if is_whole(manifest.parent) and json.loads(manifest.read_text(encoding="utf-8")).get("sources") == current
    ]
    return max(found, key=lambda folder: folder.stat().st_mtime, default=None)


def capsule_for(machine: str) -> Path:
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
