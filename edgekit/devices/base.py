"""The interface of a device. A new kind of device is a class with the shape of :class:`Device`, and an entry point.

- The entry point is in the group ``edgekit.devices``. Its name is the `kind` in profiles.
- It takes a profile and returns the device, or raises EdgekitError (``offline``, ...) with a hint.
- Its attribute `config` names the class of its options: a subclass of
  :class:`edgekit.devices.profile.DeviceProfile`.

A Unix system with a shell needs less: only a :class:`edgekit.devices.link.Link`.
:class:`edgekit.devices.remote.RemoteDevice` does the rest. docs/adding-a-device.md shows an example.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from edgekit.devices.kinds import load_kind, provider
from edgekit.devices.profile import DeviceProfile
from edgekit.devices.watch import Series
from edgekit.errors import EdgekitError, FailureKind
from edgekit.plugins import using
from edgekit.protocol import Cores


@dataclass(frozen=True)
class Completed:
    """A program that ended on the device."""

    exit_status: int
    stdout: str
    stderr: str


@dataclass(frozen=True)
class Identity:
    """One concrete device: its identity and its facts. A fact that it does not report is ``unknown``."""

    serial: str
    model: str
    os_build: str
    facts: dict[str, Any]

    @property
    def hash(self) -> str:
        """The device's key in the ledger: a hash of serial, model and OS build."""
        return hashlib.sha256(json.dumps([self.serial, self.model, self.os_build]).encode()).hexdigest()[:16]


def reported_facts(text: str) -> dict[str, str]:
    """Parse lines of ``key:value``. The first value of a key counts. A key without a value is left out."""
    facts: dict[str, str] = {}
    for key, _, value in (line.partition(":") for line in text.splitlines()):
        if value.strip():
            facts.setdefault(key, value.strip())
    return facts


def whole_number(text: str) -> int | str:
    """Return the number in `text`, or ``unknown`` if it is not a whole number."""
    return int(text) if text.isdecimal() else "unknown"


class Device(Protocol):
    """Takes a file, runs a program, reports its identity and state. Measuring knows only this.

    Every method may raise EdgekitError: ``link_lost`` if the connection broke, ``rebooted`` if the device rebooted.
    """

    @property
    def profile(self) -> DeviceProfile:
        """How the device is reached and measured."""
        ...

    def identify(self) -> Identity:
        """Return the device's identity."""
        ...

    def timing_cpus(self, threads: int = 1, cores: Cores = "big") -> Sequence[int]:
        """Return the CPUs to pin timed programs to, one for each of their threads. Empty if they are unknown.

        EdgekitError (``unsupported_device``) if the device has too few of the kind `cores`.
        """
        ...

    def prepare(self) -> None:
        """Restore the device after a killed edgekit, then prepare it for measuring.

        Call it only while this process holds the device's lock.
        """
        ...

    def push(self, local: Path) -> str:
        """Send a file or folder and return its path on the device. A file with the same hash is not sent again."""
        ...

    def pull(self, remote: str, local: Path) -> None:
        """Fetch a file from the device, and check its hash."""
        ...

    def scratch(self, name: str) -> str:
        """Return a path on the device for a file that a program writes. :meth:`release` removes the file."""
        ...

    def runner(self, backend: str) -> Sequence[str]:
        """Return the command that starts the runner for a backend's artifacts. Send the runner first if it is missing."""
        ...

    def run(self, arguments: Sequence[str], timeout: float) -> Completed:
        """Run a program. After `timeout` seconds, kill it and raise EdgekitError (``timed_out``)."""
        ...

    def state(self) -> dict[str, Any]:
        """Return the current values of what changes while measuring. ``unknown`` is a value.

        `temperature_c` is the hottest sensor's. `temperatures` may give the hottest of each type, as
        :func:`edgekit.devices.thermal.thermal_state` returns it. `clock_rung` is how the clocks are held.
        Load, memory and battery are there if the device reports them.
        """
        ...

    def release(self) -> None:
        """Restore the device to the state it was found in. Files that are kept by their hash stay."""
        ...


def open_device(profile: DeviceProfile) -> Device:
    """Reach the device of a profile.

    EdgekitError (``offline``, ``unsupported_device``, ...) has a hint. UsageError if no package provides the kind.
    """
    connect = load_kind(profile.kind)
    with using(provider(profile.kind)):
        device: Device = connect(profile)
    return device


def check_identity(device: Device, where: str, *keys: str) -> None:
    """Compare the device's identity with those of `keys` (``model``, ``serial``) that its profile sets.

    EdgekitError (``unsupported_device``) if the device at `where` is another one.
    """
    wanted = {key: value for key in keys if (value := getattr(device.profile, key, None))}
    identity = device.identify() if wanted else None
    for key, value in wanted.items():
        if (actual := getattr(identity, key)) != value:
            message = f"{device.profile.name} is for the {key} {value!r}, but the device at {where} has {actual!r}."
            hint = f"Correct its address or `{key}` in the profile."
            raise EdgekitError(FailureKind.unsupported_device, "reach", message, hint)


@runtime_checkable
class DescribesRunner(Protocol):
    """A device that says which build of edgekit's runner it runs. The measurement records it."""

    def runner_facts(self, backend: str) -> Mapping[str, Any]:
        """Return `runner_origin` (where the build came from), `runner_sources` (a hash of its sources), and more."""
        ...


@runtime_checkable
class Watches(Protocol):
    """A device that can be watched while a program runs on it."""

    def run_watched(self, arguments: Sequence[str], timeout: float, cpus: Sequence[int]) -> tuple[Completed, Series]:
        """Run a program that is timed on `cpus`, and watch the device at least once a second, on other CPUs."""
        ...


@runtime_checkable
class RunsNatively(Protocol):
    """A device that edgekit's native runners may time."""

    def native_machine(self) -> str | None:
        """Return the kind of machine (`uname -m`) whose native runners it needs. None if its profile chooses others."""
        ...


@runtime_checkable
class HasPython(Protocol):
    """A device that can have a Python environment with a runtime for edgekit's use."""

    def own_python(self) -> str:
        """Return the path of the interpreter. EdgekitError (``missing_extra``) says how to install one."""
        ...


@runtime_checkable
class CanSetUp(Protocol):
    """A device on which edgekit can install a Python environment of its own."""

    def setup(self) -> str:
        """Install what this device's runner needs. Return a list of it for people."""
        ...


@contextmanager
def opened(profile: DeviceProfile) -> Iterator[Device]:
    """Reach the device of a profile as :func:`open_device` does. Release it at the end."""
    device = open_device(profile)
    try:
        yield device
    finally:
        device.release()
