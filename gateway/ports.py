"""The seams between rooms: engines, dialects, observers. Protocols and the values that cross them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

import msgspec

from gateway.errors import GatewayError, UpstreamError
from gateway.types import (
    Attempt,
    Body,
    Call,
    Condition,
    Deployment,
    Headers,
    Provider,
    QuotaSpec,
    Receipt,
    Service,
    Usage,
)

# ---- the wire: what engines move -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where connections go and what keeps them apart in a pool; equal endpoints share connections."""

    host: str
    port: int
    tls: bool
    ca_file: str | None = None
    """A PEM bundle to trust instead of the system's; verification itself cannot be switched off."""
    pinned_ip: str | None = None
    """Connect here while SNI and Host keep the name: the answer of an address check."""
    max_connections: int = 1024


@dataclass(slots=True, eq=False)
class RequestHead:
    """The part of a request that repeats between calls. Made once per deployment and path, kept by its maker."""

    endpoint: Endpoint
    method: bytes
    target: bytes
    """Path and query."""
    headers: tuple[tuple[bytes, bytes], ...]
    """Lower-case names; with `host`, without `content-length`, `transfer-encoding`, `connection`."""
    wire: bytes = b""
    """An engine's own cache of the serialised head."""


class UpstreamRequest(msgspec.Struct, eq=False):
    """One request to one provider. `extra` headers are those that differ between calls."""

    head: RequestHead
    body: Sequence[bytes] | Body
    """Parts that are all here (sent with content-length), or a body that is still arriving (chunked unless its size is
    known)."""
    extra: Headers = ()


class Deadlines(msgspec.Struct, gc=False):
    """When to give up, in seconds from the call of `send`; `at` is the absolute loop time that bounds everything."""

    connect: float = 5.0
    first_byte: float = 60.0
    idle: float = 120.0
    at: float | None = None


class UpstreamResponse(Protocol):
    """An answer whose head has arrived. Exactly one of: read it to the end, or `abort` it."""

    status: int
    headers: Headers
    """Lower-case names, bounded in size; 1xx heads are swallowed."""

    async def read(self, limit: int) -> bytes:
        """The whole body. Raises UpstreamTooLarge, UpstreamTruncated, UpstreamStalled, UpstreamTimeout."""
        ...

    async def chunk(self) -> bytes:
        """Whatever has arrived, at least one byte; `b""` after a complete end. Raises as `read` does."""
        ...

    def abort(self) -> None:
        """Drop the answer and its connection, unless it is already complete. May be called at any time, any number of
        times."""
        ...


@runtime_checkable
class TappedResponse(Protocol):
    """An answer that can also be read without being awaited: by who is told of every change."""

    def take(self) -> bytes | None:
        """As `chunk`, but None where that would wait. Raises as `chunk` does."""
        ...

    def tap(self, changed: Callable[[], None] | None) -> None:
        """Call this on every change, in place of waking who waits in `chunk`; None ends that."""
        ...


class ByteSink(Protocol):
    """A client that takes bytes without being awaited."""

    on_resume: Callable[[], None] | None
    """Called when it takes bytes again."""

    @property
    def paused(self) -> bool:
        """It has not taken what it was given: give it nothing more until `on_resume`."""
        ...

    def push(self, data: bytes) -> None:
        """Part of a body, at least one byte. Without effect once the client has left."""
        ...


class Engine(Protocol):
    """An HTTP client with a connection pool. Raises the `Upstream…` errors of `gateway.errors`, and nothing else."""

    async def send(self, request: UpstreamRequest, deadlines: Deadlines) -> UpstreamResponse:
        """Send and wait for the head of the final answer.

        Raises UpstreamUnreachable, UpstreamDnsFailed, UpstreamConnectTimeout, UpstreamTlsFailed, UpstreamPoolExhausted,
        UpstreamTimeout, UpstreamDisconnected, UpstreamBadResponse. Cancelling it never returns a used connection to the
        pool.
        """
        ...

    async def close(self) -> None:
        """Close every connection; answers still open break off."""
        ...


# ---- dialects: what a provider speaks (sans-IO) ----------------------------------------------------------------------


class DecodedReply(msgspec.Struct, eq=False):
    """A complete answer in the client's dialect."""

    body: bytes
    content_type: bytes
    usage: Usage | None = None


class StreamDecoder(Protocol):
    """Turns a provider's event stream into the client's, a read at a time. Never raises for what the provider sent."""

    complete: bool
    """The terminal event was seen."""
    failure: UpstreamError | None
    """The stream is broken from here on: bad event, error event, or an end without a terminal event."""
    relayed_bytes: int
    """Bytes handed on so far; with `events` for an estimate when the provider tells no usage."""

    @property
    def usage(self) -> Usage | None:
        """What the provider counted, once it said so."""
        ...

    @property
    def events(self) -> int:
        """Events handed on so far."""
        ...

    @property
    def text(self) -> tuple[int, int] | None:
        """How many of those events had text, and how many bytes it was; None where events differ too much to tell."""
        ...

    def feed(self, data: bytes) -> bytes:
        """Frames that became whole, ready to relay; `b""` while none is. What stands before a failure is still
        returned."""
        ...

    def end(self) -> bytes:
        """The body ended cleanly: the last frames (a missing `[DONE]` among them); sets `failure` if the answer is
        incomplete."""
        ...


