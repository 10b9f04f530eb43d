"""The interface of a connection: run a short command in a shell, send a file, fetch a file. Links differ in nothing else."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Protocol

from edgekit.devices.base import Completed
from edgekit.devices.profile import DeviceProfile
from edgekit.errors import EdgekitError, FailureKind

STALL_SECONDS = 10.0
"""A transfer is broken if nothing moves for so many seconds."""


class Link(Protocol):
    """A connection to a Unix system.

    Every method but `close` raises EdgekitError:

    - ``link_lost`` if the connection breaks, nothing moves for STALL_SECONDS, or `timeout` seconds are over;
    - ``timed_out`` if the link knows that only the command hangs.

    After an error, the next method connects again.
    """

    @property
    def where(self) -> str:
        """For people: ``TCP (127.0.0.1:5557)``."""
        ...

    def connect(self) -> None:
        """Connect, or connect again. EdgekitError (``offline``, ``unauthorized``, ...) has a hint."""
        ...

    def shell(self, command: str, timeout: float) -> Completed:
        """Run a short command in the device's POSIX shell."""
        ...

    def send(self, local: Path, remote: str, timeout: float) -> None:
        """Write a file. Its folder must exist."""
        ...

    def fetch(self, remote: str, local: Path, timeout: float) -> None:
        """Read a file, which must exist."""
        ...

    def close(self) -> None:
        """End the connection. Never fails."""
        ...


@contextmanager
def closed_on_failure(link: Link) -> Iterator[None]:
    """End the connection if its use fails. In the middle of an answer it cannot be used any more."""
    with ExitStack() as undo:
        undo.callback(link.close)
        yield
        undo.pop_all()


def unreachable(profile: DeviceProfile, where: str, kind: FailureKind, why: str, hint: str) -> EdgekitError:
    """Return the error of a device that cannot be reached, with the cause and a hint."""
    message = f"{profile.name} cannot be reached over {where}: {why.rstrip('.')}."
    return EdgekitError(kind, "reach", message, hint, retriable=True)


def without_address(profile: DeviceProfile) -> EdgekitError:
    """Return the error for a profile that lacks the host to connect to."""
    hint = f"Give its address: --device-option host=ADDRESS, or {profile.environment}HOST."
    return EdgekitError(FailureKind.offline, "reach", f"{profile.name} has no address.", hint, retriable=True)
