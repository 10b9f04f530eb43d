"""This computer as a remote device, for tests of what edgekit does on any device; and a link that breaks on purpose."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path

from edgekit.devices.base import Identity
from edgekit.devices.local import LocalLink
from edgekit.devices.remote import RemoteDevice, RemoteProfile
from edgekit.devices.shell import LINUX, System
from edgekit.errors import EdgekitError, FailureKind


class BreakableLink(LocalLink):
    """The local link, which records what it sends and breaks for as many calls as a test says."""

    def __init__(self) -> None:
        self.broken = 0
        """Calls that still fail."""
        self.sent: list[Path] = []
        self.damage = b""
        """Appended to every file that arrives."""
        self.connections = 0

    def connect(self):
        self.connections += 1

    def shell(self, command, timeout):
        self.fail_if_broken()
        return super().shell(command, timeout)

    def send(self, local, remote, timeout):
        self.fail_if_broken()
        self.sent.append(local)
        super().send(local, remote, timeout)
        with Path(remote).open("ab") as file:
            file.write(self.damage)

    def fetch(self, remote, local, timeout):
        self.fail_if_broken()
        super().fetch(remote, local, timeout)
        with local.open("ab") as file:
            file.write(self.damage)

    def fail_if_broken(self):
        if self.broken:
            self.broken -= 1
            raise EdgekitError(FailureKind.link_lost, "device", "The link is broken.", retriable=True)


class Box(RemoteDevice):
    """This computer. The file ``boot`` beside its folder is the boot id, so that a test can reboot it."""

    def __init__(self, place: Path, **profile) -> None:
        self.boot = place / "boot"
        if not self.boot.exists():
            self.boot.write_text("first\n")
        self.system = System(LINUX.detach, LINUX.sha256, f"cat {self.boot}")
        self.steps = ()
        own = RemoteProfile(name="box", kind="box", runs=("tflite",), **profile)
        super().__init__(own, BreakableLink(), f"{place}/box")

    def identify(self) -> Identity:
        return Identity("box", "box", "here", {})

    def preparation_steps(self):
        return self.steps

    def left(self) -> list[str]:
        """Return what is in ``work/``, but for ``scratch``."""
        return [path.name for path in Path(self.root, "work").glob("*") if path.name != "scratch"]


def running(command: str) -> bool:
    """Say whether a process with this command line exists."""
    return command in subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True).stdout.split(
        "\n"
    )


def wait_for(condition) -> None:
    """Wait until a condition holds; the test fails after 20 s."""
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline, "it never came true"
        time.sleep(0.01)
