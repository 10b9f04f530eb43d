"""Looking after a ledger: what it holds, and how much of the disk."""

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

    `size_bytes` is None where it is no file; `oldest` and `newest` are when runs started, UTC.
    """

    place: str
    revision: str
    size_bytes: int | None
    rows: dict[str, int]
    runs_by_status: dict[str, int]
    oldest: datetime | None
    newest: datetime | None


def info(url: str | None = None) -> LedgerInfo:
    """Count what the ledger at `url` holds; UsageError where there is none, and refused as :func:`open_database` says."""
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
    """Write the ledger's file anew without its gaps, and return its bytes before and after; no row is removed.

    UsageError where there is none. EdgekitError (ledger) for what is not a SQLite file and where it is in use, (disk_full) where
    there is no room: it takes up to twice the file's bytes.
    """
    address = address_of(url)
    path = sqlite_path(address)
    if path is None:
        message = f"The ledger {place(address)} is no SQLite file, so edgekit does not compact it."
        raise EdgekitError(FailureKind.ledger, "ledger", message, "Use the tools of that database.")
    open_database(url, must_exist=True).dispose()  # refuses what is no ledger
    before = _size(path)
    # An engine of its own: VACUUM is not possible within a transaction, and those of the ledger always begin one.
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
