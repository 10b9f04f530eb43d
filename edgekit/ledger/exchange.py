"""Ledgers as files: what is exported, in which order, and how a row looks. Labs merge their ledgers by them.

Rows keep the ids that they have in their ledger; the importing ledger gives them others (:mod:`edgekit.ledger.merging`). Parents
come before what refers to them. Formats: :mod:`edgekit.ledger.json_lines` and :mod:`edgekit.ledger.parquet`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Annotated, Any

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError, create_model
from sqlalchemy import JSON, Column, Connection, Table, func, select

from edgekit.errors import EdgekitError, FailureKind, UsageError
from edgekit.ledger.samples import Samples
from edgekit.ledger.schema import (
    AccuracyRow,
    ArtifactRow,
    Base,
    DeviceRow,
    FailureRow,
    MeasurementRow,
    RunRow,
    SessionRow,
    UTCDateTime,
)

VERSION = 1
"""Of the files. A change of the tables that an older edgekit cannot read makes it higher."""
TABLES: tuple[type[Base], ...] = (
    *(RunRow, DeviceRow, ArtifactRow, MeasurementRow, SessionRow, AccuracyRow, FailureRow),
)
"""Parents first."""
BATCH = 1000
Row = dict[str, Any]


@dataclass(frozen=True)
class Format:
    """A kind of file: how a ledger is written to a path, and how its rows are read in batches, by the table's name.

    `write` is given a path at which there is nothing. Both may raise EdgekitError.
    """

    suffixes: tuple[str, ...]
    write: Callable[[Connection, Path], None]
    read: Callable[[Path], Iterator[tuple[str, list[Row]]]]


def format_of(path: Path) -> Format:
    """Return the format of a file by the end of its name; UsageError names the known ones."""
    from edgekit.ledger import json_lines, parquet

    known = (json_lines.FORMAT, parquet.FORMAT)
    for exchange_format in known:
        if path.name.endswith(exchange_format.suffixes):
            return exchange_format
    ends = ", ".join(suffix for exchange_format in known for suffix in exchange_format.suffixes)
    raise UsageError(f"The name {path.name} does not say which format it has.", f"Let it end with one of: {ends}.")


def table_of(row: type[Base]) -> Table:
    """Return the table of a class of rows."""
    table = row.__table__
    assert isinstance(table, Table)
    return table


def counts(connection: Connection) -> dict[str, int]:
    """Return how many rows each table has."""
    tables = [table_of(row) for row in TABLES]
    return {table.name: connection.execute(select(func.count()).select_from(table)).scalar_one() for table in tables}


def batches(connection: Connection, row: type[Base], size: int = BATCH) -> Iterator[list[Row]]:
    """Yield all rows of a table by their ids, at most `size` at once."""
    table = table_of(row)
    result = connection.execution_options(yield_per=size).execute(select(table).order_by(table.c.id))
    for part in result.mappings().partitions(size):
        yield [dict(row) for row in part]


def is_json(column: Column[Any]) -> bool:
    """Say whether a column holds JSON."""
    return isinstance(column.type, JSON)


def check_version(version: object, path: Path) -> None:
    """Raise EdgekitError if a file is not an exported ledger, or of a newer edgekit."""
    if not isinstance(version, int):
        raise not_exported(path, "it does not begin as one")
    if version > VERSION:
        message = f"{path} was exported by a newer edgekit: its version is {version}."
        raise EdgekitError(
            FailureKind.ledger, "import", message, f"Upgrade edgekit, which reads versions up to {VERSION}."
        )


def not_exported(path: Path, problem: str) -> EdgekitError:
    """Return the error for a file that is not what `edgekit ledger export` writes."""
    message = f"{path} is not an exported ledger: {problem}. Nothing was imported."
    return EdgekitError(FailureKind.ledger, "import", message, "Export it again: edgekit ledger export FILE.jsonl")


def checked(name: str, rows: Sequence[Row], path: Path) -> list[Row]:
    """Return rows of a table as the database takes them; EdgekitError names the first value that cannot be."""
    model = _models().get(name)
    if model is None:
        raise not_exported(path, f"there is no table {name}")
    found = []
    for row in rows:
        try:
            value = model.model_validate(row)
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(map(str, first["loc"]))
            raise not_exported(path, f"{name} {row.get('id')}: {where}: {first['msg']}") from error
        found.append({column: getattr(value, column) for column in model.model_fields})
    return found


@cache
def _models() -> dict[str, type[BaseModel]]:
    """Return a model of the rows of each table, made from its columns."""
    config = ConfigDict(extra="forbid", strict=True, protected_namespaces=())
    models: dict[str, type[BaseModel]] = {}
    for table in map(table_of, TABLES):
        columns: dict[str, Any] = {column.name: (_type_of(column), ...) for column in table.columns}
        models[table.name] = create_model(table.name, __config__=config, **columns)
    return models


def _type_of(column: Column[Any]) -> Any:
    if isinstance(column.type, UTCDateTime):
        found: Any = Annotated[AwareDatetime, Field(strict=False)]
    elif isinstance(column.type, Samples):
        found = list[int]
    elif isinstance(column.type, JSON):
        found = dict[str, Any]
    else:
        found = column.type.python_type
    return found | None if column.nullable else found


def utc(moment: datetime) -> datetime:
    """Return a moment in UTC."""
    return moment.astimezone(UTC)
