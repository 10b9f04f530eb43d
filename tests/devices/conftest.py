import pytest

from edgekit.devices import link, shell, ssh, ssh_config
from edgekit.devices.adb import direct, way


@pytest.fixture
def impatient(monkeypatch):
    """Time limits that a test can wait for."""
    for module, name, seconds in (
        (shell, "COMMAND_SECONDS", 3.0),
        (shell, "RECONNECT_SECONDS", 4.0),
        (link, "STALL_SECONDS", 3.0),
        (ssh, "SFTP_STALL_SECONDS", 3.0),
        (way, "CONNECT_SECONDS", 3.0),
        (direct, "AUTHORISE_SECONDS", 3.0),
        (ssh_config, "CONNECT_SECONDS", 3.0),
    ):
        monkeypatch.setattr(module, name, seconds)
