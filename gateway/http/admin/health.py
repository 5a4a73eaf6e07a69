"""How providers and deployments are doing."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Query

from gateway.auth.admins import Role
from gateway.health import reports
from gateway.health.reports import Check
from gateway.http.admin.moments import Since, microseconds
from gateway.http.admin.paging import Cursor, Limit, cut, cut_sorted, read_cursor
from gateway.http.admin.routing import Routes
from gateway.http.admin.services import Services, ServicesDep
from gateway.http.admin.shapes import Page, Shown, Stamp
from gateway.usage.wording import stamp

routes = Routes("health")

_SORT = "-at"


class Probe(Shown):
    """One probe."""

    provider: str
    deployment: str | None
    """None: the provider was asked for its models, none was called."""
    at: Stamp
    outcome: str
    seconds: float


class DeploymentHealth(Shown):
    """A deployment: what workers said last of it, and the last probe that says something about it."""

    deployment: str
    provider: str
    state: str
    cause: str | None
    since: Stamp | None
    last_probe: Probe | None


@routes.get("/health", policy=Role.VIEWER, summary="State of every deployment")
async def list_health(
    services: ServicesDep,
    limit: Limit = 50,
    cursor: Cursor = None,
    provider: Annotated[str | None, Query(max_length=200)] = None,
) -> Page[DeploymentHealth]:
    """By name: those that are configured, and those that workers spoke of within a day."""
    after = read_cursor(cursor, "deployment", str)
    states = {state.deployment: state for state in await reports.states(services.database)}
    probes = {check.deployment or check.provider: check for check in await reports.last_checks(services.database)}
    names = [name for name in {*services.snapshot().deployments, *states} if provider in (None, name.partition("/")[0])]
    part = cut_sorted(names, limit, "deployment", lambda name: (name,), after)
    items = []
    for name in part.items:
        owner, state = name.partition("/")[0], states.get(name)
        check = probes.get(name) or probes.get(owner)
        items.append(
            DeploymentHealth(
                deployment=name,
                provider=owner,
                state="healthy" if state is None else state.state,
                cause=None if state is None else state.cause or None,
                since=None if state is None else stamp(state.since),
                last_probe=None if check is None else _probe(check),
            )
        )
    return Page(items=items, next_cursor=part.next_cursor, total=len(names))


async def history(
    services: Services, limit: int, cursor: str | None, *, provider: str | None, since: str | None
) -> Page[Probe]:
    """Probes, the newest first."""
    after: Any = read_cursor(cursor, _SORT, int, str)
    start = microseconds(since, 0)
    rows = await reports.check_page(services.database, provider, start, limit=limit + 1, after=after)
    part = cut(rows, limit, _SORT, lambda row: (row[1].at, row[0]))
    total = await reports.check_count(services.database, provider, start)
    return Page(items=[_probe(row[1]) for row in part.items], next_cursor=part.next_cursor, total=total)


@routes.get("/health/checks", policy=Role.VIEWER, summary="List probes")
async def list_checks(
    services: ServicesDep,
    limit: Limit = 50,
    cursor: Cursor = None,
    provider: Annotated[str | None, Query(max_length=200)] = None,
    since: Since = None,
) -> Page[Probe]:
    """Every probe that is kept, the newest first."""
    return await history(services, limit, cursor, provider=provider, since=since)


def _probe(check: Check) -> Probe:
    return Probe(
        provider=check.provider,
        deployment=check.deployment,
        at=stamp(check.at),
        outcome=check.outcome,
        seconds=round(check.seconds, 6),
    )
