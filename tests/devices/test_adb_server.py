"""Through a real adb server, to the lab's adbd: which way is chosen, and what happens if the server or a phone fails."""

import signal
import socket
import threading
import time

import pytest
import tiny
from profiles import of_kind

from edgekit.build.photos import photo_set
from edgekit.devices import shell
from edgekit.devices.adb import link as adb_link
from edgekit.devices.adb.direct import DirectWay
from edgekit.devices.adb.server import AdbServer, ServerWay
from edgekit.devices.base import open_device, opened
from edgekit.devices.profile import load_profile
from edgekit.errors import EdgekitError, FailureKind, UsageError
from edgekit.pipeline.plan import Plan, Sweep
from edgekit.pipeline.runs import start_run
from edgekit.protocol import PROTOCOLS
from edgekit.recipe.loading import load_recipe
from tests.lab.adb_server import DEBIANS, NEWER

TARGETS = ["tflite/xnnpack/fp32"]
BOTH = pytest.mark.parametrize("program", [DEBIANS, NEWER], ids=["Debian's", "a newer"])


@pytest.fixture
def pixel(monkeypatch):
    """A profile of any phone, which has no address: as a user types it first."""
    monkeypatch.delenv("ANDROID_SERIAL", raising=False)
    return load_profile("pixel").model_copy(update={"name": "lab", "protocol": "emulated", "max_temperature_c": None})


def failure_of(raised):
    return raised.value.failure


# Which way


@BOTH
def test_a_running_server_is_used_by_itself_and_is_left_running(android, make_adb_server, pixel, program, tmp_path):
    server = make_adb_server(android, program=program)
    pid = server.pid
    (tmp_path / "file").write_bytes(bytes(range(256)) * 5000)
    with opened(pixel) as device:
        assert (device.link.way, device.link.where) == (
            "adb server",
            f"adb server {server.socket[4:]} (127.0.0.1:{android.port})",
        )
        assert device.identify().model == "Pixel 3"
        assert device.check("echo both; echo outputs >&2") == "both\noutputs\n"
        device.pull(device.push(tmp_path / "file"), tmp_path / "back")
        assert device.state()["connection"] == "adb server"
    assert (tmp_path / "back").read_bytes() == (tmp_path / "file").read_bytes()
    assert (server.pid, server.is_running()) == (pid, True)
    assert server.states() == {f"127.0.0.1:{android.port}": "device"}


def test_without_a_server_a_phone_is_looked_for_on_usb_and_no_server_is_started(pixel, monkeypatch):
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    monkeypatch.setenv("ADB_SERVER_SOCKET", f"tcp:{port}")
    with pytest.raises(EdgekitError, match=r"lab cannot be reached over USB \(any phone\)"):
        open_device(pixel)
    with pytest.raises(EdgekitError, match="no adb server runs there") as raised:
        open_device(of_kind(pixel, connection="server"))
    assert failure_of(raised).hint == "Start it: adb start-server"
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port), 1)


def test_a_host_that_the_server_does_not_have_is_reached_directly(android, make_adb_server, profile_of):
    server = make_adb_server()
    with opened(profile_of(android)) as device:
        assert device.link.way == "TCP"
    server.keys = [android.key]
    server.kill()
    server.start()
    server.connect(android)
    with opened(profile_of(android)) as device:
        assert device.link.way == "adb server"
    with opened(profile_of(android, connection="tcp")) as device:
        assert device.link.way == "TCP"


@pytest.mark.parametrize(
    ("connection", "way"), [("usb", DirectWay), ("tcp", DirectWay), ("server", ServerWay), ("auto", ServerWay)]
)
def test_a_profile_can_name_the_way(pixel, connection, way):
    class Running(AdbServer):
        def runs(self):
            return True

    assert type(adb_link.choose(of_kind(pixel, connection=connection), Running)) is way


@pytest.mark.parametrize(
    ("variables", "address"),
    [
        ({}, ("127.0.0.1", 5037)),
        ({"ANDROID_ADB_SERVER_PORT": "6000"}, ("127.0.0.1", 6000)),
        ({"ANDROID_ADB_SERVER_ADDRESS": "lab", "ANDROID_ADB_SERVER_PORT": "6000"}, ("lab", 6000)),
        ({"ADB_SERVER_SOCKET": "tcp:6001", "ANDROID_ADB_SERVER_PORT": "6000"}, ("127.0.0.1", 6001)),
        ({"ADB_SERVER_SOCKET": "tcp:lab.example:6001"}, ("lab.example", 6001)),
        ({"ADB_SERVER_SOCKET": "tcp:[::1]:6001"}, ("::1", 6001)),
    ],
)
def test_the_server_is_where_adb_itself_looks_for_it(variables, address, monkeypatch):
    for variable in ("ADB_SERVER_SOCKET", "ANDROID_ADB_SERVER_ADDRESS", "ANDROID_ADB_SERVER_PORT"):
        monkeypatch.delenv(variable, raising=False)
    for variable, value in variables.items():
        monkeypatch.setenv(variable, value)
    server = AdbServer.configured()
    assert (server.host, server.port) == address


