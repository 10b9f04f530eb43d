"""What Alembic runs around the migrations: they use the connection, and its transaction, that the ledger hands over."""

from alembic import context

from edgekit.ledger.schema import Base

# Batch mode, because SQLite changes a table only by copying it.
context.configure(
    connection=context.config.attributes["connection"], target_metadata=Base.metadata, render_as_batch=True
)
with context.begin_transaction():
    context.run_migrations()
