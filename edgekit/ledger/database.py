"""Opening of the ledger's database, updates of its tables, and its errors as failures."""

from __future__ import annotations

import os
import sqlite3
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout
from platformdirs import user_data_dir
from sqlalchemy import URL, Connection, Engine, column, create_engine, event, inspect, make_url, select, table
from sqlalchemy.exc import ArgumentError, SQLAlchemyError
from sqlalchemy.pool import NullPool

from edgekit.config.settings import settings
from edgekit.errors import EdgekitError, FailureKind, UsageError, disk_is_full
from edgekit.ledger.schema import REVISION
from edgekit.redaction import redacted

VERSIONS = table("alembic_version", column("version_num"))
"""The table in which Alembic notes the revision."""
BUSY_TIMEOUT_MS = 10_000
LOCK_TIMEOUT_S = 60
URL_HINT = "Write a file as sqlite:////absolute/path/ledger.sqlite, or leave --ledger and EDGEKIT_LEDGER out."
OTHER_HINT = "Name another ledger with --ledger or EDGEKIT_LEDGER; this one was left as it is."

_REFUSALS: dict[int, tuple[FailureKind, str, str, bool]] = {
    sqlite3.SQLITE_BUSY: (
        FailureKind.ledger,
        "is held by another process",
        "Wait for the other edgekit, or close the program that has it open, and try again.",
        True,
    ),
    sqlite3.SQLITE_READONLY: (
        FailureKind.ledger,
        "cannot be written: the file or its folder is read-only",
        "Make both writable, or name another ledger with --ledger or EDGEKIT_LEDGER.",
        False,
    ),
    sqlite3.SQLITE_FULL: (
        FailureKind.disk_full,
        "cannot be written: the disk is full",
        "Free some space and try again; what was recorded before is safe.",
        True,
    ),
    sqlite3.SQLITE_CANTOPEN: (
        FailureKind.ledger,
        "cannot be opened",
        "Check that it is a file, not a folder, and that its folder may be written.",
        False,
    ),
    sqlite3.SQLITE_NOTADB: (FailureKind.ledger, "is not a ledger: the file is not a database", OTHER_HINT, False),
    sqlite3.SQLITE_CORRUPT: (
        FailureKind.ledger,
        "is damaged",
        "Restore a copy, or move the file away to begin a new ledger.",
        False,
    ),
}


def open_database(url: str | None, must_exist: bool = False) -> Engine:
    """Return an engine for the ledger at an SQLAlchemy URL, with its tables brought up to date.

    None means `EDGEKIT_LEDGER`, else `ledger.sqlite` in the user's data directory. EdgekitError (ledger, disk_full) if it
    cannot be used. A database that is not a ledger, or is a newer edgekit's, is not changed.
    UsageError if the ledger `must_exist` and does not. No file is created then.
    """
    address = address_of(url)
    path = sqlite_path(address)
    if must_exist and path and not path.is_dir() and not (path.is_file() and path.stat().st_size):
        hint = (
            "`edgekit deploy recipes/v3_large.yaml --device host` makes one; --ledger or EDGEKIT_LEDGER names another."
        )
        raise UsageError(f"There is no ledger at {path} yet.", hint)
    try:
        if path:
            path.parent.mkdir(parents=True, exist_ok=True)
        return _open(address, path)
    except Timeout as error:
        message = f"Another process has been setting up the ledger {place(address)} for {LOCK_TIMEOUT_S} s."
        raise EdgekitError(FailureKind.ledger, "ledger", message, "End it, then try again.", True) from error
    except OSError as error:
        full = disk_is_full(error)
        kind = FailureKind.disk_full if full else FailureKind.ledger
        hint = "Check that its folder may be written, or name another ledger with --ledger or EDGEKIT_LEDGER."
        message = f"The ledger {place(address)} cannot be opened: {error.strerror}: {error.filename}."
        raise EdgekitError(kind, "ledger", message, hint, retriable=full) from error
    except SQLAlchemyError as error:
        raise refusal(place(address), error) from error


def damaged(place: str, problem: object) -> EdgekitError:
    """Return the error for a ledger at `place` that holds what no edgekit wrote."""
    kind, sentence, hint, retriable = _REFUSALS[sqlite3.SQLITE_CORRUPT]
    return EdgekitError(kind, "ledger", f"The ledger {place} {sentence}: {problem}.", hint, retriable)


def place(url: URL) -> str:
    """Return what a person calls the ledger at `url`: the file's path, else the address without its password."""
    return str(sqlite_path(url) or redacted(url.render_as_string(hide_password=True)))


def refusal(place: str, error: SQLAlchemyError) -> EdgekitError:
    """Return the error that says in a sentence why the database at `place` refused; kind ledger or disk_full."""
    cause = getattr(error, "orig", None) or error
    # The low byte of an extended SQLite code is the class of the error.
    code = getattr(cause, "sqlite_errorcode", 0) & 0xFF
    generic = (FailureKind.ledger, f"refused: {cause}", "With --debug, edgekit shows where that happened.", False)
    kind, sentence, hint, retriable = _REFUSALS.get(code, generic)
    return EdgekitError(kind, "ledger", f"The ledger {place} {sentence}.", hint, retriable)


