"""The log, to be looked at: page by page from its end, or whole."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, NamedTuple

from sqlalchemy import func, select

from gateway.storage.sql.audit_tables import audit_log

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sqlalchemy import ColumnElement

    from gateway.storage.sql.database import Database

MOST = 200
"""Entries of one page."""
BATCH = 500


@dataclass(frozen=True, slots=True)
class Filter:
    """Which entries; what is None does not matter. Times are Unix microseconds, `until` is not included."""

    actor: str | None = None
    action: str | None = None
    resource_kind: str | None = None
    resource_id: str | None = None
    request_id: str | None = None
    since: int | None = None
    until: int | None = None


class Page(NamedTuple):
    """Entries, the newest first, and where the next page begins; None after the last."""

    entries: list[dict[str, Any]]
    before: int | None


EVERYTHING = Filter()


async def page(database: Database, wanted: Filter = EVERYTHING, *, before: int | None = None, limit: int = 50) -> Page:
    """The newest entries before that number. Raises DatabaseUnavailable."""
    limit = max(1, min(limit, MOST))
    found = await rows(database, wanted, before=before, limit=limit + 1)
    return Page(found[:limit], found[limit - 1]["seq"] if len(found) > limit else None)


async def rows(
    database: Database, wanted: Filter, *, before: int | None = None, limit: int = 50
) -> list[dict[str, Any]]:
    """As many of the newest entries before that number. Raises DatabaseUnavailable."""
    query = select(audit_log).where(*_clauses(wanted)).order_by(audit_log.c.seq.desc()).limit(limit)
    if before is not None:
        query = query.where(audit_log.c.seq < before)
    async with database.connect() as connection:
        return [presented(dict(row)) for row in (await connection.execute(query)).mappings()]


async def count(database: Database, wanted: Filter) -> int:
    """How many there are. Raises DatabaseUnavailable."""
    query = select(func.count()).select_from(audit_log).where(*_clauses(wanted))
    async with database.connect() as connection:
        return int((await connection.execute(query)).scalar_one())


def between(wanted: Filter, since: int, until: int) -> Filter:
    """The same, of this time."""
    return replace(wanted, since=since, until=until)


async def everything(database: Database, wanted: Filter = EVERYTHING) -> AsyncIterator[dict[str, Any]]:
    """Every entry, the oldest first, a batch in memory at a time. Raises DatabaseUnavailable."""
    after = 0
    while True:
        query = select(audit_log).where(audit_log.c.seq > after, *_clauses(wanted)).order_by(audit_log.c.seq)
        async with database.connect() as connection:
            found = (await connection.execute(query.limit(BATCH))).mappings().all()
        for row in found:
            yield presented(dict(row))
        if len(found) < BATCH:
            return
        after = found[-1]["seq"]


def presented(row: Mapping[str, Any]) -> dict[str, Any]:
    """An entry as JSON shows it: all of it, so that an export can be verified elsewhere. `at` is Unix microseconds."""
    found: dict[str, Any] = {str(name): value for name, value in row.items()}  # SQLAlchemy's names are a kind of str
    for name in ("before", "after"):
        found[name] = _decoded(found[name])
    found["keyed"] = bool(found["keyed"])
    return found


def _decoded(text: str | None) -> Any:
    if text is None:
        return None
    try:
        return json.loads(text)
    except ValueError:
        return text  # somebody wrote here who is none of us: `gateway audit verify` says so


def _clauses(wanted: Filter) -> list[ColumnElement[bool]]:
    columns = audit_log.c
    clauses: list[ColumnElement[bool]] = [
        columns[name] == value
        for name in ("actor", "action", "resource_kind", "resource_id", "request_id")
        if (value := getattr(wanted, name)) is not None
    ]
    if wanted.since is not None:
        clauses.append(columns.at >= wanted.since)
    if wanted.until is not None:
        clauses.append(columns.at < wanted.until)
    return clauses
