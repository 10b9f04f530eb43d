"""How a device is reached: run a short command in its shell, send a file, fetch a file. Nothing else differs between links."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Protocol

from edgekit.devices.base import Completed
from edgekit.devices.profile import DeviceProfile
from edgekit.errors import EdgekitError, FailureKind

STALL_SECONDS = 10.0
"""A transfer in which nothing moves for so long is broken."""


class Link(Protocol):
    """A connection to a Unix system.

    Every method but `close` raises EdgekitError: ``link_lost`` where the connection breaks, where nothing moves for
    STALL_SECONDS, or where it is not done after `timeout` seconds; ``timed_out`` where the link can tell that only the command
    hangs. The next method connects anew.
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


@contextmanager
def closed_on_failure(link: Link) -> Iterator[None]:
    """End the connection where what is done with it does not come to its end: in the middle of an answer it is of no more use."""
    with ExitStack() as undo:
        undo.callback(link.close)
        yield
        undo.pop_all()


def unreachable(profile: DeviceProfile, where: str, kind: FailureKind, why: str, hint: str) -> EdgekitError:
    """Return the error that tells why a device cannot be reached, and what to do."""
    message = f"{profile.name} cannot be reached over {where}: {why.rstrip('.')}."
    return EdgekitError(kind, "reach", message, hint, retriable=True)


def without_address(profile: DeviceProfile) -> EdgekitError:
    """Return the error for a profile that lacks the host to connect to."""
    hint = f"Give its address: --device-option host=ADDRESS, or {profile.environment}HOST."
    return EdgekitError(FailureKind.offline, "reach", f"{profile.name} has no address.", hint, retriable=True)
