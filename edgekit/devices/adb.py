"""The link to an Android device: adb over USB or TCP, with the library adb-shell."""

from __future__ import annotations

import secrets
import struct
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, BinaryIO, Literal, TypeGuard

from edgekit.devices import link
from edgekit.devices.base import Completed
from edgekit.devices.profile import FROM_ENVIRONMENT
from edgekit.devices.remote import Port, RemoteProfile
from edgekit.errors import EdgekitError, FailureKind

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer
    from adb_shell.adb_device import AdbDevice
    from adb_shell.auth.sign_pythonrsa import PythonRSASigner

CONNECT_SECONDS = 5.0
AUTHORISE_SECONDS = 20.0
"""How long the phone's owner has to allow USB debugging."""
MISREAD = (KeyError, struct.error)
"""What adb-shell raises if it lost the start of a message, for example after a failed write on the phone."""


class _InTime(BytesIO):
    """A file for adb-shell that raises TimeoutError after `timeout` seconds.

    It is a BytesIO only because adb-shell opens other files itself. A progress callback cannot do this:
    adb-shell ignores what it raises.
    """

    def __init__(self, file: BinaryIO, timeout: float) -> None:
        super().__init__()
        self.file, self.timeout, self.end = file, timeout, time.monotonic() + timeout

    def read(self, size: int | None = -1, /) -> bytes:
        self._check()
        return self.file.read(-1 if size is None else size)

    def write(self, data: ReadableBuffer, /) -> int:
        self._check()
        return self.file.write(data)

    def _check(self) -> None:
        if time.monotonic() > self.end:
            raise TimeoutError(f"it was not done after {self.timeout:.0f} s")


class AdbProfile(RemoteProfile):
    """A device that is reached by adb: over TCP if there is a `host`, else over USB.

    `connection: tcp` marks a profile for TCP that has no host yet. `serial` chooses among phones on USB.
    A phone over TCP must report this serial. `port` is 5555 if it is not given. `key` is the file of adb's private key.
    """

    connection: Literal["usb", "tcp"] = "usb"
    serial: Annotated[str | None, FROM_ENVIRONMENT] = None
    host: Annotated[str | None, FROM_ENVIRONMENT] = None
    port: Annotated[Port | None, FROM_ENVIRONMENT] = None
    key: Annotated[str | None, FROM_ENVIRONMENT] = None


