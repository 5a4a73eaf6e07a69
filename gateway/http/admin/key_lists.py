"""Pages of keys: those of the file and those of the database in one order."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import ColumnElement, collate, func, literal, or_, tuple_

from gateway.auth.issue import Issuer, KeyInfo
from gateway.http.admin.file_keys import shown_of_file
from gateway.http.admin.key_shapes import KeyShown, shown
from gateway.http.admin.paging import Place, cut, read_cursor
from gateway.http.admin.shapes import Page
from gateway.storage.sql.key_tables import virtual_keys

if TYPE_CHECKING:
    from gateway.http.admin.services import Services

_MICRO = 1_000_000


@dataclass(frozen=True, slots=True)
class Wish:
    """Which keys, in which order, from where on."""

    limit: int
    cursor: str | None
    sort: str
    state: str | None
    team: str | None
    search: str | None


async def page(services: Services, wish: Wish) -> Page[KeyShown]:
    """The page that was wished for."""
    by_time = wish.sort.endswith("created_at")
    after = read_cursor(wish.cursor, wish.sort, *((int, str) if by_time else (str,)))
    issuer = Issuer(services.database)
    which, name = _conditions(wish), _name(services)
    total = await issuer.count(*which)
    found = await issuer.search(*which, *_beyond(wish, after, name), order=_order(wish, name), limit=wish.limit + 1)
    file = [one for one in map(shown_of_file, services.snapshot().virtual_keys.values()) if _fits(one, wish)]
    rows: list[tuple[Place, KeyShown]] = [(_place(info, by_time=by_time), shown(info)) for info in found]
    down = wish.sort.startswith("-")
    for one in file:
        place: Place = (0, one.name) if by_time else (one.name,)
        if after is None or (place < after if down else place > after):
            rows.append((place, one))
    rows.sort(key=lambda row: row[0], reverse=down)
    part = cut(rows, wish.limit, wish.sort, lambda row: row[0])
    return Page(items=[row[1] for row in part.items], next_cursor=part.next_cursor, total=total + len(file))


def _place(info: KeyInfo, *, by_time: bool) -> Place:
    return (round(info.created_at * _MICRO), info.name) if by_time else (info.name,)


def _name(services: Services) -> ColumnElement[Any]:
    """Byte by byte, as Python compares: no collation of a database orders our cursors."""
    return collate(virtual_keys.c.name, "C") if services.database.is_postgres else virtual_keys.c.name


def _order(wish: Wish, name: ColumnElement[Any]) -> list[ColumnElement[Any]]:
    columns: list[ColumnElement[Any]] = [name]
    if wish.sort.endswith("created_at"):
        columns.insert(0, virtual_keys.c.created_at)
    return [column.desc() if wish.sort.startswith("-") else column.asc() for column in columns]


def _beyond(wish: Wish, after: Place | None, name: ColumnElement[Any]) -> list[ColumnElement[bool]]:
    if after is None:
        return []
    columns = (virtual_keys.c.created_at, name) if len(after) > 1 else (name,)
    place = tuple_(*columns)
    there = tuple_(*(literal(part) for part in after))
    return [place < there if wish.sort.startswith("-") else place > there]


def _conditions(wish: Wish) -> list[ColumnElement[bool]]:
    c = virtual_keys.c
    found: list[ColumnElement[bool]] = []
    if wish.team is not None:
        found.append(c.team == wish.team)
    if wish.search is not None:
        found.append(func.lower(c.name).contains(wish.search.lower(), autoescape=True))
    now = round(time.time() * _MICRO)
    if wish.state == "revoked":
        found.append(c.revoked_at.is_not(None))
    elif wish.state == "active":
        found += [c.revoked_at.is_(None), or_(c.expires_at.is_(None), c.expires_at > now)]
    elif wish.state == "expired":
        found += [c.revoked_at.is_(None), c.expires_at <= now]
    elif wish.state == "inactive":
        found.append(c.id.is_(None))
    return found


def _fits(one: KeyShown, wish: Wish) -> bool:
    return (
        wish.state in (None, one.state)
        and wish.team in (None, one.team)
        and (wish.search is None or wish.search.lower() in one.name.lower())
    )
