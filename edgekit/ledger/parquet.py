"""A ledger as a folder of Parquet files, one for each table, for pandas, DuckDB and others.

JSON columns are text; samples are lists of 64-bit integers, in nanoseconds. pyarrow is large (170 MB), so it is the extra
`parquet`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy import BigInteger, Boolean, Column, Connection, Double, Integer

from edgekit.errors import EdgekitError, FailureKind
from edgekit.ledger.exchange import (
    BATCH,
    TABLES,
    VERSION,
    Format,
    Row,
    batches,
    check_version,
    checked,
    is_json,
    not_exported,
    table_of,
    utc,
)
from edgekit.ledger.samples import Samples
from edgekit.ledger.schema import Base, UTCDateTime

if TYPE_CHECKING:
    import pyarrow as pa

VERSION_KEY = b"edgekit_ledger"


def write(connection: Connection, path: Path) -> None:
    """Write every row of a ledger to a new folder; EdgekitError (missing_extra) without pyarrow."""
    _need_pyarrow()
    from pyarrow import Table, parquet

    path.mkdir()
    for row in TABLES:
        schema, table = _schema(row), table_of(row)
        with parquet.ParquetWriter(path / f"{table.name}.parquet", schema, compression="zstd") as writer:
            for rows in batches(connection, row, 10 * BATCH):
                for column in table.columns:
                    if is_json(column):
                        for record in rows:
                            record[column.name] = (
                                None if record[column.name] is None else json.dumps(record[column.name])
                            )
                writer.write_table(Table.from_pylist(rows, schema))


def read(path: Path) -> Iterator[tuple[str, list[Row]]]:
    """Yield the rows of a folder in batches, by the table's name; EdgekitError if it is not what :func:`write` writes."""
    _need_pyarrow()
    from pyarrow import ArrowInvalid, parquet

    for row in TABLES:
        table, file = table_of(row), path / f"{table_of(row).name}.parquet"
        if not file.is_file():
            raise not_exported(path, f"it has no {file.name}")
        try:
            with parquet.ParquetFile(file) as opened:
                version = (opened.schema_arrow.metadata or {}).get(VERSION_KEY, b"").decode()
                check_version(int(version) if version.isdigit() else None, path)
                for batch in opened.iter_batches(BATCH):
                    yield table.name, checked(table.name, [_row(record, row) for record in batch.to_pylist()], path)
        except (ArrowInvalid, json.JSONDecodeError) as error:
            raise not_exported(path, f"{file.name} is damaged: {error}") from error


FORMAT = Format((".parquet",), write, read)


def _row(values: Row, row: type[Base]) -> Row:
    for column in table_of(row).columns:
        value = values.get(column.name)
        if value is not None and is_json(column):
            values[column.name] = json.loads(value)
        elif value is not None and isinstance(column.type, UTCDateTime):
            values[column.name] = utc(value)
    return values


def _schema(row: type[Base]) -> pa.Schema:
    import pyarrow as pa

    fields = [
        pa.field(column.name, _type_of(column), nullable=bool(column.nullable)) for column in table_of(row).columns
    ]
    return pa.schema(fields, metadata={VERSION_KEY: str(VERSION).encode()})


def _type_of(column: Column[Any]) -> pa.DataType:
    import pyarrow as pa

    if isinstance(column.type, UTCDateTime):
        return pa.timestamp("us", tz="UTC")
    if isinstance(column.type, Samples):
        return pa.list_(pa.int64())
    types = ((BigInteger, pa.int64()), (Integer, pa.int64()), (Double, pa.float64()), (Boolean, pa.bool_()))
    return next((found for kind, found in types if isinstance(column.type, kind)), pa.string())


def _need_pyarrow() -> None:
    try:
        import pyarrow  # noqa: F401
    except ImportError as error:
        hint = "Install it: pip install 'edgekit[parquet]'. Or use a name that ends with .jsonl."
        raise EdgekitError(
            FailureKind.missing_extra, "install", "Parquet files need the package pyarrow.", hint
        ) from error
