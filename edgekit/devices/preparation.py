"""Settings that edgekit changes on a device before it measures, and how it restores them.

``restore.sh`` on the device holds the commands that undo the preparation. It exists only while the device is prepared, or if
undoing failed. ``owner`` names the edgekit that prepared the device. One on another computer may replace it.
"""

from __future__ import annotations

import logging
import secrets
import shlex
from collections.abc import Sequence
from dataclasses import dataclass

from edgekit.devices.scripts import FULL, UNDO, WRITE
from edgekit.devices.shell import Shell, reason
from edgekit.devices.work import Work
from edgekit.errors import EdgekitError, FailureKind

LOGGER = logging.getLogger(__name__)


@dataclass(frozen=True)
class Step:
    """One change of a device: a command of one line that makes it, and one that undoes it."""

    do: str
    undo: str


class Preparation:
    """The preparation of one device, from :meth:`prepare` to :meth:`restore`."""

    def __init__(self, shell: Shell, work: Work) -> None:
        self.shell, self.work = shell, work
        self.prepared = False
        self.refused: list[str] = []
        """What the device did not allow, for people."""
        self.owner = ""
        """Random name of this edgekit in the file ``owner``; empty before the first preparation."""
        self._boot_id = ""

    def prepare(self, steps: Sequence[Step]) -> None:
        """Do the steps. The device stores how to undo them before the first one.

        A step that the device refuses is logged and part of :attr:`refused`. Call :meth:`restore` before.
        """
        self.owner, self.refused = secrets.token_hex(6), []
        self._boot_id = self.shell.check(f"mkdir -p {self.shell.root} && {self.shell.system.boot_id}").strip()
        self._write("owner", self.owner)
        self._write_undo(steps)
        self.prepared = True  # even if a step fails
        done = [step for step in steps if self._did(step)]
        if self.refused:
            self._write_undo(done)

    def _did(self, step: Step) -> bool:
        answer = self.shell.attempt(step.do)
        if answer.exit_status:
            self.refused.append(f"`{step.do}`: {reason(f'{answer.stdout} {answer.stderr}'.strip())}")
            LOGGER.warning("%s is measured without a step that it refused: %s", self.shell.name, self.refused[-1])
        return not answer.exit_status

    def _write_undo(self, steps: Sequence[Step]) -> None:
        """Store on the device how to undo the steps, the last one first."""
        if steps:
            self._write("restore.sh", "\n".join(step.undo for step in reversed(steps)))
        else:
            self.shell.check(f"rm -f {self.shell.root}/restore.sh")

    def _write(self, name: str, text: str) -> None:
        self.shell.check(WRITE.format(root=self.shell.root, name=name, text=shlex.quote(text), full=FULL))

    def restore(self) -> bool:
        """Stop the programs and undo the preparation of any edgekit, this one or a killed one. Say whether there was any.

        EdgekitError (``crashed``) names the undo commands that failed. The next call tries them again.
        """
        ended = self.work.end_all()
        undone = self._undo()
        self.shell.check(f"rm -f {self.shell.root}/owner")
        self.prepared = False
        return ended or undone

    def _undo(self) -> bool:
        done = self.shell.attempt(UNDO.format(root=self.shell.root))
        if done.exit_status:
            message = f"{self.shell.name} is not as it was found: {(done.stdout + done.stderr).strip()}"
            hint = (
                f"Run: edgekit device restore {self.shell.name}. If that does not help, undo it by hand and "
                f"remove {self.shell.root}/restore.sh there."
            )
            raise EdgekitError(FailureKind.crashed, "restore", message, hint, retriable=True)
        return "undone" in done.stdout

    def release(self) -> None:
        """Restore the device unless another edgekit has prepared it since. A failure is logged.

        The measurements stay valid. The next edgekit restores the device, or reports why it cannot.
        """
        try:
            if self.prepared and self._is_ours():
                self.restore()
        except EdgekitError as error:
            name, why = self.shell.name, error.failure.explanation
            LOGGER.warning("%s is left as it was prepared: %s Then: edgekit device restore %s", name, why, name)

    def _is_ours(self) -> bool:
        return self.shell.check(f"cat {self.shell.root}/owner 2> /dev/null; true").strip() == self.owner

    def survived(self, boot_id: str) -> bool:
        """Say whether the preparation still holds in the boot of this id; True if the device is not prepared."""
        return not self.prepared or boot_id == self._boot_id
