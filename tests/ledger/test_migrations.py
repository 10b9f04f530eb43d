"""The migrations make the tables that the schema describes, once, and leave alone what is not theirs."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Engine, MetaData, create_engine, insert, inspect

from edgekit.errors import EdgekitError, FailureKind
from edgekit.ledger import Ledger, database, store
from edgekit.ledger.models import model_hash
from edgekit.ledger.schema import REVISION, Base


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


def test_the_revision_of_the_schema_is_that_of_the_newest_migration() -> None:
    """By it a ledger is opened without Alembic, so a forgotten one would leave old tables."""
    assert ScriptDirectory(str(Path(database.__file__).parent / "migrations")).get_heads() == [REVISION]


def test_a_current_ledger_is_opened_without_alembic(path: Path) -> None:
    Ledger.open(f"sqlite:///{path}").close()
    code = "import sys; from edgekit.ledger import Ledger; Ledger.open(sys.argv[1]); print('alembic' in sys.modules)"
    command = [sys.executable, "-c", code, f"sqlite:///{path}"]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == "False\n"


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
    assert "0003" in failure.hint
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


# What an older edgekit wrote

SAMPLES = [[20_000_001, 20_000_003, 19_999_000, 2**40], [5], []]
TOLD = {"runs": 7, "mean": 3.5, "median": None}
MANIFEST = {
    "sha256": "a" * 64,
    "build_key": "key",
    "recipe": "v2",
    "recipe_hash": "hash",
    "variant": "1.0/224",
    "architecture": "mobilenet_v2",
    "target": "tflite/xnnpack/fp32",
    "format": "tflite",
    "size_bytes": 14_000_000,
    "model": {"width": 1.0},
    "weights": "random(0)",
}
MEASUREMENT = {
    "artifact_id": 1,
    "device_id": "id",
    "target": MANIFEST["target"],
    "protocol": {"name": "quick", "sessions": 3},
    "kind": "measured",
    "verdict": "stable",
    "summary": {"median": 20},
    "conditions": {},
}


def write_as_before(engine: Engine, revision: str) -> None:
    """Make the tables of an older revision, and write rows into them as the edgekit of that time did."""
    config = Config()
    config.set_main_option("script_location", str(Path(database.__file__).parent / "migrations"))
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, revision)
        tables = MetaData()
        tables.reflect(connection)
        now = datetime(2026, 3, 1, 12, 0, 0, 123456)

        def add(table: str, *rows: dict[str, Any]) -> None:
            connection.execute(insert(tables.tables[table]), rows)

        run = {"id": "run", "started_at": now, "command": "deploy", "seed": 2**40, "protocol": {}, "plan": {}}
        add("runs", {**run, "edgekit_version": "0.1", "status": "done"})
        add("devices", {"id": "id", "name": "pixel", "info": {"model": "Pixel 3"}, "first_seen": now})
        artifact = {name: MANIFEST[name] for name in store.ARTIFACT_FIELDS}
        add("artifacts", {**artifact, "id": 1, "run_id": "run", "manifest": MANIFEST, "recorded_at": now})
        add("measurements", *({**MEASUREMENT, "id": id, "started_at": now, "finished_at": now} for id in (1, 2)))
        session = {"measurement_id": 1, "started_at": now, "load_ns": 2**40, "first_ns": 9}
        environments = [{"core": 7}, {}, {"told": TOLD}]
        rows = zip(SAMPLES, environments, strict=True)
        add(
            "sessions",
            *(
                {**session, "id": block + 1, "block": block, "samples": samples, "environment": environment}
                for block, (samples, environment) in enumerate(rows)
            ),
        )


def check_nothing_was_lost(ledger: Ledger) -> None:
    (run,) = ledger.runs()
    assert (run.id, run.seed, run.started_at) == ("run", 2**40, datetime(2026, 3, 1, 12, 0, 0, 123456, tzinfo=UTC))
    assert [one.id for one in ledger.measurements()] == [2, 1]
    (found,) = ledger.measurements(latest=True, protocols=["quick"])
    assert (found.id, found.manifest, found.model) == (2, MANIFEST, model_hash(MANIFEST))
    assert (found.protocol, found.summary, found.device_info) == (
        MEASUREMENT["protocol"],
        {"median": 20},
        {"model": "Pixel 3"},
    )
    assert ledger.artifacts()[0].model == model_hash(MANIFEST)
    sessions = ledger.sessions(1)
    assert [one.samples for one in sessions] == SAMPLES
    assert [one.environment for one in sessions] == [{"core": 7}, {}, {"told": TOLD}]
    assert [one.centre_ns for one in sessions] == [20_000_002, 5, 3_500_000]
    assert {(one.load_ns, one.first_ns) for one in sessions} == {(2**40, 9)}
    assert ledger.session_centres([1, 2]) == {1: {0: 20.000002, 1: 5e-6, 2: 3.5}, 2: {}}


@pytest.mark.parametrize("revision", ["0001", "0002"])
def test_an_older_ledger_keeps_everything(path: Path, monkeypatch: pytest.MonkeyPatch, revision: str) -> None:
    migration = ScriptDirectory(str(Path(database.__file__).parent / "migrations")).get_revision("0003")
    assert migration is not None
    monkeypatch.setattr(migration.module, "BATCH", 2)
    engine = create_engine(f"sqlite:///{path}")
    write_as_before(engine, revision)
    engine.dispose()
    with Ledger.open(f"sqlite:///{path}") as ledger:
        check_nothing_was_lost(ledger)
        assert ledger.accuracies() == []
    assert differences(path) == []
    found = sqlite3.connect(path).execute("PRAGMA foreign_key_check").fetchall()
    assert found == []


def test_an_older_ledger_on_postgresql_keeps_everything(postgresql: str) -> None:
    engine = create_engine(postgresql)
    write_as_before(engine, "0002")
    with Ledger.open(postgresql) as ledger:
        check_nothing_was_lost(ledger)
    with engine.connect() as connection:
        assert list(compare_metadata(MigrationContext.configure(connection), Base.metadata)) == []
    engine.dispose()
