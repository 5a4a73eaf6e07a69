"""Resources as rows: read whole, read by page, written as a change says."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from sqlalchemy import delete, insert, select, update

from gateway.registry.resources.records import Change, Kind, Resource, State
from gateway.storage.sql.resource_tables import RESOURCES, config_state

if TYPE_CHECKING:
    from sqlalchemy import RowMapping, Table
    from sqlalchemy.ext.asyncio import AsyncConnection

_MICRO = 1_000_000


def table_of(kind: Kind) -> Table:
    """Where resources of this kind are."""
    return RESOURCES[kind]


async def revision(connection: AsyncConnection) -> int:
    """How often resources were changed."""
    found = (await connection.execute(select(config_state.c.revision))).scalar()
    return 0 if found is None else int(found)


async def next_revision(connection: AsyncConnection) -> int:
    """Count up and hold the row: the next writer waits until this transaction has ended."""
    counted = update(config_state).values(revision=config_state.c.revision + 1).returning(config_state.c.revision)
    return int((await connection.execute(counted)).scalar_one())


async def whole(connection: AsyncConnection, at: int) -> State:
    """Everything; `at` is the revision that this transaction sees."""
    found = {}
    for kind in Kind:
        table = table_of(kind)
        rows = (await connection.execute(select(table).order_by(table.c.id))).mappings()
        found[kind] = {row["id"]: resource_of(kind, row) for row in rows}
    return State(at, found)


async def write(connection: AsyncConnection, changes: list[Change]) -> None:
    """Bring the rows to what the changes say, in their order."""
    await _make_room(connection, changes)
    for change in changes:
        table = table_of(change.kind)
        if change.after is None:
            await connection.execute(delete(table).where(table.c.id == change.resource.id))
        elif change.before is None:
            await connection.execute(insert(table).values(id=change.after.id, observed={}, **_values(change.after)))
        else:
            await connection.execute(update(table).where(table.c.id == change.after.id).values(_values(change.after)))


async def _make_room(connection: AsyncConnection, changes: list[Change]) -> None:
    """Names that are swapped within one change would meet on the way: they leave first."""
    for change in changes:
        if change.before is not None and change.after is not None and change.before.name != change.after.name:
            table = table_of(change.kind)
            aside = update(table).where(table.c.id == change.after.id).values(name=f"\x01{change.after.id}")
            await connection.execute(aside)


def resource_of(kind: Kind, row: RowMapping) -> Resource:
    """A row as a value."""
    found = Resource(
        kind=kind,
        id=row["id"],
        name=row["name"],
        settings=row["settings"],
        details=row["details"],
        version=row["version"],
        created_at=row["created_at"] / _MICRO,
        created_by=row["created_by"],
        updated_at=row["updated_at"] / _MICRO,
        updated_by=row["updated_by"],
        observed=row["observed"],
    )
    if kind is Kind.MODEL:
        return replace(found, provider_id=row["provider_id"])
    if kind is Kind.RULE:
        return replace(found, position=row["position"])
    if kind is Kind.CREDENTIAL:
        until = row["previous_until"]
        return replace(
            found,
            provider_id=row["provider_id"],
            secret=row["secret"],
            previous=row["previous"],
            previous_until=None if until is None else until / _MICRO,
        )
    return found


def _values(resource: Resource) -> dict[str, Any]:
    values: dict[str, Any] = {
        "name": resource.name,
        "settings": dict(resource.settings),
        "details": dict(resource.details),
        "version": resource.version,
        "created_at": round(resource.created_at * _MICRO),
        "created_by": resource.created_by,
        "updated_at": round(resource.updated_at * _MICRO),
        "updated_by": resource.updated_by,
    }
    if resource.kind in (Kind.MODEL, Kind.CREDENTIAL):
        values["provider_id"] = resource.provider_id
    if resource.kind is Kind.RULE:
        values["position"] = resource.position
    if resource.kind is Kind.CREDENTIAL:
        until = resource.previous_until
        values |= {"secret": resource.secret, "previous": resource.previous}
        values["previous_until"] = None if until is None else round(until * _MICRO)
    return values
