"""The way to an Android device through a running adb server, with the library adbutils. edgekit never starts or ends one."""

from __future__ import annotations

import os
import re
import socket
import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from edgekit.devices import link
from edgekit.devices.adb import way as limits
from edgekit.devices.adb.profile import AdbProfile
from edgekit.devices.adb.way import CommandHangsError, InTime
from edgekit.errors import EdgekitError, FailureKind, UsageError

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer
    from adbutils import AdbClient, AdbConnection, AdbDevice

PORT = 5037
READY = "device"
"""The state of a device that can be used."""
PASSING = {"connecting", "authorizing", "offline"}
"""States that may become another one by themselves."""
STATES = {
    "unauthorized": (
        FailureKind.unauthorized,
        "it has not allowed this computer to debug it",
        "Look at the phone, allow USB debugging for this computer, and try again.",
    ),
    "authorizing": (FailureKind.offline, "it is being asked whether this computer may debug it", "Try again."),
    "connecting": (FailureKind.offline, "the adb server is connecting to it", "Try again."),
    "offline": (
        FailureKind.offline,
        "the adb server lists it as offline",
        "Attach it again, or run: adb reconnect offline",
    ),
    "no": (
        FailureKind.no_permission,
        "the adb server has no permission on the USB device",
        "Give your user permission: Debian's package android-sdk-platform-tools-common has the udev rules.",
    ),
}
"""State in ``adb devices`` -> failure. ``no`` begins the words "no permissions"."""


@dataclass(frozen=True)
class Attached:
    """One device in the list of an adb server. `model` is what the server says, ``Pixel_3``."""

    name: str
    state: str
    model: str | None = None


@dataclass(frozen=True)
class AdbServer:
    """An adb server by its address. It may not run."""

    host: str = "127.0.0.1"
    port: int = PORT

    @staticmethod
    def configured() -> AdbServer:
        """Return the server that adb itself would use: ADB_SERVER_SOCKET, ANDROID_ADB_SERVER_ADDRESS and ..._PORT.

        UsageError for a variable that edgekit cannot read.
        """
        if named := os.environ.get("ADB_SERVER_SOCKET"):
            found = re.fullmatch(r"tcp:(?:\[?(?P<host>[^]]*?)\]?:)?(?P<port>\d+)", named)
            if not found:
                message = f"ADB_SERVER_SOCKET is {named}, and edgekit reaches adb servers over TCP only."
                raise UsageError(message, "Write tcp:HOST:PORT, or remove the variable.")
            return AdbServer(found["host"] or "127.0.0.1", int(found["port"]))
        port = os.environ.get("ANDROID_ADB_SERVER_PORT", str(PORT))
        if not port.isdecimal():
            raise UsageError(f"ANDROID_ADB_SERVER_PORT is {port}, which is not a port.", f"Write {PORT}, or remove it.")
        return AdbServer(os.environ.get("ANDROID_ADB_SERVER_ADDRESS") or "127.0.0.1", int(port))

    @property
    def where(self) -> str:
        """For people."""
        return f"adb server {self.host}:{self.port}"

    def runs(self) -> bool:
        """Say whether a program listens at the address."""
        try:
            with socket.create_connection((self.host, self.port), limits.CONNECT_SECONDS):
                return True
        except OSError:
            return False

    def has(self, name: str) -> bool:
        """Say whether the server runs and has a device of this name that can be used."""
        if not self.runs():
            return False
        return any(device.name == name and device.state == READY for device in self.devices())

    def devices(self) -> Sequence[Attached]:
        """Return the devices that the server lists, in every state. EdgekitError (``offline``) if it does not run."""
        with self.failures("the adb server"):
            listed = self.client.list(extended=True)
        return [Attached(info.serial, info.state, info.tags.get("model")) for info in listed]

    def version(self) -> int:
        """Return the version of its protocol: 41 for adb 1.0.41."""
        with self.failures("the adb server"):
            return int(self.client.server_version())

    @cached_property
    def client(self) -> AdbClient:
        """Adbutils' client of this server."""
        return _client(self.host, self.port)

    @contextmanager
    def failures(self, name: str, where: str | None = None) -> Iterator[None]:
        """Turn what adbutils raises into an EdgekitError about `name`: offline, unauthorized."""
        from adbutils.errors import AdbError

        try:
            yield
        except (AdbError, OSError, EOFError, ValueError) as error:
            kind, why, hint = self._explained(error)
            message = f"{name} cannot be reached over {where or self.where}: {why.rstrip('.')}."
            raise EdgekitError(kind, "reach", message, hint, retriable=True) from error

    def _explained(self, error: Exception) -> tuple[FailureKind, str, str]:
        text = str(error)
        for state, (kind, why, hint) in STATES.items():
            if f"device {state}" in text:
                return kind, why, hint
        if "not found" in text:
            return FailureKind.offline, "the adb server does not have it any more", "Attach it again: adb devices"
        if isinstance(error, ConnectionRefusedError):
            return FailureKind.offline, "no adb server runs there", "Start it: adb start-server"
        if isinstance(error, ValueError) or "Unknown data" in text:
            return FailureKind.offline, "the program at this port is not an adb server", "Check ADB_SERVER_SOCKET."
        why = text or ("there was no answer in time" if isinstance(error, TimeoutError) else "it ended the connection")
        return FailureKind.offline, why, "Look at: adb devices"


