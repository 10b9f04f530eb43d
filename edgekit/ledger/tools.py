"""Maintenance of a ledger: its content and its size."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

from alembic.migration import MigrationContext
from sqlalchemy import Engine, create_engine, func, select
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.pool import NullPool

from edgekit.config.json_document import JsonDocument
from edgekit.errors import EdgekitError, FailureKind, printable
from edgekit.ledger.database import address_of, damaged, open_database, place, refusal, sqlite_path
from edgekit.ledger.schema import Base, RunRow


class LedgerInfo(JsonDocument):
    """What ``edgekit ledger info --json`` prints: what a ledger holds.

    `size_bytes` is None if it is not a file. `oldest` and `newest` are start times of runs, UTC.
    """

    place: str
    revision: str
    size_bytes: int | None
    rows: dict[str, int]
    runs_by_status: dict[str, int]
    oldest: datetime | None
    newest: datetime | None


def info(url: str | None = None) -> LedgerInfo:
    """Count the rows of the ledger at `url`; UsageError if there is none, other errors as :func:`open_database`."""
    engine = open_database(url, must_exist=True)
    try:
        return _info(engine)
    except SQLAlchemyError as error:
        raise refusal(place(engine.url), error) from error
    except (ValueError, TypeError) as error:
        raise damaged(place(engine.url), error) from error  # no date
    finally:
        engine.dispose()


def vacuum(url: str | None = None) -> tuple[int, int]:
    """Rewrite the ledger's file without gaps, and return its bytes before and after. No row is removed.

    UsageError if there is no ledger. EdgekitError (ledger) if it is not a SQLite file or is in use.
    EdgekitError (disk_full) if there is no room: compaction needs up to twice the file's bytes.
    """
    address = address_of(url)
    path = sqlite_path(address)
    if path is None:
        message = f"The ledger {place(address)} is not a SQLite file. edgekit compacts only SQLite files."
        raise EdgekitError(FailureKind.ledger, "ledger", message, "Use the tools of that database.")
    open_database(url, must_exist=True).dispose()  # fails if it is not a ledger
    before = _size(path)
    # A separate engine: VACUUM is not possible in a transaction, and the ledger's engine always begins one.
    engine = create_engine(address, isolation_level="AUTOCOMMIT", poolclass=NullPool)
    try:
        with engine.connect() as connection:
            connection.exec_driver_sql("VACUUM")
            connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
    except SQLAlchemyError as error:
        raise refusal(str(path), error) from error
    return before, _size(path)


def _info(engine: Engine) -> LedgerInfo:
    path = sqlite_path(engine.url)
    with engine.connect() as connection:
        oldest, newest = connection.execute(select(func.min(RunRow.started_at), func.max(RunRow.started_at))).one()
        by_status = select(RunRow.status, func.count()).group_by(RunRow.status).order_by(RunRow.status)
        return LedgerInfo(
            place=printable(place(engine.url)),
            revision=MigrationContext.configure(connection).get_current_revision() or "",
            size_bytes=_size(path) if path else None,
            rows={
                table.name: connection.execute(select(func.count()).select_from(table)).scalar_one()
                for table in Base.metadata.sorted_tables
            },
            runs_by_status={row[0]: row[1] for row in connection.execute(by_status)},
            oldest=oldest,
            newest=newest,
        )


def _size(path: Path) -> int:
    """Return the bytes of a database and of its write-ahead log, which holds what was written last."""
    log = Path(f"{path}-wal")
    return path.stat().st_size + (log.stat().st_size if log.exists() else 0)
