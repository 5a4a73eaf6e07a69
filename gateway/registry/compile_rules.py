"""Routes, keys, teams and alerts to the snapshot's values. Reads data that is already checked."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

from gateway.registry import dates, scalars
from gateway.registry.compile_limits import compile_limits, compile_quotas
from gateway.registry.snapshot import (
    DEFAULT_FALLBACK_ON,
    DEFAULT_MAX_ATTEMPTS,
    Alerts,
    Match,
    Route,
    Target,
    Team,
    VirtualKey,
)
from gateway.types import Principal

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.types import Deployment

Settings = dict[str, Any]


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
        max_output_tokens=scalars.size(settings["max_output_tokens"]) if "max_output_tokens" in settings else None,
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


def compile_key(settings: Settings, zone: str) -> VirtualKey:
    """One active key; `zone` is for quotas without one."""
    secret = settings.get("secret")
    if secret is not None:
        digest = hashlib.sha256(scalars.secret(secret).encode()).digest()
    else:
        digest = scalars.secret_hash(settings["secret_hash"])
    return VirtualKey(settings["name"], digest, _principal(settings, digest, zone))


def inactive_key(settings: Settings) -> VirtualKey:
    """A key that nobody can use, since a variable it needs is unset."""
    name = str(settings.get("name", ""))
    return VirtualKey(name, b"", Principal(key=name), active=False)


def _principal(settings: Settings, digest: bytes, zone: str) -> Principal:
    name, models, limits = settings["name"], settings.get("models"), settings.get("limits", {})
    return Principal(
        key=name,
        team=settings.get("team"),
        models=None if models is None else tuple([models] if isinstance(models, str) else models),
        limits=compile_limits(limits, "key", name),
        quotas=compile_quotas(settings.get("quotas", []), "key", name, zone, limits),
        services=_words(settings["services"]) if "services" in settings else None,
        expires_at=dates.moment(settings["expires"]) if "expires" in settings else None,
        digest=digest,
    )


def compile_team(settings: Settings, zone: str) -> Team:
    """One team; `zone` is for quotas without one."""
    name, limits = settings["name"], settings.get("limits", {})
    quotas = compile_quotas(settings.get("quotas", []), "team", name, zone, limits)
    return Team(name, compile_limits(limits, "team", name), quotas)


def compile_alerts(settings: Settings) -> Alerts:
    """Where alerts go."""
    headers = tuple((name.lower(), value) for name, value in settings.get("headers", {}).items())
    return Alerts(settings.get("webhook"), headers)


def _words(value: Any) -> frozenset[str]:
    return frozenset([value] if isinstance(value, str) else value)