@pytest.mark.parametrize(
    ("variable", "value"), [("ADB_SERVER_SOCKET", "localfilesystem:/x"), ("ANDROID_ADB_SERVER_PORT", "x")]
)
def test_an_address_that_cannot_be_read_is_an_error(variable, value, monkeypatch):
    monkeypatch.delenv("ADB_SERVER_SOCKET", raising=False)
    monkeypatch.setenv(variable, value)
    with pytest.raises(UsageError, match=value):
        AdbServer.configured()


# Phones


def test_of_two_phones_one_must_be_named_and_each_can_be(make_android, make_adb_server, pixel, monkeypatch):
    first, second = make_android(), make_android()
    second.set_property("ro.serialno", "LAB0000002")
    make_adb_server(first, second)
    names = sorted(f"127.0.0.1:{phone.port}" for phone in (first, second))
    with pytest.raises(EdgekitError, match=f"2 devices are attached: {names[0]}, {names[1]}") as raised:
        open_device(pixel)
    assert failure_of(raised).kind == FailureKind.several_devices
    assert f"serial={names[0]}" in failure_of(raised).hint
    for phone, serial in ((first, "LAB0000001"), (second, "LAB0000002")):
        with opened(of_kind(pixel, serial=f"127.0.0.1:{phone.port}")) as device:
            assert device.identify().serial == serial
    monkeypatch.setenv("ANDROID_SERIAL", f"127.0.0.1:{second.port}")
    with opened(pixel) as device:
        assert (device.identify().serial, device.link.way) == ("LAB0000002", "adb server")


def test_a_link_goes_on_with_the_phone_that_it_began_with(make_android, make_adb_server, pixel):
    first, second = make_android(), make_android()
    server = make_adb_server(first)
    with opened(pixel) as device:
        server.keys = [first.key, second.key]
        server.kill()
        server.start()
        server.connect(second)
        with pytest.raises(EdgekitError, match="does not have it"):
            device.check("true")
        server.connect(first)
        assert device.check("getprop ro.serialno") == "LAB0000001\n"


def test_a_phone_that_has_not_allowed_the_server_is_unauthorised(make_android, make_adb_server, pixel):
    phone = make_android(dialog="never")
    server = make_adb_server(keys=())
    name = server.connect(phone, wait=False)
    wait_for(lambda: server.states().get(name) == "unauthorized")
    with pytest.raises(EdgekitError, match="it has not allowed this computer") as raised:
        open_device(pixel)
    assert failure_of(raised).kind == FailureKind.unauthorized
    assert "Look at the phone" in failure_of(raised).hint
    phone.dialog = "always"
    wait_for(lambda: server.states().get(name) == "device")
    open_device(pixel).release()


def test_a_phone_that_the_server_lost_is_offline(android, make_adb_server, pixel):
    server = make_adb_server(android)
    name = f"127.0.0.1:{android.port}"
    android.kill_daemon()
    wait_for(lambda: server.states().get(name) != "device")
    with pytest.raises(EdgekitError, match=r"lists it as offline|does not have it") as raised:
        open_device(pixel)
    assert failure_of(raised).kind == FailureKind.offline


def test_a_server_without_devices_says_so(make_adb_server, pixel):
    make_adb_server()
    with pytest.raises(EdgekitError, match="the adb server does not have it") as raised:
        open_device(pixel)
    assert "USB debugging. The server's devices: none." in failure_of(raised).hint


@pytest.mark.parametrize("answer", [b"HTTP/1.1 400 Bad Request\r\n\r\n", b""], ids=["another protocol", "nothing"])
def test_a_program_at_the_port_that_is_no_adb_server_is_named(answer, pixel, monkeypatch):
    with socket.create_server(("127.0.0.1", 0)) as listening:
        monkeypatch.setenv("ADB_SERVER_SOCKET", f"tcp:{listening.getsockname()[1]}")

        def speak():
            while True:
                try:
                    connection, _ = listening.accept()
                except OSError:
                    return
                with connection:
                    connection.sendall(answer)

        threading.Thread(target=speak, daemon=True).start()
        with pytest.raises(EdgekitError, match=r"(lab|the adb server) cannot be reached over adb server") as raised:
            open_device(pixel)
        listening.shutdown(socket.SHUT_RDWR)
    assert failure_of(raised).kind == FailureKind.offline


@pytest.mark.parametrize(
    ("listed", "state", "kind", "said"),
    [
        ("LAB no permissions (missing udev rules?)", "no", FailureKind.no_permission, "no permission"),
        ("LAB authorizing usb:1-1", "authorizing", FailureKind.offline, "being asked"),
        ("LAB recovery usb:1-1", "recovery", FailureKind.offline, "in the state recovery"),
    ],
)
def test_states_that_the_lab_cannot_have_are_explained(listed, state, kind, said, pixel):
    """Words of adb's `connection_state_to_string`; real servers print them for phones on USB."""
    way = ServerWay(pixel, AdbServer())
    with pytest.raises(EdgekitError, match=said) as raised:
        way._chosen([adb_server_line(listed)])
    assert (failure_of(raised).kind, adb_server_line(listed).state) == (kind, state)


