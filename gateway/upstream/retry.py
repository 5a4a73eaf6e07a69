"""What to do after a failed attempt: a pure decision over facts. Acting on it is `forward.py`'s work."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

from gateway.errors import UpstreamError, UpstreamRateLimited
from gateway.types import Deployment, Plan

MAX_BACKOFF = 5.0
MAX_WAIT_FOR_RATE_LIMIT = 2.0


@dataclass(frozen=True, slots=True)
class Try:
    """Try this deployment, after `wait` seconds."""

    deployment: Deployment
    wait: float = 0.0


@dataclass(frozen=True, slots=True)
class Failure:
    """A fact: an attempt at this deployment ended so."""

    deployment: Deployment
    error: UpstreamError


def next_try(plan: Plan, failures: Sequence[Failure], seconds_left: float, chance: Random) -> Try | None:
    """The next attempt, or None when this call is lost.

    Other deployments first and at once; then the same ones again after a full-jitter backoff, each at most
    `retry_attempts` times; at most `max_attempts` in all, and never past the deadline. A provider's 429 is waited for
    once when it is the only deployment and asks for two seconds at most.
    """
    last = failures[-1].error
    if not last.failover or len(failures) >= plan.max_attempts or seconds_left <= 0:
        return None
    if last.fallback_on in plan.fallback_on:
        tried = {failure.deployment.id for failure in failures}
        for deployment in plan.targets:
            if deployment.id not in tried:
                return Try(deployment)
    return _again(plan, failures, seconds_left, chance)


def _again(plan: Plan, failures: Sequence[Failure], seconds_left: float, chance: Random) -> Try | None:
    counts: dict[str, int] = {}
    latest: dict[str, UpstreamError] = {}
    for failure in failures:
        counts[failure.deployment.id] = counts.get(failure.deployment.id, 0) + 1
        latest[failure.deployment.id] = failure.error
    last = failures[-1]
    # A failure that the route does not fall back on may be tried again where it happened, and nowhere else.
    eligible = plan.targets if last.error.fallback_on in plan.fallback_on else (last.deployment,)
    candidates = [
        deployment
        for deployment in eligible
        if 0 < counts.get(deployment.id, 0) <= deployment.provider.retry_attempts
        and latest[deployment.id].failover
        and (latest[deployment.id].retry_same or _worth_waiting(latest[deployment.id], counts[deployment.id], plan))
    ]
    if not candidates:
        return None
    deployment = min(candidates, key=lambda candidate: counts[candidate.id])
    error = latest[deployment.id]
    if isinstance(error, UpstreamRateLimited):
        wait = error.retry_after or 0.0
    else:
        ceiling = min(MAX_BACKOFF, deployment.provider.retry_delay * 2 ** (counts[deployment.id] - 1))
        wait = chance.uniform(0.0, ceiling)
    return Try(deployment, wait) if wait < seconds_left else None


def _worth_waiting(error: UpstreamError, count: int, plan: Plan) -> bool:
    return (
        isinstance(error, UpstreamRateLimited)
        and len(plan.targets) == 1
        and count == 1
        and error.retry_after is not None
        and error.retry_after <= MAX_WAIT_FOR_RATE_LIMIT
    )