def address_of(url: str | None) -> URL:
    """Parse `url`, or find the default as :func:`open_database` says; UsageError if it does not store its data.

    An invalid URL may contain a password, so it is not shown.
    """
    text = url or os.environ.get("EDGEKIT_LEDGER") or settings().ledger
    if not text:
        return URL.create("sqlite", database=str(Path(user_data_dir("edgekit")) / "ledger.sqlite"))
    try:
        address = make_url(text)
        address.get_dialect().import_dbapi()
        _check_options(address)
    except (ArgumentError, ValueError) as error:
        shown = text.rpartition("@")[2]
        raise UsageError(f"{shown!r} is not the address of a ledger.", URL_HINT, FailureKind.ledger) from error
    except ImportError as error:
        message = f"The ledger {place(address)} needs a Python package that is not installed: {error.name}."
        raise EdgekitError(FailureKind.ledger, "ledger", message, f"pip install {error.name}") from error
    if address.get_backend_name() == "sqlite" and (address.database or ":memory:").startswith(":memory:"):
        message = f"The ledger {text} is only in memory and is lost when edgekit ends."
        raise UsageError(message, URL_HINT, FailureKind.ledger)
    return address


def _check_options(address: URL) -> None:
    """ValueError for options that its driver cannot read, UsageError for SQLite's own ``file:`` form of an address.

    Such an address may be a database in memory, and its path may differ from the rest of the URL.
    """
    if address.get_backend_name() == "sqlite":
        if (address.database or "").startswith("file:") or {"uri", "mode"} & set(address.query):
            message = f"The ledger {address.database} is written in SQLite's own form, `file:` with `uri` and `mode`."
            raise UsageError(message, URL_HINT, FailureKind.ledger)
        address.get_dialect()().create_connect_args(address)


def sqlite_path(url: URL) -> Path | None:
    """Return the file of an SQLite address; None for a server."""
    if url.get_backend_name() != "sqlite" or not url.database:
        return None
    return Path(url.database).absolute()


def _open(url: URL, path: Path | None) -> Engine:
    if _is_current(url):
        return _engine(url)
    # Alembic takes a moment to import, and only a ledger whose tables are not the current ones needs it.
    from alembic import command
    from alembic.config import Config
    from alembic.script import ScriptDirectory

    config = Config()
    # The value goes through a ConfigParser, to which a percent sign is special.
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations").replace("%", "%%"))
    known = [step.revision for step in ScriptDirectory.from_config(config).walk_revisions()]
    engine = _engine(url)
    # A database in memory is empty at first, and another one for each engine.
    if _revision(url, known) != known[0]:
        # SQLite refuses at once if two processes switch a new file to WAL together.
        with FileLock(f"{path}.lock", timeout=LOCK_TIMEOUT_S) if path else nullcontext():
            # Check again: a newer edgekit may have held the lock before.
            _revision(url, known)
            # One transaction around all of it: a migration that is killed leaves nothing behind.
            with engine.execution_options(writes=True).begin() as connection:
                config.attributes["connection"] = connection
                command.upgrade(config, "head")
    return engine


def _is_current(url: URL) -> bool:
    """Return whether the tables are those of the schema. The connection is a plain one, as that of :func:`_revision`."""
    with create_engine(url, poolclass=NullPool).connect() as connection:
        if not inspect(connection).has_table(VERSIONS.name):
            return False
        return list(connection.scalars(select(VERSIONS.c.version_num))) == [REVISION]


def _revision(url: URL, known: list[str]) -> str | None:
    """Return the revision of the tables, None without tables; refuse a database that is not ours or newer than us.

    `known` is newest first. The connection is a plain one, because switching to WAL would change the file.
    """
    from alembic.migration import MigrationContext
    from alembic.util import CommandError

    with create_engine(url, poolclass=NullPool).connect() as connection:
        # In this order: another process may create the tables in between.
        tables = inspect(connection).get_table_names()
        try:
            revision = MigrationContext.configure(connection).get_current_revision()
        except CommandError as error:
            raise damaged(place(url), "its tables have several revisions") from error
    if revision is None and tables:
        message = f"{place(url)} is a database, but not a ledger: it holds {', '.join(sorted(tables)[:3])}."
        raise EdgekitError(FailureKind.ledger, "ledger", message, OTHER_HINT)
    if revision is not None and revision not in known:
        message = f"The ledger {place(url)} was written by a newer edgekit: its tables are at revision {revision}."
        hint = f"Upgrade edgekit, which knows revisions up to {known[0]}. {OTHER_HINT}"
        raise EdgekitError(FailureKind.ledger, "ledger", message, hint)
    return revision


def _engine(url: URL) -> Engine:
    engine = create_engine(url)
    if url.get_backend_name() == "sqlite":
        event.listen(engine, "connect", _on_connect)
        event.listen(engine, "begin", _on_begin)
    return engine


def _on_connect(connection: sqlite3.Connection, _record: Any) -> None:
    connection.execute(f"PRAGMA busy_timeout = {BUSY_TIMEOUT_MS}")
    connection.execute("PRAGMA foreign_keys = ON")
    connection.execute("PRAGMA journal_mode = WAL")


def _on_begin(connection: Connection) -> None:
    # Python by itself would begin a transaction only before a row changes, and leave tables outside of it.
    # A transaction that reads first and writes later is refused at once when another wrote in between: so a writer
    # waits for its turn before it reads.
    writes = connection.get_execution_options().get("writes", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")
