"""Clients of the Responses API at providers that have chat."""

from __future__ import annotations

import msgspec

from gateway.bridges.naming import named
from gateway.bridges.responses.body import chat_body
from gateway.bridges.responses.reply import response
from gateway.bridges.responses.stream import ResponseStream
from gateway.ports import DecodedReply, StreamDecoder
from gateway.types import Call, Deployment, Service, Surface

_CHAT = "/chat/completions"
_NAMES = {
    "max_completion_tokens": "max_output_tokens",
    "max_tokens": "max_output_tokens",
    "reasoning_effort": "reasoning.effort",
    "verbosity": "text.verbosity",
    "logprobs": "top_logprobs",
}
_PARTS = {"messages": "input", "response_format": "text.format"}
"""Places inside these differ between the two: only which of them it is can be told."""


class ResponsesToChat:
    """Implements `gateway.ports.Bridge`."""

    spoken = Surface.RESPONSES
    asked = Surface.CHAT

    def outline(self, call: Call) -> Call:
        """See `Bridge`. Counts are asked for always: a response has them."""
        return msgspec.structs.replace(call, service=Service.CHAT, path=_CHAT, include_usage=True)

    def request(self, call: Call, deployment: Deployment, extensions: frozenset[str]) -> Call:
        """See `Bridge`."""
        raw, span = chat_body(call, deployment, extensions)
        return msgspec.structs.replace(
            call,
            service=Service.CHAT,
            path=_CHAT,
            raw=raw,
            model_span=span,
            include_usage=True,
            has_stream_options=False,
        )

    def reply(self, call: Call, reply: DecodedReply) -> DecodedReply:
        """See `Bridge`."""
        return DecodedReply(response(call, reply.body, reply.usage), b"application/json", reply.usage)

    def stream(self, call: Call, inner: StreamDecoder) -> StreamDecoder:
        """See `Bridge`."""
        return ResponseStream(call, inner)

    def param(self, name: str) -> str:
        """See `Bridge`."""
        return named(name, _PARTS, _NAMES)
