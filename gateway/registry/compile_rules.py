"""Routes, keys, teams and alerts to the snapshot's values. Reads data that is already checked."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from gateway.registry import dates, scalars
from gateway.registry.compile_limits import compile_limits, compile_quotas
from gateway.registry.snapshot import (
    DEFAULT_STICKY_ON,
    Alerts,
    Match,
    Route,
    Span,
    Target,
    Team,
    VirtualKey,
)
from gateway.types import DEFAULT_FALLBACK_ON, DEFAULT_MAX_ATTEMPTS, Deployment, Hedge, Principal, Skipped

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    Find = Callable[[str, str], Deployment | Skipped]
    Named = Mapping[str, tuple[Route, Mapping[str, str]]]

Settings = dict[str, Any]
_SYNONYMS: dict[str, str] = {"primary_fallback": "priority"}


def compile_route(settings: Settings, find: Find) -> Route:
    """One route; `find` says where a target is, or why it cannot be chosen."""
    floor = scalars.real(settings.get("min_quality", 0))
    found = [_target(target, find(target["provider"], target["model"]), floor) for target in settings["targets"]]
    fallback_on = settings.get("fallback_on")
    strategy: str = settings.get("strategy", "priority")
    return Route(
        name=settings["name"],
        match=_match(settings.get("match", {})),
        strategy=_SYNONYMS.get(strategy, strategy),
        targets=tuple(target for target in found if isinstance(target, Target)),
        fallback_on=DEFAULT_FALLBACK_ON if fallback_on is None else _words(fallback_on),
        max_attempts=scalars.whole(settings.get("max_attempts", DEFAULT_MAX_ATTEMPTS)),
        max_output_tokens=scalars.size(settings["max_output_tokens"]) if "max_output_tokens" in settings else None,
        absent=tuple(target for target in found if isinstance(target, Skipped)),
        sticky_on=scalars.words(settings["sticky_on"]) if "sticky_on" in settings else DEFAULT_STICKY_ON,
        hedge=_hedge(settings["hedge"]) if settings.get("hedge") is not None else None,
    )


def _target(settings: Settings, found: Deployment | Skipped, floor: float) -> Target | Skipped:
    if isinstance(found, Skipped):
        return found
    quality = scalars.real(settings["quality"]) if "quality" in settings else None
    if quality is not None and quality < floor:
        return Skipped(found.id, f"quality: {quality:g} is below the route's {floor:g}")
    return Target(found, scalars.whole(settings.get("weight", 1)), quality)


def _hedge(settings: Settings) -> Hedge:
    return Hedge(scalars.hedge_after(settings.get("after", "p95")), scalars.real(settings.get("max_share", 0.05)))


def with_fallbacks(routes: Sequence[Route], settings: Sequence[Settings], find: Find) -> tuple[Route, ...]:
    """The routes, each with the deployments that it names for context windows and content filters."""
    named = {item["name"]: (route, item.get("fallbacks") or {}) for route, item in zip(routes, settings, strict=True)}
    chains = _Chains(named, find)
    return tuple(
        replace(route, fallbacks=found) if (found := chains.of(route.name, named[route.name][1])) else route
        for route in routes
    )


class _Chains:
    """Where failures lead, from route to route; that every chain ends was checked. What two chains share is walked
    once."""

    def __init__(self, named: Named, find: Find) -> None:
        self._named = named
        self._find = find
        self._known: dict[tuple[str, str], tuple[Deployment, ...]] = {}
        """By what is named and for which failure: the deployments from there on, each once."""

    def of(self, route: str, words: Iterable[str]) -> dict[str, tuple[Deployment, ...]]:
        """What this route names for each of these failures."""
        chains = {word: self._from(self._named[route][1][word], word) for word in words}
        return {word: chain for word, chain in chains.items() if chain}

    def _from(self, reference: str | None, word: str) -> tuple[Deployment, ...]:
        steps = []
        while reference is not None and (reference, word) not in self._known:
            steps.append(reference)
            reference = self._named[reference][1].get(word) if reference in self._named else None
        found = () if reference is None else self._known[reference, word]
        for step in reversed(steps):
            own = {deployment.id: deployment for deployment in self._at(step)}
            found = (*own.values(), *(deployment for deployment in found if deployment.id not in own))
            self._known[step, word] = found
        return found

    def _at(self, reference: str) -> Iterator[Deployment]:
        """What one step leads to: a route's targets, or a deployment that is named itself."""
        if reference in self._named:
            yield from (target.deployment for target in self._named[reference][0].targets)
            return
        provider, _, model = reference.partition("/")
        found = self._find(provider, model)
        if isinstance(found, Deployment):
            yield found


def _match(settings: Settings) -> Match:
    return Match(
        models=scalars.words(settings["model"]) if "model" in settings else (),
        services=_words(settings.get("service", [])),
        team=settings.get("team"),
        key=settings.get("key"),
        groups=_words(settings.get("group", [])),
        headers={name.lower(): value for name, value in settings.get("headers", {}).items()},
        stream=scalars.flag(settings["stream"]) if "stream" in settings else None,
        capabilities=_words(settings.get("capabilities", [])),
        context=_span(settings["context"]) if "context" in settings else None,
        size=_span(settings["size"]) if "size" in settings else None,
    )


def _span(settings: Settings) -> Span:
    return Span(**{name: scalars.size(amount) for name, amount in settings.items()})


def compile_aliases(aliases: Mapping[str, str]) -> dict[str, str]:
    """Each alias with the name that it comes to in the end. Those that lead in a circle come to nothing."""
    found = {}
    for name in aliases:
        target, steps = aliases[name], 0
        while target in aliases and steps < len(aliases):
            target, steps = aliases[target], steps + 1
        found[name] = target
    return found


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
        groups=_words(settings.get("groups", [])),
    )


def compile_team(settings: Settings, zone: str) -> Team:
    """One team; `zone` is for quotas without one."""
    name, limits = settings["name"], settings.get("limits", {})
    quotas = compile_quotas(settings.get("quotas", []), "team", name, zone, limits)
    return Team(name, compile_limits(limits, "team", name), quotas)


def compile_alerts(settings: Settings) -> Alerts:
    """Where alerts go."""
    headers = tuple((name.lower(), value) for name, value in settings.get("headers", {}).items())
    webhook = settings.get("webhook")
    written = webhook is not None and scalars.names_private(webhook)
    private = scalars.flag(settings.get("allow_private_network", written))
    return Alerts(webhook, headers, private, settings.get("secret"))


def _words(value: Any) -> frozenset[str]:
    return frozenset([value] if isinstance(value, str) else value)
