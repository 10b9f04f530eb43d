"""Android phones over adb: found and reached, not yet measured on."""

from __future__ import annotations

from typing import TypeGuard

from edgekit.devices.base import Device
from edgekit.devices.profile import DeviceProfile
from edgekit.errors import EdgekitError, FailureKind

CONNECT_SECONDS = 5.0


def connect(profile: DeviceProfile) -> Device:
    """Reach the phone on USB (the profile's `serial` chooses among several) or, where it names a `host`, over TCP.

    EdgekitError ``offline`` where no phone answers. This edgekit has no runner for Android, so a phone that does answer is an
    error too (``unsupported_device``), and says so.
    """
    _reach(profile)
    raise EdgekitError(
        FailureKind.unsupported_device,
        "reach",
        f"{profile.name} is attached, but this version of edgekit has no runner for Android.",
        "The artifacts are compiled and verified; time them with the runtime's own tool for now.",
    )


def _reach(profile: DeviceProfile) -> None:
    from adb_shell import exceptions
    from adb_shell.adb_device import AdbDeviceTcp, AdbDeviceUsb

    # adb-shell's exceptions share no base class of their own.
    others: tuple[type[Exception], ...] = (OSError, *filter(_is_error, vars(exceptions).values()), *_usb_errors())
    where = f"TCP ({profile.host}:{profile.port})" if profile.host else f"USB ({profile.serial or 'any phone'})"
    hint = "Attach the phone, switch on USB debugging, and stop a running adb server: adb kill-server"
    if profile.host:
        hint = "Check host and port, and that the phone listens: adb tcpip 5555"
    try:
        if profile.host:
            device = AdbDeviceTcp(profile.host, profile.port, default_transport_timeout_s=CONNECT_SECONDS)
        else:
            device = AdbDeviceUsb(profile.serial, default_transport_timeout_s=CONNECT_SECONDS)
        try:
            device.connect(rsa_keys=[], auth_timeout_s=CONNECT_SECONDS)
        finally:
            device.close()
    except exceptions.DeviceAuthError:
        return  # it answered, and asked who we are: it is there
    except exceptions.InvalidTransportError as error:
        hint = "Install USB support: pip install 'edgekit[usb]'"
        raise _offline(profile, where, "USB support is not installed, so nobody looked", hint) from error
    except others as error:
        raise _offline(profile, where, str(error) or type(error).__name__, hint) from error


def _is_error(value: object) -> TypeGuard[type[Exception]]:
    return isinstance(value, type) and issubclass(value, Exception)


def _usb_errors() -> tuple[type[Exception], ...]:
    """Return what libusb raises (no permission, held by an adb server), where it is installed."""
    try:
        from usb1 import USBError
    except (ImportError, OSError):
        return ()
    return (USBError,)


def _offline(profile: DeviceProfile, where: str, why: str, hint: str) -> EdgekitError:
    message = f"{profile.name} cannot be reached over {where}: {why.rstrip('.')}."
    return EdgekitError(FailureKind.offline, "reach", message, hint, retriable=True)
