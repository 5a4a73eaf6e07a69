"""Incidents of providers."""

from __future__ import annotations

import time
from typing import Annotated, Literal

from fastapi import Query, Response
from pydantic import ConfigDict, Field, field_validator
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.auth.admins import Note, Record, Role
from gateway.health import by_hand, reports
from gateway.health.by_hand import IncidentOpen, IncidentOver, Told
from gateway.health.layout import Layout
from gateway.health.reports import IncidentRow
from gateway.http.admin.access import Recorder
from gateway.http.admin.moments import Since, microseconds
from gateway.http.admin.paging import Cursor, Limit, cut, read_cursor
from gateway.http.admin.problems import Clash, Detail, NotThere
from gateway.http.admin.resource_service import ServiceDep
from gateway.http.admin.routing import Routes
from gateway.http.admin.services import Services, ServicesDep
from gateway.http.admin.shapes import Given, Page, Shown, Stamp
from gateway.registry.resources.records import Kind
from gateway.usage.wording import moment, stamp

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


class IncidentDraft(Given):
    """Trouble that a person tells of."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"cause": "maintenance"}]})

    cause: Annotated[str, Field(min_length=1, max_length=200, description="What is wrong.")]
    since: Annotated[str, Field(max_length=40)] | None = Field(
        None, description="When it began: a time, or how long ago; omitted: now.", examples=["2h"]
    )

    @field_validator("since")
    @classmethod
    def _is_past(cls, value: str | None) -> str | None:
        if value is not None and not 0 <= moment(value) <= time.time() * 1_000_000:
            raise ValueError("name a time that is over")
        return value


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
    services: Services, limit: int, cursor: str | None, *, provider: str | None, state: State | None, since: str | None
) -> Page[Incident]:
    """Incidents, the newest first."""
    which = reports.Wanted(provider=provider, since=microseconds(since, 0), state=state)
    after = read_cursor(cursor, _SORT, int, str)
    rows = await reports.incident_page(services.database, which, limit=limit + 1, after=after)
    part = cut(rows, limit, _SORT, lambda row: (row.first_failure, row.id))
    total = await reports.incident_count(services.database, which)
    return Page(items=[shown(row) for row in part.items], next_cursor=part.next_cursor, total=total)


@routes.get("/incidents", policy=Role.VIEWER, summary="List incidents")
async def list_incidents(
    services: ServicesDep,
    limit: Limit = 50,
    cursor: Cursor = None,
    provider: Annotated[str | None, Query(max_length=200)] = None,
    state: State | None = None,
    since: Since = None,
) -> Page[Incident]:
    """The newest first; with `since`, those that were not over by then."""
    return await page(services, limit, cursor, provider=provider, state=state, since=since)


@routes.post(
    "/providers/{provider}/incidents",
    policy=Role.OPERATOR,
    status_code=201,
    answers=(404,),
    summary="Tell of an incident",
)
async def open_incident(
    provider: str, draft: IncidentDraft, service: ServiceDep, record: Recorder, response: Response
) -> Incident:
    """It stays open until somebody closes it. A provider has one open incident at a time."""
    found = await service.find(Kind.PROVIDER, provider)
    at = round(time.time() * 1_000_000) if draft.since is None else moment(draft.since)
    told, layout = Told(found.name, draft.cause, at), Layout(service.services.snapshot())
    try:
        row = await by_hand.open_incident(service.services.database, told, layout, _noting(record, "create"))
    except IncidentOpen as there:
        raise Clash(
            "This provider has an open incident already.",
            details=[Detail("id", str(there))],
            suggestions=["Close that one first, if it is over."],
        ) from None
    response.headers["location"] = f"/api/admin/incidents/{row.id}"
    return shown(row)


@routes.post("/incidents/{incident}/close", policy=Role.OPERATOR, answers=(404,), summary="Close an incident")
async def close_incident(incident: str, services: ServicesDep, record: Recorder) -> Incident:
    """It is over now, whoever told of it. If things still fail, another one begins."""
    at = round(time.time() * 1_000_000)
    try:
        return shown(await by_hand.close_incident(services.database, incident, at, _noting(record, "update")))
    except IncidentOver:
        raise NotThere(
            "There is no open incident with this id.", suggestions=["GET /incidents?state=open lists those there are."]
        ) from None


def _noting(record: Record, action: str) -> by_hand.Witness:
    """Writes it into the audit log, in its transaction."""

    async def witness(connection: AsyncConnection, before: IncidentRow | None, after: IncidentRow) -> None:
        was = None if before is None else shown(before).model_dump()
        await record(connection, Note(action, "incidents", after.id, was, shown(after).model_dump()))

    return witness


@routes.get("/incidents/{incident}", policy=Role.VIEWER, answers=(404,), summary="Show an incident")
async def get_incident(incident: str, services: ServicesDep) -> Incident:
    """One incident."""
    row = await reports.incident(services.database, incident)
    if row is None:
        raise NotThere("There is no incident with this id.", suggestions=["GET /incidents lists those there are."])
    return shown(row)
