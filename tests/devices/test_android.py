"""No phone is to be had here: only that its absence is told. The real daemon comes with the lab devices."""

import socket
import struct
import sys
import threading
from pathlib import Path
from types import SimpleNamespace

import pytest
from adb_shell.auth.keygen import keygen

from edgekit.devices.adb.direct import DirectWay
from edgekit.devices.adb.keys import signer
from edgekit.devices.adb.link import AdbLink
from edgekit.devices.android import connect
from edgekit.devices.base import opened
from edgekit.devices.profile import load_profile
from edgekit.errors import EdgekitError, FailureKind


@pytest.fixture
def chatty_port(request):
    """A port where somebody speaks another protocol."""
    listening = socket.create_server(("127.0.0.1", 0))

    def speak():
        connection, _ = listening.accept()
        with connection:
            connection.sendall(request.param)
            while connection.recv(1000):  # until the other side has enough
                pass

    thread = threading.Thread(target=speak, daemon=True)
    thread.start()
    yield listening.getsockname()[1]
    listening.close()


@pytest.fixture
def silent_port():
    """A port where somebody accepts and says nothing."""
    listening = socket.create_server(("127.0.0.1", 0))
    accepted = []
    thread = threading.Thread(target=lambda: accepted.append(listening.accept()), daemon=True)
    thread.start()
    yield listening.getsockname()[1]
    listening.close()
    for connection, _ in accepted:
        connection.close()


@pytest.mark.parametrize(
    ("chatty_port", "said", "hint"),
    [
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "the program at this port is not adbd", "Check host and port"),
        # As Android's adbd answers there: the command, its version, no data, and the command's complement.
        (
            struct.pack("<4s5I", b"STLS", 0x01000000, 0, 0, 0, 0xACB3ABAC),
            "the port of wireless debugging",
            "adb connect",
        ),
    ],
    indirect=["chatty_port"],
)
def test_a_port_that_speaks_something_else_is_offline(chatty_port, said, hint, monkeypatch):
    monkeypatch.setattr("edgekit.devices.adb.way.CONNECT_SECONDS", 0.5)
    profile = load_profile("pixel").model_copy(update={"host": "127.0.0.1", "port": chatty_port})
    with pytest.raises(EdgekitError, match=said) as raised:
        connect(profile)
    assert raised.value.failure.kind == FailureKind.offline
    assert hint in raised.value.failure.hint


def test_a_port_that_speaks_ssh_is_no_adbd(board):
    profile = load_profile("pixel").model_copy(update={"host": board.host, "port": board.port})
    with pytest.raises(EdgekitError, match="the program at this port is not adbd"):
        connect(profile)


@pytest.mark.parametrize(
    ("absent", "hint"),
    [(ImportError("no usb1"), "pip install libusb1"), (OSError("no libusb-1.0.so"), "apt-get install libusb-1.0-0")],
)
def test_missing_usb_support_is_named_with_the_command_that_installs_it(absent, hint, monkeypatch):
    class Absent:
        def find_spec(self, name, *_):
            if name == "usb1":
                raise absent

    monkeypatch.delitem(sys.modules, "usb1", raising=False)
    monkeypatch.setattr(sys, "meta_path", [Absent(), *sys.meta_path])
    monkeypatch.setattr("adb_shell.adb_device.UsbTransport", None)
    with pytest.raises(EdgekitError, match=r"pixel cannot be reached over USB \(any phone\)") as raised:
        connect(load_profile("pixel"))
    assert raised.value.failure.kind == FailureKind.missing_extra
    assert hint in raised.value.failure.hint


def test_a_refused_connection_is_offline():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    profile = load_profile("pixel").model_copy(update={"host": "127.0.0.1", "port": port})
    with pytest.raises(EdgekitError, match="refused") as raised:
        connect(profile)
    assert raised.value.failure.kind == FailureKind.offline
    assert "adb tcpip" in raised.value.failure.hint


def test_a_daemon_that_says_nothing_is_offline_and_does_not_hang(silent_port, monkeypatch):
    monkeypatch.setattr("edgekit.devices.adb.way.CONNECT_SECONDS", 0.5)
    profile = load_profile("pixel").model_copy(update={"host": "127.0.0.1", "port": silent_port})
    with pytest.raises(EdgekitError) as raised:
        connect(profile)
    assert raised.value.failure.kind == FailureKind.offline


@pytest.mark.parametrize("error", [KeyError(1953067639), struct.error("unpack requires 8 bytes")])
def test_an_answer_that_adb_shell_misreads_is_a_lost_link(error, tmp_path):
    """As it does after a write that failed on the phone, but not every time."""

    def push(*_, **__):
        raise error

    link = AdbLink(load_profile("pixel"))
    link._way = way = DirectWay(link.profile)
    way.device = SimpleNamespace(push=push, close=lambda: None)
    (tmp_path / "file").touch()
    with pytest.raises(EdgekitError, match="its answer cannot be read") as raised:
        link.send(tmp_path / "file", "/remote", 1)
    assert raised.value.failure.kind == FailureKind.link_lost


