"""``edgekit ledger export`` and ``import``: a ledger to a file, and files into a ledger."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from pathlib import Path

from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from edgekit.config.json_document import JsonDocument
from edgekit.errors import UsageError
from edgekit.ledger.database import damaged, open_database, place, refusal
from edgekit.ledger.exchange import counts, format_of, not_exported
from edgekit.ledger.merging import Merge, Merged


class ImportDocument(JsonDocument):
    """What ``edgekit ledger import --json`` prints: table -> what became of the rows of all files."""

    place: str
    tables: dict[str, Merged]


def export_ledger(url: str | None, path: Path) -> dict[str, int]:
    """Write the ledger at `url` to a new file, and return how many rows of each table it has.

    UsageError if there is no ledger, if `path` exists, or if its name does not show the format.
    An incomplete file is removed.
    """
    kind = format_of(path)
    if path.exists():
        raise UsageError(f"There is something at {path} already.", "Name a new file, or remove it first.")
    engine = open_database(url, must_exist=True)
    part = path.with_name(f".{os.getpid()}.{path.name}")
    try:
        # One transaction: concurrent writes are included completely or not at all.
        with _unchanging(engine).connect() as connection:
            kind.write(connection, part)
            rows = counts(connection)
        part.rename(path)
    except SQLAlchemyError as error:
        raise refusal(place(engine.url), error) from error
    except (ValueError, TypeError) as error:
        raise damaged(place(engine.url), error) from error
    finally:
        engine.dispose()
        if part.is_dir():
            shutil.rmtree(part)
        part.unlink(missing_ok=True)
    return rows


def _unchanging(engine: Engine) -> Engine:
    """Return an engine whose transactions see one state all along; SQLite's always do."""
    return engine if engine.dialect.name == "sqlite" else engine.execution_options(isolation_level="REPEATABLE READ")


def import_ledger(url: str | None, paths: Sequence[Path]) -> ImportDocument:
    """Merge exported files into the ledger at `url`, all or none. The ledger is created if it is missing.

    UsageError if a file is not there. EdgekitError (ledger) if one is not an exported ledger, or incomplete.
    """
    for path in paths:
        format_of(path)
        if not path.exists():
            raise UsageError(f"There is no file {path}.", "Name files that `edgekit ledger export` wrote.")
    engine = open_database(url)
    try:
        with Session(engine.execution_options(writes=True)) as session, session.begin():
            merge = Merge(session)
            for path in paths:
                merge.begin_file()
                _merge(merge, path)
    except SQLAlchemyError as error:
        raise refusal(place(engine.url), error) from error
    finally:
        engine.dispose()
    return ImportDocument(place=place(engine.url), tables=merge.merged)


def _merge(merge: Merge, path: Path) -> None:
    for name, rows in format_of(path).read(path):
        try:
            merge.add(name, rows)
        except KeyError as error:
            raise not_exported(path, f"{name} refer to the number {error}, which it does not have") from error
