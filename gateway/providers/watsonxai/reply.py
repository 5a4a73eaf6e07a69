"""A whole answer of a chat, in words that are nearly OpenAI's."""

from __future__ import annotations

from typing import Any

import msgspec

from gateway.errors import UpstreamBadResponse, UpstreamServerError
from gateway.providers.chat.replies import Called, ChatReply, Choice
from gateway.providers.watsonxai.errors import error_in_stream
from gateway.providers.wire.usage import WireUsage

FINISH = {
    "stop": "stop",
    "length": "length",
    "max_tokens": "length",
    "time_limit": "length",
    "tool_calls": "tool_calls",
    "content_filter": "content_filter",
}
"""OpenAI's word for each finish reason; an unknown one is `stop`."""
FAILED = frozenset({"error", "cancelled"})


class Function(msgspec.Struct, gc=False):
    name: str | None = None
    arguments: str | None = None


class ToolCall(msgspec.Struct, gc=False):
    index: int | None = None
    id: str | None = None
    function: Function | None = None


class Message(msgspec.Struct, gc=False):
    """Of a whole answer, or what is new in a piece of one."""

    content: str | None = None
    reasoning_content: str | None = None
    refusal: str | None = None
    tool_calls: list[ToolCall] | None = None


class _Choice(msgspec.Struct, gc=False):
    message: Message | None = None
    finish_reason: str | None = None
    logprobs: Any = None


class _Reply(msgspec.Struct, gc=False):
    id: str = ""
    choices: list[_Choice] | None = None
    usage: WireUsage | None = None
    errors: Any = None


_REPLY = msgspec.json.Decoder(_Reply)


def read_reply(body: bytes) -> ChatReply:
    """Raises UpstreamBadResponse, the error that a 200 hides, or what decoding raises."""
    reply = _REPLY.decode(body)
    if reply.errors:
        raise error_in_stream(body)
    if not reply.choices:
        raise UpstreamBadResponse
    usage = reply.usage.counted() if reply.usage is not None else None
    return ChatReply([_choice(choice) for choice in reply.choices], usage, reply.id)


def finish_of(reason: str) -> str:
    """Raises UpstreamServerError for a reason that is the provider's failure."""
    if reason in FAILED:
        raise UpstreamServerError
    return FINISH.get(reason, "stop")


def _choice(choice: _Choice) -> Choice:
    message = choice.message
    if message is None or choice.finish_reason is None:
        raise UpstreamBadResponse
    return Choice(
        finish_of(choice.finish_reason),
        message.content or "",
        [_called(call) for call in message.tool_calls or ()],
        message.reasoning_content or "",
        refusal=message.refusal or None,
        logprobs=choice.logprobs,
    )


def _called(call: ToolCall) -> Called:
    function = call.function
    if function is None or not function.name:
        raise UpstreamBadResponse
    return Called(call.id or "", function.name, function.arguments or "")