class Dialect(Protocol):
    """How one type of provider is spoken to. No I/O, no state between calls."""

    name: str
    """The `type` in the configuration."""
    services: frozenset[Service]
    stream_type: bytes
    """The media type of the provider's event streams, without parameters."""

    def head(self, call: Call, deployment: Deployment, credential: str | None) -> RequestHead:
        """Method, target, headers and endpoint. Of the call it depends on nothing but `path` and `stream`: the caller
        keeps it for all calls that share these. `credential` is a key of the provider, or a token that was exchanged
        for it."""
        ...

    def body(self, call: Call, deployment: Deployment) -> Sequence[bytes] | Body:
        """The provider's body for this call. Raises UnsupportedParameter for what the dialect cannot say, and
        InvalidRequest for what nobody could."""
        ...

    def decode(self, call: Call, deployment: Deployment, headers: Headers, body: bytes) -> DecodedReply:
        """A complete 2xx answer. Raises UpstreamBadResponse, or the error that a 200 hides."""
        ...

    def stream(self, call: Call, deployment: Deployment) -> StreamDecoder:
        """A decoder for one streamed 2xx answer."""
        ...

    def error(self, status: int, headers: Headers, body: bytes) -> UpstreamError:
        """What a non-2xx answer means; text that may reach the client is sanitised here."""
        ...


@dataclass(frozen=True, slots=True)
class Token:
    """A credential that a provider's identity service gave for a time."""

    value: str = field(repr=False)
    expires_at: float
    """Unix seconds."""


@dataclass(frozen=True, slots=True)
class TokenRequest:
    """How to ask for a token: one POST to an identity service."""

    head: RequestHead = field(repr=False)
    body: bytes = field(repr=False)


@runtime_checkable
class TokenDialect(Protocol):
    """A dialect whose providers may want a token in place of a key. `upstream.tokens` does the asking and keeps it."""

    def token_request(self, provider: Provider, now: float) -> TokenRequest | None:
        """What to send; None for a provider that uses its key as it is. `now` is in Unix seconds."""
        ...

    def read_token(self, status: int, body: bytes, now: float) -> Token:
        """The identity service's answer. Raises ProviderAuthFailed for a refusal, or another UpstreamError."""
        ...


@runtime_checkable
class SigningDialect(Protocol):
    """A dialect that signs each request, body included."""

    def sign(self, head: RequestHead, body: Sequence[bytes], provider: Provider, now: float) -> Headers:
        """The headers that carry the signature; none for a provider that has another credential. `now` is in Unix
        seconds."""
        ...


# ---- health: what is known of deployments ---------------------------------------------------------------------------


class Conditions(Protocol):
    """How each deployment is doing, as far as this worker knows."""

    def of(self, deployment: Deployment) -> Condition:
        """Always the same object while the process lives, changed in place."""
        ...


class Ticket(msgspec.Struct, eq=False):
    """One attempt that was let in, as long as it runs."""

    condition: Condition
    began: float
    """Monotonic seconds."""
    trial: bool = False
    """It is the single call that finds out whether the deployment is well again."""


class Health(Conditions, Protocol):
    """Who keeps the conditions: lets attempts in, and hears what becomes of each."""

    def usable(self, deployment: Deployment) -> bool:
        """Whether an attempt would be let in now."""
        ...

    def affords(self, deployment: Deployment) -> bool:
        """Whether the retry budget leaves another second try at this deployment."""
        ...

    def enter(self, deployment: Deployment, *, again: bool = False, waited: bool = False) -> Ticket | None:
        """Let an attempt in, or not (None). `again`: it is not its call's first; `waited`: it waited out a rate limit.

        Where the deployment may be tried, but is not known to be well, this claims the one trial. Each ticket is handed
        back by `leave`.
        """
        ...

    def answered(self, ticket: Ticket, ttft: float | None, headroom: float | None) -> None:
        """The answer of an attempt began: seconds to its first byte (of streams), and what rate limits leave."""
        ...

    def leave(self, ticket: Ticket, error: GatewayError | None, *, counts: bool = True) -> None:
        """The attempt is over. `counts`: unless the call's own deadline, not the provider, ended it."""
        ...


# ---- observers -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, eq=False)
class LimitDecision:
    """A fact: a limit admitted or refused a call. Made once and used again, so that observers can count it by
    identity."""

    scope: str
    kind: str
    decision: str
    """`admitted`, `refused` or `degraded`."""


