"""The base of the provider types that speak generateContent: what the Gemini API and Vertex AI share."""

from __future__ import annotations

import msgspec

from gateway.errors import UpstreamError
from gateway.providers.chat.dialect import ChatDialect
from gateway.providers.chat.losses import Losses
from gateway.providers.chat.replies import ChatReply
from gateway.providers.chat.request import ChatRequest
from gateway.providers.chat.stream import NativeStream
from gateway.providers.generate.errors import error_of
from gateway.providers.generate.reply import read_reply
from gateway.providers.generate.request import SPOKEN, body_of
from gateway.providers.generate.stream import ContentStream
from gateway.types import Call, Deployment, Headers


class GenerateDialect(ChatDialect):
    """See `ChatDialect`."""

    spoken = SPOKEN

    def request(self, chat: ChatRequest, call: Call, deployment: Deployment, losses: Losses) -> bytes:
        """See `ChatDialect`."""
        return msgspec.json.encode(body_of(chat, deployment, losses))

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
    return "streamGenerateContent?alt=sse" if call.stream else "generateContent"
