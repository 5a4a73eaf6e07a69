"""The base of dialects that translate chat: what they share, and the few methods that each of them fills in."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import ClassVar

import msgspec

from gateway.errors import UpstreamBadResponse, UpstreamError
from gateway.ports import DecodedReply, RequestHead, StreamDecoder
from gateway.providers.chat.losses import Losses
from gateway.providers.chat.reading import read_chat
from gateway.providers.chat.replies import ChatReply, encode_reply
from gateway.providers.chat.request import ChatRequest
from gateway.providers.chat.stream import Framing, NativeStream, TranslatedStream
from gateway.providers.wire.errors import error_from_reply
from gateway.providers.wire.frames import EventSplitter
from gateway.providers.wire.head import EVENT_STREAM, HeaderPairs, head_of
from gateway.types import Body, Call, Deployment, Headers, Provider, Service

COUNT_CHAT = "/chat/count_tokens"
"""The path of calls that ask how many tokens a chat has: see `gateway.ports.ChatCountingDialect`."""
_KEPT = frozenset({"max_completion_tokens", "reasoning_content", "thinking_blocks", "extra_content"})
"""Fields beyond those of every server that each translator reads, or may leave unread without harm."""
_WORDS = frozenset({"thinking", "top_k", "cache_control", "safety_settings", "modalities"})
"""Those that only some read."""
ODD = (msgspec.MsgspecError, ValueError, LookupError, TypeError, RecursionError)
"""What decoding raises for a reply that is not what the provider's API promises."""


class ChatDialect(ABC):
    """A provider type with a chat API of its own. Implements `gateway.ports.Dialect`.

    One that has more than chat overrides `body`, `decode` and `path` for its other services.
    """

    stream_type: bytes | tuple[bytes, ...] = EVENT_STREAM
    spoken: ClassVar[frozenset[str]] = frozenset()
    """The fields of a `ChatRequest` that `request` carries over, or refuses by itself."""

    def __init__(self, name: str, services: frozenset[Service] = frozenset({Service.CHAT})) -> None:
        self.name = name
        self.services = services

    @property
    def extensions(self) -> frozenset[str]:
        """See `gateway.ports.Extended`."""
        return _KEPT | (self.spoken & _WORDS)

    # -- what a dialect says for itself

    @abstractmethod
    def path(self, call: Call, deployment: Deployment) -> str:
        """Path and query below the base URL."""

    @abstractmethod
    def headers(self, provider: Provider, credential: str | None) -> HeaderPairs:
        """The credential, and whatever else each request has."""

    @abstractmethod
    def request(self, chat: ChatRequest, call: Call, deployment: Deployment, losses: Losses) -> bytes:
        """The native body. Raises InvalidRequest for what it cannot say."""

    @abstractmethod
    def reply(self, body: bytes, call: Call) -> ChatReply:
        """A whole native answer. May raise UpstreamError, or what decoding raises."""

    @abstractmethod
    def native(self, call: Call) -> NativeStream:
        """The decoder of one native stream."""

    def framing(self) -> Framing:
        """What cuts that stream into events."""
        return EventSplitter()

    # -- gateway.ports.Dialect

    def head(self, call: Call, deployment: Deployment, credential: str | None) -> RequestHead:
        """See `gateway.ports.Dialect`."""
        provider = deployment.provider
        return head_of(provider, self.path(call, deployment), self.headers(provider, credential))

    def body(self, call: Call, deployment: Deployment) -> Sequence[bytes] | Body:
        """See `gateway.ports.Dialect`."""
        chat = read_chat(call, deployment)
        losses = Losses(deployment.provider)
        losses.check(chat, self.spoken)
        return (self.request(chat, call, deployment, losses),)

    def decode(self, call: Call, deployment: Deployment, headers: Headers, body: bytes) -> DecodedReply:
        """See `gateway.ports.Dialect`."""
        try:
            reply = self.reply(body, call)
        except ODD:
            raise UpstreamBadResponse from None
        if not reply.choices:
            raise UpstreamBadResponse
        return DecodedReply(encode_reply(reply, call), b"application/json", reply.usage)

    def stream(self, call: Call, deployment: Deployment) -> StreamDecoder:
        """See `gateway.ports.Dialect`."""
        return TranslatedStream(call, self.framing(), self.native(call))

    def error(self, status: int, headers: Headers, body: bytes) -> UpstreamError:
        """See `gateway.ports.Dialect`."""
        return error_from_reply(status, headers, body)
