"""The migrations make the tables that the schema describes, once, and leave alone what is not theirs."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import create_engine, inspect

from edgekit.errors import EdgekitError, FailureKind
from edgekit.ledger import Ledger, database
from edgekit.ledger.schema import Base


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "ledger.sqlite"


def differences(path: Path) -> list[object]:
    with create_engine(f"sqlite:///{path}").connect() as connection:
        return list(compare_metadata(MigrationContext.configure(connection), Base.metadata))


def test_migrating_an_empty_file_gives_the_schema(path: Path) -> None:
    path.touch()
    assert len(differences(path)) >= len(Base.metadata.tables)
    Ledger.open(f"sqlite:///{path}").close()
    assert differences(path) == []


def test_constraints_have_the_names_of_the_schema(path: Path, tmp_path: Path) -> None:
    """The comparison overlooks names and primary keys, which a later migration in batch mode goes by."""
    Ledger.open(f"sqlite:///{path}").close()
    migrated = inspect(create_engine(f"sqlite:///{path}"))
    plain = create_engine(f"sqlite:///{tmp_path / 'plain.sqlite'}")
    Base.metadata.create_all(plain)
    described = inspect(plain)
    for table in Base.metadata.tables:
        assert migrated.get_pk_constraint(table) == described.get_pk_constraint(table)
        assert migrated.get_unique_constraints(table) == described.get_unique_constraints(table)
        named = [{key["name"] for key in found.get_foreign_keys(table)} for found in (migrated, described)]
        assert named[0] == named[1]


def test_opening_again_changes_nothing(path: Path) -> None:
    with Ledger.open(f"sqlite:///{path}") as ledger:
        run_id = ledger.begin_run("deploy", 1, {}, {})
    before = path.read_bytes()
    with Ledger.open(f"sqlite:///{path}") as ledger:
        assert [run.id for run in ledger.runs()] == [run_id]
    assert path.read_bytes() == before


@pytest.mark.parametrize("journal", ["wal", "delete"])
def test_a_newer_ledger_is_refused_untouched(path: Path, journal: str) -> None:
    Ledger.open(f"sqlite:///{path}").close()
    newer = sqlite3.connect(path, isolation_level=None)
    newer.execute(f"PRAGMA journal_mode = {journal}")
    newer.execute("UPDATE alembic_version SET version_num = '9999'")
    newer.close()
    before = path.read_bytes()
    with pytest.raises(EdgekitError, match="written by a newer edgekit") as caught:
        Ledger.open(f"sqlite:///{path}")
    failure = caught.value.failure
    assert (failure.kind, failure.stage) == (FailureKind.ledger, "ledger")
    assert str(path) in failure.message
    assert "9999" in failure.message
    assert "0002" in failure.hint
    assert path.read_bytes() == before


def test_a_newer_edgekit_that_is_faster_is_noticed(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    @contextmanager
    def lock_after_the_newer_one(name: str, timeout: float) -> Iterator[None]:
        monkeypatch.undo()
        Ledger.open(f"sqlite:///{path}").close()
        newer = sqlite3.connect(path, isolation_level=None)
        newer.execute("UPDATE alembic_version SET version_num = '9999'")
        newer.close()
        yield

    monkeypatch.setattr(database, "FileLock", lock_after_the_newer_one)
    with pytest.raises(EdgekitError, match="written by a newer edgekit"):
        Ledger.open(f"sqlite:///{path}")


def test_somebody_elses_database_is_refused_untouched(path: Path) -> None:
    other = sqlite3.connect(path)
    other.execute("CREATE TABLE bookmarks (id INTEGER)")
    other.close()
    before = path.read_bytes()
    with pytest.raises(EdgekitError, match="not a ledger: it holds bookmarks"):
        Ledger.open(f"sqlite:///{path}")
    assert path.read_bytes() == before


def test_a_migration_that_is_cut_off_leaves_nothing_behind(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from alembic import command

    upgrade = command.upgrade

    def cut_off(*arguments: object) -> None:
        upgrade(*arguments)  # type: ignore[arg-type]
        raise KeyboardInterrupt

    monkeypatch.setattr(command, "upgrade", cut_off)
    with pytest.raises(KeyboardInterrupt):
        Ledger.open(f"sqlite:///{path}")
    assert inspect(create_engine(f"sqlite:///{path}")).get_table_names() == []
    monkeypatch.undo()
    Ledger.open(f"sqlite:///{path}").close()
    assert differences(path) == []


def test_a_ledger_under_a_folder_with_a_percent_sign(tmp_path: Path) -> None:
    path = tmp_path / "100%s" / "ledger.sqlite"
    Ledger.open(f"sqlite:///{path}").close()
    assert differences(path) == []


def test_the_migrations_are_found_in_a_folder_with_a_percent_sign(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    installed = tmp_path / "50%(here)s" / "ledger"
    installed.parent.mkdir()
    installed.symlink_to(Path(database.__file__).parent)
    monkeypatch.setattr(database, "__file__", str(installed / "database.py"))
    Ledger.open(f"sqlite:///{path}").close()
    assert differences(path) == []


def test_a_ledger_of_the_first_revision_keeps_its_rows(path: Path) -> None:
    with Ledger.open(f"sqlite:///{path}") as ledger:
        run_id = ledger.begin_run("deploy", 1, {}, {})
    older = sqlite3.connect(path, isolation_level=None)
    older.execute("DROP TABLE accuracies")
    older.execute("UPDATE alembic_version SET version_num = '0001'")
    older.close()
    with Ledger.open(f"sqlite:///{path}") as ledger:
        assert [run.id for run in ledger.runs()] == [run_id]
        assert ledger.accuracies() == []
    assert differences(path) == []
