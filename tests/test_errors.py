"""The one list of failures: how each is shown, what says that a disk is full, and how a command ends."""

import errno
import sqlite3

import pytest

from edgekit.errors import EdgekitError, ExitCode, Failure, FailureKind, UsageError, disk_is_full, failure_of, refused


def test_a_failure_is_one_line_for_people():
    failure = Failure(FailureKind.offline, "reach", "The phone is off.", "Switch it on.")
    assert failure.explanation == "The phone is off. Switch it on."
    assert failure.line("pixel") == "pixel: device offline: The phone is off. Switch it on."
    assert Failure(FailureKind.offline, "reach", "It is off.").line("pixel") == "pixel: device offline: It is off."


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (UsageError("Name a recipe."), ExitCode.usage),
        (UsageError("A bad key.", kind=FailureKind.recipe), ExitCode.usage),
        (EdgekitError(FailureKind.usage, "push", "The tool is not here."), ExitCode.usage),
        (EdgekitError(FailureKind.recipe, "weights", "The checkpoint does not fit."), ExitCode.failure),
        (EdgekitError(FailureKind.crashed, "measure", "It crashed."), ExitCode.failure),
        (KeyError("a bug"), ExitCode.failure),
    ],
)
def test_wrong_input_has_an_exit_code_of_its_own(error, code):
    assert ExitCode.of(failure_of(error, "edgekit")) == code


def full_database(tmp_path):
    with sqlite3.connect(tmp_path / "full.sqlite") as database:
        database.execute("pragma max_page_count = 2")
        with pytest.raises(sqlite3.Error) as raised:
            database.executescript("create table t (x); insert into t values (randomblob(100000));")
    return raised.value


def test_a_full_disk_is_recognised_from_what_everybody_says_of_it(tmp_path):
    assert disk_is_full(OSError(errno.ENOSPC, "any language"))
    assert disk_is_full(OSError(errno.EDQUOT, "any language"))
    assert disk_is_full(RuntimeError("I/O error: No space left on device (os error 28)"))
    assert disk_is_full("cp: x: No space left on device")
    assert disk_is_full(full_database(tmp_path))
    assert not disk_is_full(OSError(errno.EIO, "Input/output error"))
    assert not disk_is_full(sqlite3.OperationalError("database is locked"))
    assert refused(OSError(errno.ENOSPC, "full"), "cache").failure.kind == FailureKind.disk_full
