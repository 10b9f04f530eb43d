"""The way to an Android device without an adb server, over USB or TCP, with the library adb-shell."""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, TypeGuard

from edgekit.devices import link
from edgekit.devices.adb import way as limits
from edgekit.devices.adb.keys import key_file, signer
from edgekit.devices.adb.profile import TCP_PORT, AdbProfile
from edgekit.devices.adb.way import CommandHangsError, InTime
from edgekit.errors import EdgekitError, FailureKind

if TYPE_CHECKING:
    from adb_shell.adb_device import AdbDevice

AUTHORISE_SECONDS = 20.0
"""How long the phone's owner has to allow USB debugging."""
MISREAD = (KeyError, struct.error)
"""What adb-shell raises if it lost the start of a message, for example after a failed write on the phone."""


class DirectWay:
    """A connection of our own, over TCP if the profile has a `host`, else over USB. `keys` names the key that it uses."""

    def __init__(self, profile: AdbProfile) -> None:
        self.profile = profile
        self.port = profile.port or TCP_PORT
        self.name = "TCP" if profile.host else "USB"
        self.where = f"TCP ({profile.network_name})" if profile.host else f"USB ({profile.serial or 'any phone'})"
        self.device: AdbDevice | None = None

    def connect(self) -> str | None:
        """Connect. Return the serial number of a phone on USB."""
        from adb_shell import exceptions

        _sum_in_numpy()
        asked: list[AdbDevice] = []  # not empty if the phone asked its owner about our key
        with self._failures(), ExitStack() as undo:
            device, serial = self._open()
            undo.callback(device.close)
            try:
                device.connect(
                    rsa_keys=[signer(self.profile)], auth_timeout_s=AUTHORISE_SECONDS, auth_callback=asked.append
                )
            except Exception as error:
                # adbd sends nothing if the owner refuses, or has not answered yet.
                if asked or isinstance(error, exceptions.DeviceAuthError):
                    raise self._unauthorized() from error
                raise
            undo.pop_all()
        self.device = device
        return serial

    def output(self, command: str, timeout: float) -> bytes:
        """Return what a command prints, by adb's exec service."""
        from adb_shell import exceptions

        assert self.device
        seconds = {"transport_timeout_s": timeout, "read_timeout_s": timeout, "timeout_s": timeout}
        with self._failures():
            try:
                output: bytes = self.device.exec_out(command, **seconds, decode=False)
            except (exceptions.TcpTimeoutException, exceptions.AdbTimeoutError, exceptions.UsbReadFailedError) as error:
                raise CommandHangsError(f"it was not done after {timeout:.0f} s") from error
        return output

    def push(self, local: Path, remote: str, timeout: float) -> None:
        """Send a file by adb's sync service."""
        stalled = link.STALL_SECONDS
        with local.open("rb") as file, self._failures():
            assert self.device
            self.device.push(InTime(file, timeout), remote, transport_timeout_s=stalled, read_timeout_s=stalled)

    def pull(self, remote: str, local: Path, timeout: float) -> None:
        """Fetch a file by adb's sync service."""
        stalled = link.STALL_SECONDS
        with local.open("wb") as file, self._failures():
            assert self.device
            self.device.pull(remote, InTime(file, timeout), transport_timeout_s=stalled, read_timeout_s=stalled)

    def close(self) -> None:
        """End the connection."""
        device, self.device = self.device, None
        if device is not None:
            device.close()

    def _open(self) -> tuple[AdbDevice, str | None]:
        """Return adb-shell's device, and the serial number by which USB finds it again."""
        from adb_shell.adb_device import AdbDeviceUsb

        if self.profile.host:
            return _over_tcp(self.profile.host, self.port), None
        if self.profile.connection == "tcp":
            raise link.without_address(self.profile)
        serial = self.profile.serial or self._single_phone()
        if serial:
            self.where = f"USB ({serial})"
        return AdbDeviceUsb(serial, default_transport_timeout_s=limits.CONNECT_SECONDS), serial

    @staticmethod
    def _single_phone() -> str | None:
        """Return the serial number of the only phone; None if there is none. EdgekitError (``several_devices``)."""
        serials = usb_phones()
        if len(serials) > 1:
            message = f"{len(serials)} phones are attached: {', '.join(serials)}."
            hint = f"Choose one: --device-option serial={serials[0]}, or ANDROID_SERIAL."
            raise EdgekitError(FailureKind.several_devices, "reach", message, hint)
        return serials[0] if serials else None

    def _unauthorized(self) -> EdgekitError:
        message = f"{self.profile.name} has not allowed this computer to debug it."
        public = f"{key_file(self.profile)}.pub"
        hint = f"Look at the phone, allow USB debugging for this computer ({public}), and try again."
        return EdgekitError(FailureKind.unauthorized, "reach", message, hint, retriable=True)

    @contextmanager
    def _failures(self) -> Iterator[None]:
        """Turn the exceptions of adb-shell and libusb into our errors."""
        from adb_shell import exceptions

        # adb-shell's exceptions share no base class of their own.
        others: tuple[type[Exception], ...] = (
            OSError,
            EOFError,
            *MISREAD,
            *filter(_is_error, vars(exceptions).values()),
            *_usb_errors(),
        )
        hint = "Attach the phone and switch on USB debugging. See what is attached: edgekit device list"
        if self.profile.host:
            hint = "Check host and port, and that the phone listens: adb tcpip 5555"
        try:
            yield
        except exceptions.InvalidTransportError as error:
            raise self._failed(FailureKind.missing_extra, *_without_usb()) from error
        except others as error:
            name = type(error).__name__
            if name == "USBErrorAccess":
                hint = (
                    "Give your user permission: Debian's package android-sdk-platform-tools-common has the udev rules."
                )
                raise self._failed(FailureKind.no_permission, "no permission on the USB device", hint) from error
            if name == "USBErrorBusy":
                hint = "End that program. If it is an adb server on another port, name the port in ADB_SERVER_SOCKET."
                raise self._failed(FailureKind.device_busy, "another program holds the USB device", hint) from error
            if isinstance(error, exceptions.InvalidCommandError) and self.profile.host and self.device is None:
                raise self._no_adbd(error) from error
            why = "its answer cannot be read" if isinstance(error, MISREAD) else str(error) or name
            raise self._failed(FailureKind.offline, why, hint) from error

    def _no_adbd(self, error: Exception) -> EdgekitError:
        """Return the error of a port whose first message is not adb's, or is one that adb-shell does not support."""
        if "STLS" not in str(error):
            why, hint = (
                "the program at this port is not adbd",
                "Check host and port. A phone listens after: adb tcpip 5555",
            )
            return self._failed(FailureKind.offline, why, hint)
        why = "this is the port of wireless debugging, which needs an adb server"
        hint = f"Pair once (adb pair), then: adb connect {self.profile.host}:{self.port}. Leave `connection: auto`."
        return self._failed(FailureKind.offline, why, hint)

    def _failed(self, kind: FailureKind, why: str, hint: str) -> EdgekitError:
        return link.unreachable(self.profile, self.where, kind, why, hint)


