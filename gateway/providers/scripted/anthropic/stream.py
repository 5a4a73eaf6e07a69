"""The events of a streamed message, one token each."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from gateway.providers.scripted.scenario import Json, Send, event
from gateway.providers.scripted.tokens import count, pieces

if TYPE_CHECKING:
    from gateway.providers.scripted.turn import Turn


def named(kind: str, fields: Json, tokens: int = 0) -> Send:
    """One event; its name is repeated in its data."""
    return event({"type": kind, **fields}, tokens, kind)


def message_events(message: Json, turn: Turn) -> list[Send]:
    """Every event from `message_start` to `message_stop`. One block at a time: `interleave` has no meaning here."""
    usage = message.get("usage", {})
    opening = {**message, "content": [], "stop_reason": None, "usage": {**usage, "output_tokens": 1}}
    frames = [named("message_start", {"message": opening}), named("ping", {})]
    arguments = iter(call.arguments for call in turn.calls)
    names = iter(call.name for call in turn.calls)
    for index, block in enumerate(message["content"]):
        called = block["type"] == "tool_use"
        frames += _block(index, block, next(arguments) if called else "", count(next(names)) if called else 0)
    closing = {"stop_reason": message["stop_reason"], "stop_sequence": None}
    frames.append(named("message_delta", {"delta": closing, "usage": usage}))
    return [*frames, replace(named("message_stop", {}), last=True)]


def _block(index: int, block: Json, arguments: str, opening_tokens: int) -> list[Send]:
    kind = block["type"]
    if kind == "tool_use":
        empty: Json = {**block, "input": {}}
        deltas = [("input_json_delta", "partial_json", piece) for piece in ("", *pieces(arguments))]
    elif kind == "thinking":
        empty = {**block, "thinking": "", "signature": ""}
        deltas = [("thinking_delta", "thinking", piece) for piece in pieces(block["thinking"])]
        deltas.append(("signature_delta", "signature", block["signature"]))
    else:
        empty = {**block, "text": ""}
        deltas = [("text_delta", "text", piece) for piece in pieces(block["text"])]
    frames = [named("content_block_start", {"index": index, "content_block": empty}, opening_tokens)]
    for name, field, piece in deltas:
        tokens = 0 if name == "signature_delta" or not piece else 1
        delta = {"type": name, field: piece}
        frames.append(named("content_block_delta", {"index": index, "delta": delta}, tokens))
    return [*frames, named("content_block_stop", {"index": index})]