class ServerWay:
    """One device of an adb server."""

    name = "adb server"

    def __init__(self, profile: AdbProfile, server: AdbServer) -> None:
        self.profile, self.server = profile, server
        self.wanted = f"{profile.host}:{profile.port or 5555}" if profile.host else profile.serial
        self.where = f"{server.where} ({self.wanted or 'any phone'})"
        self.device: AdbDevice | None = None

    def connect(self) -> str | None:
        """Choose the device. Return its name in ``adb devices``."""
        found = self._settled()
        self.where = f"{self.server.where} ({found.name})"
        self.device = self.server.client.device(found.name)
        return None if self.profile.host else found.name

    def _settled(self) -> Attached:
        """Return the chosen device. If the server is just connecting to it, wait for the result."""
        deadline = time.monotonic() + limits.CONNECT_SECONDS
        while True:
            listed = self.server.devices()
            passing = any(device.state in PASSING for device in listed)
            try:
                return self._chosen(listed)
            except EdgekitError as error:
                if not passing or error.failure.kind is not FailureKind.offline or time.monotonic() > deadline:
                    raise
            time.sleep(0.2)

    def _chosen(self, listed: Sequence[Attached]) -> Attached:
        """Return the one device that the profile means and that can be used."""
        meant = [device for device in listed if self.wanted is None or _is_named(device, self.wanted)]
        ready = [device for device in meant if device.state == READY]
        if len(ready) == 1:
            return ready[0]
        if ready:
            names = sorted(device.name for device in ready)
            message = f"{len(ready)} devices are attached: {', '.join(names)}."
            hint = f"Choose one: --device-option serial={names[0]}, or ANDROID_SERIAL."
            raise EdgekitError(FailureKind.several_devices, "reach", message, hint)
        if meant:
            state = meant[0].state
            other = (FailureKind.offline, f"it is in the state {state}", "Start Android on it: adb reboot")
            raise self._unreachable(*STATES.get(state, other))
        if self.profile.host:
            hint = f"Connect the server to it: adb connect {self.wanted}. Wireless debugging also needs: adb pair"
            raise self._unreachable(FailureKind.offline, "the adb server does not have it", hint)
        others = ", ".join(device.name for device in listed) or "none"
        hint = f"Attach the phone and switch on USB debugging. The server's devices: {others}."
        raise self._unreachable(FailureKind.offline, "the adb server does not have it", hint)

    def _unreachable(self, kind: FailureKind, why: str, hint: str) -> EdgekitError:
        return link.unreachable(self.profile, self.where, kind, why, hint)

    def output(self, command: str, timeout: float) -> bytes:
        """Return what a command prints, by adb's exec service."""
        end = time.monotonic() + timeout
        chunks = []
        with self._failures(), self._transport(min(timeout, limits.CONNECT_SECONDS)) as connection:
            try:
                connection.send_command(f"exec:{command}")
                connection.check_okay()
                while chunk := self._received(connection, end):
                    chunks.append(chunk)
            except TimeoutError as error:
                raise CommandHangsError(f"it was not done after {timeout:.0f} s") from error
        return b"".join(chunks)

    @staticmethod
    def _received(connection: AdbConnection, end: float) -> bytes:
        left = end - time.monotonic()
        if left <= 0:
            raise TimeoutError
        connection.conn.settimeout(left)
        received: bytes = connection.conn.recv(1 << 16)
        return received

    def _transport(self, seconds: float) -> AdbConnection:
        assert self.device
        return self.device.open_transport(timeout=seconds)

    def push(self, local: Path, remote: str, timeout: float) -> None:
        """Send a file by adb's sync service."""
        assert self.device
        with local.open("rb") as file, self._failures():
            self.device.sync.push(InTime(file, timeout), remote)

    def pull(self, remote: str, local: Path, timeout: float) -> None:
        """Fetch a file by adb's sync service."""
        assert self.device
        with local.open("wb") as file, self._failures():
            limited = InTime(file, timeout)
            for chunk in self.device.sync.iter_content(remote):
                limited.write(chunk)

    def close(self) -> None:
        """Forget the device. Each command has its own connection to the server."""
        self.device = None

    def _failures(self) -> AbstractContextManager[None]:
        return self.server.failures(self.profile.name, self.where)


def _is_named(device: Attached, wanted: str) -> bool:
    """Say whether `wanted` is the device's name, or the serial number in its name of wireless debugging."""
    return (
        device.name == wanted
        or re.fullmatch(rf"adb-{re.escape(wanted)}-\w+\._adb-tls-connect\._tcp\.?", device.name) is not None
    )


class _WholeSocket(socket.socket):
    """A socket that sends everything. adbutils ignores how much of a message `send` took."""

    def send(self, data: ReadableBuffer, flags: int = 0, /) -> int:
        self.sendall(data, flags)
        return len(memoryview(data))


def _client(host: str, port: int) -> AdbClient:
    """Return an adbutils client that never starts a server. adbutils itself would start the one in its package."""
    from adbutils import AdbClient, AdbConnection

    class Connection(AdbConnection):  # type: ignore[misc]
        def _safe_connect(self) -> socket.socket:
            family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
            connected = _WholeSocket(family, kind, protocol)
            connected.settimeout(limits.CONNECT_SECONDS)
            try:
                connected.connect(address)
            except OSError:
                connected.close()
                raise
            return connected

    class Client(AdbClient):  # type: ignore[misc]
        def make_connection(self, timeout: float | None = None) -> AdbConnection:
            connection = Connection(host, port)
            connection.conn.settimeout(timeout or link.STALL_SECONDS)
            return connection

    return Client(host, port)
