"""The link to this computer, for a device that needs a shell and is this computer."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from edgekit.devices.base import Completed
from edgekit.errors import EdgekitError, FailureKind


class LocalLink:
    """A :class:`edgekit.devices.link.Link` to this computer."""

    where = "this computer"

    def connect(self) -> None:
        """Do nothing. This computer needs no connection."""

    def shell(self, command: str, timeout: float) -> Completed:
        """Run a command. EdgekitError (``link_lost``) after `timeout` seconds."""
        arguments = ["sh", "-c", command]
        try:
            done = subprocess.run(
                arguments, stdin=subprocess.DEVNULL, capture_output=True, timeout=timeout, errors="replace", check=False
            )
        except subprocess.TimeoutExpired as error:
            message = f"A command was not over within {timeout:.0f} s: {command.splitlines()[0][:80]}"
            raise EdgekitError(FailureKind.link_lost, "device", message, retriable=True) from error
        return Completed(done.returncode, done.stdout, done.stderr)

    def send(self, local: Path, remote: str, timeout: float) -> None:
        """Copy a file."""
        _copy(local, remote)

    def fetch(self, remote: str, local: Path, timeout: float) -> None:
        """Copy a file."""
        _copy(remote, local)

    def close(self) -> None:
        """Do nothing."""


def _copy(source: Path | str, target: Path | str) -> None:
    try:
        shutil.copyfile(source, target)
    except OSError as error:
        message = f"{source} could not be copied to {target}: {error.strerror}."
        raise EdgekitError(FailureKind.link_lost, "device", message, retriable=True) from error
