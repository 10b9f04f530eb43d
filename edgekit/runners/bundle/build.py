"""Building a bundle (a capsule, in the code): wheels by their hash, GNU compilers, and the libraries that the result asks for."""

from __future__ import annotations

import csv
import hashlib
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from edgekit import __version__
from edgekit.cache.store import cached_folder, file_sha256, temporary_folder
from edgekit.config.paths import cache_folder
from edgekit.errors import EdgekitError, FailureKind, UsageError
from edgekit.runners import NATIVE_SOURCES

Progress = Callable[[str], None]

DOWNLOAD_MB = 40
"""Of the two wheels for one architecture, at most."""

C_FLAGS = ("-std=c11", "-O2", "-Wall", "-Wextra")
CPP_FLAGS = ("-std=c++20", "-O2", "-Wall", "-Wextra", "-DC10_USING_CUSTOM_GENERATED_MACROS")
COMMON = ("runner", "circumstances", "frame")
"""The C sources that both runners share."""
EXECUTORCH_LIBRARIES = (
    "-lexecutorch",
    "-lexecutorch_etdump",
    # Backends and kernels register themselves when they are loaded; no symbol of theirs is asked for.
    "-Wl,--no-as-needed",
    "-lexecutorch_backend_xnnpack",
    "-lexecutorch_kernels_optimized",
    "-lexecutorch_kernels_quantized",
    "-lexecutorch_threadpool",
)


@dataclass(frozen=True)
class Architecture:
    """A kind of machine: its dynamic loader, GNU's name for it, and Debian's package with a compiler for it."""

    loader: str
    triplet: str
    package: str


ARCHITECTURES = {
    "aarch64": Architecture("ld-linux-aarch64.so.1", "aarch64-linux-gnu", "g++-aarch64-linux-gnu"),
    "x86_64": Architecture("ld-linux-x86-64.so.2", "x86_64-linux-gnu", "g++-x86-64-linux-gnu"),
}


@dataclass(frozen=True)
class Wheel:
    """A wheel that a capsule takes libraries from."""

    requirement: str
    file: str
    sha256: str

    @property
    def version(self) -> str:
        """The version of the package."""
        return self.requirement.partition("==")[2]


def capsules_folder() -> Path:
    """Return the folder of the capsules in the cache."""
    return cache_folder() / "capsules"


def build_capsule(arch: str, progress: Progress) -> Path:
    """Build the capsule of an architecture, or find it in the cache; returns its folder.

    UsageError for an architecture that is not known. EdgekitError: ``missing_extra`` without a compiler, ``hash_mismatch`` for a
    wheel that is not the one, ``compilation`` with the compiler's last words.
    """
    if arch not in ARCHITECTURES:
        raise UsageError(f"There are no native runners for {arch}.", f"Known: {', '.join(ARCHITECTURES)}.")
    compilers = _Compilers.found(arch)
    key = hashlib.sha256(f"{source_hash(arch)}\n{compilers.version}".encode()).hexdigest()

    def make(folder: Path) -> None:
        with temporary_folder() as place:
            _make(folder, Path(place), arch, compilers, progress)

    folder, cached = cached_folder(capsules_folder(), key, make)
    if cached:
        progress(f"The native runners for {arch} are built already.")
    return folder / "capsule"


def compiler_library(arch: str, name: str) -> Path:
    """Return the file of one of the compiler's libraries for an architecture. EdgekitError if there is none."""
    compilers = _Compilers.found(arch)
    path = compilers.library(name)
    if path is None:
        raise EdgekitError(FailureKind.compilation, "capsule", f"{compilers.cpp} has no {name}.")
    return path


def wheel_files(arch: str, place: Path) -> list[Path]:
    """Return the wheels that libraries come from, downloaded to `place`, their hashes checked."""
    return [_fetch(wheel, place) for wheel in _wheels(arch)]


def source_hash(arch: str) -> str:
    """Return a hash of the sources, wheels and build options of a capsule."""
    sources = sorted(path for path in NATIVE_SOURCES.iterdir() if path.suffix in {".c", ".cpp", ".h"})
    parts = [arch, *(wheel.sha256 for wheel in _wheels(arch)), *map(file_sha256, (Path(__file__), *sources))]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


