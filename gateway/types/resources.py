"""What is configured of providers and models."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from gateway.addresses import Network
from gateway.types.calls import Surface

DEFAULT_RETRY_ATTEMPTS = 3
DEFAULT_RETRY_DELAY = 0.5
DEFAULT_QUEUE_TIMEOUT = 1.0
DEFAULT_BATCH_SIZE = 2048
"""OpenAI's bound of the inputs of one embeddings call."""


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Seconds. `total` bounds all attempts of a call that does not stream; a stream may last 30 minutes."""

    connect: float = 5.0
    first_byte: float = 60.0
    idle: float = 120.0
    total: float = 600.0


@dataclass(frozen=True, slots=True)
class PriceTier:
    """Prices that apply to the whole call once its input is larger than `above` tokens."""

    above: int
    input: float
    output: float
    cached_input: float | None = None
    cache_write: float | None = None
    cache_write_1h: float | None = None
    """Of a cache that is kept for an hour; else `cache_write`."""


@dataclass(frozen=True, slots=True)
class Price:
    """USD per million tokens. A kind without a price of its own costs what its side (input or output) does."""

    input: float
    output: float
    cached_input: float | None = None
    cache_write: float | None = None
    reasoning: float | None = None
    per_request: float = 0.0
    """USD."""
    audio_input: float | None = None
    audio_output: float | None = None
    per_unit: float = 0.0
    """USD per unit of `Usage.units`."""
    tiers: tuple[PriceTier, ...] = ()
    """By `above`, ascending."""
    version: str = "config"
    """Where the price is from: `config`, or the catalogue's name and version."""
    cache_write_1h: float | None = None
    """Of a cache that is kept for an hour; else `cache_write`."""
    service_tiers: Mapping[str, Price] = field(default_factory=dict)
    """By its name, the whole price of a call that was served at this tier of service; these have no others."""
    per_search: float = 0.0
    """USD per search that the provider runs for an answer."""


@dataclass(frozen=True, slots=True)
class RateLimit:
    """`count` per `period` seconds; the bucket holds `burst` (one period's count unless it says otherwise)."""

    count: int
    period: float
    burst: int | None = None


@dataclass(frozen=True, slots=True)
class Drain:
    """Bounds of reading on for clients that left, in one worker."""

    at_once: int = 32
    seconds: float = 60.0


@dataclass(frozen=True, slots=True)
class HealthCheck:
    """How a provider is probed."""

    enabled: bool = True
    call: bool = False
    """Call models, which may cost money, besides asking for their list."""
    model: str | None = None
    """The one that is called; None: each that is configured."""
    interval: float | None = None
    """Seconds; None: HEALTH_CHECK_INTERVAL."""


@dataclass(frozen=True, slots=True, eq=False)
class Provider:
    """One configured provider, validated and with its environment resolved."""

    name: str
    type: str
    base_url: str
    api_keys: tuple[str, ...] = field(default=(), repr=False)
    options: Mapping[str, Any] = field(default_factory=dict, repr=False)
    """The fields of its own type: org_id, api_version, region, …; may hold credentials."""
    headers: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    timeouts: Timeouts = Timeouts()
    concurrency_limit: int | None = None
    requests: RateLimit | None = None
    tokens: RateLimit | None = None
    retry_attempts: int = DEFAULT_RETRY_ATTEMPTS
    retry_delay: float = DEFAULT_RETRY_DELAY
    batch_size: int = DEFAULT_BATCH_SIZE
    stream: bool = True
    fetch_models: bool = False
    allow_private_network: bool = False
    networks: tuple[Network, ...] = ()
    """Private networks that it may reach even without `allow_private_network`."""
    key_names: tuple[str, ...] = ()
    """What the `api_keys` are called, where they have names."""
    spare_keys: tuple[str, ...] = field(default=(), repr=False)
    """Keys that a rotation replaced: for when the new ones are refused."""
    unusable: bool = False
    """None of its credentials can be read: calls are refused without being sent."""
    capabilities: frozenset[str] = frozenset()
    """Of models that do not say themselves; empty: nothing is known."""
    traits: tuple[tuple[str, Any], ...] = ()
    """As a deployment's, for all of its models."""
    health: HealthCheck = HealthCheck()
    status: str = "active"
    engine: str = "httptools"
    ca_file: str | None = None
    fetch_media: bool = False
    """Pictures and files that requests name by URL are fetched, and their bytes sent."""
    unsupported: str = "error"
    """What becomes of request fields that the provider's API cannot say: `error` or `drop`."""
    breaker: bool = True
    """Its deployments leave rotation while they fail."""
    queue_timeout: float = DEFAULT_QUEUE_TIMEOUT
    """Seconds that a call waits while every deployment is at its concurrency limit."""
    api: frozenset[Surface] = frozenset()
    """The surfaces by which its models can be called; empty: every one that its type has."""
    drain: Drain | None = None
    """How answers are read to their end whose client has left; None: they are cancelled."""


@dataclass(frozen=True, slots=True, eq=False)
class Deployment:
    """One model at one provider: what a route's target points at and what a call is sent to."""

    id: str
    """`provider/model`"""
    provider: Provider
    model: str
    """The provider's own id for it."""
    context_window: int | None = None
    price: Price | None = None
    parameters: Mapping[str, Any] = field(default_factory=dict)
    """Defaults for callers who set none."""
    capabilities: frozenset[str] = frozenset()
    """Empty: nothing is known, so nothing is excluded."""
    requests: RateLimit | None = None
    """What the provider allows this model alone, as `tokens` and `concurrency_limit` are."""
    tokens: RateLimit | None = None
    concurrency_limit: int | None = None
    max_output_tokens: int | None = None
    """The most that one answer of this model can hold."""
    api: frozenset[Surface] = frozenset()
    """The surfaces by which it can be called; empty: its provider's."""
    traits: tuple[tuple[str, Any], ...] = ()
    """What an operator says of how it differs from OpenAI's own, by the names of `providers.wire.traits`; hashable."""