def test_wireless_debugging_is_found_by_the_serial_number(pixel):
    way = ServerWay(of_kind(pixel, serial="R58M123ABC"), AdbServer())
    line = adb_server_line("adb-R58M123ABC-Xy12Zw._adb-tls-connect._tcp device product:x model:SM_G973F")
    assert way._chosen([line, adb_server_line("R58M123ABCD device")]) is line


def adb_server_line(text):
    """One line of `adb devices -l`, as adbutils takes it apart."""
    from adbutils import AdbClient

    from edgekit.devices.adb.server import Attached

    class Said(AdbClient):
        def make_connection(self, timeout=None):
            return self

        def __enter__(self):
            return self

        def __exit__(self, *_):
            pass

        def send_command(self, command):
            pass

        def check_okay(self):
            pass

        def read_string_block(self):
            return text

    (info,) = Said().list(extended=True)
    return Attached(info.serial, info.state, info.tags.get("model"))


# Faults


def test_a_command_that_hangs_is_named_and_the_next_one_runs(android, make_adb_server, pixel, impatient):
    server = make_adb_server(android)
    with opened(pixel) as device:
        for command in ("sleep 40", "while true; do echo; sleep 0.2; done"):
            with pytest.raises(EdgekitError, match="was not done after 1 s") as raised:
                device.check(command, 1)
            assert failure_of(raised).kind == FailureKind.timed_out
            assert device.check("echo next") == "next\n"
        android.cut_link()
        with pytest.raises(EdgekitError) as raised:
            device.check("sleep 40", 1)
        assert failure_of(raised).kind == FailureKind.link_lost
        android.restore_link()
    assert server.is_running()


def test_a_message_is_sent_whole_although_the_server_reads_slowly():
    """adbutils takes no notice of a `send` that took only a part."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        connection = AdbServer(*listening.getsockname()).client.make_connection(timeout=20)
        receiving, _ = listening.accept()
        received = []

        def read():
            while chunk := receiving.recv(1 << 16):
                received.append(len(chunk))
                time.sleep(0.001)

        reader = threading.Thread(target=read)
        with receiving:
            time.sleep(0.2)
            reader.start()
            assert connection.send(bytes(20_000_000)) == 20_000_000
            connection.close()
            reader.join()
    assert sum(received) == 20_000_000


def test_a_push_onto_a_full_disk_says_so(android, make_adb_server, pixel, tmp_path):
    make_adb_server(android)
    (tmp_path / "file").write_bytes(bytes(5_000_000))
    with opened(pixel) as device:
        device.check(f"mkdir -p {device.root}")
        device.disk.check_room = lambda size, name: None
        android.fill_disk(2_000_000)
        with pytest.raises(EdgekitError) as raised:
            device.push(tmp_path / "file")
    assert failure_of(raised).kind == FailureKind.disk_full


@pytest.mark.parametrize("next_program", [DEBIANS, NEWER], ids=["the same", "a newer"])
def test_a_program_survives_the_server_that_started_it(android, make_adb_server, pixel, next_program, monkeypatch):
    monkeypatch.setattr(shell, "RECONNECT_SECONDS", 20.0)
    server = make_adb_server(android)

    def replace():
        time.sleep(1)
        server.kill(signal.SIGKILL)
        time.sleep(1)
        server.program = next_program
        server.start()
        server.connect(android)

    with opened(pixel) as device:
        device.prepare()
        replacing = threading.Thread(target=replace)
        replacing.start()
        done = device.run(("sh", "-c", "sleep 5; echo survived"), 60)
        replacing.join()
    assert (done.exit_status, done.stdout) == (0, "survived\n")
    assert server.is_running()
    assert android.left_running() == []


def test_a_server_that_is_killed_for_good_ends_the_cell_and_the_next_run_restores_the_phone(
    android, make_adb_server, pixel, ledger, capsule, monkeypatch
):
    before = android.state()
    server = make_adb_server(android)
    sweep = Sweep((Plan.of(load_recipe(*tiny.TINY), TARGETS, photo_set()),), (pixel,), PROTOCOLS["emulated"], None)
    with monkeypatch.context() as impatient:
        impatient.setattr(shell, "COMMAND_SECONDS", 3.0)
        impatient.setattr(shell, "RECONNECT_SECONDS", 2.0)
        run = start_run("deploy", sweep, ledger, kill_at("session 1 of", server), seed=0)
    (failure,) = [record.failure for record in ledger.failures(run)]
    assert failure.kind in {FailureKind.link_lost, FailureKind.offline}
    assert not server.is_running()
    server.start()
    server.connect(android)
    assert not ledger.failures(start_run("deploy", sweep, ledger, lambda line: None, seed=0))
    assert android.state() == before
    assert android.left_running() == []


def kill_at(text, server):
    def progress(line):
        if text in line:
            server.kill(signal.SIGKILL)

    return progress


def wait_for(condition, seconds=10):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)
