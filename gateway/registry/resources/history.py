"""Revisions of the resources: listed, compared, and what leads back to an earlier one."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from sqlalchemy import insert, select

from gateway.registry.resources.operations import Held, Operation, Restore
from gateway.registry.resources.records import Author, Change, Kind
from gateway.storage.sql.resource_tables import config_changes, config_revisions

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import RowMapping
    from sqlalchemy.ext.asyncio import AsyncConnection

_MICRO = 1_000_000


@dataclass(frozen=True, slots=True)
class Difference:
    """One resource before and after, as `Resource.shown`; None: it was not there."""

    kind: Kind
    id: str
    name: str
    before: dict[str, Any] | None
    after: dict[str, Any] | None
    version: int = 0
    """The last one it had: of two differences of a resource, the later one's."""


@dataclass(frozen=True, slots=True)
class Revision:
    """One change of the configuration. `at` is in Unix seconds."""

    revision: int
    at: float
    author: Author
    rolled_back_to: int | None = None
    changes: tuple[Difference, ...] = field(default=())


async def keep(
    connection: AsyncConnection, revision: int, at: float, author: Author, changes: list[Change], back_to: int | None
) -> None:
    """Write down what a revision changed."""
    await connection.execute(
        insert(config_revisions).values(
            revision=revision,
            at=round(at * _MICRO),
            actor=author.name,
            actor_kind=author.kind,
            address=author.address,
            request_id=author.request_id,
            rolled_back_to=back_to,
        )
    )
    rows = [
        {
            "revision": revision,
            "number": number,
            "kind": str(change.kind),
            "resource_id": change.resource.id,
            "name": change.resource.name,
            "before": None if change.before is None else change.before.shown,
            "after": None if change.after is None else change.after.shown,
        }
        for number, change in enumerate(changes)
    ]
    if rows:
        await connection.execute(insert(config_changes), rows)


async def revisions(connection: AsyncConnection, before: int | None, most: int) -> list[Revision]:
    """The newest ones first, without their changes; `before` is the last one of the page before."""
    query = select(config_revisions).order_by(config_revisions.c.revision.desc()).limit(most)
    if before is not None:
        query = query.where(config_revisions.c.revision < before)
    return [_revision(row) for row in (await connection.execute(query)).mappings()]


async def one(connection: AsyncConnection, revision: int) -> Revision | None:
    """A revision with its changes."""
    query = select(config_revisions).where(config_revisions.c.revision == revision)
    row = (await connection.execute(query)).mappings().first()
    if row is None:
        return None
    return _revision(row, tuple(await _changes(connection, revision - 1, revision)))


async def between(connection: AsyncConnection, older: int, newer: int) -> list[Difference]:
    """What differs between two revisions, each resource once."""
    first: dict[tuple[Kind, str], Difference] = {}
    last: dict[tuple[Kind, str], Difference] = {}
    for change in await _changes(connection, older, newer):
        first.setdefault((change.kind, change.id), change)
        last[change.kind, change.id] = change
    found = (
        Difference(kind, name, last[kind, name].name, one.before, last[kind, name].after, last[kind, name].version)
        for (kind, name), one in first.items()
    )
    return [one for one in found if one.before != one.after]


def way_back(differences: Sequence[Difference]) -> list[Operation]:
    """What undoes these differences. See `restoring` for what comes back of a credential."""
    return [Restore([Held(one.kind, one.id, one.before, one.version) for one in differences])]


async def _changes(connection: AsyncConnection, after: int, upto: int) -> list[Difference]:
    query = (
        select(config_changes)
        .where(config_changes.c.revision > after, config_changes.c.revision <= upto)
        .order_by(config_changes.c.revision, config_changes.c.number)
    )
    return [
        Difference(Kind(row["kind"]), row["resource_id"], row["name"], row["before"], row["after"], _version(row))
        for row in (await connection.execute(query)).mappings()
    ]


def _version(row: RowMapping) -> int:
    return int((row["after"] or row["before"])["version"])


def _revision(row: RowMapping, changes: tuple[Difference, ...] = ()) -> Revision:
    author = Author(row["actor"], row["actor_kind"], address=row["address"], request_id=row["request_id"])
    return Revision(row["revision"], row["at"] / _MICRO, author, row["rolled_back_to"], changes)
