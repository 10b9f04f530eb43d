"""The lab itself, asked by the same clients that edgekit uses: adb-shell and paramiko."""

import io
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from itertools import takewhile
from pathlib import Path

import paramiko
import pytest
from adb_shell.adb_device import AdbDeviceTcp
from adb_shell.auth.keygen import keygen
from adb_shell.auth.sign_pythonrsa import PythonRSASigner
from adb_shell.exceptions import AdbTimeoutError, DeviceAuthError, TcpTimeoutException

from lab import roots
from lab.adbd_auth import with_authentication
from lab.android import AndroidLab
from lab.board import BoardLab
from lab.scenario import PIXEL_3_CPUS, Scenario

pytestmark = [pytest.mark.device, pytest.mark.lab]
MEGABYTE = 1 << 20
TMP = "/data/local/tmp"


def adb(phone, signer=None, seconds=5.0):
    device = AdbDeviceTcp(phone.host, phone.port, default_transport_timeout_s=seconds)
    device.connect(rsa_keys=[signer or phone.signer()], auth_timeout_s=seconds)
    return device


def ssh(board):
    client = paramiko.SSHClient()
    client.load_host_keys(str(board.known_hosts))
    client.connect(
        board.host, board.port, username=board.user, key_filename=str(board.key), look_for_keys=False, allow_agent=False
    )
    return client


def said(client, command):
    return client.exec_command(command)[1].read().decode().strip()


@pytest.fixture
def stranger(tmp_path):
    keygen(str(tmp_path / "key"))
    return PythonRSASigner((tmp_path / "key.pub").read_text(), (tmp_path / "key").read_text())


def mounts_of_the_lab():
    with open("/proc/mounts") as mounts:
        return [line for line in mounts if "edgekit-lab-" in line]


def test_a_known_key_connects_and_runs_commands_as_the_shell_user(android):
    device = adb(android)
    assert device.shell("id -u").strip() == "2000"
    assert device.shell("getprop ro.product.model").strip() == "Pixel 3"
    assert "[ro.soc.model]: [SDM845]" in device.shell("getprop")
    # What makes the daemon work here must not reach what it starts: a runner brings its own libraries.
    assert not {"LD_PRELOAD", "ANDROID_SOCKET_adbd"} & set(device.shell("env | cut -d= -f1").split())


def test_the_owner_decides_about_an_unknown_key(android, stranger):
    with pytest.raises((DeviceAuthError, TcpTimeoutException, AdbTimeoutError, ConnectionError)):
        adb(android, stranger, seconds=1)
    assert len(android.asked) == 1
    android.dialog = "allow"
    assert adb(android, stranger).shell("echo in").strip() == "in"
    android.dialog = "never"
    with pytest.raises((DeviceAuthError, TcpTimeoutException, AdbTimeoutError)):
        adb(android, stranger, seconds=1)
    android.dialog = "always"
    adb(android, stranger)
    android.dialog = "never"
    assert adb(android, stranger).shell("echo known").strip() == "known"


def test_a_revoked_key_is_a_strangers(android):
    adb(android)
    android.revoke()
    with pytest.raises((DeviceAuthError, TcpTimeoutException, AdbTimeoutError)):
        adb(android, seconds=1)


def test_files_go_to_the_phone_and_come_back_and_are_counted(android):
    device, data = adb(android), os.urandom(3 * MEGABYTE)
    before = android.link.sent
    device.push(io.BytesIO(data), f"{TMP}/folder/file")
    assert len(data) < android.link.sent - before < 1.1 * len(data)
    back = io.BytesIO()
    device.pull(f"{TMP}/folder/file", back)
    assert back.getvalue() == data
    assert android.files(TMP) == ["folder", "folder/file"]


def test_a_link_cut_in_the_middle_of_a_push_leaves_a_part(android):
    device, size = adb(android, seconds=1), 8 * MEGABYTE
    android.link.cut_after(2 * MEGABYTE)
    with pytest.raises((TcpTimeoutException, AdbTimeoutError)):
        device.push(io.BytesIO(bytes(size)), f"{TMP}/file", read_timeout_s=1)
    assert 0 < android.path(f"{TMP}/file").stat().st_size < size
    android.link.drop()
    android.restore_link()
    # The daemon removes what did not arrive whole.
    assert adb(android).stat(f"{TMP}/file") == (0, 0, 0)


def test_a_slow_link_is_slow(android):
    device = adb(android)
    android.link.throttle(2 * MEGABYTE)
    start = time.monotonic()
    device.push(io.BytesIO(bytes(MEGABYTE)), f"{TMP}/file")
    assert 0.4 < time.monotonic() - start < 3


