"""Routes, keys, teams, limits and quotas to the snapshot's values. Reads data that is already checked."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

from gateway.registry import scalars
from gateway.registry.snapshot import (
    DEFAULT_FALLBACK_ON,
    DEFAULT_MAX_ATTEMPTS,
    Match,
    Quota,
    Route,
    SharedLimit,
    Target,
    Team,
    VirtualKey,
)
from gateway.types import LimitSpec, Principal, RateLimit

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from gateway.types import Deployment

Settings = dict[str, Any]
_NANO = 1_000_000_000


def compile_route(settings: Settings, find: Callable[[str, str], Deployment | None]) -> Route:
    """One route; targets that `find` does not know (their provider is not active) are left out."""
    found = ((find(target["provider"], target["model"]), target) for target in settings["targets"])
    targets = tuple(
        Target(deployment, scalars.whole(target.get("weight", 1)))
        for deployment, target in found
        if deployment is not None
    )
    fallback_on = settings.get("fallback_on")
    return Route(
        name=settings["name"],
        match=_match(settings["match"]),
        strategy=settings.get("strategy", "priority"),
        targets=targets,
        fallback_on=DEFAULT_FALLBACK_ON if fallback_on is None else _words(fallback_on),
        max_attempts=scalars.whole(settings.get("max_attempts", DEFAULT_MAX_ATTEMPTS)),
    )


def _match(settings: Settings) -> Match:
    return Match(
        model=settings.get("model"),
        services=_words(settings.get("service", [])),
        team=settings.get("team"),
        key=settings.get("key"),
        headers={name.lower(): value for name, value in settings.get("headers", {}).items()},
        stream=scalars.flag(settings["stream"]) if "stream" in settings else None,
    )


def compile_key(settings: Settings) -> VirtualKey:
    """One active key."""
    secret = settings.get("secret")
    if secret is not None:
        digest = hashlib.sha256(scalars.secret(secret).encode()).digest()
    else:
        digest = scalars.secret_hash(settings["secret_hash"])
    return VirtualKey(settings["name"], digest, _principal(settings), quotas=compile_quotas(settings))


def inactive_key(settings: Settings) -> VirtualKey:
    """A key that nobody can use, since a variable it needs is unset."""
    name = str(settings.get("name", ""))
    return VirtualKey(name, b"", Principal(key=name), active=False)


def _principal(settings: Settings) -> Principal:
    models = settings.get("models")
    return Principal(
        key=settings["name"],
        team=settings.get("team"),
        models=None if models is None else tuple([models] if isinstance(models, str) else models),
        limits=compile_limits(settings.get("limits", {}), "key", settings["name"]),
    )


def compile_team(settings: Settings) -> Team:
    """One team."""
    limits = compile_limits(settings.get("limits", {}), "team", settings["name"])
    return Team(settings["name"], limits, compile_quotas(settings))


def compile_shared(settings: Settings) -> SharedLimit:
    """One limit beyond keys and teams."""
    name, scope = settings["name"], settings["scope"]
    return SharedLimit(name, scope, compile_limits(settings, scope, name), settings.get("on_store_failure", "bounded"))


def compile_limits(settings: Settings, scope: str, name: str) -> tuple[LimitSpec, ...]:
    """The limits of one owner: requests, tokens, concurrency, as far as they are set."""
    specs = [
        _bucket(scope, name, kind, scalars.rate(settings[kind])) for kind in ("requests", "tokens") if kind in settings
    ]
    if "concurrency" in settings:
        slots = scalars.whole(settings["concurrency"])
        specs.append(LimitSpec(scope, name, "concurrency", capacity=slots, count=slots))
    return tuple(specs)


def _bucket(scope: str, name: str, kind: str, rate: RateLimit) -> LimitSpec:
    capacity = rate.burst or rate.count
    return LimitSpec(scope, name, kind, capacity, period=rate.period * capacity / rate.count, count=rate.count)


def compile_quotas(settings: Settings) -> tuple[Quota, ...]:
    """The quotas of one owner; one that sets several amounts becomes several."""
    return tuple(quota for item in settings.get("quotas", []) for quota in _quotas(item))


def _quotas(settings: Settings) -> Iterator[Quota]:
    action, model = scalars.action(settings.get("action_on_exceed", "reject"))
    for kind in ("requests", "tokens", "cost"):
        if kind not in settings:
            continue
        value = settings[kind]
        yield Quota(
            period=settings["period"],
            kind=kind,
            amount=round(scalars.real(value) * _NANO) if kind == "cost" else scalars.size(value),
            soft=scalars.real(settings["soft"]) if "soft" in settings else None,
            action=action,
            downgrade_to=model,
            on_store_failure=settings.get("on_store_failure", "closed"),
        )


def _words(value: Any) -> frozenset[str]:
    return frozenset([value] if isinstance(value, str) else value)
