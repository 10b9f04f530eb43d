"""Phones and boards over their real daemons: what both links do, and what becomes of every fault. See tests/lab.

Tests of `there` are about the links. Tests of `android` are about scripts in Android's own shell, and about phones. The rest
of the logic is tested over this computer's shell: test_shell, test_files, test_programs, test_preparation.
"""

import socket
import subprocess
import sys
import threading
import time
from contextlib import contextmanager

import pytest
from lab.scenario import Scenario

from edgekit.devices import files, shell, ssh
from edgekit.devices.android import STAY_ON
from edgekit.devices.base import open_device, opened
from edgekit.devices.profile import load_profile
from edgekit.errors import EdgekitError, FailureKind

SLEEP = ("sh", "-c", "sleep 2; echo slept")


@pytest.fixture(params=["android", "android through a server", "board"])
def there(request):
    """A phone, directly and through an adb server, and a board."""
    name, _, server = request.param.partition(" through ")
    device = request.getfixturevalue(name)
    if server:
        request.getfixturevalue("make_adb_server")(device)
        device.connection = "server"  # and never directly, where the server does not have it any more
    return device


@contextmanager
def meanwhile(there, *steps):
    """Do `steps` while the body runs, one a while after the other, from when its program (a sleep) is seen on the device."""

    def work():
        deadline = time.monotonic() + 20
        while not any("sleep" in process for process in there.processes()) and time.monotonic() < deadline:
            time.sleep(0.05)
        for step in steps:
            time.sleep(0.3)
            step()

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield
    finally:
        thread.join()


def kind_of(raised):
    return raised.value.failure.kind


def left(there, device):
    """What programs and unfinished files of ours are on the device."""
    work = f"{device.root}/work"
    files = there.files(work) if there.path(work).exists() else []
    return [file for file in files if file != "scratch"]


def test_it_says_who_and_how_it_is(there, profile_of):
    with opened(profile_of(there)) as device:
        identity = device.identify()
        assert identity.serial not in {"", "unknown"}
        assert identity.facts["machine"] == "x86_64"
        assert identity.facts["cpus"] >= 1
        assert identity.facts["memory_kb"] > 1_000_000
        state = device.state()
        assert state["memory_available_kb"] > 0
        assert state["load_average"] >= 0
        assert device.timing_cpus()


def test_programs_run_with_their_status_and_both_outputs(there, profile_of):
    with opened(profile_of(there)) as device:
        done = device.run(("sh", "-c", "echo 'out $HOME \"'; echo err >&2; exit 7"), 30)
        assert (done.exit_status, done.stdout, done.stderr) == (7, 'out $HOME "\n', "err\n")
        assert left(there, device) == []


def test_a_program_over_its_time_limit_is_killed_with_its_children(android, profile_of):
    with opened(profile_of(android)) as device:
        with pytest.raises(EdgekitError, match="more than 1 s") as raised:
            device.run(("sh", "-c", "sleep 97 & sleep 98"), 1)
        assert kind_of(raised) == FailureKind.timed_out
        assert not any("sleep 9" in process for process in android.left_running())
        assert left(android, device) == []


def test_files_are_pushed_once_and_come_back_whole(there, profile_of, tmp_path):
    folder = tmp_path / "some folder"
    (folder / "inner").mkdir(parents=True)
    (folder / "inner/it's.bin").write_bytes(bytes(range(256)) * 4000)
    (folder / "run.sh").write_text("#!/bin/sh\necho hello\n")
    (folder / "run.sh").chmod(0o755)
    with opened(profile_of(there)) as device:
        there_path = device.push(folder)
        device.pull(f"{there_path}/inner/it's.bin", tmp_path / "back.bin")
        assert (tmp_path / "back.bin").read_bytes() == (folder / "inner/it's.bin").read_bytes()
        assert device.run((f"{there_path}/run.sh",), 10).stdout == "hello\n"
        sent = there.link.sent
        assert device.push(folder) == there_path
        assert there.link.sent - sent < 10_000
        there.path(f"{there_path}/inner/it's.bin").write_bytes(b"damaged")
        device.push(folder)
        device.pull(f"{there_path}/inner/it's.bin", tmp_path / "back.bin")
        assert (tmp_path / "back.bin").stat().st_size == 1_024_000
        device.clean()
        assert not there.path(device.root).exists()