def test_a_reboot_ends_everything_and_changes_the_boot_id(android):
    device = adb(android, seconds=2)
    device.shell("cmd power set-fixed-performance-mode-enabled true")
    device.shell("svc power stayon usb")
    device.shell("trap '' HUP; sleep 60 >/dev/null 2>&1 &")
    device.push(io.BytesIO(b"stays"), f"{TMP}/file")
    boot = device.shell("cat /proc/sys/kernel/random/boot_id").strip()
    assert boot == android.boot_id() and android.left_running(0.5) == ["sleep 60"]
    android.reboot()
    assert android.processes() == []
    again = adb(android)
    assert again.shell("cat /proc/sys/kernel/random/boot_id").strip() == android.boot_id() != boot
    assert again.shell(f"cat {TMP}/file") == "stays"
    assert android.state()["fixed_performance"] == "0"
    assert android.state()["settings.global.stay_on_while_plugged_in"] == "2"


def test_a_full_disk_takes_no_more(android):
    device = adb(android, seconds=2)
    android.fill_disk(leave=MEGABYTE)
    assert "No space left" in device.shell(f"head -c 2000000 /dev/zero > {TMP}/file")
    device.shell(f"rm {TMP}/file")
    android.free_disk()
    assert device.shell(f"head -c 2000000 /dev/zero > {TMP}/file; echo $?").strip() == "0"


def test_heat_shows_in_what_the_phone_says(android):
    device = adb(android)
    assert "Thermal Status: 0" in device.shell("dumpsys thermalservice")
    android.heat(43.5)
    said = device.shell("dumpsys thermalservice")
    assert "Thermal Status: 4" in said
    assert "Temperature{mValue=43.5, mType=3, mName=skin, mStatus=4}" in said
    assert "temperature: 405" in device.shell("dumpsys battery")


def test_what_commands_change_is_noted(android):
    device, before = adb(android), android.state()
    device.shell("input keyevent KEYCODE_SLEEP; settings put global stay_on_while_plugged_in 3")
    assert "mWakefulness=Asleep" in device.shell("dumpsys power")
    assert device.shell("settings get global stay_on_while_plugged_in").strip() == "3"
    assert android.state() != before
    device.shell("settings put global stay_on_while_plugged_in 0; input keyevent KEYCODE_WAKEUP")
    assert android.state() == before
    assert [change.partition("=")[0] for change in android.changes()] == [
        "wakefulness",
        "settings.global.stay_on_while_plugged_in",
        "settings.global.stay_on_while_plugged_in",
        "wakefulness",
    ]


def test_a_phone_without_fixed_performance_and_with_cpus_of_its_own(make_android):
    phone = make_android(Scenario(fixed_performance_offered=False, cpus=PIXEL_3_CPUS))
    device = adb(phone)
    refusal = device.shell("cmd power set-fixed-performance-mode-enabled true; echo $?")
    assert refusal.startswith("Failed to set FIXED_PERFORMANCE mode") and refusal.strip().endswith("255")
    assert device.shell("cat /sys/devices/system/cpu/cpu7/cpufreq/cpuinfo_max_freq").strip() == "2803200"
    phone.clock_cpu(7, 825600)
    assert device.shell("cat /sys/devices/system/cpu/cpu7/cpufreq/scaling_cur_freq").strip() == "825600"


def test_the_system_kills_for_memory_and_the_daemon_dies_alone(android):
    device = adb(android)
    device.shell("trap '' HUP; sleep 61 >/dev/null 2>&1 & sleep 62 >/dev/null 2>&1 &")
    assert android.kill_low_memory("sleep 61") == 1
    android.kill_daemon()
    assert android.left_running(0.5) == ["sleep 62"]
    with pytest.raises((ConnectionError, TcpTimeoutException, AdbTimeoutError)):
        device.shell("echo", read_timeout_s=1)
    android.restart()
    assert adb(android).shell("echo back").strip() == "back"


def test_the_clock_jumps(android):
    device = adb(android)
    android.jump_clock(-86400)
    assert abs(int(device.shell("date +%s")) - time.time() + 86400) < 5


def test_nothing_is_left_of_a_stopped_phone(missing):
    if reason := roots.lacking("android-amd64"):
        missing(reason)
    with AndroidLab() as phone:
        adb(phone).shell("trap '' HUP; sleep 63 >/dev/null 2>&1 &")
        pids, port = phone._pids(), phone.port
        assert len(pids) >= 2
    assert not [pid for pid in pids if os.path.exists(f"/proc/{pid}")]
    assert not phone.folder.exists() and not mounts_of_the_lab()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((phone.host, port))


def test_authentication_is_switched_on_in_exactly_one_place(missing):
    if reason := roots.lacking("android-amd64"):
        missing(reason)
    usual, patched = (roots.root("android-amd64") / file for file in (roots.ADBD, roots.ANDROID_PROGRAM))
    assert sum(a != b for a, b in zip(usual.read_bytes(), patched.read_bytes(), strict=True)) == 2
    with pytest.raises(ValueError, match="found 0 times"):
        with_authentication(patched.read_bytes())


