"""Alembic runs this for every command. The connection comes from `cti.migrations.config`; its owner commits."""

from __future__ import annotations

from alembic import context

from cti import migrations

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=migrations.tables(),
    render_as_batch=True,  # SQLite cannot alter a table in place
    compare_type=True,
)
with context.begin_transaction():
    context.run_migrations()
