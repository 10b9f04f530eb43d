"""A ledger as JSON lines: a header with the number of rows of each table, then a line for each row.

A header without as many rows after it is a file that was cut off. With `.gz` the file is compressed.
"""

from __future__ import annotations

import gzip
import json
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import IO, Any

from sqlalchemy import Connection

from edgekit.ledger.exchange import (
    BATCH,
    TABLES,
    VERSION,
    Format,
    Row,
    batches,
    check_version,
    checked,
    counts,
    not_exported,
    table_of,
)

HEADER, TABLE = "edgekit_ledger", "table"


def write(connection: Connection, path: Path) -> None:
    """Write every row of a ledger to a new file."""
    with _open(path, "wt") as file:
        print(json.dumps({HEADER: VERSION, "rows": counts(connection)}), file=file)
        for row in TABLES:
            name = table_of(row).name
            for rows in batches(connection, row):
                file.writelines(f"{json.dumps({TABLE: name, **row}, default=_iso)}\n" for row in rows)


def read(path: Path) -> Iterator[tuple[str, list[Row]]]:
    """Yield the rows of a file in batches, by the table's name; EdgekitError if it is not what :func:`write` writes."""
    with _open(path, "rt") as file:
        expected = _header(path, next(file, ""))
        found: Counter[str] = Counter()
        name = ""
        rows: list[Row] = []
        for number, line in enumerate(file, 2):
            row = _row(path, number, line)
            found[row[TABLE]] += 1
            if rows and (row[TABLE] != name or len(rows) == BATCH):
                yield name, checked(name, rows, path)
                rows = []
            name = row.pop(TABLE)
            rows.append(row)
        if rows:
            yield name, checked(name, rows, path)
    for table, count in expected.items():
        if found[table] != count:
            raise not_exported(path, f"it has {found[table]} of {count} {table}, so it was cut off")


FORMAT = Format((".jsonl", ".jsonl.gz"), write, read)


def _header(path: Path, line: str) -> dict[str, int]:
    try:
        header = json.loads(line)
    except ValueError as error:
        raise not_exported(path, "its first line is no JSON") from error
    check_version(header.get(HEADER) if isinstance(header, dict) else None, path)
    rows: dict[str, int] = header.get("rows", {})
    return rows


def _row(path: Path, number: int, line: str) -> Row:
    try:
        row = json.loads(line)
    except ValueError as error:
        raise not_exported(path, f"line {number} is no JSON, so it was cut off or changed") from error
    if not isinstance(row, dict) or not isinstance(row.get(TABLE), str):
        raise not_exported(path, f"line {number} does not say which table it is of")
    return row


@contextmanager
def _open(path: Path, mode: str) -> Iterator[IO[str]]:
    if path.name.endswith(".gz"):
        try:
            with gzip.open(path, mode, encoding="utf-8") as file:
                yield file  # type: ignore[misc]
        except (gzip.BadGzipFile, EOFError) as error:
            raise not_exported(path, f"it is no whole gzip file: {error}") from error
    else:
        with path.open(mode, encoding="utf-8") as file:
            yield file


def _iso(value: Any) -> str:
    assert isinstance(value, datetime)
    return value.isoformat()
