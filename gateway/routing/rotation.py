"""Which deployments are in rotation at the moment, and what there is to say when none is. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from gateway.errors import GatewayError, NoUpstream, UpstreamRateLimited
from gateway.registry.snapshot import Target
from gateway.types import Condition, Skipped

COOLDOWN = "cooldown"
LEAST_WAIT = 1.0
"""Seconds that a caller is told to wait at least: how long a trial takes, nobody knows."""


def is_out(condition: Condition, now: float) -> bool:
    """Whether calls go elsewhere; one whose time is up may be tried."""
    return condition.out_until > now


def split(
    targets: Sequence[Target], conditions: Sequence[Condition], now: float
) -> tuple[tuple[Target, ...], tuple[Skipped, ...]]:
    """Those in rotation, and why the others are not."""
    pairs = list(zip(targets, conditions, strict=True))
    there = tuple(target for target, condition in pairs if not is_out(condition, now))
    out = tuple(Skipped(c.deployment, _reason(c, now)) for _, c in pairs if is_out(c, now))
    return there, out


def _reason(condition: Condition, now: float) -> str:
    if condition.on_trial:
        return "breaker: a call finds out whether it is well again"
    return f"{condition.out_for or 'breaker'}: out for {condition.out_until - now:.1f} s more"


def all_out(conditions: Sequence[Condition], now: float) -> GatewayError:
    """What a caller is told when every deployment is out: when the first of them may be tried again."""
    wait = max(LEAST_WAIT, min(now if found.on_trial else found.out_until for found in conditions) - now)
    if all(condition.out_for == COOLDOWN and not condition.on_trial for condition in conditions):
        error = UpstreamRateLimited()
        error.retry_after = wait
        return error
    return NoUpstream(retry_after=wait)
