"""The registry's product: one immutable picture of every configured resource, swapped whole and shared by all rooms."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from gateway.types import (
    DEFAULT_FALLBACK_ON,
    DEFAULT_MAX_ATTEMPTS,
    Deployment,
    Hedge,
    LimitRule,
    LimitSpec,
    Principal,
    Provider,
    QuotaSpec,
    Skipped,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

DYNAMIC_DEPLOYMENTS = 1024
"""How many deployments made on demand one snapshot remembers; a client that invents names cannot grow it."""

UTC = "UTC"


@dataclass(frozen=True, slots=True)
class Span:
    """An amount above one bound and up to another."""

    above: int | None = None
    up_to: int | None = None

    def holds(self, amount: int | None) -> bool:
        """Whether it is within; an amount that is not known never is."""
        if amount is None:
            return False
        return (self.above is None or amount > self.above) and (self.up_to is None or amount <= self.up_to)


@dataclass(frozen=True, slots=True)
class Match:
    """What a request must look like for a route; every condition that is set must hold, and at least one is set."""

    models: tuple[str, ...] = ()
    """Globs (`*`, `?`, `[…]`), case-sensitive, of which one must fit; empty means every model."""
    services: frozenset[str] = frozenset()
    """Words of `Service`; empty means every service."""
    team: str | None = None
    key: str | None = None
    groups: frozenset[str] = frozenset()
    """The caller's key must carry one of them; empty means every caller."""
    headers: Mapping[str, str] = field(default_factory=dict)
    """Lower-case names to the exact value wanted."""
    stream: bool | None = None
    capabilities: frozenset[str] = frozenset()
    """What the request itself must ask for, all of it: images, tools, …"""
    context: Span | None = None
    """Tokens: the estimated input and the output that the caller allows."""
    size: Span | None = None
    """Bytes of the body."""


@dataclass(frozen=True, slots=True)
class Target:
    """One deployment of a route. `weight` counts in strategies that weigh: one of 0 comes after all others there."""

    deployment: Deployment
    weight: int = 1
    quality: float | None = None
    """The operator's own mark, from 0 to 1; a route's `min_quality` is held against it."""


DEFAULT_STICKY_ON = ("user", "prompt")


@dataclass(frozen=True, slots=True)
class Route:
    """A rule: what it matches, where that goes, and which failures go on to the next target."""

    name: str
    match: Match
    strategy: str
    """A name of `routing.strategies.STRATEGIES`."""
    targets: tuple[Target, ...]
    """In file order, without those that can never be chosen; may be empty."""
    fallback_on: frozenset[str] = DEFAULT_FALLBACK_ON
    max_attempts: int = DEFAULT_MAX_ATTEMPTS
    max_output_tokens: int | None = None
    """What is reserved and asked for when a caller under a budget sets no `max_tokens`."""
    absent: tuple[Skipped, ...] = ()
    """Targets that can never be chosen, and why: their provider is not active, or they are not good enough."""
    sticky_on: tuple[str, ...] = DEFAULT_STICKY_ON
    """What `sticky` goes by, the first that a call has: `user`, `prompt` or `header:<name>`."""
    fallbacks: Mapping[str, tuple[Deployment, ...]] = field(default_factory=dict)
    """As a Plan's: `context_window` and `content_filter`."""
    hedge: Hedge | None = None


@dataclass(frozen=True, slots=True)
class Team:
    """A group of keys with limits and quotas of its own."""

    name: str
    limits: tuple[LimitSpec, ...] = ()
    quotas: tuple[QuotaSpec, ...] = ()


@dataclass(frozen=True, slots=True)
class Alerts:
    """Where quotas, incidents and refused configurations are told. All of it may hold credentials."""

    webhook: str | None = field(default=None, repr=False)
    headers: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    """Lower-case names and values, sent with every POST."""
    private_network: bool = False
    """The webhook may be on this machine or in a private network."""
    secret: str | None = field(default=None, repr=False)
    """Signs every POST."""


@dataclass(frozen=True, slots=True, eq=False)
class VirtualKey:
    """A credential that we issue. Only the SHA-256 of its secret is kept."""

    name: str
    digest: bytes = field(repr=False)
    """Empty while the key is inactive because its `${VAR}` is unset."""
    principal: Principal
    active: bool = True


@dataclass(frozen=True, slots=True, eq=False)
class Snapshot:
    """Everything that is configured, consistent in itself. Never changed after it is made."""

    revision: str
    providers: Mapping[str, Provider] = field(default_factory=dict)
    """Every declared provider, inactive ones too, in file order."""
    deployments: Mapping[str, Deployment] = field(default_factory=dict)
    """By `provider/model`; of active and testing providers."""
    routes: tuple[Route, ...] = ()
    """In file order: the first that matches wins."""
    default: Route | None = None
    """Where goes what nothing else matches."""
    aliases: Mapping[str, str] = field(default_factory=dict)
    """Names that stand for others; none of these is an alias itself."""
    models: Mapping[str, tuple[Deployment, ...]] = field(default_factory=dict)
    """By bare model name, in file order; of active providers only."""
    keys: Mapping[bytes, Principal] = field(default_factory=dict, repr=False)
    """Active keys by the SHA-256 of their secret."""
    virtual_keys: Mapping[str, VirtualKey] = field(default_factory=dict, repr=False)
    """Every declared key by name, inactive ones too."""
    teams: Mapping[str, Team] = field(default_factory=dict)
    limits: tuple[LimitRule, ...] = ()
    """In file order; more than one may be for the same call."""
    warnings: tuple[str, ...] = ()
    listing: frozenset[str] | None = None
    """Providers whose list of models is complete: they serve nothing else. None: all that list any."""
    alerts: Alerts = Alerts()
    resources: int = 0
    """The revision of the database's resources that it holds; 0: none."""
    parked: tuple[str, ...] = ()
    """Resources of the database that do not fit, and why."""
    zone: str = UTC
    """The IANA time zone of quotas that name none."""
    _dynamic: dict[str, Deployment] = field(init=False, repr=False, default_factory=dict)

    @property
    def open_mode(self) -> bool:
        """No key is configured. A key that is declared but inactive keeps the gateway closed."""
        return not self.virtual_keys

    @property
    def quotas(self) -> Iterator[QuotaSpec]:
        """Those of teams and rules; keys have theirs themselves."""
        for team in self.teams.values():
            yield from team.quotas
        for rule in self.limits:
            yield from rule.quotas

    def deployment_for(self, provider: str, model: str) -> Deployment | None:
        """The listed deployment, or one made for a provider whose list is open (none, or fetched); else None."""
        name = f"{provider}/{model}"
        found = self.deployments.get(name) or self._dynamic.get(name)
        if found is not None:
            return found
        owner = self.providers.get(provider)
        if owner is None or owner.status == "inactive" or not model or self._lists_all(provider):
            return None
        made = Deployment(id=name, provider=owner, model=model)
        if len(self._dynamic) >= DYNAMIC_DEPLOYMENTS:
            del self._dynamic[next(iter(self._dynamic))]
        self._dynamic[name] = made
        return made

    def _lists_all(self, provider: str) -> bool:
        if self.listing is not None:
            return provider in self.listing
        return any(deployment.provider.name == provider for deployment in self.deployments.values())
