"""Where a call may go, and what is known of those places."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import inf

import msgspec

from gateway.types.resources import Deployment

DEFAULT_FALLBACK_ON = frozenset({"error", "timeout", "rate_limit", "auth"})
"""The failures that lead to a route's next target, where the route does not say."""
DEFAULT_MAX_ATTEMPTS = 4
"""Tries of one call at all targets together, where the route does not say."""


@dataclass(frozen=True, slots=True)
class Hedge:
    """When a second attempt is sent beside a first that is slow to answer."""

    after: float | None = None
    """Seconds without a first byte; None: what nineteen of twenty answers of the deployment have taken lately."""
    max_share: float = 0.05
    """Of a route's calls, at most."""


@dataclass(frozen=True, slots=True)
class Skipped:
    """A deployment that a plan leaves out, and why."""

    deployment: str
    reason: str


@dataclass(frozen=True, slots=True, eq=False)
class Plan:
    """Where a call may go, in order, and why every other deployment of its route was left out."""

    route: str
    """The route's name; `provider/model` and bare names have the routes `direct` and `model`."""
    targets: tuple[Deployment, ...]
    revision: str
    max_attempts: int = DEFAULT_MAX_ATTEMPTS
    fallback_on: frozenset[str] = DEFAULT_FALLBACK_ON
    skipped: tuple[Skipped, ...] = ()
    max_output_tokens: int | None = None
    """The route's: reserved, and asked of the provider, for callers under a budget who set no `max_tokens`."""
    fallbacks: Mapping[str, tuple[Deployment, ...]] = field(default_factory=dict)
    """By the word of a failure: where the route sends calls that failed so, in order; asked instead of `targets`."""
    hedge: Hedge | None = None

    @property
    def reachable(self) -> tuple[Deployment, ...]:
        """Every deployment that may serve this call."""
        if not self.fallbacks:
            return self.targets
        named = (deployment for found in self.fallbacks.values() for deployment in found)
        return tuple(dict.fromkeys((*self.targets, *named)))


class Condition(msgspec.Struct, eq=False):
    """What a worker knows of one deployment at the moment: `health` keeps it, routing and upstream read it."""

    deployment: str
    """Its id."""
    out_until: float = 0.0
    """Monotonic seconds until which calls go elsewhere; once past, it may be tried."""
    out_for: str = ""
    """Why: `breaker`, `cooldown`, `parked`; empty while it is in rotation."""
    on_trial: bool = False
    """A call is finding out whether it is well again; others go elsewhere until `out_until`."""
    in_flight: int = 0
    ttft: float | None = None
    """Seconds to the first byte of an answer, decaying mean; None while nothing is known."""
    duration: float | None = None
    """Seconds of an answer that is no stream, decaying mean."""
    headroom: float | None = None
    """The share left of the tightest rate limit, by what the provider's own headers said last; None: unknown."""
    headroom_until: float = inf
    """Monotonic seconds until which that is believed."""
