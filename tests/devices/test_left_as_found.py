"""A device is left as it was found, by whatever way it is reached and whatever is killed on the way.

That is: settings, held clocks, files and processes.
"""

import signal
import subprocess
import sys

import pytest
import tiny

TARGET = "tflite/xnnpack/fp32"
LOGS = {"/lab/changes", "/lab/logcat"}
"""What the lab itself writes down."""


def is_phone(device):
    return hasattr(device, "changes")


def snapshot(device):
    """Return everything that a program of the device's account could have changed."""
    places = "/data /lab/state /dev/shm /dev/socket" if is_phone(device) else f"{device.disk} /dev/shm /tmp /var/tmp"
    account = "shell" if is_phone(device) else device.user
    find = f"for place in {places}; do [ -d $place ] && find $place -xdev -user {account} $type; done"
    files = sorted(set(device.run(f"type=; {find}; true").splitlines()) - LOGS)
    hash_them = 'while read -r file; do sha256sum "$file"; done'
    hashes = sorted(device.run(f"type='-type f'; {find} | {hash_them}; true").splitlines())
    hashes = [line for line in hashes if line.split(maxsplit=1)[1] not in LOGS]
    settings = device.state() if is_phone(device) else {}
    return {"files": files, "hashes": hashes, "settings": settings, "running": device.left_running()}


def without_cache_folder(found):
    """Leave out ``~/.cache``, which belongs to the account and not to edgekit."""
    return {**found, "files": [file for file in found["files"] if not file.endswith("/.cache")]}


@pytest.fixture(params=["android directly", "android through a server", "board"])
def way(request, profile_of, tmp_path):
    """A device, the adb server on the way to it or None, and a function that runs edgekit on it."""
    name, _, server = request.param.partition(" through ")
    device = request.getfixturevalue(name.partition(" ")[0])
    on_the_way = request.getfixturevalue("make_adb_server")(device) if server else None
    if on_the_way:
        device.connection = "server"
    (tmp_path / "lab.yaml").write_text(profile_of(device).model_dump_json(exclude_none=True))
    return device, on_the_way


def start(tmp_path, *options):
    command = ["deploy", *tiny.OPTIONS, "--target", TARGET, "--device", tmp_path / "lab.yaml", *options]
    return subprocess.Popen(
        [sys.executable, "-m", "edgekit", *map(str, command)],
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
    )


def test_after_a_deploy_only_edgekits_own_folder_is_new_and_clean_removes_it(way, tmp_path, edgekit, capsule, ledger):
    device, server = way
    before = snapshot(device)
    process = start(tmp_path)
    process.communicate(timeout=300)
    assert process.returncode == 0
    after = snapshot(device)
    assert (after["settings"], after["running"]) == (before["settings"], [])
    new = set(after["files"]) - set(before["files"])
    assert new, "the runner is kept on the device"
    assert all("/edgekit-device" in file or file.endswith("/.cache") for file in new), new
    assert edgekit("device", "clean", tmp_path / "lab.yaml").returncode == 0
    assert without_cache_folder(snapshot(device)) == before
    assert server is None or server.is_running()


def test_after_a_kill_one_command_brings_everything_back(way, tmp_path, edgekit, capsule, ledger):
    device, server = way
    before = snapshot(device)
    process = start(tmp_path, "--protocol", "1t-big")
    for line in process.stderr:
        if "session 1 of" in line:
            break
    if server:
        server.kill(signal.SIGKILL)
    process.kill()
    process.communicate(timeout=60)
    if is_phone(device):
        assert snapshot(device)["settings"] != before["settings"], "or there is nothing to bring back"
    if server:
        server.start()
        server.connect(device)
    done = edgekit("device", "restore", tmp_path / "lab.yaml")
    assert done.returncode == 0, done.stderr
    assert "is restored" in done.stdout or not is_phone(device)  # a board's last program may have ended by itself
    restored = snapshot(device)
    assert (restored["settings"], restored["running"]) == (before["settings"], [])
    assert edgekit("device", "clean", tmp_path / "lab.yaml").returncode == 0
    assert without_cache_folder(snapshot(device)) == before
