"""What a device is. A stranger adds one by writing a class with the shape of :class:`Device` and an entry point.

The entry point is in the group ``edgekit.devices``, named as profiles' `kind`; it takes a profile and returns the device, or
raises EdgekitError (``offline``, ...) with what to do. Options of its own are in the class that its attribute `config` names, a
subclass of :class:`edgekit.devices.profile.DeviceProfile`. What can be reached by a shell and takes files needs less: a
:class:`edgekit.devices.link.Link`, from which :class:`edgekit.devices.remote.RemoteDevice` makes the rest, as
docs/adding-a-device.md shows.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from edgekit.devices.kinds import load_kind, provider
from edgekit.devices.profile import DeviceProfile
from edgekit.errors import EdgekitError, FailureKind
from edgekit.plugins import using


@dataclass(frozen=True)
class Completed:
    """A program that ended on the device."""

    exit_status: int
    stdout: str
    stderr: str


@dataclass(frozen=True)
class Identity:
    """One concrete thing: who it is, and what it tells of itself (``unknown`` where it does not)."""

    serial: str
    model: str
    os_build: str
    facts: dict[str, Any]

    @property
    def hash(self) -> str:
        """What the ledger knows the device by: a hash of serial, model and OS build."""
        return hashlib.sha256(json.dumps([self.serial, self.model, self.os_build]).encode()).hexdigest()[:16]


def told_facts(text: str) -> dict[str, str]:
    """Return what a device tells in lines of ``key:value``: the first value of each key, and no key without one."""
    facts: dict[str, str] = {}
    for key, _, value in (line.partition(":") for line in text.splitlines()):
        if value.strip():
            facts.setdefault(key, value.strip())
    return facts


def whole_number(text: str) -> int | str:
    """Return the number that a device tells, ``unknown`` where it tells another thing."""
    return int(text) if text.isdecimal() else "unknown"


class Device(Protocol):
    """Takes a file, runs a program, reports who it is and how it is. Measuring knows only this.

    Every method may raise EdgekitError: ``link_lost`` where the connection broke, ``rebooted`` where the device did.
    """

    @property
    def profile(self) -> DeviceProfile:
        """How the device is reached and measured."""
        ...

    def identify(self) -> Identity:
        """Return who the device is."""
        ...

    def timing_cpu(self) -> int | None:
        """Return the CPU to pin timed programs to: one of the fastest cluster; None where it cannot be told."""
        ...

    def prepare(self) -> None:
        """Undo what a killed edgekit left, then bring the device into the state to measure in. Only who may use it calls this."""
        ...

    def push(self, local: Path) -> str:
        """Bring a file or folder to the device and return its path there; what is there already, by its hash, is not sent."""
        ...

    def pull(self, remote: str, local: Path) -> None:
        """Bring a file from the device, and check its hash."""
        ...

    def scratch(self, name: str) -> str:
        """Return a path on the device for a file that a program shall write; it is gone after :meth:`release`."""
        ...

    def runner(self, backend: str) -> Sequence[str]:
        """Return the command that starts the runner for a backend's artifacts; brings the runner there where it is not yet."""
        ...

    def run(self, arguments: Sequence[str], timeout: float) -> Completed:
        """Run a program; EdgekitError (``timed_out``) after `timeout` seconds, with the program killed."""
        ...

    def state(self) -> dict[str, Any]:
        """Return what changes while measuring, as it is now; ``unknown`` is a value.

        `temperature_c` is the hottest sensor's. `temperatures` may give the hottest of each type, as
        :func:`edgekit.devices.thermal.thermal_state` returns it. `clock_rung` is how the clocks are held.
        Load, memory and battery are there if the device reports them.
        """
        ...

    def release(self) -> None:
        """Leave the device as it was found; files that are kept by their hash stay for the next time."""
        ...


def open_device(profile: DeviceProfile) -> Device:
    """Reach the device of a profile.

    EdgekitError (``offline``, ``unsupported_device``, ...) says what to do; UsageError for a kind that nothing provides.
    """
    connect = load_kind(profile.kind)
    with using(provider(profile.kind)):
        device: Device = connect(profile)
    return device


def check_identity(device: Device, where: str, *keys: str) -> None:
    """Compare what a device calls itself with the profile's `keys` of it (``model``, ``serial``), where it has them.

    EdgekitError (``unsupported_device``) where what `where` leads to is another.
    """
    wanted = {key: value for key in keys if (value := getattr(device.profile, key, None))}
    identity = device.identify() if wanted else None
    for key, value in wanted.items():
        if (told := getattr(identity, key)) != value:
            message = f"{device.profile.name} is for the {key} {value!r}, and what {where} leads to has {told!r}."
            hint = f"Correct its address or `{key}` in the profile."
            raise EdgekitError(FailureKind.unsupported_device, "reach", message, hint)


@runtime_checkable
class HasPython(Protocol):
    """A device that can have a Python of its own with a runtime installed: what needs one asks for it."""

    def own_python(self) -> str:
        """Return the path of the interpreter; EdgekitError (``missing_extra``) says how to get one."""
        ...


@runtime_checkable
class CanSetUp(Protocol):
    """A device on which edgekit can install a Python environment of its own."""

    def setup(self) -> str:
        """Install what this device's runner needs; return what was installed, for people."""
        ...


@contextmanager
def opened(profile: DeviceProfile) -> Iterator[Device]:
    """Reach the device of a profile, as :func:`open_device` does, and release it at the end."""
    device = open_device(profile)
    try:
        yield device
    finally:
        device.release()
