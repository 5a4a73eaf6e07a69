"""Dialects: what a provider speaks, sans-IO."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

import msgspec

from gateway.errors import UpstreamError
from gateway.ports.wire import RequestHead
from gateway.types import (
    Body,
    Call,
    Deployment,
    Headers,
    Provider,
    Service,
    Usage,
)


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

    @property
    def relayed_bytes(self) -> int:
        """Bytes handed on so far; with `events` for an estimate when the provider tells no usage."""
        ...

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
        """How many of the `events` carried text, and the bytes of that text together; None where it cannot be told."""
        ...

    def feed(self, data: bytes) -> bytes:
        """The frames that `data` completes, ready to relay; `b""` if it completes none. Frames before a failure are
        still returned."""
        ...

    def end(self) -> bytes:
        """To be called when the body ended cleanly. Returns the last frames, with `[DONE]` if the provider left it out,
        and sets `failure` if the answer is incomplete."""
        ...


@runtime_checkable
class Numbering(Protocol):
    """A decoder that writes events of its own instead of the provider's, and numbers them."""

    @property
    def number(self) -> int:
        """The number that the next event gets."""
        ...


@runtime_checkable
class TellsFailure(Protocol):
    """A decoder of streams whose provider may say itself, in an event that is handed on, that it failed."""

    failure_told: bool
    """`failure` was told to the client."""


@runtime_checkable
class TellsInput(Protocol):
    """A decoder of streams that report the tokens of the input before those of the output."""

    @property
    def known_input(self) -> Usage | None:
        """The provider's count of the input, once it was reported; its other fields are not known yet."""
        ...


@runtime_checkable
class TellsTier(Protocol):
    """A decoder of streams that report the tier of service before the usage."""

    @property
    def service_tier(self) -> str:
        """What was told so far; empty for the ordinary one."""
        ...


class Dialect(Protocol):
    """How one type of provider is spoken to. No I/O, no state between calls."""

    name: str
    """The `type` in the configuration."""
    services: frozenset[Service]

    @property
    def stream_type(self) -> bytes | tuple[bytes, ...]:
        """The media type of the provider's event streams, without parameters; several where its models differ."""
        ...

    def head(self, call: Call, deployment: Deployment, credential: str | None) -> RequestHead:
        """Method, target, headers and endpoint. May look at nothing of the call but `path` and `stream`, because
        callers cache the head for all calls that share these. `credential` is a key of the provider, or a token that
        was exchanged for it."""
        ...

    def body(self, call: Call, deployment: Deployment) -> Sequence[bytes] | Body:
        """The provider's body for this call. Raises UnsupportedParameter for what the provider's API cannot express,
        and InvalidRequest for what is invalid at any provider."""
        ...

    def decode(self, call: Call, deployment: Deployment, headers: Headers, body: bytes) -> DecodedReply:
        """A complete 2xx answer. Raises UpstreamBadResponse, or the error that the body reports in spite of its 200."""
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


@runtime_checkable
class BatchingDialect(Protocol):
    """A dialect whose providers take few inputs in one embeddings call; longer lists are split."""

    def most_inputs(self, deployment: Deployment) -> int:
        """The most that one call to this model may carry, at least 1."""
        ...


@runtime_checkable
class CountingDialect(Protocol):
    """A dialect whose providers can count the tokens of a request of Anthropic's API without answering it. Calls that
    ask for a count have the path `/messages/count_tokens`."""

    def counts(self, deployment: Deployment) -> bool:
        """Whether this deployment's provider can."""
        ...


@runtime_checkable
class ChatCountingDialect(Protocol):
    """A dialect whose providers can count the tokens of a chat without answering it. Calls that ask for a count are
    chats with the path `/chat/count_tokens`. Only clients of Anthropic's API ask, so the answer has the shape of that
    API."""

    def counts_chats(self, deployment: Deployment) -> bool:
        """Whether this deployment's provider can."""
        ...


@runtime_checkable
class RankingDialect(Protocol):
    """A dialect whose providers may take few documents in one rerank call; longer lists are split. Only for providers
    that score each document by itself and charge no more for several calls."""

    def most_documents(self, deployment: Deployment) -> int | None:
        """The most that one call to this model may carry, at least 1; None: as many as there are."""
        ...


@runtime_checkable
class TierDialect(Protocol):
    """A dialect whose providers read which tier of service a client asks for."""

    def names_tier(self, call: Call, deployment: Deployment) -> bool:
        """Whether the `service_tier` of this call, or of the deployment's parameters where the call has none, is what
        its provider is asked for."""
        ...


@runtime_checkable
class ListsModels(Protocol):
    """A dialect whose providers can be asked for their models, as most can."""

    def models_head(self, provider: Provider, credential: str | None) -> RequestHead:
        """The GET that asks for the list."""
        ...

    def decode_models(self, body: bytes) -> tuple[str, ...]:
        """The names in a 2xx answer, each once. Raises UpstreamBadResponse for what is no list of models."""
        ...
