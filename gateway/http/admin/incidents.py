"""Incidents of providers."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import Query

from gateway.auth.admins import Role
from gateway.health import reports
from gateway.health.reports import IncidentRow
from gateway.http.admin.moments import Since, microseconds
from gateway.http.admin.paging import Cursor, Limit, cut, read_cursor
from gateway.http.admin.problems import NotThere
from gateway.http.admin.routing import Routes
from gateway.http.admin.services import Rooms, Services
from gateway.http.admin.shapes import Page, Shown, Stamp
from gateway.usage.wording import stamp

routes = Routes("health")

_SORT = "-first_failure"
State = Literal["open", "closed"]


class Incident(Shown):
    """One provider's trouble, from its first failure to its end."""

    id: str
    provider: str
    cause: str
    state: State
    first_failure: Stamp
    last_failure: Stamp
    closed_at: Stamp | None
    failures: int
    deployments: list[str]
    routes: list[str]


def shown(row: IncidentRow) -> Incident:
    """A row as callers read it."""
    return Incident(
        id=row.id,
        provider=row.provider,
        cause=row.cause,
        state="open" if row.closed_at is None else "closed",
        first_failure=stamp(row.first_failure),
        last_failure=stamp(row.last_failure),
        closed_at=None if row.closed_at is None else stamp(row.closed_at),
        failures=row.failures,
        deployments=row.deployments,
        routes=row.routes,
    )


async def page(
    rooms: Services, limit: int, cursor: str | None, *, provider: str | None, state: State | None, since: str | None
) -> Page[Incident]:
    """Incidents, the newest first."""
    which = reports.Wanted(provider=provider, since=microseconds(since, 0), state=state)
    after = read_cursor(cursor, _SORT, int, str)
    rows = await reports.incident_page(rooms.database, which, limit=limit + 1, after=after)
    part = cut(rows, limit, _SORT, lambda row: (row.first_failure, row.id))
    total = await reports.incident_count(rooms.database, which)
    return Page(items=[shown(row) for row in part.items], next_cursor=part.next_cursor, total=total)


@routes.get("/incidents", policy=Role.VIEWER, summary="List incidents")
async def list_incidents(
    rooms: Rooms,
    limit: Limit = 50,
    cursor: Cursor = None,
    provider: Annotated[str | None, Query(max_length=200)] = None,
    state: State | None = None,
    since: Since = None,
) -> Page[Incident]:
    """The newest first; with `since`, those that were not over by then."""
    return await page(rooms, limit, cursor, provider=provider, state=state, since=since)


@routes.get("/incidents/{incident}", policy=Role.VIEWER, answers=(404,), summary="Show an incident")
async def get_incident(incident: str, rooms: Rooms) -> Incident:
    """One incident."""
    row = await reports.incident(rooms.database, incident)
    if row is None:
        raise NotThere("There is no incident with this id.", suggestions=["GET /incidents lists those there are."])
    return shown(row)