# Faults: each ends in its own kind, in time, and leaves nothing.


def test_a_link_that_breaks_while_a_program_runs_loses_nothing(there, profile_of, impatient, monkeypatch):
    monkeypatch.setattr(shell, "RECONNECT_SECONDS", 30.0)
    with opened(profile_of(there)) as device, meanwhile(there, there.cut_link, there.restore_link):
        assert device.run(SLEEP, 60).stdout == "slept\n"
        assert left(there, device) == []


def test_a_daemon_that_dies_and_comes_back_loses_nothing(there, profile_of, impatient, monkeypatch):
    monkeypatch.setattr(shell, "RECONNECT_SECONDS", 30.0)
    with opened(profile_of(there)) as device, meanwhile(there, there.kill_daemon, there.restart):
        assert device.run(SLEEP, 60).stdout == "slept\n"


def test_a_link_that_stays_broken_is_lost_in_time_and_the_next_edgekit_ends_the_program(there, profile_of, impatient):
    start = time.monotonic()
    with pytest.raises(EdgekitError) as raised, opened(profile_of(there)) as device, meanwhile(there, there.cut_link):
        device.run(("sh", "-c", "sleep 99"), 60)
    assert kind_of(raised) == FailureKind.link_lost
    assert time.monotonic() - start < 60
    assert any("sleep 99" in process for process in there.processes()), there.processes()
    there.restore_link()
    with opened(profile_of(there)) as device:
        device.prepare()
        assert not any("sleep 99" in process for process in there.left_running())
        assert left(there, device) == []


def test_a_link_that_breaks_during_a_push_or_a_pull_is_lost_and_no_half_file_is_used(
    there, profile_of, tmp_path, impatient
):
    (tmp_path / "big.bin").write_bytes(bytes(20_000_000))
    with opened(profile_of(there)) as device:
        there.link.cut_after(5_000_000)
        with pytest.raises(EdgekitError) as raised:
            device.push(tmp_path / "big.bin")
        assert kind_of(raised) == FailureKind.link_lost
        there.restore_link()
        pushed = device.push(tmp_path / "big.bin")
        assert there.path(pushed).stat().st_size == 20_000_000
        assert left(there, device) == []
        there.link.throttle(4_000_000)  # so that there is a middle of the pull
        threading.Timer(1.0, there.cut_link).start()
        with pytest.raises(EdgekitError) as raised:
            device.pull(pushed, tmp_path / "back.bin")
        assert kind_of(raised) == FailureKind.link_lost
        there.restore_link()
        device.prepare()
        assert left(there, device) == []


def test_a_disk_that_fills_during_a_push_is_told_and_no_half_file_stays(there, profile_of, tmp_path, impatient):
    (tmp_path / "big.bin").write_bytes(bytes(20_000_000))
    with opened(profile_of(there)) as device:
        there.link.throttle(8_000_000)  # so that there is a middle of the push
        threading.Timer(1.0, there.fill_disk, (2_000_000,)).start()
        with pytest.raises(EdgekitError, match=r"became full, and [\d.]+ MB of big.bin had no room") as raised:
            device.push(tmp_path / "big.bin")
        assert kind_of(raised) == FailureKind.disk_full
        assert "edgekit device clean lab" in raised.value.failure.hint
        assert left(there, device) == []
        there.free_disk()
        there.link.restore()
        device.push(tmp_path / "big.bin")


