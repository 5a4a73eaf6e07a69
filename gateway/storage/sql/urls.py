"""Which database an operator means."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError

from gateway.errors import OperatorError

if TYPE_CHECKING:
    from gateway.settings import Settings

FILE = "gateway.db"
"""The SQLite file in the data directory."""


def database_url(settings: Settings) -> str:
    """What `DATABASE_URL` says, else SQLite in the data directory."""
    if settings.database_url is not None:
        return settings.database_url.get_secret_value()
    return f"sqlite:///{(settings.data_dir / FILE).absolute()}"


def parse(url: str | Path, *, asynchronous: bool) -> URL:
    """The URL with the driver we use; a bare path is a SQLite file. Raises OperatorError, without the password."""
    text = str(url)
    if "://" not in text:
        text = f"sqlite:///{Path(text).absolute()}"
    try:
        parsed = make_url(text)
    except (ArgumentError, ValueError):
        raise OperatorError("DATABASE_URL: not a URL (use postgresql://user:password@host/name)") from None
    dialect = parsed.drivername.partition("+")[0]
    if dialect in ("postgresql", "postgres"):
        return parsed.set(drivername="postgresql+psycopg")
    if dialect == "sqlite":
        if parsed.database in (None, "", ":memory:"):
            raise OperatorError("DATABASE_URL: SQLite needs a file (use sqlite:///path/to/gateway.db)")
        return parsed.set(drivername="sqlite+aiosqlite" if asynchronous else "sqlite")
    raise OperatorError(f"DATABASE_URL: {dialect} is not supported (use postgresql:// or sqlite:///)")
