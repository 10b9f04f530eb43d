"""The list of devices: the profiles, which of them are reachable now, and what is attached to this computer."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel

from edgekit.config.json_document import JsonDocument
from edgekit.devices.base import opened
from edgekit.devices.discovery import REACHABLE, AttachedDevice, attached, ssh_hosts
from edgekit.devices.profile import known_profiles, load_profile
from edgekit.errors import failure_of, printable


class DeviceLine(BaseModel):
    """One device profile. A device that cannot be reached has a `problem`, and no model, soc and os_build.

    `host` is the address that the profile states.
    `state` is ``reachable``, or the label of the failure. `runs` are the targets or backends that it can time.
    """

    name: str
    description: str = ""
    kind: str = ""
    state: str
    runs: tuple[str, ...] = ()
    model: str | None = None
    soc: str | None = None
    os_build: str | None = None
    host: str | None = None
    problem: str = ""
    hint: str = ""
    file: str


class DevicesDocument(JsonDocument):
    """What ``edgekit device list --json`` prints. `ssh_hosts` are hosts in ``~/.ssh/config`` without a profile."""

    devices: list[DeviceLine]
    attached: list[AttachedDevice]
    ssh_hosts: list[str]


def list_devices() -> DevicesDocument:
    """Try every profile that is found by name, and look for attached devices.

    Reachable devices come first. No failure ends the list.
    """
    reached: dict[str, list[str]] = {}
    lines = [_line(name, file, reached) for name, file in sorted(known_profiles().items())]
    hosts = [line.host for line in lines if line.host]
    return DevicesDocument(
        devices=sorted(lines, key=lambda line: line.state != REACHABLE),
        attached=attached(reached),
        ssh_hosts=ssh_hosts(hosts),
    )


def _line(name: str, file: Path, reached: dict[str, list[str]]) -> DeviceLine:
    """Return the line of a profile. If its device is reached, note the profile under the hash of the device's identity."""
    place = printable(str(file))
    try:
        profile = load_profile(str(file))
    except Exception as error:  # noqa: BLE001  (one wrong profile does not hide the others)
        failure = failure_of(error, "reach")
        return DeviceLine(name=name, state=failure.kind.label, problem=failure.message, hint=failure.hint, file=place)
    line = DeviceLine(
        name=name,
        description=profile.description,
        kind=profile.kind,
        state=REACHABLE,
        runs=tuple(profile.runs),
        host=getattr(profile, "host", None),
        file=place,
    )
    try:
        with opened(profile) as device:
            identity = device.identify()
    except Exception as error:  # noqa: BLE001  (one device that fails does not hide the others)
        failure = failure_of(error, "reach")
        return line.model_copy(update={"state": failure.kind.label, "problem": failure.message, "hint": failure.hint})
    reached.setdefault(identity.hash, []).append(name)
    found = {"model": identity.model, "soc": identity.facts.get("soc"), "os_build": identity.os_build}
    return line.model_copy(update=found)
