"""What is attached to this computer, with or without a profile: phones on adb, and boards on a USB cable.

Nothing is connected to that the user did not attach. Hosts in ``~/.ssh/config`` are named, and not tried.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

import psutil
from pydantic import BaseModel

from edgekit.devices.adb.direct import usb_phones
from edgekit.devices.adb.profile import AdbProfile
from edgekit.devices.adb.server import READY, AdbServer
from edgekit.devices.base import Identity, opened
from edgekit.devices.remote import RemoteDevice
from edgekit.errors import EdgekitError, failure_of

REACHABLE = "reachable"
NOT_TRIED = "not tried"
JETSON_ON_USB = ipaddress.ip_interface("192.168.55.1/24")
"""The address of a Jetson on its USB port: NVIDIA's Jetson Linux Developer Guide, "Flashing and Booting"."""


class AttachedDevice(BaseModel):
    """One attached device.

    `serial` is its name for ``--serial``, or its address. `connection` is ``adb server``, ``USB`` or ``network over USB``.
    `state` is ``reachable``, ``not tried`` or the label of the failure. If it is not reachable, the facts are missing.
    `free_bytes` is the free space where edgekit keeps its files. `profiles` are the profiles that reach it.
    """

    serial: str
    connection: str
    kind: Literal["android", "linux"]
    state: str
    model: str | None = None
    soc: str | None = None
    cpus: int | None = None
    system: str | None = None
    free_bytes: int | None = None
    emulated: bool = False
    profiles: tuple[str, ...] = ()
    problem: str = ""
    hint: str = ""


def attached(reached: dict[str, list[str]]) -> list[AttachedDevice]:
    """Return the attached devices. `reached` gives the profiles that reach a device, by the hash of its identity."""
    return [*_phones(reached), *_boards_on_usb()]


def _phones(reached: dict[str, list[str]]) -> Iterator[AttachedDevice]:
    server = AdbServer.configured()
    try:
        if server.runs():
            for device in server.devices():
                yield _phone(_profile(device.name, "server"), "adb server", device.state == READY, reached)
        else:
            for serial in usb_phones():
                yield _phone(_profile(serial, "usb"), "USB", True, reached)
    except EdgekitError as error:  # such as another program at the server's port; the profiles' lines report it as well
        failure = error.failure
        yield AttachedDevice(
            serial="unknown",
            connection="adb server",
            kind="android",
            state=failure.kind.label,
            problem=failure.message,
            hint=failure.hint,
        )


def _profile(serial: str, connection: str) -> AdbProfile:
    return AdbProfile.model_validate(
        {"name": "phone", "kind": "android", "runs": (), "serial": serial, "connection": connection}
    )


def _phone(profile: AdbProfile, connection: str, ready: bool, reached: dict[str, list[str]]) -> AttachedDevice:
    line = AttachedDevice(serial=str(profile.serial), connection=connection, kind="android", state=REACHABLE)
    try:
        with opened(profile) as device:
            assert isinstance(device, RemoteDevice)
            identity = device.identify()
            return line.model_copy(
                update={**_facts(identity, device), "profiles": tuple(reached.get(identity.hash, ()))}
            )
    except Exception as error:  # noqa: BLE001  (one device that fails does not hide the others)
        failure = failure_of(error, "reach")
        problem = {"state": failure.kind.label, "problem": failure.message, "hint": failure.hint}
        return line.model_copy(update=problem)


def _facts(identity: Identity, device: RemoteDevice) -> dict[str, Any]:
    facts = identity.facts
    return {
        "model": identity.model,
        "soc": facts.get("soc"),
        "cpus": facts["cpus"] if isinstance(facts.get("cpus"), int) else None,
        "system": system_of(identity),
        "free_bytes": device.disk.free(),
        "emulated": bool(facts.get("emulated")),
    }


def system_of(identity: Identity) -> str:
    """Return the name and version of the device's system: ``Android 12 (API 31)``, or what the system calls itself."""
    if "android" in identity.facts:
        return f"Android {identity.facts['android']} (API {identity.facts['api_level']})"
    return identity.os_build


def _boards_on_usb() -> Iterator[AttachedDevice]:
    """Return the Jetson whose USB port gives this computer an address in its network."""
    networks = (address.address for addresses in psutil.net_if_addrs().values() for address in addresses)
    if any(_is_in(address, JETSON_ON_USB) for address in networks):
        host = str(JETSON_ON_USB.ip)
        hint = f"Add it: edgekit device add --host {host} --device-option user=NAME"
        yield AttachedDevice(serial=host, connection="network over USB", kind="linux", state=NOT_TRIED, hint=hint)


def _is_in(address: str, interface: ipaddress.IPv4Interface | ipaddress.IPv6Interface) -> bool:
    try:
        return ipaddress.ip_address(address) in interface.network
    except ValueError:  # the address of a network card, which is no IP address
        return False


def ssh_hosts(known: Sequence[str]) -> list[str]:
    """Return the names in ``~/.ssh/config`` that no profile has as its host (`known`), in their order."""
    from paramiko import SSHConfig
    from paramiko.ssh_exception import ConfigParseError

    file = Path.home() / ".ssh" / "config"
    if not file.is_file():
        return []
    try:
        names = SSHConfig.from_path(str(file)).get_hostnames()
    except (ConfigParseError, OSError, ValueError):  # a profile that needs the file reports what is wrong with it
        return []
    return sorted(name for name in names if not any(mark in name for mark in "*?!") and name not in known)