def test_a_command_that_hangs_is_told_and_the_next_one_runs(android, profile_of, impatient):
    with opened(profile_of(android)) as device:
        for command in ("dumpsys() { sleep 40; }; dumpsys thermalservice", "while true; do echo; sleep 0.2; done"):
            with pytest.raises(EdgekitError, match=r"lab was not done after 1 s with `(dumpsys|while)") as raised:
                device.check(command, 1)
            assert raised.value.failure.kind == FailureKind.timed_out
            assert device.check("echo next") == "next\n"
        android.cut_link()
        with pytest.raises(EdgekitError) as raised:
            device.check("sleep 40", 1)
        assert raised.value.failure.kind == FailureKind.link_lost
        android.restore_link()


def test_a_new_private_key_is_nobody_elses_to_read_at_any_time(tmp_path, monkeypatch):
    def readable(file):
        keygen(file)
        assert not (Path(file).stat().st_mode & 0o044 and Path(file).parent.stat().st_mode & 0o011)

    monkeypatch.setattr("adb_shell.auth.keygen.keygen", readable)
    tmp_path.chmod(0o755)
    monkeypatch.setenv("HOME", str(tmp_path))
    signer(load_profile("pixel"))
    assert (tmp_path / ".android/adbkey").stat().st_mode & 0o777 == 0o600
    assert (tmp_path / ".android/adbkey.pub").is_file()


def test_a_key_that_a_profile_names_and_that_is_gone_is_an_error_and_no_new_key(tmp_path):
    with pytest.raises(EdgekitError, match=f"pixel names the key {tmp_path}/gone, and there is no such file") as raised:
        signer(load_profile("pixel", (f"key={tmp_path}/gone",)))
    assert raised.value.failure.kind == FailureKind.usage
    assert f"adb keygen {tmp_path}/gone" in raised.value.failure.hint
    assert list(tmp_path.iterdir()) == []


class USBError(Exception):
    """As python-libusb1's, of which the other errors are kinds; it is an extra."""


@pytest.fixture
def usb(tmp_path, monkeypatch):
    """Attach phones to adb-shell's USB; each is a serial, and `error` is what connecting to one of them raises."""

    def attach(*serials, error=""):
        def connect(**_):
            raise type(error, (USBError,), {})("LIBUSB_ERROR")

        phones = [SimpleNamespace(serial_number=serial) for serial in serials]
        transport = SimpleNamespace(find_all_adb_devices=lambda: iter(phones))
        device = SimpleNamespace(connect=connect, close=lambda: None)
        monkeypatch.setattr("adb_shell.adb_device.UsbTransport", transport)
        monkeypatch.setattr("adb_shell.adb_device.AdbDeviceUsb", lambda serial, **_: device)
        monkeypatch.setenv("HOME", str(tmp_path))
        monkeypatch.setitem(sys.modules, "usb1", SimpleNamespace(USBError=USBError))
        return load_profile("pixel")

    monkeypatch.delenv("ANDROID_SERIAL", raising=False)
    monkeypatch.setenv("ADB_SERVER_SOCKET", "tcp:1")  # where no adb server runs
    return attach


@pytest.mark.parametrize(
    ("error", "kind", "hint"),
    [
        ("USBErrorAccess", FailureKind.no_permission, "udev rules"),
        ("USBErrorBusy", FailureKind.device_busy, "ADB_SERVER_SOCKET"),
        ("USBErrorNoDevice", FailureKind.offline, "Attach the phone"),
    ],
)
def test_what_libusb_raises_is_told_with_what_to_do(usb, error, kind, hint):
    with pytest.raises(EdgekitError, match=r"pixel cannot be reached over USB \(A\)") as raised:
        connect(usb("A", error=error))
    assert raised.value.failure.kind == kind
    assert hint in raised.value.failure.hint


def test_a_phone_that_is_not_there_is_offline_and_says_what_to_do(usb):
    with pytest.raises(EdgekitError) as raised:
        connect(usb(error="DevicesNotFoundError"))
    failure = raised.value.failure
    assert (failure.kind, failure.stage, failure.retriable) == (FailureKind.offline, "reach", True)
    assert "pixel cannot be reached over USB (any phone)" in failure.message
    assert "USB debugging" in failure.hint


def test_of_several_phones_on_usb_one_must_be_named(usb):
    with pytest.raises(EdgekitError, match="2 phones are attached: A, B") as raised:
        connect(usb("B", "A"))
    assert raised.value.failure.kind == FailureKind.several_devices
    assert "serial=A, or ANDROID_SERIAL" in raised.value.failure.hint


def test_messages_over_tcp_are_sent_at_once(android, profile_of, monkeypatch):
    """Otherwise the second part of each message waits 40 ms for the receipt of the first."""
    connections, connect = [], socket.create_connection

    def watched(*arguments, **options):
        connections.append(connect(*arguments, **options))
        return connections[-1]

    monkeypatch.setattr(socket, "create_connection", watched)
    with opened(profile_of(android)):
        assert connections[-1].getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
