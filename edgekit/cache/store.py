"""The content-addressed cache: one complete folder per key, with listing and cleaning.

The entry of a key KEY is written under the lock ``KEY.lock``. An unfinished entry is named ``.KEY-...``, with at
least 12 characters of the key. If its lock is free, the process that wrote it was killed.
"""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
import sqlite3
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from filelock import FileLock, ReadWriteLock, Timeout

from edgekit.config.paths import cache_folder
from edgekit.errors import disk_is_full

SEAL = "content.sha256"
"""The file of a :func:`cached_folder` with the hash of the other files."""
TEMPORARY = "edgekit-"
"""How names of temporary folders begin."""
KINDS = ("weights", "models", "artifacts", "capsules", "evaluations", "logs")
SECONDS_PER_DAY = 86_400


@dataclass(frozen=True)
class Entry:
    """A complete entry in the cache: one of KINDS, its bytes, and its age in seconds."""

    kind: str
    path: Path
    size_bytes: int
    age_seconds: float

    @property
    def key(self) -> str:
        """The name of its lock: the SHA-256 of a checkpoint, else the folder's name."""
        return self.path.name.partition("-")[0] if self.kind == "weights" else self.path.name


@dataclass
class Cleaned:
    """What a cleaning removed: entries, unfinished entries, unused locks, bytes. Entries `in_use` stay.

    Temporary folders of killed processes count as unfinished.
    """

    entries: list[Entry] = field(default_factory=list)
    unfinished: list[Path] = field(default_factory=list)
    locks: list[Path] = field(default_factory=list)
    in_use: list[Entry] = field(default_factory=list)
    size_bytes: int = 0


@contextmanager
def in_use() -> Iterator[None]:
    """Keep all entries: meanwhile `clean` removes none, in this process or another."""
    with ExitStack() as held:
        with usable(cache_folder()):
            held.enter_context(_cleaning_lock().read_lock())
        yield


@contextmanager
def usable(folder: Path) -> Iterator[None]:
    """Raise OSError if SQLite refuses a lock in `folder`."""
    try:
        yield
    except sqlite3.Error as error:
        code = errno.ENOSPC if disk_is_full(error) else errno.EIO
        raise OSError(code, f"a lock there cannot be taken: {error}", str(folder)) from error


def cached_folder(root: Path, key: str, make: Callable[[Path], None]) -> tuple[Path, bool]:
    """Return the folder ``root/key`` and whether it existed. If not, `make` fills it.

    Concurrent callers, in any process, block until the folder exists.
    If `make` fails, its files are removed and its error is raised.
    Remains of a killed process are removed first, and so is an entry that has changed since it was made.
    """
    folder = root / key
    if is_whole(folder):
        return folder, True
    root.mkdir(parents=True, exist_ok=True)
    with FileLock(root / f"{key}.lock"):
        if is_whole(folder):
            return folder, True
        for leftover in (*root.glob(f".{key[:12]}-*"), *root.glob(key)):
            _remove(leftover)
        with tempfile.TemporaryDirectory(prefix=f".{key[:12]}-", dir=root) as unfinished:
            content = Path(unfinished) / "content"
            content.mkdir()
            make(content)
            (content / SEAL).write_text(content_sha256(content), encoding="ascii")
            content.replace(folder)  # atomic: the folder appears whole
    return folder, False


def is_whole(folder: Path) -> bool:
    """Return whether a :func:`cached_folder` exists and is unchanged."""
    seal = folder / SEAL
    return seal.is_file() and seal.read_bytes() == content_sha256(folder).encode()


def temporary_folder() -> tempfile.TemporaryDirectory[str]:
    """Return a temporary folder. It is removed at the end of the context; after a kill, by `clean`."""
    return tempfile.TemporaryDirectory(prefix=TEMPORARY)


