"""The keys of a profile that say how adb reaches the device."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from edgekit.devices.profile import FROM_ENVIRONMENT
from edgekit.devices.remote import Port, RemoteProfile

TCP_PORT = 5555
"""The port of adb over TCP: ``adb tcpip 5555``."""
Connection = Literal["auto", "server", "usb", "tcp"]


class AdbProfile(RemoteProfile):
    """A device that is reached by adb.

    `connection` is the way:

    - ``auto`` uses a running adb server, else USB. With a `host` it uses TCP, unless a server has that device already;
    - ``server`` uses the adb server only;
    - ``usb`` and ``tcp`` never use a server.

    `serial` chooses among several devices. It is the serial number, or the name in ``adb devices``.
    A phone over TCP must report this serial. `port` is 5555 if it is not given. `key` is the file of adb's private key
    for USB and TCP. An adb server has its own keys.
    """

    connection: Annotated[Connection, FROM_ENVIRONMENT] = "auto"
    serial: Annotated[str | None, FROM_ENVIRONMENT] = None
    host: Annotated[str | None, FROM_ENVIRONMENT] = None
    port: Annotated[Port | None, FROM_ENVIRONMENT] = None
    key: Annotated[str | None, FROM_ENVIRONMENT] = None

    @property
    def network_name(self) -> str | None:
        """What an adb server calls a device at `host`: ``10.0.0.7:5555``, ``[fe80::1]:5555``. None without a `host`."""
        if not self.host:
            return None
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port or TCP_PORT}"


def address_of(name: str) -> dict[str, Any]:
    """Return the keys of a profile for a name in ``adb devices``: a serial number, or HOST:PORT of a phone over TCP."""
    found = re.fullmatch(r"\[?(?P<host>[^]]+)\]?:(?P<port>\d+)", name)
    if found and 0 < int(found["port"]) < 65536:
        return {"host": found["host"], "port": int(found["port"])}
    return {"serial": name}
