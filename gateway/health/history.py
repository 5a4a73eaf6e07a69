"""Probes, states and incidents in SQL: written by the process that keeps the books."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import msgspec
from sqlalchemy import delete, insert, select, update

from gateway.health.incidents import (
    SECOND,
    Incident,
    Part,
    absorb,
    microseconds,
    provider_of,
    reading_of,
    settle,
)
from gateway.ports import DeploymentChanged, IncidentChanged, ProbeResult
from gateway.storage.sql.errors import DatabaseUnavailable
from gateway.storage.sql.health_tables import deployment_states, health_checks, health_state, incidents

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncConnection

    from gateway.health.events import Event
    from gateway.health.layout import Layout
    from gateway.storage.sql.database import Database

STATES_KEPT = 24 * 3600 * SECOND
"""A state of which nobody has said anything for so long is forgotten: the deployment is gone, or nobody calls it."""

OPENED, CLOSED = "opened", "closed"

Told = tuple[str, Sequence["Event"]]
"""An entry of the stream by its id."""


class History:
    """Every method raises DatabaseUnavailable."""

    away: tuple[type[Exception], ...] = (DatabaseUnavailable,)

    def __init__(self, database: Database) -> None:
        self._database = database

    async def record(self, entries: Sequence[Told], layout: Layout) -> list[IncidentChanged]:
        """Keep what workers told, in one transaction; the incidents that it opens."""
        opened: list[IncidentChanged] = []
        async with self._database.begin() as connection:
            await take_turn(connection)
            for entry, events in entries:
                for number, event in enumerate(events):
                    opened += await _take(connection, f"{entry}.{number}", event, layout)
        return opened

    async def settle(self, now: int, layout: Layout) -> tuple[list[IncidentChanged], list[str]]:
        """Close the incidents that are over by now: what is to be told, of incidents that people opened or closed too,
        and the providers whose incidents go on."""
        going_on: list[str] = []
        async with self._database.begin() as connection:
            await take_turn(connection)
            changes = await _untold(connection)
            for row in await connection.execute(select(incidents).where(incidents.c.closed_at.is_(None))):
                incident = settle(incident_of(row), now, layout.exists)
                await _save(connection, incident, row.deployments, row.routes)
                if incident.closed_at is None:
                    going_on.append(incident.provider)
                else:
                    changes.append(change_of(CLOSED, incident, row.deployments, row.routes))
        return changes, going_on

    async def prune(self, before: int, now: int) -> None:
        """Forget probes and ended incidents from before `before`, and states that nobody confirms."""
        async with self._database.begin() as connection:
            await take_turn(connection)
            await connection.execute(delete(health_checks).where(health_checks.c.at < before))
            await connection.execute(delete(incidents).where(incidents.c.closed_at < before))
            states = delete(deployment_states).where(deployment_states.c.heard < now - STATES_KEPT)
            await connection.execute(states)


async def take_turn(connection: AsyncConnection) -> None:
    """Wait until nobody else writes these tables, and hold them until the transaction ends."""
    await connection.execute(update(health_state).values(changes=health_state.c.changes + 1))


async def _take(connection: AsyncConnection, name: str, event: Event, layout: Layout) -> list[IncidentChanged]:
    before: ProbeResult | None = None
    if isinstance(event, ProbeResult):
        if await connection.scalar(select(health_checks.c.event).where(health_checks.c.event == name)) is not None:
            return []
        before = await _probe_before(connection, event)
        await connection.execute(insert(health_checks).values(_check(name, event)))
    elif isinstance(event, DeploymentChanged):
        await _keep_state(connection, event)
    provider = provider_of(event)
    is_open = (incidents.c.provider == provider) & incidents.c.closed_at.is_(None)
    row = (await connection.execute(select(incidents).where(is_open))).one_or_none()
    known = None if row is None else incident_of(row)
    incident = absorb(known, provider, reading_of(event, before), fresh_id)
    if incident is None:
        return []
    deployments = layout.affected(incident)
    routes = layout.routes(deployments)
    if row is not None:
        await _save(connection, incident, deployments, routes)
        return []
    await connection.execute(insert(incidents).values(id=incident.id, **columns_of(incident, deployments, routes)))
    return [change_of(OPENED, incident, deployments, routes)]


async def _probe_before(connection: AsyncConnection, event: ProbeResult) -> ProbeResult | None:
    at = microseconds(event.at)
    same = (health_checks.c.provider == event.provider) & health_checks.c.deployment.is_not_distinct_from(
        event.deployment
    )
    found = select(health_checks).where(same & (health_checks.c.at <= at)).order_by(health_checks.c.at.desc()).limit(1)
    row = (await connection.execute(found)).one_or_none()
    return None if row is None else ProbeResult(row.provider, row.deployment, row.outcome, row.at / SECOND, row.seconds)


def _check(name: str, event: ProbeResult) -> dict[str, Any]:
    return {
        "event": name,
        "provider": event.provider,
        "deployment": event.deployment,
        "at": microseconds(event.at),
        "outcome": event.outcome,
        "seconds": event.seconds,
    }


async def _keep_state(connection: AsyncConnection, event: DeploymentChanged) -> None:
    at = microseconds(event.at)
    is_it = deployment_states.c.deployment == event.deployment
    row = (await connection.execute(select(deployment_states).where(is_it))).one_or_none()
    if row is not None and at < row.heard:
        return
    same = row is not None and row.state == event.state
    values = {"state": event.state, "cause": event.cause, "since": row.since if row and same else at, "heard": at}
    if row is None:
        await connection.execute(insert(deployment_states).values(deployment=event.deployment, **values))
    else:
        await connection.execute(update(deployment_states).where(is_it).values(**values))


async def _untold(connection: AsyncConnection) -> list[IncidentChanged]:
    """What people did: it is told once, by whoever looks first."""
    found = (await connection.execute(select(incidents).where(incidents.c.untold.is_not(None)))).all()
    if found:
        await connection.execute(update(incidents).where(incidents.c.untold.is_not(None)).values(untold=None))
    return [
        change_of(event, _as_of(event, incident_of(row)), row.deployments, row.routes)
        for row in found
        for event in row.untold.split()
    ]


def _as_of(event: str, incident: Incident) -> Incident:
    return msgspec.structs.replace(incident, closed_at=None) if event == OPENED else incident


async def _save(
    connection: AsyncConnection, incident: Incident, deployments: Sequence[str], routes: Sequence[str]
) -> None:
    statement = update(incidents).where(incidents.c.id == incident.id)
    await connection.execute(statement.values(**columns_of(incident, deployments, routes)))


def columns_of(incident: Incident, deployments: Sequence[str], routes: Sequence[str]) -> dict[str, Any]:
    """Its row, without its id."""
    return {
        "provider": incident.provider,
        "cause": incident.cause,
        "first_failure": incident.first_failure,
        "last_failure": incident.last_failure,
        "failures": incident.failures,
        "parts": {subject: msgspec.structs.asdict(part) for subject, part in incident.parts.items()},
        "deployments": list(deployments),
        "routes": list(routes),
        "quiet_since": incident.quiet_since,
        "closed_at": incident.closed_at,
    }


def incident_of(row: Any) -> Incident:
    """From its row."""
    return Incident(
        id=row.id,
        provider=row.provider,
        cause=row.cause,
        first_failure=row.first_failure,
        last_failure=row.last_failure,
        failures=row.failures,
        parts=msgspec.convert(row.parts, dict[str, Part]),
        quiet_since=row.quiet_since,
        closed_at=row.closed_at,
    )


def fresh_id() -> str:
    """An incident's id: unique, and short enough to be read out."""
    return f"inc-{secrets.token_hex(6)}"


def change_of(event: str, incident: Incident, deployments: Sequence[str], routes: Sequence[str]) -> IncidentChanged:
    """The fact for operators."""
    closed_at = None if incident.closed_at is None else incident.closed_at / SECOND
    return IncidentChanged(
        event=event,
        id=incident.id,
        provider=incident.provider,
        cause=incident.cause,
        first_failure=incident.first_failure / SECOND,
        last_failure=incident.last_failure / SECOND,
        failures=incident.failures,
        deployments=tuple(deployments),
        routes=tuple(routes),
        closed_at=closed_at,
    )
