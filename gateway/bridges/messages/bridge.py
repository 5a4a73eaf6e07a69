"""Clients of the Messages API at providers that have chat."""

from __future__ import annotations

import msgspec

from gateway.bridges.messages.reply import message
from gateway.bridges.messages.request import chat_body
from gateway.bridges.messages.stream import MessageStream
from gateway.bridges.naming import named
from gateway.ports import DecodedReply, StreamDecoder
from gateway.providers.chat.dialect import COUNT_CHAT
from gateway.providers.messages.passing import COUNT_TOKENS
from gateway.types import Call, Deployment, Surface

_CHAT = "/chat/completions"
_NAMES = {
    "max_completion_tokens": "max_tokens",
    "stop": "stop_sequences",
    "reasoning_effort": "output_config.effort",
    "safety_identifier": "metadata.user_id",
    "parallel_tool_calls": "tool_choice.disable_parallel_tool_use",
}
_PARTS = {"messages": "messages", "response_format": "output_config.format"}


class MessagesToChat:
    """Implements `gateway.ports.Bridge`, for messages and for questions how many tokens one has."""

    spoken = Surface.MESSAGES
    asked = Surface.CHAT

    def outline(self, call: Call) -> Call:
        """See `Bridge`. Counts are asked for always: a message has them."""
        return msgspec.structs.replace(call, path=_path(call), include_usage=True, forwarded=())

    def request(self, call: Call, deployment: Deployment, extensions: frozenset[str]) -> Call:
        """See `Bridge`."""
        raw, span = chat_body(call, deployment, extensions)
        return msgspec.structs.replace(
            call,
            path=_path(call),
            raw=raw,
            model_span=span,
            include_usage=True,
            has_stream_options=False,
            forwarded=(),
        )

    def reply(self, call: Call, reply: DecodedReply) -> DecodedReply:
        """See `Bridge`. A count is the client's already."""
        if call.path == COUNT_TOKENS:
            return reply
        return DecodedReply(message(call, reply.body, reply.usage), b"application/json", reply.usage)

    def stream(self, call: Call, inner: StreamDecoder) -> StreamDecoder:
        """See `Bridge`."""
        return MessageStream(call, inner)

    def param(self, name: str) -> str:
        """See `Bridge`."""
        return named(name, _PARTS, _NAMES)


def _path(call: Call) -> str:
    return COUNT_CHAT if call.path == COUNT_TOKENS else _CHAT
