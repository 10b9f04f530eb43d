"""How a device is reached: run a short command in its shell, send a file, fetch a file. Nothing else differs between links."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from edgekit.devices.base import Completed

STALL_SECONDS = 10.0
"""A transfer in which nothing moves for so long is broken."""


class Link(Protocol):
    """A connection to a Unix system.

    Every method but `close` raises EdgekitError: ``link_lost`` where the connection breaks, where nothing moves for
    STALL_SECONDS, or where it is not done after `timeout` seconds. The next method connects anew.
    """

    where: str
    """For people: ``TCP (127.0.0.1:5557)``."""

    def connect(self) -> None:
        """Connect, anew where there was a connection; EdgekitError ``offline``, ``unauthorized``, ... with what to do."""
        ...

    def shell(self, command: str, timeout: float) -> Completed:
        """Run a command that is over soon in the device's POSIX shell."""
        ...

    def send(self, local: Path, remote: str, timeout: float) -> None:
        """Write a file; the folder that it goes to exists."""
        ...

    def fetch(self, remote: str, local: Path, timeout: float) -> None:
        """Read a file; the file exists."""
        ...

    def close(self) -> None:
        """End the connection; never fails."""
        ...
