"""The interface of a way to reach a device by adb, and what the ways have in common."""

from __future__ import annotations

import time
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Protocol

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

CONNECT_SECONDS = 5.0
"""Time limit for connecting."""
ANSWER_SECONDS = 3.0
"""Time limit for the answer of a device that was just silent."""


class CommandHangsError(Exception):
    """A command did not end in time, or the link to the device is lost: the way cannot know which."""


class Way(Protocol):
    """One connection to one device.

    Its methods raise EdgekitError (``offline``, ``unauthorized``, ``several_devices``, ...) with a hint.
    """

    name: str
    """``adb server``, ``USB`` or ``TCP``."""
    where: str
    """The same with the address, for people."""

    def connect(self) -> str | None:
        """Connect. Return the name by which this way reaches the same device again; None if the profile has it."""
        ...

    def output(self, command: str, timeout: float) -> bytes:
        """Return what a command prints. CommandHangsError after `timeout` seconds without an end."""
        ...

    def push(self, local: Path, remote: str, timeout: float) -> None:
        """Send a file."""
        ...

    def pull(self, remote: str, local: Path, timeout: float) -> None:
        """Fetch a file."""
        ...

    def close(self) -> None:
        """End the connection. Never fails."""
        ...


class InTime(BytesIO):
    """A file for adb's libraries that raises TimeoutError after `timeout` seconds.

    It is a BytesIO only because adb-shell opens other files itself. A progress callback cannot do this:
    adb-shell ignores what it raises.
    """

    def __init__(self, file: BinaryIO, timeout: float) -> None:
        super().__init__()
        self.file, self.timeout, self.end = file, timeout, time.monotonic() + timeout

    def read(self, size: int | None = -1, /) -> bytes:
        """Read as the file does."""
        self._check()
        return self.file.read(-1 if size is None else size)

    def write(self, data: ReadableBuffer, /) -> int:
        """Write as the file does."""
        self._check()
        return self.file.write(data)

    def _check(self) -> None:
        if time.monotonic() > self.end:
            raise TimeoutError(f"it was not done after {self.timeout:.0f} s")
