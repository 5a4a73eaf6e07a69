"""Values that every room shares: what was asked, by whom, where it may go, and what came of it. No I/O, no behaviour.

What is configured is a frozen dataclass. What is made for every request is a msgspec Struct: its construction is ten
times faster.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Annotated, Any, Protocol

import msgspec
from msgspec import Meta

Headers = Sequence[tuple[bytes, bytes]]
"""Header pairs with lower-case names, as ASGI has them."""


class Service(StrEnum):
    """The kinds of work a deployment can do; also the word in a route's `match.service`."""

    CHAT = "chat"
    COMPLETIONS = "completions"
    EMBEDDINGS = "embeddings"
    RESPONSES = "responses"
    MODERATIONS = "moderations"
    IMAGES = "images"
    SPEECH = "speech"
    TRANSCRIPTION = "transcription"
    RERANK = "rerank"


class Body(Protocol):
    """A request body that can be sent more than once. `size` is None while it is not known."""

    @property
    def size(self) -> int | None: ...

    def parts(self) -> Sequence[bytes] | None:
        """Every part, or None while some have not arrived yet."""
        ...

    def stream(self) -> AsyncIterator[bytes]:
        """The parts in order, from the first one, waiting for those that have not arrived."""
        ...

    def renamed(self, model: str) -> Body:
        """The same body with another model name in its form."""
        ...


NO_NEEDS: frozenset[str] = frozenset()


class Call(msgspec.Struct, eq=False):
    """One request of a client, with the few fields of its body that decisions need."""

    id: str
    """Ours, unique; ledger rows are keyed by it."""
    request_id: str
    """What `x-request-id` says; a client may have chosen it."""
    service: Service
    path: str
    """Below the version segment, as the provider gets it: `/chat/completions`."""
    model: str
    """The name the client asked for."""
    raw: bytes
    """The whole JSON body; empty when `upload` carries it."""
    started: float
    """Monotonic seconds."""
    stream: bool = False
    include_usage: bool = False
    """The client asked for a usage chunk at the end of its stream."""
    has_stream_options: bool = False
    max_tokens: int | None = None
    output_cap: int | None = None
    """Output tokens of each choice that we cut a call off at whose caller set no `max_tokens`."""
    choices: int = 1
    user: str | None = None
    input_tokens: int = 0
    """Estimated before the call."""
    encoding_format: str | None = None
    inputs: int = 1
    """How many inputs an embeddings call carries."""
    pinned: str | None = None
    """The provider that `/providers/{name}/v1` pins."""
    content_type: bytes = b"application/json"
    upload: Body | None = None
    """A multipart body, passed on as it arrives."""
    model_span: tuple[int, int] | None = None
    """Where the model's JSON string (with its quotes) stands in `raw`, or its text in a multipart body."""
    forwarded: Headers = ()
    """Client headers on the allow-list."""
    headers: Mapping[bytes, bytes] = msgspec.field(default_factory=dict)
    """Every header of the client; for rules that match on them, never for forwarding."""
    needs: frozenset[str] = NO_NEEDS
    """Capabilities that a deployment must have for this; looked for only where some route or deployment names any."""
    allowed: float | None = None
    """Seconds that the client allows for the whole answer."""
    patience: float | None = None
    """Seconds after which its SDK gives up unless the answer has begun."""

    def __repr__(self) -> str:
        # Not the fields: they hold the prompt and the client's credential.
        return f"<Call {self.id} {self.service} {self.model}>"


class Usage(msgspec.Struct, frozen=True, gc=False):
    """Tokens of one attempt. Cached and cache-written input is included in `input_tokens`, reasoning in
    `output_tokens`."""

    input_tokens: int = 0
    output_tokens: int = 0
    cached_input_tokens: int = 0
    cache_write_tokens: int = 0
    reasoning_tokens: int = 0
    audio_input_tokens: int = 0
    """Included in `input_tokens`."""
    audio_output_tokens: int = 0
    """Included in `output_tokens`."""
    units: float = 0.0
    """What the service is sold by where that is not tokens: images, seconds of audio, characters, searches."""

    @property
    def total(self) -> int:
        return self.input_tokens + self.output_tokens