def test_a_slow_link_is_slow_and_one_that_crawls_is_lost(there, profile_of, tmp_path, impatient, monkeypatch):
    (tmp_path / "file.bin").write_bytes(bytes(2_000_000))
    (tmp_path / "other.bin").write_bytes(bytes(6_000_000))
    with opened(profile_of(there)) as device:
        there.link.throttle(2_000_000)
        device.push(tmp_path / "file.bin")
        monkeypatch.setattr(files, "SLOWEST_LINK", 1_000_000)
        there.link.throttle(60_000)  # something always moves, and it would take 100 s
        start = time.monotonic()
        with pytest.raises(EdgekitError) as raised:
            device.push(tmp_path / "other.bin")
        assert kind_of(raised) == FailureKind.link_lost
        assert time.monotonic() - start < 60
        there.link.restore()


def test_a_clock_that_jumps_changes_nothing(android, profile_of):
    with opened(profile_of(android)) as device, meanwhile(android, lambda: android.jump_clock(86_400)):
        assert device.run(SLEEP, 30).stdout == "slept\n"


def test_a_process_that_the_system_kills_for_memory_has_that_status(android, profile_of):
    with opened(profile_of(android)) as device:
        with meanwhile(android, lambda: android.kill_low_memory("^sleep 96")):
            assert device.run(("sleep", "96"), 30).exit_status == 137
        with pytest.raises(EdgekitError) as raised, meanwhile(android, lambda: android.kill_low_memory("sleep 96")):
            device.run(("sleep", "96"), 30)  # and the shell that waits for it
        assert kind_of(raised) == FailureKind.out_of_memory


def test_a_reboot_during_a_run_is_told_and_the_device_is_prepared_again(android, profile_of, impatient, monkeypatch):
    monkeypatch.setattr(shell, "RECONNECT_SECONDS", 30.0)
    with opened(profile_of(android)) as device:
        device.prepare()
        with pytest.raises(EdgekitError) as raised, meanwhile(android, android.reboot):
            device.run(("sleep", "95"), 60)
        assert kind_of(raised) == FailureKind.rebooted
        assert device.preparation.prepared
        assert device.run(("echo", "again"), 30).stdout == "again\n"


def test_a_disk_that_fills_while_a_program_runs_is_told_and_ends_nothing_else(android, profile_of):
    with opened(profile_of(android)) as device:
        with (
            pytest.raises(EdgekitError, match="no status of sh on lab could be written") as raised,
            meanwhile(android, android.fill_disk),
        ):
            device.run(SLEEP, 30)
        assert kind_of(raised) == FailureKind.disk_full
        android.free_disk()
        android.fill_disk()  # again: the first program's folder has left room
        with pytest.raises(EdgekitError) as raised:
            device.run(("sleep", "97"), 30)
        assert kind_of(raised) == FailureKind.disk_full
        assert not any("sleep 97" in process for process in android.processes())
        android.free_disk()
        assert device.run(SLEEP, 30).stdout == "slept\n"
        assert left(android, device) == []


def test_a_full_disk_is_told_of_a_preparation_too(android, profile_of):
    with opened(profile_of(android)) as device:
        device.clean()
        device.check(f"mkdir -p {device.root}")
        android.fill_disk()
        with pytest.raises(EdgekitError) as raised:
            device.prepare()
        assert kind_of(raised) == FailureKind.disk_full
        android.free_disk()
        device.prepare()
        assert device.run(("echo", "ready"), 30).stdout == "ready\n"


def test_what_a_phone_refuses_is_left_out_and_told(android, profile_of, caplog):
    settings = android.path("/system/bin/settings").read_text()
    refusing = "[ $1 = get ] && echo 3 && exit 0; echo 'SecurityException: no WRITE_SECURE_SETTINGS'; exit 255\n"
    android.write("/system/bin/settings", f"#!/system/bin/sh\n{refusing}", mode=0o755)
    with opened(profile_of(android)) as device:
        device.prepare()
        (refused,) = device.state()["not_prepared"]
        assert "SecurityException: no WRITE_SECURE_SETTINGS" in refused
        assert device.state()["clock_rung"] == "fixed-performance"
    assert "is measured without a step that it refused" in caplog.text
    assert not android.path("/data/local/tmp/edgekit-device/restore.sh").exists()
    android.write("/system/bin/settings", settings, mode=0o755)


