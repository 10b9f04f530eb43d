"""The folder ``files/`` on a device: files that keep the hash of their content in their name."""

from __future__ import annotations

import shlex
from pathlib import Path

from edgekit.cache.store import content_sha256, content_size, file_sha256
from edgekit.devices import shell as limits
from edgekit.devices.disk import Disk
from edgekit.devices.shell import Shell
from edgekit.devices.work import Work
from edgekit.errors import EdgekitError, FailureKind

SLOWEST_LINK = 100_000
"""Bytes per second. A link that is slower for a whole file counts as broken."""


class Files:
    """What edgekit keeps on one device until `edgekit device clean`."""

    def __init__(self, shell: Shell, work: Work, disk: Disk) -> None:
        self.shell, self.work, self.disk = shell, work, disk

    def push(self, local: Path) -> str:
        """Send a file or folder and return its path on the device. Files that are there already are not sent.

        EdgekitError: ``disk_full``, ``hash_mismatch`` if a file arrives changed, ``link_lost``.
        """
        remote = f"{self.shell.root}/files/{content_sha256(local)[:16]}-{local.name}"
        places = {remote: local}
        if local.is_dir():
            inner = sorted(path for path in local.rglob("*") if path.is_file())
            places = {f"{remote}/{path.relative_to(local).as_posix()}": path for path in inner}
        there = self.shell.hashes(*places)
        missing = {place: path for place, path in places.items() if there.get(place) != file_sha256(path)}
        if missing:
            self.shell.check(f"mkdir -p {self.shell.root}/files")
            self.disk.check_room(sum(content_size(path) for path in missing.values()), local.name)
        for place, path in missing.items():
            self._send(path, place)
        return remote

    def _send(self, path: Path, remote: str) -> None:
        """Send one file under another name, check its hash there, and give it its name. A part of a file never stays."""
        with self.work.place() as work:
            unfinished = f"{work}/unfinished"
            try:
                self.shell.check(f"mkdir -p {work} {shlex.quote(remote.rpartition('/')[0])}")
                self.shell.link.send(path, unfinished, seconds(path.stat().st_size))
                self._check_arrived(path, unfinished)
                mode = 755 if path.stat().st_mode & 0o100 else 644
                self.shell.check(f"chmod {mode} {unfinished} && mv {unfinished} {shlex.quote(remote)}")
            except EdgekitError as error:
                failed = self.disk.full_after(error, unfinished, path.stat().st_size, path.name)
                if failed is error:
                    raise
                raise failed from error

    def _check_arrived(self, path: Path, unfinished: str) -> None:
        arrived, expected = self.shell.hashes(unfinished).get(unfinished), file_sha256(path)
        if arrived != expected:
            hashes = f"SHA-256 {str(arrived)[:12]}, not {expected[:12]}"
            message = f"{path.name} arrived on {self.shell.name} changed: {hashes}."
            raise EdgekitError(FailureKind.hash_mismatch, "push", message, retriable=True)

    def pull(self, remote: str, local: Path) -> None:
        """Fetch a file from the device. EdgekitError (``hash_mismatch``) if it arrives changed."""
        size = self.shell.check(f"wc -c < {shlex.quote(remote)}")
        self.shell.link.fetch(remote, local, seconds(int(size)))
        expected = self.shell.hashes(remote).get(remote)
        if file_sha256(local) != expected:
            hashes = f"SHA-256 {file_sha256(local)[:12]}, not {str(expected)[:12]}"
            message = f"{remote} on {self.shell.name} arrived changed: {hashes}."
            raise EdgekitError(FailureKind.hash_mismatch, "pull", message, retriable=True)


def seconds(size: int) -> float:
    """Return the time limit for a transfer of `size` bytes."""
    return limits.COMMAND_SECONDS + size / SLOWEST_LINK
