"""How long a push takes over the real adbd, beside Debian's own adb client."""

import os
import socket
import subprocess
import time

import pytest

from edgekit.devices.adb.link import AdbLink

TMP = "/data/local/tmp"


@pytest.mark.device
@pytest.mark.timing
@pytest.mark.parametrize("connection", ["tcp", "server"])
@pytest.mark.parametrize(("where", "bytes_per_second"), [("in memory", 0), ("as over USB 2", 40e6)])
def test_30_megabytes_take_less_than_four_times_as_long_as_by_debians_own_client(
    where, bytes_per_second, connection, android, profile_of, debians_adb, tmp_path
):
    (tmp_path / "file").write_bytes(os.urandom(30_000_000))
    link = AdbLink(profile_of(android, connection=connection))
    link.connect()
    android.link.throttle(bytes_per_second)
    ours, theirs = [], []
    for _ in range(5):  # in turn, so that what else this machine does falls on both
        ours.append(seconds(link.send, tmp_path / "file", f"{TMP}/by-edgekit", 60))
        theirs.append(seconds(debians_adb, "push", tmp_path / "file", f"{TMP}/by-adb"))
    link.close()
    assert android.path(f"{TMP}/by-edgekit").read_bytes() == android.path(f"{TMP}/by-adb").read_bytes()
    ratio = min(ours) / min(theirs)
    print(
        f"30 MB, {where}, {connection}: edgekit {min(ours):.2f} s, adb {min(theirs):.2f} s, {ratio:.2f} times as long"
    )
    assert ratio < 4


@pytest.fixture
def debians_adb(android, tmp_path, monkeypatch):
    """The client, connected to the phone by a server of its own."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
    for variable, value in {
        "HOME": tmp_path,
        "ANDROID_USER_HOME": tmp_path,
        "ADB_VENDOR_KEYS": android.key,
        "ANDROID_ADB_SERVER_PORT": port,
    }.items():
        monkeypatch.setenv(variable, str(value))

    def run(*arguments):
        subprocess.run(["adb", *arguments], check=True, capture_output=True, timeout=60)

    run("connect", f"{android.host}:{android.port}")
    run("wait-for-device")
    yield run
    run("kill-server")


def seconds(work, *arguments):
    start = time.monotonic()
    work(*arguments)
    return time.monotonic() - start
