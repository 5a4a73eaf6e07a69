"""Calls of the Responses API to deployments that have only chat, and the contract's cases in its words."""

from __future__ import annotations

import base64
import json
from typing import Any

from gateway.bridges.speakers import Speakers
from gateway.ports import Dialect, StreamDecoder
from gateway.providers import discover
from gateway.types import Call, Deployment, Provider, Service, Surface
from tests.providers.contract import cases
from tests.providers.contract.natives import Native, native_of
from tests.providers.contract.said import Heard

DIALECTS = {name: one for name, one in discover().items() if Service.CHAT in one.services}
SPEAKERS = Speakers(DIALECTS)
ASKED = "the/asked-model"
HI = {"role": "user", "content": "hi"}
CHAT_ONLY = frozenset({Surface.CHAT})


def deployment_of(dialect: Dialect, **settings: Any) -> Deployment:
    """One that has only chat."""
    native = native_of(dialect)
    settings.setdefault("api", CHAT_ONLY)
    provider = Provider("p", dialect.name, native.base_url, ("secret",), native.options, **settings)
    return Deployment(f"p/{native.model}", provider, native.model)


def call_of(fields: dict[str, Any], *, stream: bool = False, indent: int | None = None) -> Call:
    """A call with these fields."""
    body = {"model": ASKED, **fields, **({"stream": True} if stream else {})}
    raw = json.dumps(body, ensure_ascii=False, indent=indent).encode()
    span = raw.index(b'"' + ASKED.encode())
    return Call(
        "c1",
        "r1",
        Service.RESPONSES,
        "/responses",
        ASKED,
        raw,
        0.0,
        stream=stream,
        max_tokens=fields.get("max_output_tokens"),
        input_tokens=5,
        model_span=(span, span + len(ASKED) + 2),
    )


def body_of(dialect: Dialect, fields: dict[str, Any], **settings: Any) -> dict[str, Any]:
    """What the provider of a dialect gets."""
    call, deployment = call_of(fields), deployment_of(dialect, **settings)
    parts = SPEAKERS.of(call, deployment).body(call, deployment)
    assert isinstance(parts, list | tuple)
    body: dict[str, Any] = json.loads(b"".join(parts))
    return body


def heard_by(dialect: Dialect, native: Native, call: Call, deployment: Deployment) -> Heard:
    """What the provider hears."""
    speaker = SPEAKERS.of(call, deployment)
    parts = speaker.body(call, deployment)
    assert isinstance(parts, list | tuple)
    return native.heard(speaker.head(call, deployment, "secret"), b"".join(parts))


def decoder_of(dialect: Dialect, fields: dict[str, Any] | None = None) -> StreamDecoder:
    """The decoder of a streamed answer."""
    call = call_of(fields or {"input": "hi"}, stream=True)
    deployment = deployment_of(dialect)
    return SPEAKERS.of(call, deployment).stream(call, deployment)


def fed(decoder: StreamDecoder, reads: list[bytes]) -> bytes:
    """Everything that the client gets."""
    return b"".join([decoder.feed(read) for read in reads] + [decoder.end()])


def tool_of(chats: dict[str, Any]) -> dict[str, Any]:
    """A function as the Responses API has it."""
    return {"type": "function", **chats["function"], "strict": False}


WEATHER, TIME = tool_of(cases.WEATHER), tool_of(cases.TIME)
PICTURE = "data:image/png;base64," + base64.b64encode(cases.PNG).decode()
TURNS = [
    HI,
    {"id": "fc_1", "type": "function_call", "call_id": "call_aaaa1", "name": "weather", "arguments": '{"city":"Köln"}'},
    {"type": "function_call", "call_id": "call_bbbb2", "name": "time", "arguments": "", "status": "completed"},
    {"type": "function_call_output", "call_id": "call_aaaa1", "output": "sunny"},
    {"type": "function_call_output", "call_id": "call_bbbb2", "output": [{"type": "input_text", "text": "noon"}]},
]
SAME: dict[str, dict[str, Any]] = {
    # a case of the contract in the Responses API's words: what must be heard is written there
    "text": {"input": "hi"},
    "unicode": {"input": [{"role": "user", "content": cases.UNICODE}]},
    "system": {"instructions": "be brief", "input": "hi"},
    "developer": {"input": [{"type": "message", "role": "developer", "content": "be brief"}, HI]},
    "system_parts": {"input": [{"role": "system", "content": [{"type": "input_text", "text": "be brief"}]}, HI]},
    "multi_part": {
        "input": [
            {"role": "user", "content": [{"type": "input_text", "text": "a"}, {"type": "input_text", "text": "b"}]}
        ]
    },
    "conversation": {
        "input": [
            HI,
            {
                "id": "msg_1",
                "type": "message",
                "role": "assistant",
                "status": "completed",
                "content": [{"type": "output_text", "text": "hello", "annotations": [], "logprobs": []}],
            },
            {"role": "user", "content": "again"},
        ]
    },
    "image": {
        "input": [
            {
                "role": "user",
                "content": [
                    {"type": "input_text", "text": "what?"},
                    {"type": "input_image", "image_url": PICTURE, "detail": "auto"},
                ],
            }
        ]
    },
    "tools": {"input": "hi", "tools": [WEATHER, TIME]},
    "tool_choice_none": {"input": "hi", "tools": [WEATHER], "tool_choice": "none"},
    "tool_choice_auto": {"input": "hi", "tools": [WEATHER], "tool_choice": "auto"},
    "tool_choice_required": {"input": "hi", "tools": [WEATHER], "tool_choice": "required"},
    "tool_choice_named": {
        "input": "hi",
        "tools": [WEATHER, TIME],
        "tool_choice": {"type": "function", "name": "weather"},
    },
    "no_parallel": {"input": "hi", "tools": [WEATHER, TIME], "parallel_tool_calls": False},
    "tool_results": {"input": TURNS, "tools": [WEATHER, TIME]},
    "json_schema": {
        "input": "hi",
        "text": {"format": {"type": "json_schema", "name": "place", "strict": True, "schema": cases.SCHEMA}},
    },
    "json_object": {"input": "hi", "text": {"format": {"type": "json_object"}}},
    "format_text": {"input": "hi", "text": {"format": {"type": "text"}}},
    "max_completion_tokens": {"input": "hi", "max_output_tokens": 321},
    "temperature": {"input": "hi", "temperature": 0.5},
    "top_p": {"input": "hi", "top_p": 0.9},
    "reasoning": {"input": "hi", "reasoning": {"effort": "low", "summary": "auto"}, "max_output_tokens": 9000},
    "nulls": {"input": "hi", "temperature": None, "tools": None, "text": None, "reasoning": None, "user": None},
}