@dataclass(frozen=True)
class _Compilers:
    """The C and C++ compilers for an architecture, and their version."""

    c: str
    cpp: str
    version: str

    @staticmethod
    def found(arch: str) -> _Compilers:
        native = platform.machine() == arch
        prefix = "" if native else f"{ARCHITECTURES[arch].triplet}-"
        c = os.environ.get("CC", "gcc") if native else f"{prefix}gcc"
        cpp = os.environ.get("CXX", "g++") if native else f"{prefix}g++"
        for program in (c, cpp):
            if shutil.which(program) is None:
                package = "g++" if native else ARCHITECTURES[arch].package
                message = f"Building the native runners for {arch} needs {program}, which is not installed."
                raise EdgekitError(
                    FailureKind.missing_extra,
                    "capsule",
                    message,
                    _how_to_get(package),
                    retriable=True,
                )
        version = _run([cpp, "--version"]).splitlines()[0]
        if not re.search(r"g\+\+|gcc", version, re.IGNORECASE):
            message = f"{cpp} is not GNU's compiler. Programs of other compilers abort in the wheels' libraries."
            raise EdgekitError(FailureKind.compilation, "capsule", message, "Name GNU's with CC and CXX.")
        return _Compilers(c, cpp, version)

    def library(self, name: str) -> Path | None:
        """Return the compiler's file of a library, or None."""
        path = _run([self.cpp, f"-print-file-name={name}"]).strip()
        return Path(path).resolve() if Path(path).is_absolute() else None


def _how_to_get(package: str) -> str:
    """Return one command: Debian's compiler if this system has apt-get, else the wheel."""
    if shutil.which("apt-get"):
        return f"Run: {'' if os.geteuid() == 0 else 'sudo '}apt-get install {package}"
    return f"Run: pip install edgekit_runners-{__version__}-py3-none-any.whl (a wheel that `make runners-wheel` builds)"


def _make(folder: Path, place: Path, arch: str, compilers: _Compilers, progress: Progress) -> None:
    wheels = _wheels(arch)
    progress(
        f"building the native runners for {arch}, once: seconds to compile, after a download of up to {DOWNLOAD_MB} MB"
    )
    for wheel in wheels:
        progress(f"{wheel.requirement} for {arch}")
        with zipfile.ZipFile(_fetch(wheel, place)) as archive:
            wanted = [
                name
                for name in archive.namelist()
                if re.match(r"executorch/(include|lib)/|ai_edge_litert/libLiteRt\.so$", name)
            ]
            archive.extractall(place, wanted)
    progress(f"compiling with {compilers.version}")
    capsule = folder / "capsule"
    (capsule / "bin").mkdir(parents=True)
    (capsule / "lib").mkdir()
    _compile(
        capsule / "bin", place, compilers, {wheel.requirement.partition("==")[0]: wheel.version for wheel in wheels}
    )
    _bring_libraries(capsule, place, arch, compilers)
    contents = {
        path.relative_to(capsule).as_posix(): file_sha256(path) for path in sorted(capsule.rglob("*")) if path.is_file()
    }
    manifest = {
        "arch": arch,
        "sources": source_hash(arch),
        "compiler": compilers.version,
        "wheels": {wheel.file: wheel.sha256 for wheel in wheels},
        "files": contents,
    }
    (folder / "manifest.json").write_text(json.dumps(manifest, indent=2), encoding="utf-8")


