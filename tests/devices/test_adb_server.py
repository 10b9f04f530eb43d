"""Through a real adb server, to the lab's adbd: which way is chosen, and what happens if the server or a phone fails."""

import os
import signal
import socket
import threading
import time
from contextlib import suppress

import pytest
import tiny
from profiles import of_kind

from edgekit.build.photos import photo_set
from edgekit.devices import link, shell
from edgekit.devices.adb import link as adb_link
from edgekit.devices.adb import way
from edgekit.devices.adb.direct import DirectWay
from edgekit.devices.adb.server import AdbServer, Attached, ServerWay
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


def test_usb_is_never_the_network_although_the_profile_has_a_host(pixel):
    profile = of_kind(pixel, connection="usb", host="10.0.0.1", serial="LAB")
    assert adb_link.choose(profile).where == "USB (LAB)"


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


def test_a_phone_that_a_server_lost_is_not_asked_by_another_way_while_the_server_runs(
    android, make_adb_server, profile_of
):
    server = make_adb_server(android)
    with opened(profile_of(android)) as device:
        server.command("disconnect", f"127.0.0.1:{android.port}")
        for _ in range(2):  # the second time it connects again
            with pytest.raises(EdgekitError, match="the adb server does not have it"):
                device.check("true")
        server.connect(android)
        assert device.check("echo back") == "back\n"
        server.kill()
        with pytest.raises(EdgekitError):
            device.check("true")
        assert device.check("echo back") == "back\n"
        assert device.link.way == "TCP"


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


def test_a_phone_that_the_server_lost_is_offline(android, make_adb_server, pixel, monkeypatch):
    monkeypatch.setattr(way, "CONNECT_SECONDS", 1.0)
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


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "the program at this port is not an adb server"),
        (b"", "it ended the connection"),
    ],
    ids=["another protocol", "nothing"],
)
def test_a_program_at_the_port_that_is_no_adb_server_is_named(answer, said, pixel, monkeypatch):
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
        with pytest.raises(EdgekitError, match=f"lab cannot be reached over adb server .*: {said}") as raised:
            open_device(pixel)
        listening.shutdown(socket.SHUT_RDWR)
    assert failure_of(raised).kind == FailureKind.offline


@pytest.mark.parametrize(
    ("listed", "state", "kind", "said"),
    [
        ("LAB\tno permissions (missing udev rules?)", "no", FailureKind.no_permission, "no permission"),
        ("LAB\tauthorizing", "authorizing", FailureKind.offline, "being asked"),
        ("LAB\trecovery", "recovery", FailureKind.offline, "in the state recovery"),
    ],
)
def test_states_that_the_lab_cannot_have_are_explained(listed, state, kind, said, pixel):
    """Words of adb's `connection_state_to_string`; real servers print them for phones on USB."""
    way = ServerWay(pixel, AdbServer())
    with pytest.raises(EdgekitError, match=said) as raised:
        way._chosen(Attached.listed(listed))
    assert (failure_of(raised).kind, Attached.listed(listed)[0].state) == (kind, state)


def test_wireless_debugging_is_found_by_the_serial_number(pixel):
    way = ServerWay(of_kind(pixel, serial="R58M123ABC"), AdbServer())
    name = "adb-R58M123ABC-Xy12Zw._adb-tls-connect._tcp"
    assert way._chosen(Attached.listed(f"{name}\tdevice\nR58M123ABCD\tdevice\n")).name == name


def test_the_serial_number_means_the_cable_if_the_phone_is_attached_twice(pixel):
    way = ServerWay(of_kind(pixel, serial="R58M123ABC"), AdbServer())
    wireless = "adb-R58M123ABC-Xy12Zw (2)._adb-tls-connect._tcp"
    both = Attached.listed(f"{wireless}\tdevice\nR58M123ABC\tdevice\n")
    assert way._chosen(both).name == "R58M123ABC"
    assert way._chosen(both[:1]).name == wireless


def test_an_ipv6_address_is_named_as_adb_names_it(pixel):
    profile = of_kind(pixel, host="fe80::1", port=5556)
    assert ServerWay(profile, AdbServer()).wanted == "[fe80::1]:5556"
    assert DirectWay(profile).where == "TCP ([fe80::1]:5556)"


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


