"""Failures by provider and kind, in the standard words."""

from __future__ import annotations

import time
from typing import Annotated

from fastapi import Query

from gateway.auth.admins import Role
from gateway.http.admin.moments import Since, Until
from gateway.http.admin.problems import Invalid
from gateway.http.admin.routing import Routes
from gateway.http.admin.services import ServicesDep
from gateway.http.admin.shapes import Shown, Stamp
from gateway.http.admin.usage import Chosen
from gateway.usage.failures import by_provider
from gateway.usage.wording import moment, stamp

routes = Routes("health")


_LONGEST = 31 * 86400 * 1_000_000


class Reason(Shown):
    """How often something happened."""

    reason: str
    count: int


class Failures(Shown):
    """One kind of failure at one provider."""

    provider: str
    type: str
    count: int
    share: float
    """Of the provider's attempts."""
    reasons: list[Reason]
    last_at: Stamp


class FailureReport(Shown):
    """What failed, the most frequent first within each provider."""

    since: Stamp
    attempts: dict[str, int]
    """By provider."""
    items: list[Failures]


@routes.get("/errors", "/providers/errors", policy=Role.VIEWER, summary="Count failures by provider and type")
async def count_failures(
    services: ServicesDep,
    since: Since = "24h",
    until: Until = None,
    provider: Annotated[str | None, Query(max_length=200)] = None,
) -> FailureReport:
    """Attempts that failed, by provider and by the standard type of the failure: of 24 hours unless `since` says more,
    of at most 31 days."""
    chosen = Chosen(since=since, until=until, provider=provider).selection()
    end = min(chosen.until, round(time.time() * 1_000_000))
    if end - chosen.since > _LONGEST:
        raise Invalid(
            "since: single attempts are counted, of at most 31 days",
            field="since",
            suggestions=["Name `until` too, or ask `GET /usage` for sums of longer times."],
        )
    found = await by_provider(services.database, chosen)
    totals = found.attempts
    return FailureReport(
        since=stamp(moment(since or "24h")),
        attempts=totals,
        items=[
            Failures(
                provider=one.provider,
                type=one.type,
                count=one.count,
                share=one.count / totals[one.provider],
                reasons=[Reason(reason=reason, count=count) for reason, count in one.reasons],
                last_at=stamp(one.last_at),
            )
            for one in found.items
        ],
    )
