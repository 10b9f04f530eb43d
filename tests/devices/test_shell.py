"""Commands in a device's shell, over this computer's."""

import time

import pytest
from local_device import BreakableLink

from edgekit.devices import shell
from edgekit.devices.shell import Shell
from edgekit.errors import EdgekitError, FailureKind


@pytest.fixture
def there(tmp_path, monkeypatch):
    monkeypatch.setattr(shell, "RETRY_SECONDS", 0.01)
    return Shell(BreakableLink(), f"{tmp_path}/root", "box")


@pytest.mark.parametrize(
    ("command", "kind", "said"),
    [
        (
            "echo out; echo why >&2; exit 3",
            FailureKind.crashed,
            "box answered with status 3 to `echo out; .*`: out\\n+why",
        ),
        ("echo 'cp: No space left on device' >&2; exit 1", FailureKind.disk_full, "No space left"),
    ],
)
def test_a_command_that_fails_says_why(there, command, kind, said):
    with pytest.raises(EdgekitError, match=said) as raised:
        there.check(command)
    assert raised.value.failure.kind == kind
    assert raised.value.failure.hint == ""


def test_a_folder_that_cannot_be_made_points_to_the_profile(there):
    with pytest.raises(EdgekitError) as raised:
        there.check("mkdir /proc/nothing")
    assert f"may write to {there.root}, or set `folder`" in raised.value.failure.hint


@pytest.mark.parametrize("root", ["/home/bo ard/x", "relative", "/a;b", "/$HOME"])
def test_a_folder_whose_path_a_shell_would_misread_is_refused(root):
    with pytest.raises(EdgekitError, match="would keep edgekit's files in") as raised:
        Shell(BreakableLink(), root, "box")
    assert raised.value.failure.kind == FailureKind.usage


def test_a_broken_link_is_made_again_until_the_deadline(there):
    there.link.broken = 3
    assert there.check_patiently("echo here", time.monotonic() + 20) == "here\n"
    assert there.link.connections == 3
    there.link.broken = 10**6
    with pytest.raises(EdgekitError, match="box was lost while a program ran: The link is broken") as raised:
        there.check_patiently("echo here", time.monotonic() + 0.05)
    assert raised.value.failure.kind == FailureKind.link_lost


def test_a_command_that_fails_is_not_tried_again(there):
    with pytest.raises(EdgekitError, match="status 3"):
        there.check_patiently("exit 3", time.monotonic() + 20)
    assert there.link.connections == 0


def test_hashes_and_texts_are_read(there, tmp_path):
    file = tmp_path / "it's a file"
    file.write_text("abc")
    digest = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert there.hashes(str(file), f"{tmp_path}/nothing") == {str(file): digest}
    assert there.read(str(file)) == "abc"
