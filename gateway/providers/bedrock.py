"""Amazon Bedrock: every model that chats by Converse, OpenAI's by their own API; signed, or with an API key."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from gateway.errors import UpstreamBadResponse, UpstreamError
from gateway.ports import DecodedReply, RequestHead, StreamDecoder
from gateway.providers.amazon import claude, embeddings, rerank
from gateway.providers.amazon.address import at_openai, model_path, signature, speaks_openai
from gateway.providers.amazon.eventstream import EVENT_STREAM, MessageSplitter
from gateway.providers.amazon.families import check_purpose
from gateway.providers.chat.dialect import ODD, ChatDialect
from gateway.providers.chat.losses import Losses
from gateway.providers.chat.replies import ChatReply
from gateway.providers.chat.request import ChatRequest
from gateway.providers.chat.stream import Framing, NativeStream
from gateway.providers.converse.errors import error_of
from gateway.providers.converse.models import abilities_of
from gateway.providers.converse.reply import read_reply
from gateway.providers.converse.request import SPOKEN, body_of
from gateway.providers.converse.stream import ConverseStream
from gateway.providers.messages.passing import COUNT_TOKENS, MESSAGES, NATIVE, read_passed
from gateway.providers.wire.errors import error_fields, error_from_reply
from gateway.providers.wire.head import EVENT_STREAM as SERVER_SENT
from gateway.providers.wire.head import HeaderPairs, bearer
from gateway.providers.wire.openai import OpenAIDialect
from gateway.types import Body, Call, Deployment, Headers, Provider, Service, Surface

_OPENAI = OpenAIDialect("bedrock", chat_cap="max_completion_tokens")
_OPENAI_SURFACES = frozenset({Surface.CHAT, Surface.RESPONSES})
_CLAUDE_SURFACES = frozenset({Surface.CHAT, Surface.MESSAGES})
_CONVERSE_SURFACES = frozenset({Surface.CHAT})


class BedrockDialect(ChatDialect):
    """See `ChatDialect`. Implements `gateway.ports.SigningDialect`, `SurfaceDialect`, `CountingDialect`, `Discerning`
    and `BatchingDialect`."""

    stream_type = (EVENT_STREAM, SERVER_SENT)
    spoken = SPOKEN

    def path(self, call: Call, deployment: Deployment) -> str:
        """See `ChatDialect`."""
        if call.path in NATIVE:
            return model_path(*claude.model_and_method(call, deployment))
        if call.service is not Service.CHAT:
            return model_path(deployment.model, "invoke")
        return model_path(deployment.model, "converse-stream" if call.stream else "converse")

    def names_tier(self, call: Call, deployment: Deployment) -> bool:
        """See `gateway.ports.TierDialect`: Converse is asked for the default by not being asked for another."""
        return call.path not in NATIVE

    def headers(self, provider: Provider, credential: str | None) -> HeaderPairs:
        """The API key; without one each request is signed."""
        return bearer(provider, credential)

    def framing(self) -> Framing:
        """See `ChatDialect`."""
        return MessageSplitter()

    def request(self, chat: ChatRequest, call: Call, deployment: Deployment, losses: Losses) -> bytes:
        """See `ChatDialect`."""
        return msgspec.json.encode(body_of(chat, deployment, losses))

    def reply(self, body: bytes, call: Call) -> ChatReply:
        """See `ChatDialect`."""
        return read_reply(body, call)

    def native(self, call: Call) -> NativeStream:
        """See `ChatDialect`."""
        return ConverseStream(call)

    def surfaces(self, deployment: Deployment) -> frozenset[Surface]:
        """See `gateway.ports.SurfaceDialect`."""
        if speaks_openai(deployment):
            return _OPENAI_SURFACES
        return _CLAUDE_SURFACES if claude.is_passed(deployment) else _CONVERSE_SURFACES

    def understood(self, deployment: Deployment) -> frozenset[str]:
        """See `gateway.ports.Discerning`. Thinking in Anthropic's words is Claude's; a profile that customers name
        themselves may be anybody's, so what it does has to be declared."""
        if speaks_openai(deployment):
            return _OPENAI.extensions
        able, lost = abilities_of(deployment.model), set()
        if able.claude is None and (able.vendor or "reasoning" not in deployment.capabilities):
            lost |= {"thinking", "thinking_blocks"}
        if not able.top_k:
            lost.add("top_k")
        return self.extensions - lost

    def counts(self, deployment: Deployment) -> bool:
        """See `gateway.ports.CountingDialect`."""
        return abilities_of(deployment.model).claude is not None and not speaks_openai(deployment)

    # -- gateway.ports.Dialect, for models that speak OpenAI's API and those that do not

    def head(self, call: Call, deployment: Deployment, credential: str | None) -> RequestHead:
        """See `gateway.ports.Dialect`."""
        if speaks_openai(deployment):
            return _OPENAI.head(call, at_openai(deployment), credential)
        return super().head(call, deployment, credential)

    def body(self, call: Call, deployment: Deployment) -> Sequence[bytes] | Body:
        """See `gateway.ports.Dialect`."""
        if speaks_openai(deployment):
            return _OPENAI.body(call, deployment)
        if call.path in NATIVE:
            return claude.body_of(call, deployment)
        check_purpose(deployment.model, call.service)
        if call.service is Service.EMBEDDINGS:
            return (embeddings.body_of(call, deployment, Losses(deployment.provider)),)
        if call.service is Service.RERANK:
            return (rerank.body_of(call, deployment, Losses(deployment.provider)),)
        return super().body(call, deployment)

    def decode(self, call: Call, deployment: Deployment, headers: Headers, body: bytes) -> DecodedReply:
        """See `gateway.ports.Dialect`."""
        if speaks_openai(deployment):
            return _OPENAI.decode(call, deployment, headers, body)
        if call.path == COUNT_TOKENS:
            return claude.read_count(body)
        if call.path == MESSAGES:
            return read_passed(body, call, headers)
        if call.service is Service.CHAT:
            return super().decode(call, deployment, headers, body)
        try:
            if call.service is Service.EMBEDDINGS:
                return embeddings.read(headers, body, call)
            return rerank.read(body, call, deployment)
        except ODD:
            raise UpstreamBadResponse from None

    def stream(self, call: Call, deployment: Deployment) -> StreamDecoder:
        """See `gateway.ports.Dialect`."""
        if speaks_openai(deployment):
            return _OPENAI.stream(call, deployment)
        return claude.InvokedStream(call.model) if call.path == MESSAGES else super().stream(call, deployment)

    def error(self, status: int, headers: Headers, body: bytes) -> UpstreamError:
        """In AWS's words, or in OpenAI's."""
        if "type" in error_fields(body):
            return error_from_reply(status, headers, body)
        return error_of(status, headers, body)

    def most_inputs(self, deployment: Deployment) -> int:
        """See `gateway.ports.BatchingDialect`."""
        return embeddings.most_texts(deployment.model)

    # -- gateway.ports.SigningDialect

    def sign(self, head: RequestHead, body: Sequence[bytes], provider: Provider, now: float) -> Headers:
        """See `gateway.ports.SigningDialect`."""
        return signature(head, body, provider, now)


DIALECT = BedrockDialect("bedrock", frozenset({Service.CHAT, Service.EMBEDDINGS, Service.RERANK}))