def test_revoked_keys_are_told(there, profile_of, impatient):
    profile = profile_of(there)
    with opened(profile):
        there.revoke()
    deadline = time.monotonic() + 20
    while True:
        with pytest.raises(EdgekitError) as raised:
            open_device(profile)
        # An adb server connects again after up to 10 s. Only then it learns that its key is not known any more.
        if kind_of(raised) != FailureKind.offline or profile.kind != "android" or time.monotonic() > deadline:
            break
        time.sleep(0.5)
    assert kind_of(raised) == FailureKind.unauthorized
    assert raised.value.failure.hint


def test_what_a_killed_edgekit_left_is_undone_by_another_process(android, profile_of, edgekit, tmp_path):
    profile = profile_of(android)
    before = android.state()
    (tmp_path / "lab.yaml").write_text(profile.model_dump_json(exclude_none=True))
    program = f"""
import os
from edgekit.devices.base import open_device
from edgekit.devices.profile import load_profile
import threading
device = open_device(load_profile({str(tmp_path / "lab.yaml")!r}))
device.prepare()
threading.Timer(1.0, os._exit, (9,)).start()
device.run(("sleep", "94"), 60)
"""
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 9
    assert any("sleep 94" in process for process in android.processes())
    done = edgekit("devices", "restore", tmp_path / "lab.yaml")
    assert done.returncode == 0, done.stderr
    assert not any("sleep 94" in process for process in android.left_running())
    assert "is restored" in done.stdout
    assert android.state() == before
    assert "nothing to restore" in edgekit("devices", "restore", tmp_path / "lab.yaml").stdout
    assert "was removed" in edgekit("devices", "clean", tmp_path / "lab.yaml").stdout


def test_what_cannot_be_undone_is_named_stays_written_down_and_hides_no_outcome(
    android, profile_of, edgekit, tmp_path, caplog
):
    before, settings = android.state(), android.path("/system/bin/settings").read_text()
    (tmp_path / "lab.yaml").write_text(profile_of(android).model_dump_json(exclude_none=True))
    with opened(profile_of(android)) as device:
        device.prepare()
        android.write("/system/bin/settings", "#!/system/bin/sh\necho no such service >&2\nexit 20\n", mode=0o755)
    told = "`settings put global stay_on_while_plugged_in 0` failed: no such service"
    assert told in caplog.text
    assert android.state()["fixed_performance"] == "0"  # the others are undone
    with pytest.raises(EdgekitError, match="is not as it was found") as raised, opened(profile_of(android)) as device:
        device.prepare()
    assert told in raised.value.failure.message
    done = edgekit("devices", "restore", tmp_path / "lab.yaml")
    assert done.returncode == 1
    assert told in " ".join(done.stderr.split())
    android.write("/system/bin/settings", settings, mode=0o755)
    assert "is restored" in edgekit("devices", "restore", tmp_path / "lab.yaml").stdout
    assert android.state() == before


@pytest.mark.parametrize("asleep", ["Asleep", "Dozing"])
def test_a_phone_that_dozes_and_was_never_told_to_stay_awake_is_woken_and_forgets_that(android, profile_of, asleep):
    android.run(f"settings delete {STAY_ON}; echo {asleep} > /lab/state/wakefulness")
    with opened(profile_of(android)) as device:
        device.prepare()
        state = android.state()
        assert (state["wakefulness"], state[f"settings.{STAY_ON.replace(' ', '.')}"]) == ("Awake", "7")
    assert android.state()["wakefulness"] == "Asleep"
    assert android.run(f"settings get {STAY_ON}") == "null\n"


def test_a_phone_without_a_fixed_performance_mode_is_measured_and_restored(make_android, profile_of):
    phone = make_android(Scenario(fixed_performance_offered=False))
    before = phone.state()
    with opened(profile_of(phone)) as device:
        device.prepare()
        assert device.state()["clock_rung"] != "fixed-performance"
        assert device.restore()
    assert phone.state() == before


