"""A whole answer of Converse, and the counts and words that its stream shares."""

from __future__ import annotations

from typing import Any

import msgspec

from gateway.errors import UpstreamBadResponse, UpstreamServerError
from gateway.providers.chat.replies import Called, ChatReply, Choice
from gateway.providers.converse.citations import Citation, annotation_of
from gateway.providers.converse.names import function_of
from gateway.providers.wire.tiers import served_at
from gateway.providers.wire.usage import MOST
from gateway.types import Call, Usage

_FINISH = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "tool_use": "tool_calls",
    "guardrail_intervened": "content_filter",
    "content_filtered": "content_filter",
}
HOUR = "1h"
"""How long a cache is kept that costs more to write."""
SERVERS_OWN = "server_tool_use"
"""The type of a call that Bedrock answers itself."""


class CacheDetail(msgspec.Struct, gc=False, rename="camel"):
    ttl: str = ""
    input_tokens: float | None = None


class ServiceTier(msgspec.Struct, gc=False):
    type: object = None


class WireUsage(msgspec.Struct, gc=False, rename="camel"):
    input_tokens: float | None = None
    output_tokens: float | None = None
    cache_read_input_tokens: float | None = None
    cache_write_input_tokens: float | None = None
    cache_details: list[CacheDetail] | None = None
    """What was written, by how long it is kept."""

    def counted(self, tier: ServiceTier | None = None) -> Usage | None:
        """In our terms: Bedrock's input leaves out what was read from a cache or written to it, ours does not. Beside
        the counts stands the tier."""
        if self.input_tokens is None and self.output_tokens is None:
            return None
        read, written = _count(self.cache_read_input_tokens), _count(self.cache_write_input_tokens)
        hour = sum(_count(one.input_tokens) for one in self.cache_details or () if one.ttl == HOUR)
        given, made = _count(self.input_tokens) + read + written, _count(self.output_tokens)
        told = "" if tier is None else served_at(tier.type)
        return Usage(given, made, read, written, cache_write_1h_tokens=hour, service_tier=told)


class ToolUse(msgspec.Struct, gc=False, rename="camel"):
    tool_use_id: str = ""
    name: str = ""
    type: str = ""
    input: msgspec.Raw = msgspec.Raw(b"{}")


class ReasoningText(msgspec.Struct, gc=False):
    text: str = ""
    signature: str = ""


class Reasoning(msgspec.Struct, gc=False, rename="camel"):
    reasoning_text: ReasoningText | None = None
    redacted_content: str = ""


class _Text(msgspec.Struct, gc=False):
    text: str = ""


class _Cited(msgspec.Struct, gc=False):
    content: list[_Text] | None = None
    citations: list[Citation] | None = None


class _Block(msgspec.Struct, gc=False, rename="camel"):
    text: str | None = None
    tool_use: ToolUse | None = None
    reasoning_content: Reasoning | None = None
    citations_content: _Cited | None = None


class _Message(msgspec.Struct, gc=False):
    content: list[_Block] | None = None


class _Output(msgspec.Struct, gc=False):
    message: _Message | None = None


class _Reply(msgspec.Struct, gc=False, rename="camel"):
    output: _Output | None = None
    stop_reason: str | None = None
    usage: WireUsage | None = None
    service_tier: ServiceTier | None = None


_REPLY = msgspec.json.Decoder(_Reply)


def read_reply(body: bytes, call: Call) -> ChatReply:
    """Raises UpstreamBadResponse, UpstreamServerError for a model that broke down, or what decoding raises."""
    reply = _REPLY.decode(body)
    message = reply.output.message if reply.output is not None else None
    if message is None or message.content is None or reply.stop_reason is None:
        raise UpstreamBadResponse
    choice = Choice(finish_of(reply.stop_reason), calls=[], reasoning_blocks=[], annotations=[])
    for block in message.content:
        _add(choice, block, call)
    return ChatReply([choice], reply.usage.counted(reply.service_tier) if reply.usage is not None else None)


def finish_of(reason: str) -> str:
    """OpenAI's word for a stop reason; an unknown one is `stop`. Raises UpstreamServerError for a model that broke
    down."""
    if reason.startswith("malformed"):
        raise UpstreamServerError
    return _FINISH.get(reason, "stop")


def thought(text: str, signature: str, redacted: str) -> dict[str, Any] | None:
    """A block of reasoning in the words that Anthropic has for it, to be given back; None for one that nobody would
    take back."""
    if redacted:
        return {"type": "redacted_thinking", "data": redacted}
    return {"type": "thinking", "thinking": text, "signature": signature} if signature else None


def _add(choice: Choice, block: _Block, call: Call) -> None:
    if block.text is not None:
        choice.text += block.text
    elif block.tool_use is not None and block.tool_use.type != SERVERS_OWN:
        used = block.tool_use
        name = function_of(used.name, call)
        choice.calls.append(Called(used.tool_use_id, name, bytes(used.input).decode()))
    elif block.reasoning_content is not None:
        _reason(choice, block.reasoning_content)
    elif block.citations_content is not None:
        _cite(choice, block.citations_content)


def _reason(choice: Choice, reasoning: Reasoning) -> None:
    told = reasoning.reasoning_text or ReasoningText()
    choice.reasoning += told.text
    kept = thought(told.text, told.signature, reasoning.redacted_content)
    if kept is not None:
        choice.reasoning_blocks.append(kept)


def _cite(choice: Choice, cited: _Cited) -> None:
    start = len(choice.text)
    choice.text += "".join(part.text for part in cited.content or ())
    given = (annotation_of(citation, start, len(choice.text)) for citation in cited.citations or ())
    choice.annotations += [annotation for annotation in given if annotation is not None]


def _count(value: float | None) -> int:
    return int(min(value, MOST)) if value and value > 0 else 0
