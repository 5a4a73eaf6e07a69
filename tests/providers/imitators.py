"""Shorthand for tests of OpenAI's imitators: requests as they get them, chunks as they send them."""

from __future__ import annotations

import json
from typing import Any

from gateway.ports import Dialect, StreamDecoder
from gateway.providers import discover
from gateway.types import Call, Deployment, Provider, Service

from .contract import reading
from .contract.said import Read

ASKED = "the/asked-model"
_DIALECTS = discover()


def dialect(kind: str) -> Dialect:
    return _DIALECTS[kind]


def deployment(kind: str, traits: tuple[tuple[str, Any], ...] = (), **settings: Any) -> Deployment:
    parameters = settings.pop("parameters", {})
    provider = Provider("p", kind, "https://provider.invalid/openai/v1", ("k",), **settings)
    return Deployment("p/m", provider, "m", parameters=parameters, traits=traits)


def call(fields: dict[str, Any], service: Service = Service.CHAT, *, stream: bool = False, usage: bool = True) -> Call:
    raw = json.dumps({"model": ASKED, **fields}, ensure_ascii=False).encode()
    at = raw.index(b'"' + ASKED.encode())
    return Call(
        "c1",
        "r1",
        service,
        "/x",
        ASKED,
        raw,
        0.0,
        stream=stream,
        include_usage=usage,
        has_stream_options="stream_options" in fields,
        max_tokens=fields.get("max_completion_tokens") or fields.get("max_tokens"),
        model_span=(at, at + len(ASKED) + 2),
    )


def sent(kind: str, service: Service = Service.CHAT, *, stream: bool = False, **fields: Any) -> dict[str, Any]:
    """The body as a provider of this type gets it. `to_*` go to the deployment: `to_traits`, `to_unsupported`, …"""
    settings = {name.removeprefix("to_"): fields.pop(name) for name in list(fields) if name.startswith("to_")}
    if stream:
        fields["stream"] = True
    parts = dialect(kind).body(call(fields, service, stream=stream), deployment(kind, **settings))
    assert isinstance(parts, list | tuple)
    body: dict[str, Any] = json.loads(b"".join(parts), object_pairs_hook=_once)
    return body


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    assert len({name for name, _ in pairs}) == len(pairs), "no member stands twice"
    return dict(pairs)


def chunk(delta: dict[str, Any] | None, finish: str | None = None, **fields: Any) -> bytes:
    """One event; without a delta it has no choice. `error` stands in the choice, all else beside it."""
    choice = {"index": 0, "delta": delta, "finish_reason": finish, **_picked(fields, "error")}
    base = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "m"}
    event = {**base, "choices": [] if delta is None else [choice], **fields}
    return b"data: " + json.dumps(event, ensure_ascii=False, separators=(",", ":")).encode() + b"\n\n"


def _picked(fields: dict[str, Any], name: str) -> dict[str, Any]:
    return {name: fields.pop(name)} if name in fields else {}


def delta(usage: Any = None, **fields: Any) -> bytes:
    """One event that says this."""
    return chunk(fields, **({} if usage is None else {"usage": usage}))


def decoder(kind: str, *, usage: bool = True, **fields: Any) -> StreamDecoder:
    return dialect(kind).stream(call(fields, stream=True, usage=usage), deployment(kind))


def decoded(kind: str, message: dict[str, Any], finish: str = "stop", **fields: Any) -> Read:
    """What a client reads of a whole answer."""
    base = {"id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": "m"}
    body = {**base, "choices": [{"index": 0, "message": message, "finish_reason": finish}], **fields}
    return reading.whole(dialect(kind).decode(call({}), deployment(kind), [], json.dumps(body).encode()).body, ASKED)
