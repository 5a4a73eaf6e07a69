"""The base of the provider types that speak generateContent: what the Gemini API and Vertex AI share."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

import msgspec

from gateway.errors import UpstreamError
from gateway.ports import DecodedReply
from gateway.providers.chat.dialect import COUNT_CHAT, ChatDialect
from gateway.providers.chat.losses import Losses
from gateway.providers.chat.replies import ChatReply
from gateway.providers.chat.request import ChatRequest
from gateway.providers.chat.stream import NativeStream
from gateway.providers.generate.counting import read_count
from gateway.providers.generate.errors import error_of
from gateway.providers.generate.reply import read_reply
from gateway.providers.generate.request import SPOKEN, body_of
from gateway.providers.generate.stream import ContentStream
from gateway.types import Call, Deployment, Headers


class GenerateDialect(ChatDialect):
    """See `ChatDialect`. Implements `gateway.ports.ChatCountingDialect`."""

    spoken = SPOKEN

    @abstractmethod
    def question(self, body: dict[str, Any], deployment: Deployment) -> dict[str, Any]:
        """The body that asks for the tokens of a chat whose body this is."""

    def counts_chats(self, deployment: Deployment) -> bool:
        """See `gateway.ports.ChatCountingDialect`."""
        return True

    def request(self, chat: ChatRequest, call: Call, deployment: Deployment, losses: Losses) -> bytes:
        """See `ChatDialect`."""
        body = body_of(chat, deployment, losses)
        return msgspec.json.encode(self.question(body, deployment) if call.path == COUNT_CHAT else body)

    def decode(self, call: Call, deployment: Deployment, headers: Headers, body: bytes) -> DecodedReply:
        """See `ChatDialect`."""
        return read_count(body) if call.path == COUNT_CHAT else super().decode(call, deployment, headers, body)

    def reply(self, body: bytes, call: Call) -> ChatReply:
        """See `ChatDialect`."""
        return read_reply(body)

    def native(self, call: Call) -> NativeStream:
        """See `ChatDialect`."""
        return ContentStream()

    def error(self, status: int, headers: Headers, body: bytes) -> UpstreamError:
        """See `gateway.ports.Dialect`."""
        return error_of(status, headers, body)


def chat_method(call: Call) -> str:
    """What is asked of a model that chats."""
    if call.path == COUNT_CHAT:
        return "countTokens"
    return "streamGenerateContent?alt=sse" if call.stream else "generateContent"
