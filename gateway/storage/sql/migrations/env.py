"""Alembic's entry: over the connection that `migrate` hands in, or as a SQL script (`alembic upgrade head --sql`)."""

from __future__ import annotations

from alembic import context

from gateway.storage.sql.tables import metadata

connection = context.config.attributes.get("connection")
if connection is None:
    context.configure(
        url=context.config.get_main_option("sqlalchemy.url"), target_metadata=metadata, transactional_ddl=True
    )
else:
    context.configure(connection=connection, target_metadata=metadata, transactional_ddl=True)
with context.begin_transaction():
    context.run_migrations()