def test_only_processes_of_ours_are_ended(android, profile_of):
    """A pid that a killed edgekit left may be anybody's after a reboot, or when its process had ended."""
    with opened(profile_of(android)) as device:
        stranger = device.check(
            "trap '' HUP; setsid sleep 77 < /dev/null > /dev/null 2>&1 & echo $!; sleep 0.5"
        ).strip()
        assert any("sleep 77" in process for process in android.processes())
        boot_id = device.check(device.system.boot_id).strip()
        for name, boot in (("rebooted", "another boot"), ("reused", boot_id)):
            work = f"{device.root}/work/{name}"
            device.check(f"mkdir -p {work} && cd {work} && echo {stranger} > pid; echo '{boot}' > boot; echo 1 > born")
        device.restore()
        assert left(android, device) == []
        assert any("sleep 77" in process for process in android.processes())
        device.check(f"kill {stranger}")


def test_a_boards_command_has_its_time_and_not_more_and_both_outputs_are_read(board, profile_of):
    with opened(profile_of(board)) as device:
        client = device.link.client
        for command in ("exec >&- 2>&-; sleep 40", "while :; do echo; sleep 0.2; done"):
            start = time.monotonic()
            with pytest.raises(EdgekitError, match="not done after 2 s") as raised:
                device.link.shell(command, 2)
            assert kind_of(raised) == FailureKind.timed_out
            assert time.monotonic() - start < 10
        done = device.link.shell("head -c 6000000 /dev/zero | tr '\\0' x >&2; echo done", 20)
        assert (done.stdout, len(done.stderr)) == ("done\n", 6_000_000)
        assert device.link.client is client  # the connection is the first one


def test_a_quiet_command_is_not_a_lost_link_and_a_cut_link_is_noticed_during_one(board, profile_of, monkeypatch):
    monkeypatch.setattr(ssh, "SILENT_SECONDS", 0.5)
    monkeypatch.setattr(ssh, "ANSWER_SECONDS", 1.0)
    with opened(profile_of(board)) as device:
        assert device.link.shell("sleep 3; echo done", 20).stdout == "done\n"
        start = time.monotonic()
        with (
            pytest.raises(EdgekitError, match="it did not answer for") as raised,
            meanwhile(board, board.cut_link),
        ):
            device.link.shell("sleep 40", 40)
        assert kind_of(raised) == FailureKind.link_lost
        assert time.monotonic() - start < 10
        board.restore_link()


@pytest.mark.parametrize("bytes_more", [1, 60, 120, 200])
def test_a_link_that_breaks_while_a_command_starts_is_noticed(board, profile_of, monkeypatch, bytes_more):
    monkeypatch.setattr(ssh, "SILENT_SECONDS", 0.5)
    monkeypatch.setattr(ssh, "ANSWER_SECONDS", 1.0)
    with opened(profile_of(board)) as device:
        start = time.monotonic()
        board.link.cut_after(bytes_more)
        with pytest.raises(EdgekitError) as raised:
            device.link.shell("true", 15)
        assert kind_of(raised) == FailureKind.link_lost
        assert time.monotonic() - start < 10
        board.restore_link()


def test_a_lost_link_to_a_board_is_reported_within_20_seconds(board, profile_of):
    cut = []

    def pull_the_cable():
        board.cut_link()
        cut.append(time.monotonic())

    def failure(device):
        with pytest.raises(EdgekitError, match="was lost while a program ran") as raised:
            device.run(("sleep", "99"), 120)
        return kind_of(raised)

    with opened(profile_of(board)) as device, meanwhile(board, pull_the_cable):
        assert failure(device) == FailureKind.link_lost
        assert time.monotonic() - cut[0] < 20
        board.restore_link()


