"""A whole chat answer as a message."""

from __future__ import annotations

from typing import Any

import msgspec

from gateway.bridges.chats import Called, Choice, Completion, Said
from gateway.bridges.messages.names import whole
from gateway.bridges.messages.provider_state import UNSIGNED, kept_block, kept_extra
from gateway.bridges.messages.usage import estimated, usage_object
from gateway.errors import UpstreamBadResponse, UpstreamServerError
from gateway.providers.chat.arguments import arguments_of
from gateway.types import Call, Usage

Json = dict[str, Any]

STOPS = {
    "stop": "end_turn",
    "length": "max_tokens",
    "model_length": "max_tokens",
    "tool_calls": "tool_use",
    "function_call": "tool_use",
    "content_filter": "refusal",
}
"""Anthropic's word for each finish reason; an unknown one is `end_turn`."""
FAILED = "error"
"""What some providers call the finish of an answer that broke off."""


class _Stops(msgspec.Struct, gc=False):
    stop_sequences: list[str] | None = None


_REPLY = msgspec.json.Decoder(Completion)
_STOPS = msgspec.json.Decoder(_Stops)


def message(call: Call, body: bytes, usage: Usage | None) -> bytes:
    """The message that says what this chat answer says. Raises UpstreamBadResponse, UpstreamServerError."""
    try:
        choices = _REPLY.decode(body).choices
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise UpstreamBadResponse from None
    choice = next((choice for choice in choices if choice.index == 0), None)
    if choice is None or choice.message is None:
        raise UpstreamBadResponse
    if choice.finish_reason == FAILED:
        raise UpstreamServerError
    said = choice.message
    reason, sequence = stop_of(call, choice, calls=bool(said.tool_calls), refused=bool(said.refusal))
    told: Json = {
        **outline(call),
        "content": _content(call, said),
        "stop_reason": reason,
        "stop_sequence": sequence,
        "usage": usage_object(usage or estimated(call, len(body))),
    }
    return msgspec.json.encode(told)


def outline(call: Call) -> Json:
    """What a message is before it says anything."""
    return {"id": f"msg_{call.id.replace('-', '')}", "type": "message", "role": "assistant", "model": call.model}


def stop_of(call: Call, choice: Choice, *, calls: bool, refused: bool) -> tuple[str, str | None]:
    """Why it ended, in Anthropic's words, and the sequence that ended it where the provider tells."""
    told = STOPS.get(choice.finish_reason or "stop", "end_turn")
    if refused and told == "end_turn":
        return "refusal", None
    if calls:
        return ("tool_use" if told == "end_turn" else told), None
    if told in ("end_turn", "tool_use"):
        sequence = choice.stop_reason
        if isinstance(sequence, str) and sequence in _sequences(call):
            return "stop_sequence", sequence
        return "end_turn", None
    return told, None


def _sequences(call: Call) -> list[str]:
    try:
        return _STOPS.decode(call.raw).stop_sequences or []
    except (msgspec.DecodeError, UnicodeDecodeError):
        return []


def kept(said: Said) -> list[Json]:
    """Blocks of reasoning that the provider wants back as they are."""
    return [block for one in said.thinking_blocks or () if (block := kept_block(one)) is not None]


def _content(call: Call, said: Said) -> list[Json]:
    """Thinking first, then words, then calls; empty text is none."""
    blocks = kept(said)
    thought = said.thought
    if thought and all(block["type"] != "thinking" for block in blocks):
        blocks.insert(0, {"type": "thinking", "thinking": thought, "signature": UNSIGNED})
    blocks += [{"type": "text", "text": text} for text in (said.text, said.refusal) if text]
    for number, called in enumerate(said.tool_calls or ()):
        if called.extra_content is not None:
            blocks.append(kept_extra(called.extra_content))
        blocks.append(_used(call, called, number))
    return blocks


def _used(call: Call, called: Called, number: int) -> Json:
    function = called.function
    if function is None or not function.name:
        raise UpstreamBadResponse
    return {
        "type": "tool_use",
        "id": called.id or made_id(call, number),
        "name": whole(function.name, call),
        # Arguments that are no object: the client's own check of them tells the model.
        "input": arguments_of(function.arguments or ""),
    }


def made_id(call: Call, number: int) -> str:
    """For providers that give their calls none."""
    return f"toolu_{call.id.replace('-', '')}_{number}"
