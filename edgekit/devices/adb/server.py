"""The way to an Android device through a running adb server, with the library adbutils. edgekit never starts or ends one."""

from __future__ import annotations

import os
import re
import socket
import struct
import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
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
MISREAD = (AssertionError, struct.error)
"""What adbutils raises if a transfer ends in the middle of a message."""
ENDED = {"", "connection closed", "Unknown data: b''", "Invalid sync cmd", "read chunk missing"}
"""What adbutils says if the server ended the connection."""
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
    """One device in the list of an adb server."""

    name: str
    state: str

    @staticmethod
    def listed(text: str) -> Sequence[Attached]:
        """Parse the list that the server sends. A name may contain spaces, and a state may have a reason after it."""
        lines = (line.partition("\t") for line in text.splitlines())
        return [Attached(name, state.split()[0]) for name, _, state in lines if state.strip()]


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

    def devices(self, wanted_by: str = "Phones") -> Sequence[Attached]:
        """Return the devices that the server lists, in every state. EdgekitError (``offline``) if it does not run."""
        with self.failures(wanted_by, self.where), self.client.make_connection() as connection:
            connection.send_command("host:devices")
            connection.check_okay()
            return Attached.listed(connection.read_string_block())

    @cached_property
    def client(self) -> AdbClient:
        """Adbutils' client of this server."""
        return _client(self.host, self.port)

    @contextmanager
    def failures(self, name: str, where: str) -> Iterator[None]:
        """Turn what adbutils raises into an EdgekitError about `name`: offline, unauthorized."""
        from adbutils.errors import AdbError

        try:
            yield
        except (AdbError, OSError, EOFError, ValueError, *MISREAD) as error:
            kind, why, hint = _explained(error)
            message = f"{name} cannot be reached over {where}: {why.rstrip('.')}."
            raise EdgekitError(kind, "reach", message, hint, retriable=True) from error


def _explained(error: Exception) -> tuple[FailureKind, str, str]:
    """Return the kind of failure that an exception of adbutils is, why, and a hint."""
    from adbutils.errors import AdbTimeout

    text = str(getattr(error, "strerror", None) or next(iter(error.args), ""))
    for state, explained in STATES.items():
        if re.search(rf"\bdevice (still )?{state}\b", text):
            return explained
    why, hint = "it refused the file" if text == "FAIL" else text, "Look at: adb devices"  # adbutils ignores the reason
    if re.search("device .*not found", text):
        why, hint = "the adb server does not have it any more", "Attach it again: adb devices"
    elif isinstance(error, ConnectionRefusedError):
        why, hint = "no adb server runs there", "Start it: adb start-server"
    elif isinstance(error, AdbTimeout | TimeoutError):
        why = "there was no answer in time"
        hint = "Look at: adb devices. If that hangs as well, restart the server: adb kill-server"
    elif text in ENDED or isinstance(error, (ConnectionError, *MISREAD)):
        why = "it ended the connection"
    elif isinstance(error, ValueError) or "Unknown data" in text:
        why, hint = "the program at this port is not an adb server", "Check ADB_SERVER_SOCKET."
    return FailureKind.offline, why, hint


class ServerWay:
    """One device of an adb server."""

    name = "adb server"

    def __init__(self, profile: AdbProfile, server: AdbServer) -> None:
        self.profile, self.server = profile, server
        self.wanted = profile.network_name or profile.serial
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
            listed = self.server.devices(self.profile.name)
            passing = any(device.state in PASSING for device in listed)
            try:
                return self._chosen(listed)
            except EdgekitError as error:
                if not passing or error.failure.kind is not FailureKind.offline or time.monotonic() > deadline:
                    raise
            time.sleep(0.2)

    def _chosen(self, listed: Sequence[Attached]) -> Attached:
        """Return the one device that the profile means and that can be used."""
        meant = [device for device in listed if self.wanted in {None, device.name}]
        meant = meant or [device for device in listed if _is_wireless(device.name, str(self.wanted))]
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


def _is_wireless(name: str, serial: str) -> bool:
    """Say whether `name` is what wireless debugging calls the phone with this serial number.

    mDNS adds a number if it finds the name twice: ``adb-8AEX0ABCD-Xy12Zw (2)._adb-tls-connect._tcp``.
    """
    pattern = rf"adb-{re.escape(serial)}-\w+( \(\d+\))?\._adb-tls-connect\._tcp\.?"
    return re.fullmatch(pattern, name) is not None


class _WholeSocket(socket.socket):
    """A socket that sends everything. adbutils ignores how much of a message `send` took."""

    def send(self, data: ReadableBuffer, flags: int = 0, /) -> int:
        self.sendall(data, flags)
        return len(memoryview(data))


def _client(host: str, port: int) -> AdbClient:
    """Return an adbutils client that never starts a server, and never pauses.

    adbutils itself would start the server in its package. It asks for the server's version before each command, and
    sleeps 10 ms after each connection.
    """
    from adbutils import AdbClient, AdbConnection, AdbDevice

    class Connection(AdbConnection):  # type: ignore[misc]
        def _safe_connect(self) -> socket.socket:
            found = socket.create_connection((host, port), limits.CONNECT_SECONDS)
            return _WholeSocket(found.family, found.type, found.proto, fileno=found.detach())

        def close(self) -> None:
            self.conn.close()

    class Device(AdbDevice):  # type: ignore[misc]
        def open_transport(self, command: str | None = None, timeout: float | None = None) -> AdbConnection:
            assert command is None
            connection = self._client.make_connection(timeout or link.STALL_SECONDS)
            with ExitStack() as undo:
                undo.callback(connection.close)
                connection.send_command(f"host:transport:{self.serial}")
                connection.check_okay()
                undo.pop_all()
            return connection

    class Client(AdbClient):  # type: ignore[misc]
        def make_connection(self, timeout: float | None = None) -> AdbConnection:
            connection = Connection(host, port)
            connection.conn.settimeout(timeout or limits.CONNECT_SECONDS)
            return connection

        def device(self, serial: str | None = None, transport_id: int | None = None) -> AdbDevice:
            return Device(self, serial, transport_id)

    return Client(host, port)
