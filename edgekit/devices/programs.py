"""Programs on a device. They run independently of the connection, so a broken link ends none."""

from __future__ import annotations

import shlex
import time
from collections.abc import Sequence
from pathlib import Path

from edgekit.devices import shell as limits
from edgekit.devices.base import Completed
from edgekit.devices.disk import Disk
from edgekit.devices.preparation import Preparation
from edgekit.devices.scripts import BORN, FULL, INNER, POLL, START
from edgekit.devices.shell import Shell
from edgekit.devices.work import Work
from edgekit.errors import EdgekitError, FailureKind

POLL_SECONDS = (0.1, 1.0)
"""Pause between two checks whether a program has ended: the first, and the longest."""


class Programs:
    """Runs programs on one device."""

    def __init__(self, shell: Shell, work: Work, disk: Disk, preparation: Preparation) -> None:
        self.shell, self.work, self.disk, self.preparation = shell, work, disk, preparation

    def run(self, arguments: Sequence[str], timeout: float) -> Completed:
        """Run a program, as :meth:`run_watched` does, without a watch."""
        return self.run_watched(arguments, timeout, "")[0]

    def run_watched(self, arguments: Sequence[str], timeout: float, watch: str) -> tuple[Completed, str]:
        """Run a program beside a `watch`, those of :func:`edgekit.devices.watch.pinned_watch`. Return what it printed.

        If the link breaks, connect again and find the program.

        EdgekitError:

        - ``timed_out`` after `timeout` seconds;
        - ``link_lost`` if the device cannot be reached in time;
        - ``rebooted`` if the device rebooted since it was prepared;
        - ``device_busy`` if another edgekit has prepared it meanwhile;
        - ``disk_full`` if there is no room for the program's output;
        - ``out_of_memory`` if the program vanished without an exit status.

        In each case edgekit stops the program as soon as it can reach the device.
        """
        deadline = time.monotonic() + timeout
        self.work.end_unfinished()
        with self.work.place() as work:
            boot_id = self._start(arguments, work, watch, deadline)
            if boot_id == "taken":
                raise self._taken()
            if not self.preparation.survived(boot_id):
                raise self._rebooted()
            status = self._wait(arguments, work, boot_id, deadline, timeout)
            seen = self.shell.check(f"cat {work}/watch 2> /dev/null; true") if watch else ""
            return Completed(status, self.shell.read(f"{work}/out"), self.shell.read(f"{work}/err")), seen

    def _start(self, arguments: Sequence[str], work: str, watch: str, deadline: float) -> str:
        """Start the program and return the boot id, or ``taken``."""
        system = self.shell.system
        inner = INNER.format(
            program=shlex.join(arguments), boot_id=system.boot_id, born=BORN.format(pid="$$"), watch=watch
        )
        start = START.format(
            root=self.shell.root,
            owner=self.preparation.owner,
            name=Path(work).name,
            full=FULL,
            inner=shlex.quote(inner),
            detach=system.detach,
            boot_id=system.boot_id,
        )
        return self.shell.check_patiently(start, deadline).strip()

    def _wait(self, arguments: Sequence[str], work: str, boot_id: str, deadline: float, timeout: float) -> int:
        """Return the program's exit status as soon as it has one."""
        poll = POLL.format(work=work, boot_id=self.shell.system.boot_id)
        pause = POLL_SECONDS[0]
        while True:
            words = self.shell.check_patiently(poll, deadline, limits.POLL_SECONDS).split()
            if words[:1] != [boot_id]:
                raise self._rebooted()
            answer = words[1]
            if answer == "taken":
                raise self._taken()
            name = f"{_program(arguments)} on {self.shell.name}"
            if answer == "full":
                raise self.disk.full(self.disk.free() or 0, f"no status of {name} could be written", "measure")
            if answer not in {"running", "gone"}:
                return int(answer)
            if answer == "gone":
                # Only the system stops both the program and the shell that waits for it, if memory runs out.
                message = f"{name} vanished without an exit status: the system killed it and what watched it."
                raise EdgekitError(FailureKind.out_of_memory, "measure", message, retriable=True)
            if time.monotonic() > deadline:
                message = f"{name} ran for more than {timeout:.0f} s and was killed."
                raise EdgekitError(FailureKind.timed_out, "measure", message, retriable=True)
            time.sleep(pause)
            pause = min(2 * pause, POLL_SECONDS[1])

    def _rebooted(self) -> EdgekitError:
        message = f"{self.shell.name} rebooted while a program ran."
        return EdgekitError(FailureKind.rebooted, "measure", message, retriable=True)

    def _taken(self) -> EdgekitError:
        """Leave the device to the other edgekit, and return the error."""
        self.preparation.prepared = False
        message = f"Another edgekit has taken {self.shell.name} over, or restored it, since this one prepared it."
        hint = "Let one computer at a time use it."
        return EdgekitError(FailureKind.device_busy, "measure", message, hint, retriable=True)


def _program(arguments: Sequence[str]) -> str:
    """Return the name of the program in a command. The capsule's loader precedes its runners."""
    loaded = tuple(arguments[1:2]) == ("--library-path",)
    return Path(arguments[3] if loaded else arguments[0]).name