class TokenSource(StrEnum):
    """Where a token count came from."""

    PROVIDER = "provider"
    ESTIMATED = "estimated"
    PARTIAL = "partial"


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
    retry_attempts: int = 3
    retry_delay: float = 0.5
    batch_size: int = 2048
    stream: bool = True
    fetch_models: bool = False
    allow_private_network: bool = False
    status: str = "active"
    engine: str = "httptools"
    ca_file: str | None = None
    unsupported: str = "error"
    """What becomes of request fields that the provider's API cannot say: `error` or `drop`."""
    breaker: bool = True
    """Its deployments leave rotation while they fail."""
    queue_timeout: float = 1.0
    """Seconds that a call waits while every deployment is at its concurrency limit."""
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
    max_attempts: int = 4
    fallback_on: frozenset[str] = frozenset({"error", "timeout", "rate_limit", "auth"})
    skipped: tuple[Skipped, ...] = ()
    max_output_tokens: int | None = None
    """The route's: reserved, and asked of the provider, for callers under a budget who set no `max_tokens`."""
    fallbacks: Mapping[str, tuple[Deployment, ...]] = field(default_factory=dict)
    """By the word of a failure: what the route names for it, in order. They come at once, and instead of `targets`."""
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
    """A single call is finding out whether it is well again; others go elsewhere meanwhile."""
    in_flight: int = 0
    ttft: float | None = None
    """Seconds to the first byte of an answer, decaying mean; None while nothing is known."""
    duration: float | None = None
    """Seconds of a whole answer, decaying mean."""
    headroom: float | None = None
    """The share left of the tightest rate limit, by what the provider's own headers said last; None: unknown."""


class Attempt(msgspec.Struct, frozen=True):
    """A fact: one try at one deployment is over."""

    deployment: Deployment
    number: int
    outcome: str
    """`ok`, or the word of the failure table."""
    seconds: float


class Receipt(msgspec.Struct, eq=False):
    """A fact: one call is over. Observers read it, nobody changes it."""

    call: Call | None
    request_id: str
    service: str
    status: int
    reason: str
    """`ok`, or the error's label."""
    seconds: float
    requested_model: str = ""
    key: str | None = None
    team: str | None = None
    route: str | None = None
    deployment: Deployment | None = None
    revision: str = ""
    attempts: int = 0
    stream: bool = False
    usage: Usage | None = None
    token_source: TokenSource | None = None
    ttft: float | None = None
    """Seconds from the request's arrival to the first byte of the answer's body."""
    overhead: float | None = None
    """Seconds of `seconds` up to the first byte that were ours, not the provider's."""
    cost_nano_usd: int | None = None
    skipped: tuple[Skipped, ...] = ()
    """Deployments that the plan left out."""


class LedgerState(StrEnum):
    """What became of an attempt's charge."""

    SETTLED = "settled"
    """Charged to the key: the attempt that answered."""
    RELEASED = "released"
    """Not charged to the key; a cost that stands there is the gateway's own."""
    ABANDONED = "abandoned"
    """Its worker died: charged with what was known last."""


MAX_TEXT = 512
MAX_TOKENS = 2**40 - 1
MAX_COST = 2**53 - 1
"""Nine million dollars for one attempt."""
MAX_REAL = 1e12
MAX_SMALL = 2**15 - 1
LAST_MOMENT = 253_402_300_799_999_999
"""The end of the year 9999, where calendars end."""
ShortText = Annotated[str, Meta(max_length=MAX_TEXT)]
SmallCount = Annotated[int, Meta(ge=0, le=MAX_SMALL)]
TokenCount = Annotated[int, Meta(ge=0, le=MAX_TOKENS)]
Measure = Annotated[float, Meta(ge=0, le=MAX_REAL)]


class LedgerRow(msgspec.Struct, array_like=True, gc=False):
    """One attempt as the ledger keeps it; unique by (call_id, attempt). On its way to SQL it is msgpack, an array in
    the order of these fields: new fields go to the end. What does not keep to these bounds is cut to them first."""

    call_id: Annotated[str, Meta(min_length=1, max_length=MAX_TEXT)]
    attempt: SmallCount
    request_id: ShortText
    state: LedgerState
    started_at: Annotated[int, Meta(ge=0, le=LAST_MOMENT)]
    """Unix microseconds."""
    key: ShortText
    team: ShortText | None
    user_hash: ShortText | None
    route: ShortText
    service: ShortText
    requested_model: ShortText
    provider: ShortText
    deployment: ShortText
    model: ShortText
    """The one that served, as the provider calls it."""
    stream: bool
    status: SmallCount
    """What the client got; of a failed attempt, what it would have got."""
    reason: ShortText
    """`ok`, or the failure's label."""
    input_tokens: TokenCount = 0
    output_tokens: TokenCount = 0
    cached_input_tokens: TokenCount = 0
    cache_write_tokens: TokenCount = 0
    reasoning_tokens: TokenCount = 0
    audio_input_tokens: TokenCount = 0
    audio_output_tokens: TokenCount = 0
    units: Measure = 0.0
    token_source: TokenSource = TokenSource.PROVIDER
    cost_nano_usd: Annotated[int, Meta(ge=0, le=MAX_COST)] | None = None
    """None: the price is not known."""
    price_version: ShortText | None = None
    ttft_ms: Measure | None = None
    duration_ms: Measure = 0.0
    config_revision: ShortText = ""
    provider_type: ShortText = ""
    """For prices that are looked up again."""