def test_a_server_that_stops_is_noticed_before_a_transfer_would_be(android, make_adb_server, pixel, monkeypatch):
    server = make_adb_server(android)
    with opened(pixel) as device:
        monkeypatch.setattr(way, "CONNECT_SECONDS", 1.0)
        os.kill(server.pid, signal.SIGSTOP)
        begun = time.monotonic()
        try:
            for use in (lambda: device.check("true"), lambda: open_device(pixel)):
                with pytest.raises(EdgekitError, match="there was no answer in time") as raised:
                    use()
                assert "adb kill-server" in failure_of(raised).hint
        finally:
            os.kill(server.pid, signal.SIGCONT)
        assert time.monotonic() - begun < link.STALL_SECONDS
        assert device.check("echo again") == "again\n"


def test_a_server_that_ends_anywhere_in_an_answer_is_a_lost_link(
    android, make_adb_server, pixel, monkeypatch, tmp_path
):
    """adbutils raises whatever it runs into: AssertionError, struct.error, ValueError ..."""
    make_adb_server(android)
    (tmp_path / "file").write_bytes(b"some bytes")
    with Proxy(AdbServer.configured()) as proxy:
        monkeypatch.setenv("ADB_SERVER_SOCKET", f"tcp:127.0.0.1:{proxy.port}")
        with opened(pixel) as device:
            device.check(f"mkdir -p {device.root}")
            remote = f"{device.root}/file"
            uses = (
                lambda: device.check("echo some output"),
                lambda: device.link.send(tmp_path / "file", remote, 5),
                lambda: device.link.fetch(remote, tmp_path / "back", 5),
            )
            for use in uses:
                use()
                kinds = set()
                for count in range(40):
                    device.check("true")  # connected
                    proxy.left = count
                    try:
                        use()
                    except EdgekitError as error:
                        kinds.add(error.failure.kind)
                    proxy.left = None
                assert kinds <= {FailureKind.link_lost, FailureKind.offline}
                assert kinds
            assert device.check("echo again") == "again\n"


def test_a_command_needs_one_connection_to_the_server(android, make_adb_server, pixel, monkeypatch):
    make_adb_server(android)
    with Proxy(AdbServer.configured()) as proxy:
        monkeypatch.setenv("ADB_SERVER_SOCKET", f"tcp:127.0.0.1:{proxy.port}")
        with opened(pixel) as device:
            before, files = proxy.connections, len(os.listdir("/proc/self/fd"))
            for _ in range(20):
                device.check("true")
            assert proxy.connections == before + 20
            wait_for(lambda: len(os.listdir("/proc/self/fd")) <= files)


def test_each_address_of_the_servers_name_is_tried(android, make_adb_server, pixel, monkeypatch):
    """`localhost` is ::1 first on many systems, and an adb server listens on 127.0.0.1 only."""
    server = make_adb_server(android)
    monkeypatch.setenv("ADB_SERVER_SOCKET", f"tcp:localhost:{server.port}")
    addresses = [
        (family, socket.SOCK_STREAM, 6, "", (host, server.port))
        for family, host in ((socket.AF_INET6, "::1"), (socket.AF_INET, "127.0.0.1"))
    ]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: addresses)
    with opened(pixel) as device:
        assert device.check("echo there") == "there\n"


class Proxy:
    """Stands before a server, and ends the connection after `left` bytes of its answers (None: never)."""

    def __init__(self, server):
        self.server, self.left, self.connections = server, None, 0

    def __enter__(self):
        self.listening = socket.create_server(("127.0.0.1", 0))
        self.port = self.listening.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_):
        self.listening.shutdown(socket.SHUT_RDWR)
        self.listening.close()

    def _accept(self):
        while True:
            try:
                client, _ = self.listening.accept()
            except OSError:
                return
            self.connections += 1
            server = socket.create_connection((self.server.host, self.server.port))
            for ends in ((client, server, False), (server, client, True)):
                threading.Thread(target=self._carry, args=ends, daemon=True).start()

    def _carry(self, source, sink, is_answer):
        with suppress(OSError):
            while self.left != 0 and (chunk := source.recv(1 << 16)):
                if is_answer and self.left is not None:
                    chunk = chunk[: self.left]
                    self.left -= len(chunk)
                sink.sendall(chunk)
        for end in (source, sink):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
        if is_answer:
            source.close()
            sink.close()


def wait_for(condition, seconds=10):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)
