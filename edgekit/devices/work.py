"""The folder ``work/`` on a device. It holds one folder for each running program and each file in transfer.

A killed edgekit leaves its folders there. They say which processes to stop.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from edgekit.devices.scripts import BORN, END
from edgekit.devices.shell import Shell
from edgekit.errors import EdgekitError, FailureKind


class Work:
    """The folders in ``work/`` of one device."""

    def __init__(self, shell: Shell) -> None:
        self.shell = shell
        self.folder = f"{shell.root}/work"
        self._unfinished: set[str] = set()
        """Names of our folders that are in use, or that stayed because the link was lost."""

    @contextmanager
    def place(self) -> Iterator[str]:
        """Choose the path of a new folder, which the caller makes. At the end, stop its program and remove it.

        If the link is lost, or the device cannot be reached at the end, the next call of :meth:`end_unfinished` does that.
        """
        name = secrets.token_hex(6)
        self._unfinished.add(name)
        lost = False
        try:
            yield f"{self.folder}/{name}"
        except EdgekitError as error:
            lost = error.failure.kind is FailureKind.link_lost
            raise
        finally:
            if not lost:
                with suppress(EdgekitError):
                    self.end_unfinished()

    def end_unfinished(self) -> None:
        """Stop the programs of our own folders and remove these."""
        if self._unfinished:
            self._end(" ".join(sorted(self._unfinished)))
            self._unfinished.clear()

    def end_all(self) -> bool:
        """Stop the programs of all folders, also of another edgekit's, and remove these. Say whether a program still ran."""
        return self._end("*")

    def _end(self, which: str) -> bool:
        born = BORN.format(pid='"$pid"')
        end = END.format(root=self.shell.root, which=which, boot_id=self.shell.system.boot_id, born=born)
        return "ended" in self.shell.check(end)

    def scratch(self, name: str) -> str:
        """Return a path for a file that a program writes; :meth:`end_all` removes it."""
        folder = f"{self.folder}/scratch"
        self.shell.check(f"mkdir -p {folder}")
        return f"{folder}/{name}"