class AdbLink:
    """adb to one phone, with the profile's `key`, else Android's own: ``~/.android/adbkey``. A missing key is made."""

    def __init__(self, profile: AdbProfile) -> None:
        self.profile = profile
        self.port = profile.port or 5555
        self.where = f"TCP ({profile.host}:{self.port})" if profile.host else f"USB ({profile.serial or 'any phone'})"
        self.key = Path(profile.key).expanduser() if profile.key else Path.home() / ".android" / "adbkey"
        self.device: AdbDevice | None = None

    def connect(self) -> None:
        """Connect.

        EdgekitError, each with a hint: offline, unauthorized, several_devices, no_permission, device_busy.
        """
        from adb_shell import exceptions

        _sum_in_numpy()
        self.close()
        asked: list[AdbDevice] = []  # not empty if the phone asked its owner about our key
        with self._failures(), ExitStack() as undo:
            device = self._open()
            undo.callback(device.close)
            try:
                device.connect(rsa_keys=[self._signer()], auth_timeout_s=AUTHORISE_SECONDS, auth_callback=asked.append)
            except Exception as error:
                # adbd sends nothing if the owner refuses, or has not answered yet.
                if asked or isinstance(error, exceptions.DeviceAuthError):
                    raise self._unauthorized() from error
                raise
            undo.pop_all()
        self.device = device

    def shell(self, command: str, timeout: float) -> Completed:
        """Run a command by adb's exec service, which is not a terminal. Both outputs are one. A nonce marks the status.

        EdgekitError (``timed_out``) if only this command hangs: the phone still answers another one.
        """
        from adb_shell import exceptions

        nonce = f"edgekit-{secrets.token_hex(8)}="
        with self._broken(), self._failures():
            try:
                output = self._output(f"( {command}\n) 2>&1; echo {nonce}$?", timeout)
            except (exceptions.TcpTimeoutException, exceptions.AdbTimeoutError, exceptions.UsbReadFailedError) as error:
                self._output("true", CONNECT_SECONDS)  # fails if the link is broken
                raise self._hanging(command, timeout) from error
            text, found, status = output.decode(errors="replace").rpartition(nonce)
            if not found:
                raise EOFError("it ended in the middle of an answer")
        return Completed(int(status), text, "")

    def _output(self, command: str, timeout: float) -> bytes:
        assert self.device
        seconds = {"transport_timeout_s": timeout, "read_timeout_s": timeout, "timeout_s": timeout}
        output: bytes = self.device.exec_out(command, **seconds, decode=False)
        return output

    def _hanging(self, command: str, timeout: float) -> EdgekitError:
        message = f"{self.profile.name} was not done after {timeout:.0f} s with `{command.splitlines()[0][:80]}`."
        hint = "It answers other commands, so this one hangs. If it hangs again, restart the phone."
        return EdgekitError(FailureKind.timed_out, "device", message, hint, retriable=True)

    def send(self, local: Path, remote: str, timeout: float) -> None:
        """Push a file."""
        stalled = link.STALL_SECONDS
        with local.open("rb") as file, self._broken(), self._failures():
            assert self.device
            self.device.push(_InTime(file, timeout), remote, transport_timeout_s=stalled, read_timeout_s=stalled)

    def fetch(self, remote: str, local: Path, timeout: float) -> None:
        """Pull a file."""
        stalled = link.STALL_SECONDS
        with local.open("wb") as file, self._broken(), self._failures():
            assert self.device
            self.device.pull(remote, _InTime(file, timeout), transport_timeout_s=stalled, read_timeout_s=stalled)

    def close(self) -> None:
        """End the connection."""
        device, self.device = self.device, None
        if device is not None:
            device.close()

    def _open(self) -> AdbDevice:
        from adb_shell.adb_device import AdbDeviceTcp, AdbDeviceUsb

        if self.profile.host:
            return AdbDeviceTcp(self.profile.host, self.port, default_transport_timeout_s=CONNECT_SECONDS)
        if self.profile.connection == "tcp":
            raise link.without_address(self.profile)
        if self.profile.serial is None:
            self._check_single_phone()
        return AdbDeviceUsb(self.profile.serial, default_transport_timeout_s=CONNECT_SECONDS)

    def _check_single_phone(self) -> None:
        """Make sure that at most one phone is attached."""
        from adb_shell.adb_device import UsbTransport

        # None without USB support. The next step reports that.
        serials = [phone.serial_number for phone in UsbTransport.find_all_adb_devices()] if UsbTransport else []
        if len(serials) > 1:
            message = f"{len(serials)} phones are attached: {', '.join(sorted(serials))}."
            hint = f"Choose one: --device-option serial={sorted(serials)[0]}, or ANDROID_SERIAL."
            raise EdgekitError(FailureKind.several_devices, "reach", message, hint)

    def _signer(self) -> PythonRSASigner:
        """Return the signer with our key, which the adb client uses as well."""
        from adb_shell.auth.sign_pythonrsa import PythonRSASigner

        public = Path(f"{self.key}.pub")
        try:
            if not self.key.exists():
                _make_key(self.key, public)
            private = self.key.read_text()
            if not public.is_file():
                message = f"{self.key} has no public key beside it."
                hint = f"Make it: adb pubkey {self.key} > {public}"
                raise EdgekitError(FailureKind.unauthorized, "reach", message, hint)
            return PythonRSASigner(public.read_text(), private)
        except (OSError, ValueError) as error:
            message = f"{self.key} is not a key that edgekit can read: {error}"
            hint = "Correct `key` in the profile, or make a new one: adb keygen FILE"
            raise EdgekitError(FailureKind.unauthorized, "reach", message, hint) from error

    def _unauthorized(self) -> EdgekitError:
        message = f"{self.profile.name} has not allowed this computer to debug it."
        hint = f"Look at the phone, allow USB debugging for this computer ({self.key}.pub), and try again."
        return EdgekitError(FailureKind.unauthorized, "reach", message, hint, retriable=True)

    @contextmanager
    def _broken(self) -> Iterator[None]:
        """Connect if there is no connection. Turn a later error into ``link_lost``, and end the connection."""
        if self.device is None:
            self.connect()
        try:
            with link.closed_on_failure(self):
                yield
        except EdgekitError as error:
            if error.failure.kind is not FailureKind.offline:
                raise
            lost = error.failure
            raise EdgekitError(FailureKind.link_lost, "device", lost.message, lost.hint, retriable=True) from error

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
        hint = "Attach the phone, switch on USB debugging, and stop a running adb server: adb kill-server"
        if self.profile.host:
            hint = "Check host and port, and that the phone listens: adb tcpip 5555"
        try:
            yield
        except exceptions.InvalidTransportError as error:
            hint = "Install USB support: pip install 'edgekit[usb]'"
            raise self._failed(FailureKind.offline, "USB support is not installed", hint) from error
        except others as error:
            name = type(error).__name__
            if name == "USBErrorAccess":
                hint = (
                    "Give your user permission: Debian's package android-sdk-platform-tools-common has the udev rules."
                )
                raise self._failed(FailureKind.no_permission, "no permission on the USB device", hint) from error
            if name == "USBErrorBusy":
                hint = "Stop that program, often an adb server: adb kill-server"
                raise self._failed(FailureKind.device_busy, "another program holds the USB device", hint) from error
            if isinstance(error, exceptions.InvalidCommandError) and self.profile.host and self.device is None:
                raise self._no_adbd(error) from error
            why = "its answer cannot be read" if isinstance(error, MISREAD) else str(error) or name
            raise self._failed(FailureKind.offline, why, hint) from error

    def _no_adbd(self, error: Exception) -> EdgekitError:
        """Return the error of a port whose first message is not adb's, or is one that edgekit does not support."""
        if "STLS" not in str(error):
            why, hint = (
                "the program at this port is not adbd",
                "Check host and port. A phone listens after: adb tcpip 5555",
            )
            return self._failed(FailureKind.offline, why, hint)
        why = "this is the port of wireless debugging, and edgekit does not support its encryption"
        hint = (
            f"Open another port on the phone: adb connect {self.profile.host}:{self.port} && adb tcpip 5555. "
            "Then give --device-option port=5555"
        )
        return self._failed(FailureKind.offline, why, hint)

    def _failed(self, kind: FailureKind, why: str, hint: str) -> EdgekitError:
        return link.unreachable(self.profile, self.where, kind, why, hint)


def _make_key(key: Path, public: Path) -> None:
    """Make a pair of keys. Other users can never read the private one."""
    from adb_shell.auth.keygen import keygen

    key.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=key.parent, prefix=".edgekit-") as private:
        made = Path(private) / "adbkey"
        keygen(str(made))
        made.chmod(0o600)
        # adb-shell writes no final newline, but adb's key files must be fit for concatenation.
        public.write_text(Path(f"{made}.pub").read_text().rstrip("\n") + "\n")
        made.replace(key)


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
    """Return the exceptions of libusb (no permission, held by an adb server), if it is installed."""
    try:
        from usb1 import USBError
    except (ImportError, OSError):
        return ()
    return (USBError,)
