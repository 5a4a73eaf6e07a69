"""Clients of chat at models that have only the Responses API."""

from __future__ import annotations

import msgspec

from gateway.bridges.chat.body import responses_body
from gateway.bridges.chat.reply import completion
from gateway.bridges.chat.stream import ChunkedResponse
from gateway.bridges.naming import named
from gateway.ports import DecodedReply, StreamDecoder
from gateway.types import Call, Deployment, Service, Surface

_RESPONSES = "/responses"
_NAMES = {
    "max_output_tokens": "max_completion_tokens",
    "reasoning.effort": "reasoning_effort",
    "text.verbosity": "verbosity",
}
_PARTS = {"input": "messages", "text.format": "response_format"}
"""Places inside these differ between the two: only which of them it is can be told."""


class ChatToResponses:
    """Implements `gateway.ports.Bridge` and `gateway.ports.Extended`."""

    spoken = Surface.CHAT
    asked = Surface.RESPONSES
    extensions = frozenset({"max_completion_tokens", "thinking_blocks"})

    def outline(self, call: Call) -> Call:
        """See `Bridge`."""
        return msgspec.structs.replace(call, service=Service.RESPONSES, path=_RESPONSES)

    def request(self, call: Call, deployment: Deployment, extensions: frozenset[str]) -> Call:
        """See `Bridge`."""
        del extensions
        raw, span = responses_body(call, deployment)
        return msgspec.structs.replace(
            call,
            service=Service.RESPONSES,
            path=_RESPONSES,
            raw=raw,
            model_span=span,
            has_stream_options=False,
        )

    def reply(self, call: Call, reply: DecodedReply) -> DecodedReply:
        """See `Bridge`."""
        return DecodedReply(completion(call, reply.body, reply.usage), b"application/json", reply.usage)

    def stream(self, call: Call, inner: StreamDecoder) -> StreamDecoder:
        """See `Bridge`."""
        return ChunkedResponse(call, inner)

    def param(self, name: str) -> str:
        """See `Bridge`."""
        return named(name, _PARTS, _NAMES)