def _compile(target: Path, place: Path, compilers: _Compilers, versions: dict[str, str]) -> None:
    include, libraries = place / "executorch/include", place / "executorch/lib"
    common = [str(place / f"{name}.o") for name in COMMON]
    litert = f'-DLITERT_VERSION="{versions["ai-edge-litert"]}"'
    executorch = f'-DEXECUTORCH_VERSION="{versions["executorch"]}"'
    c, cpp = (compilers.c, *C_FLAGS), (compilers.cpp, *CPP_FLAGS)
    includes = ("-isystem", str(include), "-isystem", str(include / "executorch/runtime/core/portable_type/c10"))
    for name, output in zip(COMMON, common, strict=True):
        _run([*c, "-c", str(NATIVE_SOURCES / f"{name}.c"), "-o", output])
    _run(
        [
            *c,
            "-s",
            litert,
            str(NATIVE_SOURCES / "litert_runner.c"),
            *common,
            "-ldl",
            "-lm",
            "-o",
            str(target / "litert_runner"),
        ]
    )
    source, runner = NATIVE_SOURCES / "executorch_runner.cpp", target / "executorch_runner"
    inputs = (executorch, *includes, str(source), *common, f"-L{libraries}", *EXECUTORCH_LIBRARIES)
    _run([*cpp, "-s", *inputs, "-o", str(runner)])


def _bring_libraries(capsule: Path, place: Path, arch: str, compilers: _Compilers) -> None:
    """Copy LiteRT, the loader and all required libraries from the wheels or the compiler."""
    own = {path.name: path for path in (place / "executorch/lib").glob("*.so")}
    own["libLiteRt.so"] = place / "ai_edge_litert/libLiteRt.so"
    todo, done = (
        [
            ARCHITECTURES[arch].loader,
            "libLiteRt.so",
            *_needed(capsule / "bin/executorch_runner"),
            *_needed(capsule / "bin/litert_runner"),
        ],
        set(),
    )
    while todo:
        name = todo.pop()
        if name in done:
            continue
        done.add(name)
        source = own.get(name) or compilers.library(name)
        if source is None:
            message = f"The runners ask for {name}, which neither the wheels nor {compilers.cpp} have."
            raise EdgekitError(FailureKind.compilation, "capsule", message)
        copied = Path(shutil.copyfile(source, capsule / "lib" / name))
        todo += _needed(copied)
    (capsule / "lib" / ARCHITECTURES[arch].loader).chmod(0o755)


def _needed(file: Path) -> list[str]:
    """Return the names of the libraries that a file asks for."""
    return re.findall(r"\(NEEDED\).*\[(.+)\]", _run(["readelf", "--dynamic", "--wide", str(file)]))


def _wheels(arch: str) -> list[Wheel]:
    with (files("edgekit.runners.bundle") / "wheels.csv").open(encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row["arch"] == arch]
    return [Wheel(row["requirement"], row["file"], row["sha256"]) for row in rows]


def _fetch(wheel: Wheel, place: Path) -> Path:
    """Return a wheel from pip, its hash checked; pip's own cache keeps it for the next time."""
    tags = re.fullmatch(r"[^-]+-[^-]+-cp(\d+)-(cp\d+)-(\w+)\.whl", wheel.file)
    assert tags
    version, abi, system = tags.groups()
    arguments = ("--quiet", "--no-deps", "--only-binary=:all:", "--platform", system, "--python-version", version)
    options = (*arguments, "--abi", abi, "--dest", str(place))
    try:
        _run([sys.executable, "-m", "pip", "download", *options, wheel.requirement])
    except EdgekitError as error:
        message = f"{wheel.requirement} for the native runners was not downloaded. {error.failure.message}"
        hint = f"Check the network, or install the wheel edgekit_runners-{__version__}-py3-none-any.whl."
        raise EdgekitError(FailureKind.offline, "capsule", message, hint, retriable=True) from error
    found = place / wheel.file
    sha256 = file_sha256(found) if found.is_file() else "missing"
    if sha256 != wheel.sha256:
        message = f"{wheel.file} has the SHA-256 {sha256[:12]}, not {wheel.sha256[:12]}."
        raise EdgekitError(FailureKind.hash_mismatch, "capsule", message, "Find out who changed it before you run it.")
    return found


def _run(arguments: Sequence[str]) -> str:
    """Return a program's output; EdgekitError (``compilation``) with its last words if it fails."""
    done = subprocess.run(arguments, capture_output=True, text=True, errors="replace", check=False)
    if done.returncode:
        said = " | ".join(done.stderr.strip().splitlines()[-5:]) or "nothing was said"
        message = f"{Path(arguments[0]).name} ended with status {done.returncode}: {said}"
        raise EdgekitError(FailureKind.compilation, "capsule", message)
    return done.stdout
