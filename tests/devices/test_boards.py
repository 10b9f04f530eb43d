"""Boards that are set up otherwise than most, over their real sshd."""

import subprocess

import pytest
from lab.board import SSHD, USER_ID

from edgekit.devices.base import open_device, opened
from edgekit.errors import EdgekitError, FailureKind


@pytest.fixture
def refused(profile_of):
    """Do something with a board, all of it where nothing else is named, and return the failure."""

    def failure(board, do=lambda device: device.run(("true",), 10), **more):
        profile = profile_of(board).model_copy(update=more)
        with pytest.raises(EdgekitError) as raised, opened(profile) as device:
            do(device)
        return raised.value.failure

    return failure


@pytest.fixture
def file(tmp_path):
    (tmp_path / "file").write_text("content")
    return tmp_path / "file"


def test_what_login_files_print_is_no_answer(board, profile_of, file):
    board.write(f"{board.disk}/.bashrc", "echo Welcome\necho Careful >&2\n", owner=USER_ID)
    with opened(profile_of(board)) as device:
        assert device.root == f"{board.disk}/.cache/edgekit-device"
        done = device.link.shell("echo out; echo err >&2; exit 3", 10)
        assert (done.exit_status, done.stdout, done.stderr) == (3, "out\n", "err\n")
        device.pull(device.push(file), file.with_name("back"))
    assert file.with_name("back").read_text() == "content"


def test_a_local_folder_that_is_missing_is_no_matter_of_the_link(board, profile_of, file):
    with opened(profile_of(board)) as device:
        there = device.push(file)
        with pytest.raises(FileNotFoundError):
            device.link.fetch(there, file.with_name("nowhere") / "back", 10)
        with pytest.raises(FileNotFoundError):
            device.link.send(file.with_name("nothing"), f"{device.root}/nothing", 10)


def test_an_sftp_server_that_a_login_file_disturbs_is_told(board, refused, file):
    board.configure(SSHD.replace("internal-sftp", "/usr/lib/openssh/sftp-server"))
    board.write(f"{board.disk}/.bashrc", "echo Welcome\n", owner=USER_ID)
    failure = refused(board, lambda device: device.push(file))
    assert failure.kind == FailureKind.unsupported_device
    assert "as if a login file prints" in failure.message
    assert "interactive shells only" in failure.hint


@pytest.mark.parametrize("server", ["", "Subsystem sftp /usr/libexec/no-sftp-server"])  # as OpenSSH's, as Dropbear's
def test_a_board_without_sftp_is_told_what_to_install(board, refused, file, server):
    board.configure(SSHD.replace("Subsystem sftp internal-sftp", server))
    failure = refused(board, lambda device: device.push(file))
    assert failure.kind == FailureKind.unsupported_device
    assert "it has no SFTP server" in failure.message
    assert "openssh-sftp-server" in failure.hint


@pytest.mark.parametrize(
    ("ends", "said"),
    [("nologin", "prints: This account is currently not available."), ("exit", "status 4 and prints: nothing")],
)
def test_an_account_without_a_shell_is_told(board, refused, ends, said):
    if ends == "nologin":
        users = board.path("/etc/passwd").read_text()
        board.write("/etc/passwd", users.replace(f"{board.disk}:/bin/bash", f"{board.disk}:/usr/sbin/nologin"))
    else:
        board.write(f"{board.disk}/.bashrc", "exit 4\n", owner=USER_ID)
    failure = refused(board)
    assert failure.kind == FailureKind.no_permission
    assert "the account has no shell" in failure.message
    assert said in failure.message


def test_a_board_that_ends_after_too_many_keys_asks_for_one(board, refused, profile_of, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    (tmp_path / ".ssh").mkdir()
    for kind in ("ecdsa", "ed25519"):
        subprocess.run(["ssh-keygen", "-q", "-t", kind, "-N", "", "-f", tmp_path / f".ssh/id_{kind}"], check=True)
    board.configure(f"{SSHD}MaxAuthTries 2\n")
    failure = refused(board, key=None)
    assert failure.kind == FailureKind.unauthorized
    assert "after too many" in failure.message
    assert "EDGEKIT_LAB_KEY" in failure.hint
    open_device(profile_of(board)).release()


def test_a_board_of_other_algorithms_is_told(board, refused):
    board.configure(f"{SSHD}KexAlgorithms diffie-hellman-group1-sha1\n")
    failure = refused(board)
    assert failure.kind == FailureKind.unsupported_device
    assert "no algorithm in common" in failure.message


def test_what_a_board_does_not_tell_is_unknown(board, profile_of):
    board.path("/etc/os-release").unlink()
    board.run("echo > /meminfo; for file in meminfo cpuinfo; do mount --bind /meminfo /proc/$file; done")
    with opened(profile_of(board)) as device:
        identity = device.identify()
    assert identity.os_build.startswith("unknown, Linux ")
    assert [identity.facts[key] for key in ("soc", "cpus", "memory_kb")] == ["unknown"] * 3


@pytest.mark.parametrize("key", ["model", "serial"])
def test_another_board_than_the_profiles_is_refused(board, profile_of, refused, key):
    with opened(profile_of(board)) as device:
        itself = getattr(device.identify(), key)
    failure = refused(board, **{key: "another"})
    assert failure.kind == FailureKind.unsupported_device
    assert f"is for the {key} 'another', but the device at SSH (" in failure.message
    assert itself in failure.message
    open_device(profile_of(board, **{key: itself})).release()


def test_a_setup_without_internet_says_that_it_lacks_it(board, refused):
    board.write(f"{board.disk}/.config/pip/pip.conf", "[global]\nretries = 1\ntimeout = 2\n")
    failure = refused(board, lambda device: device.setup())
    assert "Temporary failure in name resolution" in failure.message
    assert "No matching distribution found for ai-edge-litert" in failure.message
    assert "pip needs internet on lab, or an index" in failure.hint