def file_sha256(path: Path) -> str:
    """Return the SHA-256 of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def content_sha256(path: Path) -> str:
    """Return the SHA-256 of a file or a folder: of sorted relative paths and file hashes, without the seal."""
    if path.is_file():
        return file_sha256(path)
    total = hashlib.sha256()
    for file in sorted(path.rglob("*")):
        if file.is_file() and file != path / SEAL:
            total.update(f"{file.relative_to(path).as_posix()}\0{file_sha256(file)}\n".encode())
    return total.hexdigest()


def content_size(path: Path) -> int:
    """Return the bytes of a file, or of all files in a folder."""
    return (
        path.stat().st_size
        if path.is_file()
        else sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
    )


def entries(kind: str) -> list[Entry]:
    """Return the entries of one of KINDS, newest first."""
    now = time.time()
    found = []
    for path in _children(kind):
        if not path.name.startswith(".") and not _is_lock(path):
            found.append(Entry(kind, path, content_size(path), max(0.0, now - path.lstat().st_mtime)))
    return sorted(found, key=lambda entry: entry.age_seconds)


def unfinished(kind: str) -> list[Path]:
    """Return the unfinished entries of one of KINDS."""
    return [path for path in _children(kind) if path.name.startswith(".")]


def clean(kinds: Sequence[str] = KINDS, older_than_days: float | None = None) -> Cleaned:
    """Remove unfinished entries and unused locks of `kinds`, and entries older than `older_than_days`.

    None for `older_than_days` keeps all entries. Entries that another process has locked stay.
    All entries stay while one is :func:`in_use`. Temporary folders are removed after a day.
    OSError if a file cannot be removed.
    """
    done = Cleaned()
    if older_than_days is not None:
        _clean_entries(kinds, older_than_days, done)
    _clean_temporary(done)
    for kind in kinds:
        for path in unfinished(kind):
            locks = path.parent.glob(f"{path.name[1:].rpartition('-')[0]}*.lock")
            with _locked(filter(_is_lock, locks)) as held:
                if held:
                    done.size_bytes += content_size(path)
                    _remove(path)
                    done.unfinished.append(path)
        needed = {entry.key for entry in entries(kind)}
        for lock in [path for path in _children(kind) if _is_lock(path) and path.stem not in needed]:
            with _locked([lock]) as held:
                if held:
                    lock.unlink()
                    done.locks.append(lock)
    return done


def _clean_entries(kinds: Sequence[str], older_than_days: float, done: Cleaned) -> None:
    old = [entry for kind in kinds for entry in entries(kind) if entry.age_seconds >= older_than_days * SECONDS_PER_DAY]
    try:
        with _cleaning_lock().write_lock(timeout=0):
            for entry in old:
                _remove_entry(entry, done)
    except Timeout:
        done.in_use += old


def _clean_temporary(done: Cleaned) -> None:
    for path in Path(tempfile.gettempdir()).glob(f"{TEMPORARY}*"):
        found = path.lstat()
        if path.is_dir() and found.st_uid == os.getuid() and time.time() - found.st_mtime > SECONDS_PER_DAY:
            done.size_bytes += content_size(path)
            _remove(path)
            done.unfinished.append(path)


def _cleaning_lock() -> ReadWriteLock:
    folder = cache_folder() / "locks"
    folder.mkdir(parents=True, exist_ok=True)
    return ReadWriteLock(folder / "cache.db", is_singleton=False)


def _remove_entry(entry: Entry, done: Cleaned) -> None:
    lock = entry.path.with_name(f"{entry.key}.lock")
    with _locked([lock]) as held:
        if not held:
            done.in_use.append(entry)
            return
        leaving = entry.path.with_name(f".{entry.key[:12]}-removed")
        entry.path.replace(leaving)  # atomic: no process finds half of it
        _remove(leaving)
        lock.unlink()
        done.entries.append(entry)
        done.size_bytes += entry.size_bytes


def _children(kind: str) -> list[Path]:
    folder = cache_folder() / kind
    return sorted(folder.iterdir()) if folder.is_dir() else []


def _is_lock(path: Path) -> bool:
    return path.suffix == ".lock" and not path.is_dir()


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink()


@contextmanager
def _locked(locks: Iterable[Path]) -> Iterator[bool]:
    """Hold all of `locks` and yield True; yield False if another process holds one."""
    with ExitStack() as held:
        try:
            for lock in locks:
                held.enter_context(FileLock(lock, timeout=0))
        except Timeout:
            yield False
            return
        yield True