@dataclass(frozen=True, slots=True)
class QuotaAlert:
    """A fact: a quota reached its soft threshold, or is used up. Told once for its owner, period and level."""

    level: str
    """`soft` or `exceeded`."""
    scope: str
    quota: str
    """The name of the rule, the key or the team that has it."""
    owner: str | None
    """Whose use it is; None for users, who are not named."""
    kind: str
    period: str
    period_start: float
    """Unix seconds."""
    amount: int
    """As a QuotaSpec's."""
    used: int
    """What calls under way have reserved is included."""
    action: str
    """What happens from now on, or at the end of the quota."""

    @property
    def share(self) -> float:
        """Of the amount, in thousandths."""
        return round(self.used / self.amount, 3)


class DeploymentChanged(msgspec.Struct, frozen=True, tag="changed"):
    """A fact: what this worker thinks of a deployment became another thing. Told once per change."""

    deployment: str
    """Its id."""
    state: str
    """`healthy`, `degraded` or `out`."""
    cause: str
    """Why: the outcome of the failure table that led to it, else `breaker`, `cooldown`, `parked`; empty when it is
    healthy."""
    at: float
    """Unix seconds."""
    seconds: float = 0.0
    """How long it stays so at least; 0: nobody knows."""
    parked: bool = False
    """An operator has to do something: the provider refuses our credentials."""
    told: bool = False
    """Another worker found it out."""


class ProbeResult(msgspec.Struct, frozen=True, tag="probe"):
    """A fact: a provider was asked how it is."""

    provider: str
    deployment: str | None
    """The deployment that was called; None when the provider was asked for its models, which says nothing about any one
    of them."""
    outcome: str
    """`ok`, `no_list` (it answers, and has no list of models), or the outcome of the failure table."""
    at: float
    """Unix seconds of its end."""
    seconds: float
    """How long it took."""
    heard: bool = False
    """Another worker did it, and told."""

    @property
    def failed(self) -> bool:
        """Calls would fail too, as far as a probe can tell. A provider that refuses us for our rate, refuses what a
        probe asks, or has no list of models, is well."""
        return self.outcome not in _WELL


_WELL = frozenset({"ok", "no_list", "429", "409", "4xx", "pool_timeout"})
"""Outcomes that say nothing against a provider, as `counts_against_health` has it."""


class Observer(Protocol):
    """Hears what happened. Must not raise, block or change anything."""

    def call_started(self) -> None: ...

    def call_finished(self, receipt: Receipt) -> None: ...

    def attempt_finished(self, attempt: Attempt) -> None: ...

    def fell_back(self, source: Deployment, target: Deployment, error: UpstreamError) -> None: ...

    def limits_decided(self, decisions: tuple[LimitDecision, ...]) -> None:
        """What each limit of one call said."""
        ...

    def quota_used(self, quota: QuotaSpec, owner: str, used: int) -> None:
        """A call was admitted under this quota; `used` is what its period has used and reserved, in its kind's unit."""
        ...

    def quota_exhausted(self, quota: QuotaSpec, owner: str, used: int) -> None:
        """A call was refused, or sent to another model, because of this quota."""
        ...

    def quota_alerted(self, alert: QuotaAlert) -> None:
        """Operators should know."""
        ...

    def redis_called(self, seconds: float, error: str | None) -> None: ...

    def redis_changed(self, available: bool, reason: str) -> None:
        """The store fell sick, or is well again; `reason` is the label of the trouble."""
        ...

    def loop_lagged(self, seconds: float) -> None:
        """The event loop was so late with a timer; told many times a second."""
        ...

    def call_shed(self) -> None:
        """A request was refused unread, because there is more to do than this worker can."""
        ...

    def overload_changed(self, overloaded: bool, turn: float, refused: int) -> None:
        """Such refusals begin, or have ended after so many; each turn of the loop takes `turn` seconds."""
        ...

    def config_loaded(self, revision: str, error: str | None) -> None:
        """A (re)load ended: `error` is None when the revision is now served, else a short text for people."""
        ...

    def deployment_changed(self, change: DeploymentChanged) -> None:
        """A deployment left the rotation, came back, or does worse than it should."""
        ...

    def probe_finished(self, result: ProbeResult) -> None:
        """A probe is over, this worker's or (`heard`) another one's: a hint about calls to come."""
        ...

    def failed(self, error: GatewayError | Exception, request_id: str) -> None:
        """Something that nobody expected; the log keeps its traceback."""
        ...


Clock = Callable[[], float]
"""Monotonic seconds."""


@dataclass(slots=True)
class Secrets:
    """Values that must never be printed; `redact` replaces them wherever they turn up."""

    values: set[str] = field(default_factory=set)

    def redact(self, text: str) -> str:
        for value in self.values:
            text = text.replace(value, "[redacted]")
        return text


Json = dict[str, Any]
