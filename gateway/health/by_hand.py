"""Incidents that people tell of: opened and ended by hand, in the same books as those that are found out. Who keeps
those tells operators, as of the others."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

import msgspec
from sqlalchemy import insert, select, update

from gateway.health.history import CLOSED, OPENED, columns_of, fresh_id, incident_of, take_turn
from gateway.health.incidents import BY_HAND, Incident, Part
from gateway.health.reports import IncidentRow
from gateway.storage.sql.health_tables import incidents

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncConnection

    from gateway.health.layout import Layout
    from gateway.storage.sql.database import Database

Witness = Callable[["AsyncConnection", IncidentRow | None, IncidentRow], Awaitable[None]]
"""Told of a change within its transaction."""


class IncidentOpen(Exception):
    """The provider has an open incident; its id."""


class IncidentOver(Exception):
    """There is no such incident that is open."""


class Told(msgspec.Struct, frozen=True):
    """What a person says of it. `at` is Unix microseconds."""

    provider: str
    cause: str
    at: int


async def open_incident(database: Database, told: Told, layout: Layout, witness: Witness) -> IncidentRow:
    """A new incident of the whole provider. Raises IncidentOpen, DatabaseUnavailable."""
    part = Part(told.cause, told.at, told.at)
    made = Incident(fresh_id(), told.provider, told.cause, told.at, told.at, parts={BY_HAND: part})
    deployments = layout.affected(made)
    routes = layout.routes(deployments)
    async with database.begin() as connection:
        await take_turn(connection)
        is_open = (incidents.c.provider == told.provider) & incidents.c.closed_at.is_(None)
        found = await connection.scalar(select(incidents.c.id).where(is_open))
        if found is not None:
            raise IncidentOpen(str(found))
        columns = columns_of(made, deployments, routes)
        await connection.execute(insert(incidents).values(id=made.id, untold=OPENED, **columns))
        row = _row(made, deployments, routes)
        await witness(connection, None, row)
    return row


async def close_incident(database: Database, wanted: str, at: int, witness: Witness) -> IncidentRow:
    """It is over, whoever told of it. Raises IncidentOver, DatabaseUnavailable."""
    async with database.begin() as connection:
        await take_turn(connection)
        is_it = (incidents.c.id == wanted) & incidents.c.closed_at.is_(None)
        row = (await connection.execute(select(incidents).where(is_it))).one_or_none()
        if row is None:
            raise IncidentOver(wanted)
        before = _row(incident_of(row), row.deployments, row.routes)
        found = msgspec.structs.replace(incident_of(row), closed_at=at)
        values = columns_of(found, row.deployments, row.routes)
        untold = CLOSED if row.untold is None else f"{row.untold} {CLOSED}"
        await connection.execute(update(incidents).where(incidents.c.id == wanted).values(untold=untold, **values))
        after = _row(found, row.deployments, row.routes)
        await witness(connection, before, after)
    return after


def _row(found: Incident, deployments: list[str], routes: list[str]) -> IncidentRow:
    return IncidentRow(
        found.id, found.provider, found.cause, found.first_failure, found.last_failure, found.failures,
        list(deployments), list(routes), found.closed_at,
    )  # fmt: skip
