"""What is known of providers' health, for commands and the admin API: reads only."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
from sqlalchemy import func, select, tuple_

from gateway.storage.sql.health_tables import deployment_states, health_checks, incidents

if TYPE_CHECKING:
    from sqlalchemy import ColumnElement, Select

    from gateway.storage.sql.database import Database

MOST = 1000
"""Rows of one report."""


class Check(msgspec.Struct, frozen=True):
    """One probe. `at` is Unix microseconds."""

    provider: str
    deployment: str | None
    at: int
    outcome: str
    seconds: float


class State(msgspec.Struct, frozen=True):
    """What workers said last of a deployment, since when, and when one of them said so last."""

    deployment: str
    state: str
    cause: str
    since: int
    heard: int


class IncidentRow(msgspec.Struct, frozen=True):
    """One incident; open while `closed_at` is None. Times are Unix microseconds."""

    id: str
    provider: str
    cause: str
    first_failure: int
    last_failure: int
    failures: int
    deployments: list[str]
    routes: list[str]
    closed_at: int | None


_CHECK = [health_checks.c[name] for name in Check.__struct_fields__]
_STATE = [deployment_states.c[name] for name in State.__struct_fields__]
_INCIDENT = [incidents.c[name] for name in IncidentRow.__struct_fields__]


async def last_checks(database: Database) -> list[Check]:
    """The last probe of each provider and each deployment. Raises DatabaseUnavailable, as all here do."""
    of = (health_checks.c.provider, health_checks.c.deployment)
    newest = select(*of, func.max(health_checks.c.at).label("at")).group_by(*of).subquery()
    same = (
        (health_checks.c.provider == newest.c.provider)
        & health_checks.c.deployment.is_not_distinct_from(newest.c.deployment)
        & (health_checks.c.at == newest.c.at)
    )
    rows = await _rows(database, select(*_CHECK).join(newest, same).order_by(*of))
    return list({(row.provider, row.deployment): Check(*row) for row in rows}.values())


async def checks(database: Database, provider: str | None = None, since: int = 0, limit: int = MOST) -> list[Check]:
    """Probes from `since` (Unix microseconds) on, the newest first."""
    chosen = select(*_CHECK).where(health_checks.c.at >= since)
    if provider is not None:
        chosen = chosen.where(health_checks.c.provider == provider)
    return [Check(*row) for row in await _rows(database, chosen.order_by(health_checks.c.at.desc()).limit(limit))]


async def states(database: Database) -> list[State]:
    """The states of deployments that workers spoke of within the last day; the others are healthy."""
    return [State(*row) for row in await _rows(database, select(*_STATE).order_by(deployment_states.c.deployment))]


async def incident_list(
    database: Database,
    *,
    provider: str | None = None,
    since: int = 0,
    only_open: bool = False,
    limit: int = MOST,
) -> list[IncidentRow]:
    """Incidents that were not over by `since` (Unix microseconds), the newest first."""
    chosen = select(*_INCIDENT)
    if only_open:
        chosen = chosen.where(incidents.c.closed_at.is_(None))
    elif since:
        chosen = chosen.where(incidents.c.closed_at.is_(None) | (incidents.c.closed_at >= since))
    if provider is not None:
        chosen = chosen.where(incidents.c.provider == provider)
    newest = chosen.order_by(incidents.c.first_failure.desc(), incidents.c.id).limit(limit)
    return [IncidentRow(*row) for row in await _rows(database, newest)]


class Wanted(msgspec.Struct, frozen=True):
    """Which incidents: of one provider, not over by `since` (Unix microseconds), `open` or `closed`."""

    provider: str | None = None
    since: int = 0
    state: str | None = None


async def incident(database: Database, id_: str) -> IncidentRow | None:
    """One of them."""
    rows = await _rows(database, select(*_INCIDENT).where(incidents.c.id == id_))
    return IncidentRow(*rows[0]) if rows else None


async def incident_page(
    database: Database, wanted: Wanted, *, limit: int, after: tuple[Any, ...] | None = None
) -> list[IncidentRow]:
    """Incidents, the newest first; those that come after one's first failure and id."""
    chosen = select(*_INCIDENT).where(*_wanted(wanted))
    if after is not None:
        chosen = chosen.where(tuple_(incidents.c.first_failure, incidents.c.id) < after)
    newest = chosen.order_by(incidents.c.first_failure.desc(), incidents.c.id.desc()).limit(limit)
    return [IncidentRow(*row) for row in await _rows(database, newest)]


async def incident_count(database: Database, wanted: Wanted) -> int:
    """How many there are."""
    return await _count(database, select(func.count()).select_from(incidents).where(*_wanted(wanted)))


async def check_page(
    database: Database, provider: str | None, since: int, *, limit: int, after: tuple[Any, ...] | None = None
) -> list[tuple[str, Check]]:
    """Probes from `since` on by the names of their events, the newest first; those that come after a time and name."""
    chosen = select(health_checks.c.event, *_CHECK).where(*_checked(provider, since))
    if after is not None:
        chosen = chosen.where(tuple_(health_checks.c.at, health_checks.c.event) < after)
    newest = chosen.order_by(health_checks.c.at.desc(), health_checks.c.event.desc()).limit(limit)
    return [(row[0], Check(*row[1:])) for row in await _rows(database, newest)]


async def check_count(database: Database, provider: str | None, since: int) -> int:
    """How many there are."""
    return await _count(database, select(func.count()).select_from(health_checks).where(*_checked(provider, since)))


def _checked(provider: str | None, since: int) -> list[ColumnElement[bool]]:
    found = [health_checks.c.at >= since]
    return found if provider is None else [*found, health_checks.c.provider == provider]


def _wanted(wanted: Wanted) -> list[ColumnElement[bool]]:
    c = incidents.c
    found: list[ColumnElement[bool]] = []
    if wanted.provider is not None:
        found.append(c.provider == wanted.provider)
    if wanted.state is not None:
        found.append(c.closed_at.is_(None) if wanted.state == "open" else c.closed_at.is_not(None))
    if wanted.since:
        found.append(c.closed_at.is_(None) | (c.closed_at >= wanted.since))
    return found


async def _count(database: Database, counted: Select[Any]) -> int:
    async with database.connect() as connection:
        return int(await connection.scalar(counted) or 0)


async def _rows(database: Database, chosen: Select[Any]) -> list[Any]:
    async with database.connect() as connection:
        return list(await connection.execute(chosen))
