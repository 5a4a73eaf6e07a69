"""Limits and quotas to what the gate enforces. Reads data that is already checked."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gateway.registry import scalars
from gateway.types import LimitRule, LimitSpec, QuotaSpec, RateLimit

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

Settings = dict[str, Any]
RATES = "bounded"
QUOTAS = "closed"
"""What happens while the store of counters is away, unless a limit or a quota says otherwise."""
_NANO = 1_000_000_000
_LAST_RESORT = RateLimit(1, 1.0)


def compile_limits(settings: Settings, scope: str, name: str) -> tuple[LimitSpec, ...]:
    """The limits of one owner: requests, tokens, concurrency, as far as they are set."""
    away = settings.get("on_store_failure", RATES)
    specs = [
        _bucket(scope, name, kind, scalars.rate(settings[kind]), away)
        for kind in ("requests", "tokens")
        if kind in settings
    ]
    if "concurrency" in settings:
        slots = scalars.whole(settings["concurrency"])
        specs.append(LimitSpec(scope, name, "concurrency", capacity=slots, count=slots, on_store_failure=away))
    return tuple(specs)


def _bucket(scope: str, name: str, kind: str, rate: RateLimit, away: str) -> LimitSpec:
    capacity = rate.burst or rate.count
    period = rate.period * capacity / rate.count
    return LimitSpec(scope, name, kind, capacity, period=period, count=rate.count, on_store_failure=away)


def compile_quotas(
    items: Sequence[Settings], scope: str, name: str, zone: str, limits: Settings
) -> tuple[QuotaSpec, ...]:
    """The quotas of one owner; one that sets several amounts becomes several. `zone` is for those without one;
    `limits` are the owner's, for the rate that `throttle` leaves."""
    requests = scalars.rate(limits["requests"]) if "requests" in limits else None
    return tuple(quota for item in items for quota in _quotas(item, scope, name, zone, requests))


def _quotas(settings: Settings, scope: str, name: str, zone: str, requests: RateLimit | None) -> Iterator[QuotaSpec]:
    action, model = scalars.action(settings.get("action_on_exceed", "reject"))
    for kind in ("requests", "tokens", "cost"):
        if kind not in settings:
            continue
        value = settings[kind]
        yield QuotaSpec(
            scope=scope,
            name=name,
            kind=kind,
            period=settings["period"],
            amount=max(1, round(scalars.real(value) * _NANO)) if kind == "cost" else scalars.size(value),
            zone=settings.get("zone", zone),
            soft=scalars.real(settings["soft"]) if "soft" in settings else None,
            action=action,
            downgrade_to=model,
            throttle=_throttle(settings, requests) if action == "throttle" else None,
            unpriced=settings.get("unpriced", "refuse"),
            on_store_failure=settings.get("on_store_failure", QUOTAS),
        )


def _throttle(settings: Settings, requests: RateLimit | None) -> RateLimit:
    if "throttle_to" in settings:
        return scalars.rate(settings["throttle_to"])
    if requests is None:
        return _LAST_RESORT
    count, rest = divmod(requests.count, 10)
    return RateLimit(requests.count, requests.period * 10, max(1, count)) if rest else RateLimit(count, requests.period)


def compile_rule(settings: Settings, zone: str) -> LimitRule:
    """One entry of the top-level `limits`."""
    name, scope = settings["name"], settings["scope"]
    return LimitRule(
        name=name,
        scope=scope,
        limits=compile_limits(settings, scope, name),
        quotas=compile_quotas(settings.get("quotas", []), scope, name, zone, settings),
        only=scalars.words(settings["only"]) if "only" in settings else (),
    )
