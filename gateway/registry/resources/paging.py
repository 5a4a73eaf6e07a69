"""Pages of resources: filtered, sorted, from a cursor on."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from sqlalchemy import ColumnElement, and_, func, or_, select

from gateway.registry.resources.records import WITHIN_PROVIDERS, Kind, Resource
from gateway.registry.resources.rows import resource_of, table_of

if TYPE_CHECKING:
    from sqlalchemy import Table
    from sqlalchemy.ext.asyncio import AsyncConnection

MOST = 200
SORTS = frozenset({"name", "created_at", "updated_at", "position"})


@dataclass(frozen=True, slots=True)
class Query:
    """Which resources. `where` compares settings, `details` what people read; `search` is a part of the name."""

    limit: int = 50
    cursor: str | None = None
    sort: str | None = None
    """One of SORTS; None: rules by position, everything else by name."""
    descending: bool = False
    provider_id: str | None = None
    search: str | None = None
    where: Mapping[str, str] = field(default_factory=dict)
    details: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Page:
    """`cursor` leads to the next page; None: this is the last one. `total` counts all that the filters leave."""

    items: tuple[Resource, ...]
    total: int
    cursor: str | None = None


async def page(connection: AsyncConnection, kind: Kind, query: Query) -> Page:
    """Raises ValueError for a sort or a cursor that is none."""
    table = table_of(kind)
    sort = query.sort or ("position" if kind is Kind.RULE else "name")
    if sort not in SORTS or (sort == "position" and kind is not Kind.RULE):
        raise ValueError(f"resources cannot be sorted by {sort}")
    conditions = _conditions(table, kind, query)
    total = (await connection.execute(select(func.count()).select_from(table).where(*conditions))).scalar_one()
    if query.cursor is not None:
        conditions.append(_beyond(table, sort, query))
    limit = max(1, min(query.limit, MOST))
    by = [table.c[sort], table.c.id]
    order = [column.desc() if query.descending else column.asc() for column in by]
    statement = select(table).where(*conditions).order_by(*order).limit(limit + 1)
    found = (await connection.execute(statement)).mappings().all()
    items = tuple(resource_of(kind, row) for row in found[:limit])
    more = len(found) > limit
    return Page(items, int(total), _cursor(found[limit - 1][sort], items[-1].id) if more else None)


async def one(connection: AsyncConnection, kind: Kind, wanted: str) -> Resource | None:
    """By id, or by name where that is unique."""
    table = table_of(kind)
    which = table.c.id == wanted
    if kind not in WITHIN_PROVIDERS:
        which = or_(which, table.c.name == wanted)
    found = (await connection.execute(select(table).where(which))).mappings().all()
    row = next((row for row in found if row["id"] == wanted), found[0] if found else None)
    return None if row is None else resource_of(kind, row)


def _conditions(table: Table, kind: Kind, query: Query) -> list[ColumnElement[bool]]:
    conditions: list[ColumnElement[bool]] = []
    if query.provider_id is not None and kind in WITHIN_PROVIDERS:
        conditions.append(table.c.provider_id == query.provider_id)
    if query.search:
        conditions.append(func.lower(table.c.name).contains(query.search.lower(), autoescape=True))
    conditions += [table.c.settings[name].as_string() == value for name, value in query.where.items()]
    conditions += [table.c.details[name].as_string() == value for name, value in query.details.items()]
    return conditions


def _beyond(table: Table, sort: str, query: Query) -> ColumnElement[bool]:
    value, last = _read(query.cursor or "", text=sort == "name")
    column = table.c[sort]
    if query.descending:
        return or_(column < value, and_(column == value, table.c.id < last))
    return or_(column > value, and_(column == value, table.c.id > last))


def _cursor(value: Any, last: str) -> str:
    return base64.urlsafe_b64encode(json.dumps([value, last]).encode()).decode().rstrip("=")


def _read(cursor: str, *, text: bool) -> tuple[Any, str]:
    try:
        found = json.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
        value, last = found
    except (ValueError, binascii.Error, TypeError) as error:
        raise ValueError("this cursor is none of ours") from error
    if not isinstance(last, str) or not isinstance(value, str if text else int) or isinstance(value, bool):
        raise ValueError("this cursor is none of ours")
    return value, last
