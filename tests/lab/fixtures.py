"""pytest fixtures for tests that need a device: `android` and `board`, up in less than a second and gone after the test.

Tests that use one are marked `device`. Where the lab's packages are missing they skip and say what to run; under CI=true
they fail.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from edgekit.devices.profile import stored_profile

from . import roots
from .adb_server import AdbServerLab
from .android import AndroidLab
from .board import BoardLab
from .mac import MacLab

DEVICES = {
    "android",
    "android_arm64",
    "board",
    "board_arm64",
    "mac",
    "make_adb_server",
    "make_android",
    "make_board",
    "there",
}


@pytest.hookimpl(tryfirst=True)  # before `-m device` chooses
def pytest_collection_modifyitems(items) -> None:
    for item in items:
        if DEVICES & set(getattr(item, "fixturenames", ())):
            item.add_marker("device")


@pytest.fixture
def make_android(missing) -> Callable[..., AndroidLab]:
    """`make_android(scenario, dialog="deny", ...)`: a started phone; all are stopped after the test."""
    with ExitStack() as stack:

        def make(*arguments, **options):
            _need(missing, *(("android-arm64", "qemu") if options.get("arm64") else ("android-amd64",)))
            return stack.enter_context(AndroidLab(*arguments, **options))

        yield make


@pytest.fixture
def make_board(missing) -> Callable[..., BoardLab]:
    """`make_board(arm64=False, ...)`: a started board; all are stopped after the test."""
    with ExitStack() as stack:

        def make(**options):
            _need(missing, *(("board-arm64", "qemu") if options.get("arm64") else ()))
            return stack.enter_context(BoardLab(**options))

        yield make


@pytest.fixture
def android(make_android) -> AndroidLab:
    """A Pixel 3, cool, awake, on USB power, in which this machine's processor works."""
    return make_android()


@pytest.fixture
def android_arm64(make_android) -> AndroidLab:
    """The same with arm64 programs, emulated."""
    return make_android(arm64=True)


@pytest.fixture
def board(make_board) -> BoardLab:
    """This machine as a board, with the tests' Python as its `python3`."""
    return make_board()


@pytest.fixture
def make_adb_server(missing, monkeypatch) -> Iterator[Callable[..., AdbServerLab]]:
    """`make_adb_server(phone, ..., program=DEBIANS)`: a started adb server that has these phones; edgekit finds it."""
    with ExitStack() as stack:

        def make(*phones: AndroidLab, **options):
            _need(missing)
            server = AdbServerLab(**{"keys": [phone.key for phone in phones], **options})
            monkeypatch.setenv("ADB_SERVER_SOCKET", server.socket)
            stack.enter_context(server)
            for phone in phones:
                server.connect(phone)
            return server

        yield make


@pytest.fixture
def mac(missing) -> Iterator[MacLab]:
    """A Mac to which no phone is attached."""
    _need(missing)
    with MacLab() as started:
        yield started


@pytest.fixture
def board_arm64(make_board) -> BoardLab:
    """A bare arm64 Debian with a Python of its own, emulated."""
    return make_board(arm64=True)


@pytest.fixture
def profile_of():
    """Return the device profile that leads to a device of the lab."""

    def make(device, **more):
        android = not hasattr(device, "user")
        board = {} if android else {"user": device.user, "known_hosts": str(device.known_hosts)}
        own = {"connection": device.connection} if android else board
        keys = {
            "name": "lab",
            "kind": "android" if android else "linux",
            "runs": ("tflite", "executorch"),
            "protocol": "emulated",
            "host": device.host,
            "port": device.port,
            "key": str(device.key),
            "emulated": device.arm64,
        }
        return stored_profile({**keys, **own, **more})

    return make


def _need(missing: Callable[[str], None], *names: str) -> None:
    if reason := roots.lacking(*names):
        missing(reason)
