"""A whole answer of the Messages API, and the counts and words that its stream shares."""

from __future__ import annotations

from typing import Any

import msgspec

from gateway.errors import UpstreamBadResponse
from gateway.providers.chat.replies import Called, ChatReply, Choice
from gateway.providers.wire.errors import error_from_event
from gateway.providers.wire.tiers import served_at
from gateway.providers.wire.usage import MOST
from gateway.types import Usage

FINISH = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "pause_turn": "stop",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "tool_use": "tool_calls",
    "refusal": "content_filter",
}
"""OpenAI's word for each stop reason; an unknown one is `stop`."""


class OutputDetails(msgspec.Struct, gc=False):
    thinking_tokens: float | None = None


class WireUsage(msgspec.Struct, gc=False):
    """Counts. A later object of a stream replaces those it holds: they are cumulative."""

    input_tokens: float | None = None
    output_tokens: float | None = None
    cache_creation_input_tokens: float | None = None
    cache_read_input_tokens: float | None = None
    output_tokens_details: OutputDetails | None = None
    cache_creation: object = None
    """What was written, by how long it is kept; some imitators have surprises here."""
    service_tier: object = None
    server_tool_use: object = None

    def update(self, later: WireUsage) -> None:
        """Take over what a later event tells."""
        for name in self.__struct_fields__:
            value = getattr(later, name)
            if value is not None:
                setattr(self, name, value)

    def counted(self) -> Usage:
        """In our terms: Anthropic's input leaves out what was read from a cache or written to it, ours does not."""
        read, written = _count(self.cache_read_input_tokens), _count(self.cache_creation_input_tokens)
        details, kept = self.output_tokens_details, self.cache_creation
        hour = kept.get("ephemeral_1h_input_tokens") if isinstance(kept, dict) else None
        ran = self.server_tool_use
        searches = ran.get("web_search_requests") if isinstance(ran, dict) else None
        return Usage(
            _count(self.input_tokens) + read + written,
            _count(self.output_tokens),
            read,
            written,
            0 if details is None else _count(details.thinking_tokens),
            cache_write_1h_tokens=_count(hour) if isinstance(hour, int | float) else 0,
            service_tier=served_at(self.service_tier),
            searches=_count(searches) if isinstance(searches, int | float) else 0,
        )


class Block(msgspec.Struct, gc=False):
    """A block of content; of those that are not for the client only the type is read."""

    type: str = ""
    text: str = ""
    thinking: str = ""
    signature: str = ""
    data: str = ""
    id: str = ""
    name: str = ""
    input: msgspec.Raw = msgspec.Raw(b"{}")


class Message(msgspec.Struct, gc=False):
    id: str = ""
    type: str = ""
    content: list[Block] | None = None
    stop_reason: str | None = None
    usage: WireUsage | None = None
    error: Any = None


_MESSAGE = msgspec.json.Decoder(Message)


def read_reply(body: bytes) -> ChatReply:
    """Raises UpstreamBadResponse, the error that a 200 hides, or what decoding raises."""
    message = _MESSAGE.decode(body)
    if message.error or message.type == "error":
        raise error_from_event(message.error or {})
    if message.content is None or message.stop_reason is None:
        raise UpstreamBadResponse
    choice = Choice(FINISH.get(message.stop_reason, "stop"), calls=[], reasoning_blocks=[])
    texts, thoughts = [], []
    for block in message.content:
        if block.type == "text":
            texts.append(block.text)
        elif block.type == "tool_use":
            choice.calls.append(Called(block.id, block.name, bytes(block.input).decode()))
        elif block.type in ("thinking", "redacted_thinking"):
            thoughts.append(block.thinking)
            choice.reasoning_blocks.append(thought(block))
    choice.text, choice.reasoning = "".join(texts), "".join(thoughts)
    return ChatReply([choice], message.usage.counted() if message.usage is not None else None, message.id)


def thought(block: Block) -> dict[str, Any]:
    """A block of thinking as the API wants it back."""
    if block.type == "redacted_thinking":
        return {"type": block.type, "data": block.data}
    return {"type": "thinking", "thinking": block.thinking, "signature": block.signature}


def _count(value: float | None) -> int:
    return int(min(value, MOST)) if value and value > 0 else 0
