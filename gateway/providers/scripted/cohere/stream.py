"""The events of a streamed chat, one token each."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from gateway.providers.scripted.scenario import Json, Send, event
from gateway.providers.scripted.tokens import count, pieces

if TYPE_CHECKING:
    from gateway.providers.scripted.turn import ToolCall, Turn


def named(kind: str, fields: Json, tokens: int = 0) -> Send:
    """One event; its name is repeated in its data."""
    return event({"type": kind, **fields}, tokens, kind)


def chat_events(id_: str, turn: Turn, closing: Json) -> list[Send]:
    """Every event from `message-start` to `message-end` with its `closing` delta, and the line after it."""
    opening: Json = {"role": "assistant", "content": [], "tool_plan": "", "tool_calls": [], "citations": []}
    frames = [named("message-start", {"id": id_, "delta": {"message": opening}})]
    blocks = [(kind, text) for kind, text in (("thinking", turn.reasoning), ("text", turn.text)) if text]
    for index, (kind, text) in enumerate(blocks):
        frames.append(_said("content-start", index, {"content": {"type": kind, kind: ""}}))
        frames += [_said("content-delta", index, {"content": {kind: piece}}, 1) for piece in pieces(text)]
        frames.append(named("content-end", {"index": index}))
    for index, call in enumerate(turn.calls):
        frames += _called(index, call)
    frames.append(replace(named("message-end", {"delta": closing}), last=True))
    return [*frames, Send(b"data: [DONE]\n\n", last=True)]


def _called(index: int, call: ToolCall) -> list[Send]:
    opening = {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": ""}}
    return [
        _said("tool-call-start", index, {"tool_calls": opening}, count(call.name)),
        *(
            _said("tool-call-delta", index, {"tool_calls": {"function": {"arguments": piece}}}, 1)
            for piece in pieces(call.arguments)
        ),
        named("tool-call-end", {"index": index}),
    ]


def _said(kind: str, index: int, message: Json, tokens: int = 0) -> Send:
    return named(kind, {"index": index, "delta": {"message": message}}, tokens)