def usb_phones() -> list[str]:
    """Return the serial numbers of the phones on USB, sorted. Empty without USB support, which connecting reports."""
    from adb_shell.adb_device import UsbTransport

    found = UsbTransport.find_all_adb_devices() if UsbTransport else ()
    return sorted(phone.serial_number for phone in found)


def _over_tcp(host: str, port: int) -> AdbDevice:
    """Return adb-shell's device on a connection that sends at once.

    adb-shell sends each message in two parts. Without TCP_NODELAY the second waits 40 ms for the first one's receipt.
    """
    from adb_shell.adb_device import AdbDevice
    from adb_shell.transport.tcp_transport import TcpTransport

    class Transport(TcpTransport):  # type: ignore[misc]
        def connect(self, transport_timeout_s: float | None) -> None:
            super().connect(transport_timeout_s)
            self._connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    return AdbDevice(Transport(host, port), default_transport_timeout_s=limits.CONNECT_SECONDS)


def _without_usb() -> tuple[str, str]:
    """Return why adb-shell has no USB support, and a hint. It needs the package libusb1 and the system's library."""
    try:
        import usb1  # noqa: F401
    except ImportError:
        return "the Python package libusb1 is not installed", "Install it: pip install libusb1"
    except OSError:
        hint = "Install it: apt-get install libusb-1.0-0, or on a Mac: brew install libusb. An adb server needs none."
        return "the library libusb-1.0 is not installed on this computer", hint
    return "adb-shell found no USB support", "Reinstall it: pip install --force-reinstall adb-shell[usb]"


def _sum_in_numpy() -> None:
    """Replace adb-shell's checksum, the sum of a message's bytes. In Python it takes longer than sending them."""
    import numpy as np
    from adb_shell import adb_device, adb_message

    def checksum(data: bytes) -> int:
        return int(np.frombuffer(data, np.uint8).sum(dtype=np.uint32))  # wraps like adb's sum

    adb_message.checksum = adb_device.checksum = checksum


def _is_error(value: object) -> TypeGuard[type[Exception]]:
    return isinstance(value, type) and issubclass(value, Exception)


def _usb_errors() -> tuple[type[Exception], ...]:
    """Return the exceptions of libusb (no permission, held by another program), if it is installed."""
    try:
        from usb1 import USBError
    except (ImportError, OSError):
        return ()
    return (USBError,)
