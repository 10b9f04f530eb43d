"""Build the wheel edgekit-runners: `python packaging/runners/build.py dist`. Prints the file, its size and its SHA-256.

Needs Debian, whose packages bring the compilers, the GNU libraries and their licences.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

import edgekit
from edgekit.cache.store import file_sha256
from edgekit.cli.options import print_progress
from edgekit.errors import EdgekitError
from edgekit.runners.bundle.build import ARCHITECTURES, build_capsule, compiler_library, wheel_files

HERE = Path(__file__).parent
TEXTS = Path("/usr/share/common-licenses")
GNU = ("libc.so.6", "libstdc++.so.6", "libgcc_s.so.1")
"""A library of each package that the bundle's GNU libraries come from."""


def main(output: Path) -> None:
    """Build the wheel in `output`."""
    with tempfile.TemporaryDirectory() as folder:
        stage = Path(folder) / "edgekit-runners"
        shutil.copytree(HERE, stage, ignore=shutil.ignore_patterns("build.py", "__pycache__"))
        package = stage / "edgekit_runners"
        versioned = (package / "__init__.py").read_text().replace('"0"', f'"{edgekit.__version__}"')
        (package / "__init__.py").write_text(versioned)
        for arch in ARCHITECTURES:
            try:
                built = build_capsule(arch, print_progress)
            except EdgekitError as error:
                raise SystemExit(f"{error.failure.message} {error.failure.hint}") from error
            shutil.copytree(built, package / arch / "capsule")
            shutil.copy(built.parent / "manifest.json", package / arch)
        packages = sorted({owner(arch, library) for arch in ARCHITECTURES for library in GNU})
        notice = (stage / "NOTICE").read_text().replace("{packages}", "\n".join(f"- {line}" for line in packages))
        (stage / "NOTICE").write_text(notice)
        copy_licences(stage / "licences", [line.split()[0] for line in packages], Path(folder))
        built_in = Path(folder) / "built"
        pip = (sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-cache-dir")
        subprocess.run([*pip, "--wheel-dir", str(built_in), str(stage)], check=True)
        (wheel,) = built_in.glob("*.whl")
        output.mkdir(parents=True, exist_ok=True)
        result = Path(shutil.copy(wheel, output))
    print(f"{result}  {result.stat().st_size / 1e6:.1f} MB  sha256 {file_sha256(result)}")


def owner(arch: str, library: str) -> str:
    """Return Debian's package of a library and its version: ``libc6-arm64-cross 2.36-8cross1``."""
    path = compiler_library(arch, library)
    places = [str(path), str(path).removeprefix("/usr"), f"*/{path.parent.name}/{path.name}"]
    for place in places:
        done = subprocess.run(["dpkg-query", "--search", place], capture_output=True, text=True, check=False)
        if done.returncode == 0:
            package = done.stdout.split(": ")[0]
            wanted = ["dpkg-query", "--show", "--showformat", "${Package} ${Version}", package]
            return subprocess.run(wanted, capture_output=True, text=True, check=True).stdout
    raise SystemExit(f"No Debian package has {path}. The wheel needs Debian's libraries, for their licences.")


def copy_licences(target: Path, packages: list[str], place: Path) -> None:
    """Copy the licences' texts: edgekit's, Debian's, and those in the wheels of LiteRT and ExecuTorch."""
    target.mkdir()
    shutil.copy(HERE.parents[1] / "LICENSE", target / "edgekit-Apache-2.0.txt")
    for name in ("LGPL-2.1", "GPL-3"):
        shutil.copy(TEXTS / name, target / f"{name}.txt")
    for package in packages:
        shutil.copy(Path("/usr/share/doc") / package / "copyright", target / f"{package}-copyright.txt")
    for file in wheel_files("aarch64", place):
        with zipfile.ZipFile(file) as archive:
            (name,) = (name for name in archive.namelist() if name.endswith(".dist-info/licenses/LICENSE"))
            (target / f"{file.name.split('-')[0]}-LICENSE.txt").write_bytes(archive.read(name))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