def test_connections_that_fail_leave_no_thread(board, profile_of):
    before = threading.active_count()
    for _ in range(3):
        with pytest.raises(EdgekitError):
            open_device(profile_of(board).model_copy(update={"user": "nobody"}))
    deadline = time.monotonic() + 5
    while threading.active_count() > before and time.monotonic() < deadline:
        time.sleep(0.05)
    assert threading.active_count() <= before


@pytest.mark.parametrize("key", ["key", "known_hosts"])
def test_a_file_that_a_profile_names_and_that_is_not_there_is_told(board, profile_of, key):
    with pytest.raises(EdgekitError, match=f"there is no file /nosuch, which is named as its {key}"):
        open_device(profile_of(board).model_copy(update={key: "/nosuch"}))


@pytest.mark.parametrize("what", ["empty", "garbage", "a folder"])
def test_a_damaged_adb_key_is_told(android, profile_of, tmp_path, what):
    key = tmp_path / "adbkey"
    if what == "a folder":
        key.mkdir()
    else:
        for name in ("adbkey", "adbkey.pub"):
            (tmp_path / name).write_text("" if what == "empty" else "garbage")
    with pytest.raises(EdgekitError, match="adbkey is not a key that edgekit can read") as raised:
        open_device(profile_of(android).model_copy(update={"key": str(key)}))
    assert kind_of(raised) == FailureKind.unauthorized


def test_an_ssh_key_with_a_passphrase_and_a_file_that_is_no_key_are_named(board, profile_of, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))  # which has no key of its own
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    key = tmp_path / ".ssh" / "id_ed25519"
    key.parent.mkdir()
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "secret", "-f", key], check=True)
    (tmp_path / "empty").write_text("")
    (tmp_path / "words").write_text("no key\n")
    for named, why, hint in (
        (str(key), "id_ed25519 has a passphrase", f"ssh-add {key}"),
        (None, "id_ed25519 has a passphrase", f"ssh-add {key}"),
        (
            str(tmp_path / "empty"),
            "empty is not a private key that edgekit can read: it is empty",
            "`key` in the profile",
        ),
        (str(tmp_path / "words"), "it does not have the format of a key", "`key` in the profile"),
        (f"{board.key}.pub", "it is a public key. The private one is the file beside it", "`key` in the profile"),
        (str(tmp_path), "there is no file", "`key` in the profile"),
    ):
        with pytest.raises(EdgekitError, match=why) as raised:
            open_device(profile_of(board).model_copy(update={"key": named}))
        assert kind_of(raised) == (FailureKind.usage if named == str(tmp_path) else FailureKind.unauthorized)
        assert hint in raised.value.failure.hint


@pytest.mark.parametrize(("garbage", "said"), [(b"host ssh-ed25519 a!\n", "host ssh-ed25519 a!"), (b"\xff\n", "utf-8")])
def test_a_file_of_known_hosts_that_is_none_is_named(board, profile_of, tmp_path, garbage, said):
    (tmp_path / "known").write_bytes(garbage)
    with pytest.raises(EdgekitError, match="known cannot be read as a list of host keys") as raised:
        open_device(profile_of(board).model_copy(update={"known_hosts": str(tmp_path / "known")}))
    assert kind_of(raised) == FailureKind.usage
    assert said in raised.value.failure.message


def test_a_port_where_nobody_listens_or_nobody_speaks_ssh_is_told_in_words(impatient, capfd):
    with socket.create_server(("127.0.0.1", 0)) as silent:  # the system accepts, nobody answers
        port = silent.getsockname()[1]
        profile = load_profile("raspberry-pi-5", ("host=127.0.0.1", f"port={port}", "user=pi"))
        with pytest.raises(EdgekitError, match="does not answer as SSH does") as raised:
            open_device(profile)
        assert kind_of(raised) == FailureKind.offline
    with pytest.raises(EdgekitError, match=rf"SSH \(pi@127.0.0.1:{port}\): Connection refused\.$"):
        open_device(profile)
    assert capfd.readouterr().err == ""
