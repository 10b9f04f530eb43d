"""How programs run on a device and what becomes of them, over this computer's shell."""

import threading
from contextlib import contextmanager
from pathlib import Path

import pytest
from local_device import Box, running, wait_for

from edgekit.devices import programs, shell
from edgekit.errors import EdgekitError, FailureKind


@pytest.fixture
def box(tmp_path, monkeypatch):
    monkeypatch.setattr(programs, "POLL_SECONDS", (0.01, 0.05))
    monkeypatch.setattr(shell, "RETRY_SECONDS", 0.01)
    box = Box(tmp_path)
    yield box
    box.link.broken = 0
    box.restore()


@contextmanager
def meanwhile(command, step):
    """Do a step from when a process with this command line exists."""

    def work():
        wait_for(lambda: running(command))
        step()

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield
    finally:
        thread.join()


def failure_of(box, *arguments, timeout=30):
    with pytest.raises(EdgekitError) as raised:
        box.run(arguments, timeout)
    return raised.value.failure


def test_a_program_ends_with_its_status_and_both_outputs(box):
    done = box.run(("sh", "-c", "echo 'out $HOME \"'; echo err >&2; exit 7"), 30)
    assert (done.exit_status, done.stdout, done.stderr) == (7, 'out $HOME "\n', "err\n")
    assert box.left() == []


def test_a_program_over_its_time_limit_is_killed_with_its_children(box):
    failure = failure_of(box, "sh", "-c", "sleep 97.1 & sleep 98.1", timeout=0.2)
    assert (failure.kind, failure.message) == (FailureKind.timed_out, "sh on box ran for more than 0 s and was killed.")
    assert not running("sleep 97.1")
    assert not running("sleep 98.1")
    assert box.left() == []


def test_a_link_that_breaks_for_a_while_loses_nothing(box):
    with meanwhile("sleep 0.51", lambda: setattr(box.link, "broken", 5)):
        assert box.run(("sh", "-c", "sleep 0.51; echo slept"), 30).stdout == "slept\n"
    assert box.link.connections >= 5
    assert box.left() == []


def test_a_link_that_stays_broken_is_lost_and_the_program_is_stopped_before_the_next(box, monkeypatch):
    monkeypatch.setattr(shell, "RECONNECT_SECONDS", 0.2)
    with meanwhile("sleep 96.1", lambda: setattr(box.link, "broken", 10**6)):
        failure = failure_of(box, "sleep", "96.1")
    assert failure.kind == FailureKind.link_lost
    assert "box was lost while a program ran: The link is broken." in failure.message
    assert running("sleep 96.1")
    box.link.broken = 0
    assert box.run(("echo", "next"), 30).stdout == "next\n"
    assert not running("sleep 96.1")


def test_a_program_of_a_killed_edgekit_is_stopped_by_the_next(box, tmp_path, monkeypatch):
    monkeypatch.setattr(shell, "RECONNECT_SECONDS", 0.1)
    with meanwhile("sleep 95.1", lambda: setattr(box.link, "broken", 10**6)):
        failure_of(box, "sleep", "95.1")
    another = Box(tmp_path)
    assert another.restore()
    assert not running("sleep 95.1")
    assert not another.restore()


def test_only_processes_of_ours_are_stopped(box):
    """A pid that a killed edgekit left may belong to another program after a reboot, or when its process had ended."""
    command = "trap '' HUP; setsid sleep 77.1 < /dev/null > /dev/null 2>&1 & echo $!"
    stranger = box.check(command).strip()
    wait_for(lambda: running("sleep 77.1"))
    for name, boot in (("rebooted", "another boot"), ("reused", "first")):
        work = f"{box.root}/work/{name}"
        box.check(f"mkdir -p {work} && cd {work} && echo {stranger} > pid; echo '{boot}' > boot; echo 1 > born")
    box.restore()
    assert box.left() == []
    assert running("sleep 77.1")
    box.check(f"kill {stranger}")


def test_a_program_that_vanishes_without_a_status_was_killed_for_memory(box):
    def kill_both():
        (pid,) = Path(box.root, "work").glob("*/pid")
        box.check(f"kill -9 -{pid.read_text()}")

    with meanwhile("sleep 94.1", kill_both):
        failure = failure_of(box, "sleep", "94.1")
    assert failure.kind == FailureKind.out_of_memory
    assert "sleep on box vanished without an exit status" in failure.message


def test_a_reboot_while_a_program_runs_is_reported_and_the_device_is_prepared_again(box):
    box.prepare()
    with meanwhile("sleep 93.1", lambda: box.boot.write_text("second\n")):
        assert failure_of(box, "sleep", "93.1").kind == FailureKind.rebooted
    assert box.preparation.prepared
    assert box.run(("echo", "again"), 30).stdout == "again\n"
    box.check("pkill -x -f 'sleep 93.1'; true")


def test_a_reboot_between_two_programs_is_reported_by_the_second(box):
    box.prepare()
    box.boot.write_text("second\n")
    assert failure_of(box, "true").kind == FailureKind.rebooted
    assert box.run(("echo", "again"), 30).stdout == "again\n"
    assert box.left() == []


def test_a_device_that_was_not_prepared_may_reboot_between_two_programs(box):
    box.run(("true",), 30)
    box.boot.write_text("second\n")
    assert box.run(("echo", "again"), 30).stdout == "again\n"


def test_a_device_that_another_edgekit_prepared_is_left_to_it(box, tmp_path):
    box.prepare()
    another = Box(tmp_path)
    with meanwhile("sleep 92.1", another.prepare):
        failure = failure_of(box, "sleep", "92.1")
    assert failure.kind == FailureKind.device_busy
    assert failure_of(box, "true").message.startswith("Another edgekit has taken box over")
    box.release()
    assert another.run(("echo", "mine"), 30).stdout == "mine\n"


def test_the_capsules_loader_is_not_the_programs_name():
    assert (
        programs._program(("/x/ld.so", "--library-path", "/x/lib", "/x/bin/litert_runner", "--model"))
        == "litert_runner"
    )
    assert programs._program(("/x/bin/litert_runner",)) == "litert_runner"
