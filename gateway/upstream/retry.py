"""What to do after a failed attempt: a pure decision over facts. Acting on it is `forward.py`'s work."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random

from gateway.errors import ProviderAuthFailed, UpstreamContextWindow, UpstreamError, UpstreamRateLimited
from gateway.types import Deployment, Plan

MAX_BACKOFF = 5.0
MAX_WAIT_FOR_RATE_LIMIT = 2.0

May = Callable[[Deployment], bool]


@dataclass(frozen=True, slots=True)
class Try:
    """Try this deployment, after `wait` seconds."""

    deployment: Deployment
    wait: float = 0.0
    named: bool = False
    """It is the first of those that the route names for this failure: from here on, only they count."""


@dataclass(frozen=True, slots=True)
class Failure:
    """A fact: an attempt at this deployment ended so."""

    deployment: Deployment
    error: UpstreamError
    requests: int = 1
    """How many were sent for it."""


def any_may(deployment: Deployment) -> bool:
    """Nothing speaks against it."""
    del deployment
    return True


def next_try(
    plan: Plan, failures: Sequence[Failure], seconds_left: float, chance: Random, may: May = any_may
) -> Try | None:
    """The next attempt, or None when this call is lost. `may` says which deployments take one at the moment.

    Other deployments first and at once; then the same ones again after a full-jitter backoff, each at most
    `retry_attempts` times; at most `max_attempts` in all, and never past the deadline. A provider's 429 is waited for
    once when it is the only deployment and asks for two seconds at most. Where the route names deployments for this
    failure, it is those that come next.
    """
    last = failures[-1].error
    if not last.failover or len(failures) >= plan.max_attempts or seconds_left <= 0:
        return None
    if last.once and sum(failure.error.once for failure in failures) > 1:
        return None
    tried = {failure.deployment.id for failure in failures}
    named = plan.fallbacks.get(last.fallback_on) if plan.fallbacks else None
    if named is not None:
        return next((Try(found, named=True) for found in named if found.id not in tried and may(found)), None)
    if last.fallback_on in plan.fallback_on:
        for deployment in plan.targets:
            if deployment.id not in tried and _helps(deployment, failures[-1]) and may(deployment):
                return Try(deployment)
    return _again(plan, failures, seconds_left, chance, may)


def _helps(deployment: Deployment, failure: Failure) -> bool:
    """Whether another deployment may do better: not if its context window is known to be no larger."""
    if not isinstance(failure.error, UpstreamContextWindow):
        return True
    window, before = deployment.context_window, failure.deployment.context_window
    return window is None or before is None or window > before


def _again(plan: Plan, failures: Sequence[Failure], seconds_left: float, chance: Random, may: May) -> Try | None:
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
        and _worth_repeating(latest[deployment.id], deployment, counts[deployment.id], plan)
        and (isinstance(latest[deployment.id], UpstreamRateLimited) or may(deployment))
    ]
    if not candidates:
        return None
    deployment = min(candidates, key=lambda candidate: counts[candidate.id])
    error = latest[deployment.id]
    if isinstance(error, UpstreamRateLimited):
        wait = error.retry_after or 0.0
    elif isinstance(error, ProviderAuthFailed):
        wait = 0.0
    else:
        ceiling = min(MAX_BACKOFF, deployment.provider.retry_delay * 2 ** (counts[deployment.id] - 1))
        wait = chance.uniform(0.0, ceiling)
    return Try(deployment, wait) if wait < seconds_left else None


def _worth_repeating(error: UpstreamError, deployment: Deployment, count: int, plan: Plan) -> bool:
    if isinstance(error, UpstreamRateLimited):
        return (
            len(plan.targets) == 1
            and count == 1
            and error.retry_after is not None
            and error.retry_after <= MAX_WAIT_FOR_RATE_LIMIT
        )
    if isinstance(error, ProviderAuthFailed):
        return count < len(deployment.provider.api_keys) + len(deployment.provider.spare_keys)  # the next key's turn
    return error.retry_same
