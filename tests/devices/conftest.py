import pytest

from edgekit.devices import adb, link, remote, ssh
from edgekit.devices.profile import DeviceProfile


@pytest.fixture
def impatient(monkeypatch):
    """Time limits that a test can wait for."""
    for module, name, seconds in (
        (remote, "COMMAND_SECONDS", 3.0),
        (remote, "RECONNECT_SECONDS", 4.0),
        (link, "STALL_SECONDS", 3.0),
        (adb, "CONNECT_SECONDS", 3.0),
        (adb, "AUTHORISE_SECONDS", 3.0),
        (ssh, "CONNECT_SECONDS", 3.0),
    ):
        monkeypatch.setattr(module, name, seconds)


@pytest.fixture
def profile_of():
    """Return the device profile that leads to a device of the lab."""

    def make(device, **more):
        android = not hasattr(device, "user")
        own = {} if android else {"user": device.user, "known_hosts": str(device.known_hosts)}
        return DeviceProfile(
            name="lab",
            kind="android" if android else "linux",
            runs=("tflite", "executorch"),
            protocol="emulated",
            host=device.host,
            port=device.port,
            key=str(device.key),
            emulated=device.arm64,
            **own,
            **more,
        )

    return make