def test_a_board_takes_commands_and_files(board):
    with ssh(board) as client:
        assert said(client, "whoami; echo $HOME") == "board\n/home/board"
        assert said(client, "cat /sys/class/thermal/thermal_zone0/temp") == "41500"
        board.heat(70)
        assert said(client, "cat /sys/class/thermal/thermal_zone0/temp") == "70000"
        assert said(client, "cat /sys/firmware/devicetree/base/model") == "Lab Board\0"
        assert said(client, "python3 -c 'import numpy; print(numpy.arange(3).sum())'") == "3"
        assert client.exec_command("exit 7")[1].channel.recv_exit_status() == 7
        with client.open_sftp() as sftp:
            sftp.putfo(io.BytesIO(b"data"), "file")
            assert sftp.stat("file").st_size == 4
    assert "file" in board.files(board.disk)


def test_a_board_refuses_other_keys_and_is_not_taken_for_another(board, tmp_path):
    other = paramiko.RSAKey.generate(2048)
    client = paramiko.SSHClient()
    client.load_host_keys(str(board.known_hosts))
    with client, pytest.raises(paramiko.AuthenticationException):
        client.connect(board.host, board.port, board.user, pkey=other, look_for_keys=False, allow_agent=False)
    board.change_host_key()
    with pytest.raises(paramiko.BadHostKeyException):
        ssh(board)


def test_what_happens_on_a_board_does_not_reach_this_machine(board):
    board.run("touch /etc/edgekit-lab-was-here && rm -rf /usr/share/doc")
    assert not os.path.exists("/etc/edgekit-lab-was-here") and os.path.exists("/usr/share/doc")


def test_a_board_that_reboots_is_another_boot(board):
    with ssh(board) as client:
        client.exec_command("nohup sleep 64 >/dev/null 2>&1 &")
        boot = said(client, "cat /proc/sys/kernel/random/boot_id")
        board.reboot()
        assert board.processes() == []
    with ssh(board) as client:
        assert said(client, "cat /proc/sys/kernel/random/boot_id") == board.boot_id() != boot


def test_a_boards_clock_jumps(board):
    board.jump_clock(3600)
    with ssh(board) as client:
        assert abs(int(said(client, "date +%s")) - time.time() - 3600) < 5


def test_a_boards_disk_fills_and_its_link_is_cut(board):
    with ssh(board) as client:
        board.fill_disk()
        assert "No space left" in client.exec_command("head -c 100000 /dev/zero > file")[2].read().decode()
        board.free_disk()
        board.cut_link()
        answers = []
        asking = threading.Thread(target=lambda: answers.append(said(client, "echo through")))
        asking.start()
        asking.join(0.5)
        assert not answers
        board.restore_link()
        asking.join(5)
        assert answers == ["through"]


def test_nothing_is_left_of_a_stopped_board(missing):
    if reason := roots.lacking():
        missing(reason)
    with BoardLab() as board:
        with ssh(board) as client:
            client.exec_command("nohup sleep 65 >/dev/null 2>&1 &")
            said(client, "true")
        pids = board._pids()
    assert pids and not [pid for pid in pids if os.path.exists(f"/proc/{pid}")]
    assert not board.folder.exists() and not mounts_of_the_lab()


def test_an_arm64_phone(android_arm64, stranger):
    device = adb(android_arm64, seconds=20)
    assert device.shell("uname -m; getprop ro.product.cpu.abi").split() == ["aarch64", "arm64-v8a"]
    data = os.urandom(MEGABYTE)
    device.push(io.BytesIO(data), f"{TMP}/file")
    back = io.BytesIO()
    device.pull(f"{TMP}/file", back)
    assert back.getvalue() == data
    with pytest.raises((DeviceAuthError, TcpTimeoutException, AdbTimeoutError, ConnectionError)):
        adb(android_arm64, stranger, seconds=2)


def test_an_arm64_board(board_arm64):
    with ssh(board_arm64) as client:
        assert said(client, "uname -m") == "aarch64"
        assert said(client, "python3 -c 'import platform; print(platform.machine())'") == "aarch64"
        with client.open_sftp() as sftp:
            sftp.putfo(io.BytesIO(b"data"), "file")
        client.exec_command("nohup sleep 66 >/dev/null 2>&1 &")
        assert said(client, "cat file") == "data"
        assert board_arm64.left_running() == ["sleep 66"]
        board_arm64.reboot()
    assert board_arm64.processes() == []
    with ssh(board_arm64) as client:
        assert said(client, "cat file") == "data"


def test_make_lab_says_what_to_do_first(missing):
    if reason := roots.lacking("android-arm64", "qemu"):
        missing(reason)
    lab = subprocess.Popen(
        [sys.executable, "-m", "tests.lab"], cwd=Path(__file__).parents[2], stdout=subprocess.PIPE, text=True
    )
    with lab:
        printed = list(takewhile(lambda line: not line.startswith("Ctrl-C"), lab.stdout))
        lab.send_signal(signal.SIGTERM)
    assert any("edgekit device check lab-android" in line for line in printed)
