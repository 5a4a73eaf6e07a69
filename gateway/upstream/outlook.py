"""What is left when no deployment may be tried: how long that lasts, and why. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from gateway.errors import GatewayError, NoUpstream, UpstreamRateLimited
from gateway.types import Condition

TRIAL_SECONDS = 1.0
"""When to come back while somebody else's call finds out."""
COOLDOWN = "cooldown"


def all_out(conditions: Sequence[Condition], now: float) -> GatewayError:
    """The refusal of a call when none of these takes one: the provider's rate limit where there is nothing else, else
    `no_upstream`; both say when the next one may be tried."""
    waits = [TRIAL_SECONDS if found.on_trial else max(0.0, found.out_until - now) for found in conditions]
    wait = min(waits, default=TRIAL_SECONDS)
    if conditions and all(found.out_for == COOLDOWN for found in conditions):
        return UpstreamRateLimited(retry_after=wait)
    return NoUpstream(retry_after=wait)
