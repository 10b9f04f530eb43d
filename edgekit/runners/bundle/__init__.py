"""The bundle of native runners: edgekit's own, with every library they need, down to the loader, in one folder.

It runs on any Linux or Android of its architecture: no root, no app, no NDK, nothing of the device's own C library. Built from
the libraries that the runtimes' wheels carry; CPU only, since GPU and NPU drivers are the device's own.
"""

from __future__ import annotations

from collections.abc import Sequence

from edgekit.errors import EdgekitError, FailureKind
from edgekit.runners.bundle.build import ARCHITECTURES, build_capsule, source_hash
from edgekit.runners.bundle.finding import Bundle, bundle_for, cached_bundle

__all__ = [
    "ARCHITECTURES",
    "RUNNERS",
    "Bundle",
    "build_capsule",
    "bundle_for",
    "cached_bundle",
    "command",
    "source_hash",
]

RUNNERS = {"tflite": "litert_runner", "executorch": "executorch_runner"}


def command(root: str, machine: str, backend: str) -> Sequence[str]:
    """Return the command that starts a backend's runner in a bundle at `root` on the device."""
    if backend not in RUNNERS:
        message = f"edgekit has no native runner for {backend}, only for {', '.join(RUNNERS)}."
        raise EdgekitError(FailureKind.unsupported_target, "push", message)
    return (
        f"{root}/lib/{ARCHITECTURES[machine].loader}",
        "--library-path",
        f"{root}/lib",
        f"{root}/bin/{RUNNERS[backend]}",
    )
