"""Who calls, and how much is allowed."""

from __future__ import annotations

from dataclasses import dataclass, field

from gateway.types.resources import RateLimit


@dataclass(frozen=True, slots=True)
class LimitSpec:
    """One limit as the gate enforces it. `name` is its owner's within `scope`: two keys never share a bucket."""

    scope: str
    """`key`, `team`, `user`, `model`, `provider`, `deployment` or `global`."""
    name: str
    kind: str
    """`requests`, `tokens` or `concurrency`."""
    capacity: int
    """Bucket size, or slots."""
    period: float = 0.0
    """Seconds in which an empty bucket fills; 0 for concurrency."""
    count: int = 0
    """What the operator wrote before the slash: the `limit` that headers show."""
    on_store_failure: str = "bounded"
    """`open`, `closed` or `bounded`: what happens while the store of counters is away."""


@dataclass(frozen=True, slots=True)
class QuotaSpec:
    """An amount that may be used up within a calendar period, as the gate enforces it."""

    scope: str
    """As a LimitSpec's."""
    name: str
    """The owner's within `scope`."""
    kind: str
    """`requests`, `tokens` or `cost`."""
    period: str
    """`minute`, `hour`, `day`, `week` (from Monday), `month`, `year` or `total`."""
    amount: int
    """Requests, tokens, or nano-USD for `cost`."""
    zone: str = "UTC"
    """The IANA time zone whose calendar counts."""
    soft: float | None = None
    """The share of `amount` at which a warning is due."""
    action: str = "reject"
    """`reject`, `throttle`, `alert` or `downgrade`."""
    downgrade_to: str | None = None
    """The model that `downgrade` switches to."""
    throttle: RateLimit | None = None
    """The rate of requests that `throttle` leaves."""
    unpriced: str = "refuse"
    """What a `cost` quota does with a model whose price is not known: `refuse` or `allow`."""
    on_store_failure: str = "closed"


@dataclass(frozen=True, slots=True)
class LimitRule:
    """Limits and quotas for each member of a scope: each user, each model, … or all calls together (`global`).

    The specs carry this rule's name; the gate puts the member's name to it, so that each has its own counters.
    """

    name: str
    scope: str
    limits: tuple[LimitSpec, ...] = ()
    quotas: tuple[QuotaSpec, ...] = ()
    only: tuple[str, ...] = ()
    """Globs of the members it is for (models, providers, deployments, keys, teams); empty: all."""


@dataclass(frozen=True, slots=True, eq=False)
class Principal:
    """Who is calling: a virtual key with its team and its limits, or the anonymous caller of open mode."""

    key: str
    team: str | None = None
    models: tuple[str, ...] | None = None
    """Glob patterns; None allows every model."""
    limits: tuple[LimitSpec, ...] = ()
    quotas: tuple[QuotaSpec, ...] = ()
    services: frozenset[str] | None = None
    """Words of `Service` that the key may use; None allows every service."""
    groups: frozenset[str] = frozenset()
    """User groups that routes may ask for; they cross teams."""
    expires_at: float | None = None
    """Unix seconds."""
    digest: bytes = field(default=b"", repr=False)
    """SHA-256 of the credential; empty for the anonymous caller."""
