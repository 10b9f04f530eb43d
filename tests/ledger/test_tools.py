"""What a ledger holds is counted, and compacting it loses nothing."""

import sqlite3

import pytest
from sqlalchemy.dialects import registry
from sqlalchemy.dialects.sqlite.pysqlite import SQLiteDialect_pysqlite

from edgekit.errors import EdgekitError, FailureKind, UsageError
from edgekit.ledger import Ledger
from edgekit.ledger.tools import info, vacuum


class Elsewhere(SQLiteDialect_pysqlite):
    """Stands in for a server's database, whose driver is not installed here."""

    name = "elsewhere"


@pytest.fixture
def filled(ledger, tmp_path):
    """The file of a ledger with three runs, one of them done."""
    runs = [ledger.begin_run("deploy", seed, {}, {}) for seed in range(3)]
    ledger.finish_run(runs[0], "done")
    ledger.record_device("identity", "host", {})
    ledger.close()
    return tmp_path / "ledger.sqlite"


def test_info_counts_rows_and_runs(filled, ledger):
    found = info()
    assert found.place == str(filled)
    assert found.size_bytes == filled.stat().st_size
    assert found.rows == {
        "devices": 1,
        "runs": 3,
        "artifacts": 0,
        "failures": 0,
        "measurements": 0,
        "sessions": 0,
        "accuracies": 0,
    }
    assert found.runs_by_status == {"done": 1, "running": 2}
    newest, _, oldest = ledger.runs()
    assert (found.oldest, found.newest) == (oldest.started_at, newest.started_at)
    with sqlite3.connect(filled) as connection:
        assert connection.execute("SELECT version_num FROM alembic_version").fetchall() == [(found.revision,)]


def test_info_of_a_ledger_with_a_bad_date_says_that_it_is_damaged(filled):
    with sqlite3.connect(filled) as connection:
        connection.execute("UPDATE runs SET started_at = 'yesterday'")
    connection.close()
    with pytest.raises(EdgekitError, match=r"is damaged: .*'yesterday'"):
        info()


def test_info_of_an_empty_ledger(tmp_path):
    url = f"sqlite:///{tmp_path}/empty.sqlite"
    Ledger.open(url).close()
    found = info(url)
    assert (found.oldest, found.newest, found.runs_by_status) == (None, None, {})


@pytest.mark.parametrize("look", [info, vacuum])
def test_looking_at_no_ledger_makes_none(tmp_path, look):
    with pytest.raises(UsageError, match="There is no ledger at "):
        look(f"sqlite:///{tmp_path}/none.sqlite")
    assert list(tmp_path.iterdir()) == []


def test_vacuum_makes_the_file_smaller_and_keeps_every_row(filled):
    with sqlite3.connect(filled) as connection:
        connection.execute("CREATE TABLE waste AS SELECT randomblob(1000000) AS bytes")
    with sqlite3.connect(filled) as connection:
        connection.execute("DROP TABLE waste")
    connection.close()
    held = info()
    before, after = vacuum()
    assert before > 1_000_000 > after == filled.stat().st_size
    assert info().model_dump(exclude={"size_bytes"}) == held.model_dump(exclude={"size_bytes"})


def test_vacuum_of_a_ledger_that_is_being_written_is_refused(filled):
    writing = sqlite3.connect(filled, isolation_level=None)
    writing.execute("BEGIN IMMEDIATE")
    with pytest.raises(EdgekitError, match="is held by another process") as raised:
        vacuum()
    writing.close()
    assert raised.value.failure.retriable


def test_vacuum_of_anything_but_a_sqlite_file_is_refused_in_a_sentence():
    registry.impls["elsewhere"] = lambda: Elsewhere
    with pytest.raises(EdgekitError, match="is not a SQLite file") as raised:
        vacuum("elsewhere://person:secret@server/ledger")
    assert raised.value.failure.kind == FailureKind.ledger
    assert "secret" not in raised.value.failure.message


def test_vacuum_of_a_file_that_is_no_ledger_leaves_it_as_it_is(tmp_path):
    other = tmp_path / "other.sqlite"
    with sqlite3.connect(other) as connection:
        connection.execute("CREATE TABLE theirs (id)")
    connection.close()
    bytes_before = other.read_bytes()
    with pytest.raises(EdgekitError, match="not a ledger"):
        vacuum(f"sqlite:///{other}")
    assert other.read_bytes() == bytes_before
