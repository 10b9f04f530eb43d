"""Finding the native runners for a machine: in the cache, in the installed wheel, or built here."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgekit import __version__
from edgekit.cache.store import content_sha256, is_whole
from edgekit.errors import EdgekitError, FailureKind
from edgekit.runners.bundle.build import ARCHITECTURES, Progress, build_capsule, capsules_folder, source_hash
from edgekit.runners.bundle.installed import PACKAGE, Installed, fetch, installed

BUILT_HERE = "built here"
DIGITS = 12
BITS_32 = {"armv6l", "armv7l", "armv8l", "arm", "i386", "i486", "i586", "i686"}
"""What ``uname -m`` prints on 32-bit systems, and for 32-bit programs on some 64-bit ones."""


@dataclass(frozen=True)
class Bundle:
    """The native runners for one kind of machine: the `folder` with programs and libraries, and its manifest."""

    folder: Path
    manifest: Mapping[str, Any]

    @property
    def origin(self) -> str:
        """``built here``, or the name and version of the wheel that it came from."""
        return str(self.manifest.get("origin", BUILT_HERE))

    @property
    def facts(self) -> dict[str, Any]:
        """What a measurement records of the build that timed it."""
        return {
            "runner_origin": self.origin,
            "runner_sources": self.manifest["sources"][:DIGITS],
            "runner_bundle_sha256": content_sha256(self.folder),
        }


def cached_bundle(machine: str) -> Bundle | None:
    """Return the newest bundle of these sources for a machine (`uname -m`) in the cache, or None."""
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


def bundle_for(machine: str, progress: Progress = lambda line: None) -> Bundle:
    """Return the native runners for a machine (`uname -m`): from the cache, else the installed wheel, else built now.

    EdgekitError: ``unsupported_device`` if edgekit has none for it, ``missing_extra`` if there is neither a wheel of these
    sources nor a compiler, ``hash_mismatch`` if the wheel's files are damaged, and those of :func:`build_capsule`.
    """
    if machine not in ARCHITECTURES:
        raise _not_offered(machine)
    if found := cached_bundle(machine):
        return found
    package, refused = installed(machine), ""
    if package is not None:
        if package.sources == source_hash(machine):
            fetch(package, capsules_folder(), progress)
            return _made(machine)
        refused = _other_sources(package)
        progress(f"warning: {refused}")
    try:
        build_capsule(machine, progress)
    except EdgekitError as error:
        if not refused or error.failure.kind is not FailureKind.missing_extra:
            raise
        message = f"{refused} {error.failure.message}"
        raise EdgekitError(error.failure.kind, "push", message, error.failure.hint, retriable=True) from error
    return _made(machine)


def _made(machine: str) -> Bundle:
    found = cached_bundle(machine)
    assert found
    return found


def _other_sources(package: Installed) -> str:
    ours, theirs = source_hash(package.arch)[:DIGITS], package.sources[:DIGITS]
    return (
        f"The installed {PACKAGE} {package.version} is not used: its runners are of the sources {theirs}, "
        f"not {ours}. edgekit {__version__} needs {PACKAGE} {__version__}, built from the same sources."
    )


def _not_offered(machine: str) -> EdgekitError:
    message = f"edgekit has no native runner for {machine}; it has: {', '.join(ARCHITECTURES)}."
    hint = "32-bit systems are not offered. Use a 64-bit system on the device." if machine in BITS_32 else ""
    return EdgekitError(FailureKind.unsupported_device, "push", message, hint)
