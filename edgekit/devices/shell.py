"""Commands in a device's shell over a link: quoting, exit status, and what happens if the link breaks."""

from __future__ import annotations

import re
import shlex
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from edgekit.cache.store import temporary_folder
from edgekit.devices.base import Completed
from edgekit.devices.link import Link
from edgekit.errors import EdgekitError, FailureKind, disk_is_full

COMMAND_SECONDS = 12.0
"""Time limit of a short command."""
POLL_SECONDS = 4.0
"""Time limit of a command that only looks at a running program."""
RECONNECT_SECONDS = 7.0
"""How long edgekit tries to connect again while a program runs, from when the link was lost.

A lost link is reported within 20 s: 1 s until the next command, 7 s until its silence is noticed, then this and the time
of a last attempt, 5 s.
"""
RETRY_SECONDS = 1.0
"""Pause between two attempts to connect again."""
BEAT_SECONDS = 15.0
"""How often :attr:`Shell.beat` is called."""
LOST = {FailureKind.link_lost, FailureKind.offline, FailureKind.timed_out}
"""Failures of a command after which edgekit tries again. `timed_out`: the device answers, but late."""


@dataclass(frozen=True)
class System:
    """The commands that differ between Unix systems."""

    detach: str
    """Prefix that starts a command in a session of its own."""
    sha256: str
    """Prints ``HASH  PATH`` for each path."""
    boot_id: str
    """Prints a text that changes with each boot."""


LINUX = System("setsid ", "sha256sum", "cat /proc/sys/kernel/random/boot_id")
# Every Mac has perl, and none has setsid. Before macOS 15 there is no sha256sum.
MACOS = System("perl -e 'use POSIX; POSIX::setsid(); exec @ARGV' ", "shasum -a 256", "sysctl -n kern.bootsessionuuid")


class Shell:
    """The shell of one device, and the folder `root` in which edgekit keeps everything on it.

    EdgekitError (``usage``) if a shell would split or expand the path `root`.
    """

    def __init__(self, link: Link, root: str, name: str, system: System = LINUX) -> None:
        if not re.fullmatch(r"/[\w./+@-]+", root):
            message = f"{name} would keep edgekit's files in {root!r}. A shell would misread this path."
            hint = "Name another folder there: `folder` in the profile."
            raise EdgekitError(FailureKind.usage, "reach", message, hint)
        self.link, self.root, self.name, self.system = link, root, name, system
        self.beat: Callable[[], None] | None = None
        """What says on the device that this edgekit still uses it. It is called between commands, every BEAT_SECONDS."""
        self._next_beat = 0.0

    def attempt(self, command: str, timeout: float | None = None) -> Completed:
        """Run a command for at most `timeout` seconds (COMMAND_SECONDS if None). Any exit status is a result."""
        if self.beat and time.monotonic() > self._next_beat:
            self._next_beat = time.monotonic() + BEAT_SECONDS
            self.beat()
        return self.link.shell(command, COMMAND_SECONDS if timeout is None else timeout)

    def check(self, command: str, timeout: float | None = None) -> str:
        """Run a command as :meth:`attempt` does and return what it prints.

        EdgekitError: ``crashed`` if it fails, ``disk_full`` if the device has no room for what it writes.
        """
        done = self.attempt(command, timeout)
        if done.exit_status:
            output = f"{done.stdout}\n{done.stderr}".strip()
            first_line = command.splitlines()[0][:80]
            message = f"{self.name} answered with status {done.exit_status} to `{first_line}`: {reason(output)}"
            kind = FailureKind.disk_full if disk_is_full(output) else FailureKind.crashed
            folder = f"Check that edgekit may write to {self.root}, or set `folder` in the profile to another place."
            hint = folder if first_line.startswith("mkdir") else ""
            raise EdgekitError(kind, "device", message, hint, retriable=True)
        return done.stdout

    def check_patiently(self, command: str, deadline: float, timeout: float | None = None) -> str:
        """Run a command as :meth:`check` does, and connect again while the link is broken.

        `deadline` is a time of :func:`time.monotonic`. A device that answers late has until then. EdgekitError
        (``link_lost``) if the link is still broken then, or RECONNECT_SECONDS after it broke.
        """
        until, first, connected = deadline, None, True
        while True:
            try:
                if not connected:
                    self.link.connect()
                return self.check(command, timeout)
            except EdgekitError as error:
                if error.failure.kind not in LOST:
                    raise
                connected = error.failure.kind is FailureKind.timed_out
                if connected:
                    until, first = deadline, None
                elif first is None:
                    first, until = error, min(deadline, time.monotonic() + RECONNECT_SECONDS)
                if time.monotonic() > until:
                    raise self._lost(first or error) from error
                time.sleep(RETRY_SECONDS)

    def _lost(self, error: EdgekitError) -> EdgekitError:
        message = f"{self.name} was lost while a program ran: {error.failure.message}"
        hint = "Check the cable or the network. The next edgekit restores the device."
        return EdgekitError(FailureKind.link_lost, "measure", message, hint, retriable=True)

    def read(self, remote: str) -> str:
        """Return the text of a file on the device."""
        with temporary_folder() as folder:
            local = Path(folder) / "text"
            self.link.fetch(remote, local, COMMAND_SECONDS)
            return local.read_text(errors="replace")

    def hashes(self, *remotes: str) -> dict[str, str]:
        """Return path -> SHA-256 of those files that exist."""
        command = f"{self.system.sha256} {shlex.join(remotes)} 2> /dev/null; true"
        pairs = (line.split(maxsplit=1) for line in self.check(command, 4 * COMMAND_SECONDS).splitlines())
        return {pair[1].lstrip("*"): pair[0] for pair in pairs if len(pair) == 2}


def reason(output: str) -> str:
    """Return the part of a failed command's output that says why: its lines that begin with "error", else its end.

    The last warning before these lines is kept as well. If a device has no internet, pip says so only in warnings.
    """
    lines = output.splitlines()
    errors = [index for index, line in enumerate(lines) if line.lower().startswith("error")]
    if not errors:
        return output[-600:]
    warnings = [line for line in lines[: errors[0]] if line.lower().startswith("warning")]
    return "\n".join([line[:400] for line in warnings[-1:]] + [lines[index][:300] for index in errors[-3:]])
