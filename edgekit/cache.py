"""The content-addressed cache: a folder per key, made once, complete or not there."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Callable
from pathlib import Path

from filelock import FileLock


def cached_folder(root: Path, key: str, make: Callable[[Path], None]) -> tuple[Path, bool]:
    """Return the folder ``root/key`` and whether it was there; `make` fills it where it was not.

    Whoever comes second, in this process or another, waits and finds it. What `make` leaves behind when it fails is removed, and
    its error goes on to the caller.
    """
    folder = root / key
    if folder.is_dir():
        return folder, True
    root.mkdir(parents=True, exist_ok=True)
    with FileLock(root / f"{key}.lock"):
        if folder.is_dir():
            return folder, True
        with tempfile.TemporaryDirectory(prefix=f".{key[:12]}-", dir=root) as unfinished:
            content = Path(unfinished) / "content"
            content.mkdir()
            make(content)
            content.replace(folder)  # atomic: the folder appears whole
    return folder, False


def file_sha256(path: Path) -> str:
    """Return the SHA-256 of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def content_sha256(path: Path) -> str:
    """Return the SHA-256 of a file, or of a folder: over its sorted relative paths and their files' hashes."""
    if path.is_file():
        return file_sha256(path)
    total = hashlib.sha256()
    for file in sorted(path.rglob("*")):
        if file.is_file():
            total.update(f"{file.relative_to(path).as_posix()}\0{file_sha256(file)}\n".encode())
    return total.hexdigest()


def content_size(path: Path) -> int:
    """Return the bytes of a file, or of all files in a folder."""
    return (
        path.stat().st_size
        if path.is_file()
        else sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
    )
