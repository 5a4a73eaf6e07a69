"""Answers of OpenAI's imitators in the form that OpenAI's SDKs rely on: tool calls, texts, reasoning, finish reasons.

Whole answers here; `mended_stream` has the events.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from gateway.errors import UpstreamError, UpstreamServerError
from gateway.providers.wire.errors import error_from_event
from gateway.providers.wire.tool_calls import whole_calls
from gateway.providers.wire.usage import WireUsage
from gateway.types import Usage

Json = dict[str, Any]
_ABSENT = msgspec.Raw()
_REPLY = msgspec.json.Decoder(dict[str, Any])
_ODD = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)


class _Message(msgspec.Struct, gc=False):
    content: msgspec.Raw = _ABSENT
    reasoning: msgspec.Raw = _ABSENT
    tool_calls: msgspec.Raw = _ABSENT


class _Choice(msgspec.Struct, gc=False):
    finish_reason: str | None = None
    message: _Message | None = None


class Looked(msgspec.Struct, gc=False):
    """What of a whole answer may have to be mended."""

    error: object = None
    kind: str | None = msgspec.field(default=None, name="object")
    usage: WireUsage | None = None
    choices: list[_Choice] = []


LOOKED = msgspec.json.Decoder(Looked)


def mended_reply(body: bytes, call_id: str, finishes: Mapping[str, str | None]) -> bytes:
    """The body of a whole chat answer, the same bytes where nothing must be mended. Raises UpstreamError."""
    try:
        looked = LOOKED.decode(body)
        if looked.error or not (looked.kind == "error" or is_odd(looked, finishes)):
            return body
    except msgspec.ValidationError:
        pass  # a field of an unexpected type: all the more reason to look
    except _ODD:
        return body
    try:
        reply = _REPLY.decode(body)
    except _ODD:
        return body
    if not reply.get("choices") and reply.get("object") == "error":
        raise error_from_event(reply)
    before = msgspec.json.encode(reply)
    mend_reply(reply, call_id, finishes)
    after = msgspec.json.encode(reply)
    return body if after == before else after


def is_odd(reply: Looked, finishes: Mapping[str, str | None]) -> bool:
    """Whether anything may have to be mended."""
    if reply.usage is not None and reply.usage.is_odd:
        return True
    return any(
        choice.message is None
        or choice.finish_reason in finishes
        or not choice.message.content
        or bytes(memoryview(choice.message.content)[:1]) == b"["
        or (choice.message.tool_calls and bytes(choice.message.tool_calls) != b"null")
        or choice.message.reasoning
        for choice in reply.choices
    )


def mend_reply(reply: Json, call_id: str, finishes: Mapping[str, str | None]) -> None:
    """Mend a whole chat answer in place. Raises UpstreamError for one whose model broke down."""
    mend_usage(reply.get("usage"))
    for number, choice in enumerate(_choices(reply)):
        message = choice.get("message")
        if not isinstance(message, dict):
            continue
        choice.setdefault("index", number)
        mend_message(message)
        message.setdefault("role", "assistant")
        message.setdefault("content", None)
        calls = message.get("tool_calls")
        if isinstance(calls, list) and calls:
            message["tool_calls"] = whole_calls(calls, f"call_{call_id}_{number}")
        failure = mend_finish(choice, finishes, called=bool(message.get("tool_calls")))
        if failure is not None:
            raise failure


def mend_usage(usage: Any) -> bool:
    """Counts where OpenAI has them, reasoning among the output; whether anything had to be moved."""
    try:
        counted = msgspec.convert(usage, WireUsage).counted()
    except _ODD:
        return False
    if counted is None or not usage_differs(usage, counted):
        return False
    usage["completion_tokens"], usage["total_tokens"] = counted.output_tokens, counted.total
    for side, name, count in (
        ("completion_tokens_details", "reasoning_tokens", counted.reasoning_tokens),
        ("prompt_tokens_details", "cached_tokens", counted.cached_input_tokens),
    ):
        details = usage.get(side)
        if count:
            usage[side] = {**(details if isinstance(details, dict) else {}), name: count}
    return True


def usage_differs(usage: Json, counted: Usage) -> bool:
    """Whether what OpenAI's members say is not what was counted."""
    after, before = usage.get("completion_tokens_details"), usage.get("prompt_tokens_details")
    return (
        usage.get("completion_tokens", 0) != counted.output_tokens
        or ((after or {}).get("reasoning_tokens") or 0) != counted.reasoning_tokens
        or ((before or {}).get("cached_tokens") or 0) != counted.cached_input_tokens
    )


def mend_message(message: Json) -> None:
    """One name for reasoning, and text as a string: of a whole message or of a delta."""
    content = message.get("content")
    if isinstance(content, list):
        text, thought = _texts(content)
        message["content"] = text
        if thought:
            message["reasoning_content"] = (message.get("reasoning_content") or "") + thought
    if "reasoning" in message:
        told = message["reasoning"]
        if not message.get("reasoning_content"):
            message["reasoning_content"] = told
        if message["reasoning_content"] == told:
            del message["reasoning"]


def mend_finish(choice: Json, finishes: Mapping[str, str | None], *, called: bool) -> UpstreamError | None:
    """OpenAI's word for why a choice is over; the error, when it is because the model broke down."""
    reason = choice.get("finish_reason")
    if called and reason == "stop":
        choice["finish_reason"] = "tool_calls"
    elif isinstance(reason, str) and reason in finishes:
        word = finishes[reason]
        if word is None:
            error = choice.get("error")
            return error_from_event(error) if error else UpstreamServerError()
        choice["finish_reason"] = word
    return None


def _choices(reply: Json) -> list[Json]:
    choices = reply.get("choices")
    return [one for one in choices if isinstance(one, dict)] if isinstance(choices, list) else []


def _texts(parts: list[Any]) -> tuple[str, str]:
    """What parts of a content say, and what they think."""
    text = thought = ""
    for part in parts:
        if not isinstance(part, dict):
            continue
        if part.get("type") == "thinking":
            inner = part.get("thinking")
            thought += inner if isinstance(inner, str) else _texts(inner)[0] if isinstance(inner, list) else ""
        elif isinstance(part.get("text"), str):
            text += part["text"]
    return text, thought
