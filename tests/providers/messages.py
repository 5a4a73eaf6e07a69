"""Shorthand for tests of the Messages API: bodies as Anthropic gets them, streams as it sends them."""

from __future__ import annotations

import json
from typing import Any

from gateway.ports import StreamDecoder
from gateway.providers import discover
from gateway.types import Call, Deployment, Provider, Service

from .contract import reading
from .contract.said import Read

ASKED = "asked"
DIALECT = discover()["anthropic"]
NEW, OLD = "claude-opus-4-8", "claude-sonnet-4-5"


def deployment(model: str, **settings: Any) -> Deployment:
    return Deployment(f"p/{model}", Provider("p", "anthropic", "https://provider.invalid/v1", **settings), model)


def call(fields: dict[str, Any], *, stream: bool = False, usage: bool = True) -> Call:
    raw = json.dumps({"model": ASKED, **fields}).encode()
    return Call("c", "r", Service.CHAT, "/chat/completions", ASKED, raw, 0.0, stream=stream, include_usage=usage)


def sent(model: str = "claude-sonnet-4-6", unsupported: str = "error", **fields: Any) -> dict[str, Any]:
    """The native body of a request; `messages` is a user's `hi` unless given."""
    fields = {"messages": [{"role": "user", "content": "hi"}], **fields}
    parts = DIALECT.body(call(fields), deployment(model, unsupported=unsupported))
    assert isinstance(parts, list | tuple)
    body: dict[str, Any] = json.loads(b"".join(parts))
    return body


def talk(*messages: dict[str, Any], **fields: Any) -> list[dict[str, Any]]:
    """The native messages of a conversation."""
    found: list[dict[str, Any]] = sent(messages=list(messages), **fields)["messages"]
    return found


def frame(kind: str, **fields: Any) -> bytes:
    return f"event: {kind}\ndata: {json.dumps({'type': kind, **fields})}\n\n".encode()


START = frame("message_start", message={"id": "msg_1", "usage": {"input_tokens": 5, "output_tokens": 1}})
STOP = frame("message_stop")


def ending(reason: str = "end_turn", **usage: int) -> bytes:
    return frame("message_delta", delta={"stop_reason": reason}, usage={"output_tokens": 3, **usage}) + STOP


def block(index: int, content: dict[str, Any], *deltas: dict[str, Any]) -> bytes:
    return b"".join(
        (
            frame("content_block_start", index=index, content_block=content),
            *(frame("content_block_delta", index=index, delta=delta) for delta in deltas),
            frame("content_block_stop", index=index),
        )
    )


def text(index: int, *pieces: str) -> bytes:
    return block(index, {"type": "text", "text": ""}, *({"type": "text_delta", "text": piece} for piece in pieces))


def tool(index: int, id_: str, *pieces: str) -> bytes:
    content = {"type": "tool_use", "id": id_, "name": "f", "input": {}}
    return block(index, content, *({"type": "input_json_delta", "partial_json": piece} for piece in pieces))


def decoder(*, usage: bool = True) -> StreamDecoder:
    return DIALECT.stream(call({}, stream=True, usage=usage), deployment(OLD))


def streamed(*events: bytes) -> Read:
    """What a client reads of a complete stream."""
    one = decoder()
    out = one.feed(b"".join(events)) + one.end()
    assert one.failure is None
    return reading.streamed(out, ASKED, usage=True)
