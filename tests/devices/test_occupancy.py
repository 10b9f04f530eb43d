"""Several people with one board: no two measure at once, and who comes second reads who is first."""

import os
import socket
import subprocess
import sys
import time

import pytest

from edgekit.devices import occupancy, shell
from edgekit.devices.base import open_device, opened
from edgekit.devices.occupancy import NAME
from edgekit.errors import EdgekitError, FailureKind

NOTES = "/dev/shm"


@pytest.fixture
def two(board, profile_of):
    """A board with a second account, and both accounts' profiles."""
    board.add_account("second", 1600)
    return profile_of(board), profile_of(board, user="second")


def notes(board):
    return [name for name in board.files(NOTES) if name.startswith(NAME)]


def refused(device):
    with pytest.raises(EdgekitError) as raised:
        device.prepare()
    assert raised.value.failure.kind == FailureKind.device_busy
    return raised.value.failure


def test_another_account_waits_until_the_first_is_done(board, two):
    first, second = map(open_device, two)
    first.prepare()
    failure = refused(second)
    assert f"at {socket.gethostname()} measures on lab since " in failure.message
    assert failure.message.endswith("(0 min), as its user board.")
    assert first.run(("echo", "undisturbed"), 20).stdout == "undisturbed\n"
    assert len(notes(board)) == 1
    first.release()
    assert notes(board) == []
    second.prepare()
    assert second.run(("id", "-un"), 20).stdout == "second\n"
    second.release()
    assert notes(board) == []


def test_nothing_is_installed_on_a_board_while_another_measures(board, two):
    first, second = map(open_device, two)
    first.prepare()
    with pytest.raises(EdgekitError, match="measures on lab") as raised:
        second.setup()
    assert raised.value.failure.kind == FailureKind.device_busy
    first.release()
    second.release()


def test_two_people_with_one_account_do_not_end_each_others_programs(board, two):
    first, second = open_device(two[0]), open_device(two[0])
    first.prepare()
    assert "as its user board" in refused(second).message
    second.release()
    assert first.run(("echo", "undisturbed"), 20).stdout == "undisturbed\n"
    first.release()


def test_a_killed_edgekit_of_this_computer_holds_nothing_and_its_note_is_removed(board, two, tmp_path):
    (tmp_path / "lab.yaml").write_text(two[0].model_dump_json(exclude_none=True))
    program = f"""
import os
from edgekit.devices.base import open_device
from edgekit.devices.profile import load_profile
open_device(load_profile({str(tmp_path / "lab.yaml")!r})).prepare()
os._exit(9)
"""
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 9
    assert len(notes(board)) == 1
    with opened(two[1]) as other:
        other.prepare()  # another account cannot remove the note, and need not
        assert len(notes(board)) == 2
    with opened(two[0]) as same:
        same.prepare()
        assert len(notes(board)) == 1
    assert notes(board) == []


def test_a_killed_edgekit_of_another_computer_holds_the_board_until_its_note_is_old(board, two, monkeypatch):
    device = open_device(two[0])
    with monkeypatch.context() as elsewhere:
        elsewhere.setattr(occupancy, "this_computer", lambda: "another")
        device.prepare()
    device.link.close()  # and never comes back
    second = open_device(two[1])
    assert "expires 2 min after" in refused(second).hint
    (note,) = notes(board)
    old = time.time() - 2 * occupancy.STALE_SECONDS
    os.utime(board.path(f"{NOTES}/{note}"), (old, old))
    second.prepare()
    second.release()


def test_notes_of_before_a_reboot_do_not_count(board, two, monkeypatch):
    device = open_device(two[0])
    device.prepare()
    device.link.close()
    monkeypatch.setattr(occupancy, "STALE_SECONDS", 1e9)
    board.reboot()
    assert len(notes(board)) == 1  # the lab's memory stays, as a disk's /tmp does
    with opened(two[1]) as second:
        second.prepare()


def test_one_whose_note_became_too_old_gives_way(board, two):
    first, second = map(open_device, two)
    first.prepare()
    (note,) = notes(board)
    old = time.time() - 2 * occupancy.STALE_SECONDS
    os.utime(board.path(f"{NOTES}/{note}"), (old, old))
    second.prepare()
    for _ in range(2):
        with pytest.raises(EdgekitError, match="as its user second") as raised:
            first.run(("echo", "both"), 20)
        assert raised.value.failure.kind == FailureKind.device_busy
        first.shell.beat()
    assert second.run(("echo", "alone"), 20).stdout == "alone\n"
    first.release()
    second.release()


def test_the_note_is_kept_fresh_while_the_board_is_used(board, two, monkeypatch):
    monkeypatch.setattr(shell, "BEAT_SECONDS", 0.2)
    with opened(two[0]) as device:
        device.prepare()
        (note,) = notes(board)
        old = time.time() - 100
        os.utime(board.path(f"{NOTES}/{note}"), (old, old))
        device.run(("sleep", "1"), 20)
        assert board.path(f"{NOTES}/{note}").stat().st_mtime > old + 50


def test_two_that_enter_at_once_do_not_both_stay(board, two):
    first, second = map(open_device, two)
    listed = second.occupancy._others
    answers = iter([(*listed()[:3], [])])  # the second has looked before the first wrote
    first.prepare()
    second.occupancy._others = lambda: next(answers, None) or listed()
    refused(second)
    assert len(notes(board)) == 1
    assert first.run(("echo", "undisturbed"), 20).stdout == "undisturbed\n"
    first.release()
    second.release()
