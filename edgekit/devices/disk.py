"""The free space of a device's disk, and the failure of a disk that is full."""

from __future__ import annotations

from edgekit.devices.shell import LOST, Shell
from edgekit.errors import EdgekitError, FailureKind

SPARE_BYTES = 20_000_000
"""What must stay free on the device after a push."""
FULL_BYTES = 1_000_000
"""A disk with less is full, even if a failed file has its whole length. The system writes blocks later."""

FREE = 'place={root}; while [ ! -d "$place" ]; do place=$(dirname "$place"); done; df -kP "$place" | tail -n 1'
"""Prints df's line of the disk with a folder, which need not exist yet."""


class Disk:
    """The disk that holds edgekit's folder on a device."""

    def __init__(self, shell: Shell) -> None:
        self.shell = shell

    def free(self) -> int | None:
        """Return the free bytes; None if the device does not report them."""
        words = self.shell.check(FREE.format(root=self.shell.root)).split()
        return int(words[-3]) * 1024 if len(words) >= 5 and words[-3].isdigit() else None

    def check_room(self, size: int, name: str) -> None:
        """EdgekitError (``disk_full``) if `size` bytes and SPARE_BYTES do not fit. `name` is for the message."""
        free = self.free()
        if free is not None and free < size + SPARE_BYTES:
            why = f"{name} needs {size / 1e6:.0f} MB, and {SPARE_BYTES / 1e6:.0f} MB are to stay free"
            raise self.full(free, why, "push")

    def full_after(self, error: EdgekitError, unfinished: str, size: int, name: str) -> EdgekitError:
        """Return the failure of a file of `size` bytes that was sent to `unfinished`: `error`, or ``disk_full``.

        Neither adb nor SFTP says why a write failed, so the free space decides.
        """
        try:
            arrived = int(self.shell.check(f"{{ wc -c < {unfinished}; }} 2> /dev/null || echo 0"))
            free = self.free()
        except EdgekitError as unanswered:
            if unanswered.failure.kind not in LOST:
                raise
            return error
        missing = size - arrived
        if free is not None and free < max(missing, FULL_BYTES):
            return self.full(free, f"it became full, and {missing / 1e6:.1f} MB of {name} had no room", "push")
        return error

    def full(self, free: int, why: str, stage: str) -> EdgekitError:
        """Return the error (``disk_full``) of a device with `free` bytes."""
        message = f"{self.shell.name} has {free / 1e6:.0f} MB free: {why}."
        hint = f"Make room, or remove edgekit's files: edgekit device clean {self.shell.name}"
        return EdgekitError(FailureKind.disk_full, stage, message, hint, retriable=True)
