"""Shorthand for tests of generateContent: bodies as Google gets them, streams as it sends them."""

from __future__ import annotations

import json
from typing import Any

from gateway.ports import StreamDecoder
from gateway.providers import discover
from gateway.types import Call, Deployment, Provider, Service

from .contract import reading
from .contract.said import Read

ASKED = "asked"
DIALECT = discover()["gemini"]
NEW, OLD, FIRST = "gemini-3-flash-preview", "gemini-2.5-flash", "gemini-1.5-pro"


def deployment(model: str = NEW, **settings: Any) -> Deployment:
    return Deployment(f"p/{model}", Provider("p", "gemini", "https://provider.invalid/v1beta", **settings), model)


def call(fields: dict[str, Any], *, stream: bool = False, service: Service = Service.CHAT) -> Call:
    raw = json.dumps({"model": ASKED, **fields}).encode()
    return Call("c", "r", service, "/x", ASKED, raw, 0.0, stream=stream, include_usage=True)


def sent(model: str = NEW, unsupported: str = "error", **fields: Any) -> dict[str, Any]:
    """The native body of a request; `messages` is a user's `hi` unless given."""
    fields = {"messages": [{"role": "user", "content": "hi"}], **fields}
    return _body(call(fields), deployment(model, unsupported=unsupported))


def embedded(model: str = "gemini-embedding-001", **fields: Any) -> dict[str, Any]:
    """The native body of an embeddings request."""
    return _body(call(fields, service=Service.EMBEDDINGS), deployment(model))


def _body(one: Call, to: Deployment) -> dict[str, Any]:
    parts = DIALECT.body(one, to)
    assert isinstance(parts, list | tuple)
    body: dict[str, Any] = json.loads(b"".join(parts))
    return body


def talk(*messages: dict[str, Any], model: str = NEW, **fields: Any) -> list[dict[str, Any]]:
    """The native contents of a conversation."""
    found: list[dict[str, Any]] = sent(model, messages=list(messages), **fields)["contents"]
    return found


def event(*parts: dict[str, Any], finish: str | int | None = None, index: int = 0, **fields: Any) -> bytes:
    """One event with one candidate."""
    candidate: dict[str, Any] = {"content": {"parts": list(parts), "role": "model"}, "index": index}
    if finish is not None:
        candidate["finishReason"] = finish
    return frame(candidates=[candidate], **fields)


def frame(**fields: Any) -> bytes:
    return f"data: {json.dumps(fields)}\r\n\r\n".encode()


def function(name: str = "f", **args: Any) -> dict[str, Any]:
    return {"functionCall": {"name": name, "args": args}}


END = event({"text": ""}, finish="STOP", usageMetadata={"promptTokenCount": 5, "candidatesTokenCount": 3})


def decoder() -> StreamDecoder:
    return DIALECT.stream(call({}, stream=True), deployment())


def streamed(*events: bytes) -> Read:
    """What a client reads of a complete stream."""
    one = decoder()
    out = one.feed(b"".join(events)) + one.end()
    assert one.failure is None
    return reading.streamed(out, ASKED, usage=one.usage is not None)


def decoded(**fields: Any) -> Read:
    """What a client reads of a whole answer."""
    return reading.whole(DIALECT.decode(call({}), deployment(), [], json.dumps(fields).encode()).body, ASKED)
