"""`gateway migrate`."""

from __future__ import annotations

import typer

from gateway.settings import load_settings


def migrate() -> None:
    """Bring the database to the schema of this version; safe to run several times, and from several places at once."""
    from gateway.storage.sql import migrate as schema  # noqa: PLC0415 - SQLAlchemy only where it is used
    from gateway.storage.sql.urls import database_url  # noqa: PLC0415

    url = database_url(load_settings())
    schema.migrate(url)
    typer.echo(f"The database is at revision {schema.expected_revision()}.")
