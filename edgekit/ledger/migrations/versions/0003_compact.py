"""Compact samples, each session's centre, and the columns by which the newest of each cell is found."""

from collections.abc import Callable, Iterator
from typing import Any

import sqlalchemy as sa
from alembic import op

from edgekit.ledger.models import model_hash
from edgekit.ledger.samples import centre_ns, pack

revision = "0003"
down_revision = "0002"

BATCH = 1000


def upgrade() -> None:
    """Convert every row; nothing is lost.

    Tables that others refer to get columns with an empty default: SQLite makes a column mandatory only so, unless the
    table is copied, and the copy of a table that others refer to breaks their references.
    """
    _add_text("artifacts", "model_hash")
    _add_text("measurements", "protocol_name")
    op.add_column("sessions", sa.Column("packed", sa.LargeBinary()))
    op.add_column("sessions", sa.Column("centre_ns", sa.Double()))
    _fill("artifacts", ["manifest"], lambda row: {"model_hash": model_hash(row.manifest)})
    _fill("measurements", ["protocol"], lambda row: {"protocol_name": row.protocol.get("name", "")})
    _fill("sessions", ["samples", "environment"], _compact)
    with op.batch_alter_table("sessions") as table:
        table.drop_column("samples")
        table.alter_column("packed", new_column_name="samples", existing_type=sa.LargeBinary(), nullable=False)
    op.create_index(
        "ix_artifacts_cell", "artifacts", ["recipe", "variant", "model_hash", "target", "run_id", "recorded_at"]
    )
    op.create_index(
        "ix_measurements_cell",
        "measurements",
        ["artifact_id", "device_id", "target", "protocol_name", "finished_at"],
    )
    op.create_index("ix_accuracies_artifact_sha256", "accuracies", ["artifact_sha256"])
    op.create_index("ix_failures_run_id", "failures", ["run_id"])


def _compact(row: Any) -> dict[str, Any]:
    return {"packed": pack(row.samples), "centre_ns": centre_ns(row.samples, row.environment)}


def _add_text(table: str, column: str) -> None:
    op.add_column(table, sa.Column(column, sa.String(), nullable=False, server_default=""))
    if op.get_bind().dialect.name != "sqlite":
        op.alter_column(table, column, server_default=None)


def _fill(name: str, read: list[str], values: Callable[[Any], dict[str, Any]]) -> None:
    """Set the new columns of every row from the JSON columns that are `read`."""
    written = ("model_hash", "protocol_name", "packed", "centre_ns")
    table = sa.table(name, sa.column("id"), *(sa.column(column, sa.JSON) for column in read), *map(sa.column, written))
    connection = op.get_bind()
    for rows in _batches(table, read):
        changed = [{"key": row.id, **values(row)} for row in rows]
        update = sa.update(table).where(table.c.id == sa.bindparam("key"))
        connection.execute(
            update.values({column: sa.bindparam(column) for column in changed[0] if column != "key"}), changed
        )


def _batches(table: Any, read: list[str]) -> Iterator[list[Any]]:
    """Yield the rows, :data:`BATCH` at once, so that a large ledger fits into memory."""
    last = 0
    query = sa.select(table.c.id, *(table.c[column] for column in read)).order_by(table.c.id).limit(BATCH)
    while rows := list(op.get_bind().execute(query.where(table.c.id > last))):
        yield rows
        last = rows[-1].id
