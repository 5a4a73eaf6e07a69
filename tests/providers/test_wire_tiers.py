"""Tiers of service as providers tell them, in each API that has them."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from gateway.bridges.speakers import Speakers
from gateway.providers import discover
from gateway.providers.wire.tiers import served_at, tier_in
from gateway.types import Call, Deployment, Provider, Service
from tests.support.eventstream import event as binary

SPEAKERS = Speakers(discover())
COUNTS = {"prompt_tokens": 5, "completion_tokens": 2, "total_tokens": 7}
CHAT = {"id": "c", "object": "chat.completion", "model": "m", "usage": COUNTS}
SAID = {"index": 0, "message": {"role": "assistant", "content": "hi"}, "finish_reason": "stop"}
CHUNK = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m"}
DELTA = {"index": 0, "delta": {"role": "assistant", "content": "hi"}, "finish_reason": None}
END = {"index": 0, "delta": {}, "finish_reason": "stop"}
RESPONSE = {"id": "r", "object": "response", "status": "completed", "model": "m", "output": []}
READ = {"input_tokens": 5, "output_tokens": 2, "total_tokens": 7}
GOOGLES = {"promptTokenCount": 5, "candidatesTokenCount": 2}
CANDIDATE = {"content": {"parts": [{"text": "hi"}]}, "finishReason": "STOP"}


@pytest.mark.parametrize(
    ("told", "name"),
    [
        *((word, "") for word in ("default", "standard", "auto", "on_demand", "ON_DEMAND", "Default", "", None)),
        *((word, word) for word in ("flex", "priority", "scale", "performance", "reserved")),
        ("PRIORITY", "priority"),
        ("ON_DEMAND_FLEX", "flex"),
        ("ON_DEMAND_PRIORITY", "priority"),
        ("PROVISIONED_THROUGHPUT", "provisioned_throughput"),
        *((odd, "") for odd in (5, {"type": "flex"}, ["flex"], "x" * 41, "two words", "fl\0ex", "pr\u0131ority")),
    ],
)
def test_names(told: object, name: str) -> None:
    """In one spelling; the ordinary tier has no name, and what is none is not kept."""
    assert served_at(told) == name


def call_of(path: str, kind: str, *, stream: bool = False) -> tuple[Call, Deployment]:
    service = Service.RESPONSES if path == "/responses" else Service.CHAT
    call = Call("c", "r", service, path, "asked", b"{}", 0.0, stream=stream, include_usage=True)
    return call, Deployment("p/m", Provider("p", kind, "https://provider.invalid/v1", ("k",)), "m")


WHOLE: dict[str, tuple[str, str, Any]] = {
    "chat": ("openai", "/chat/completions", {**CHAT, "choices": [SAID], "service_tier": "flex"}),
    "among counts": (
        "mistral",
        "/chat/completions",
        {**CHAT, "choices": [SAID], "usage": {**COUNTS, "service_tier": "flex"}},
    ),
    "responses": ("openai", "/responses", {**RESPONSE, "usage": READ, "service_tier": "flex"}),
    "messages": (
        "anthropic",
        "/messages",
        {"type": "message", "content": [], "usage": {"input_tokens": 5, "output_tokens": 2, "service_tier": "flex"}},
    ),
    "chat by messages": (
        "anthropic",
        "/chat/completions",
        {
            "type": "message",
            "content": [{"type": "text", "text": "hi"}],
            "stop_reason": "end_turn",
            "usage": {"input_tokens": 5, "output_tokens": 2, "service_tier": "flex"},
        },
    ),
    "converse": (
        "bedrock",
        "/chat/completions",
        {
            "output": {"message": {"content": [{"text": "hi"}]}},
            "stopReason": "end_turn",
            "usage": {"inputTokens": 5, "outputTokens": 2},
            "serviceTier": {"type": "flex"},
        },
    ),
    "gemini": (
        "gemini",
        "/chat/completions",
        {"candidates": [CANDIDATE], "usageMetadata": {**GOOGLES, "serviceTier": "flex"}},
    ),
    "vertex": (
        "vertex",
        "/chat/completions",
        {"candidates": [CANDIDATE], "usageMetadata": {**GOOGLES, "trafficType": "ON_DEMAND_FLEX"}},
    ),
    "responses by chat": ("groq", "/responses", {**CHAT, "choices": [SAID], "service_tier": "flex"}),
    "messages by chat": ("openai", "/messages", {**CHAT, "choices": [SAID], "service_tier": "flex"}),
}


@pytest.mark.parametrize("case", WHOLE)
def test_whole_answers(case: str) -> None:
    """Where each API says it, bridges or none between."""
    kind, path, told = WHOLE[case]
    call, deployment = call_of(path, kind)
    reply = SPEAKERS.of(call, deployment).decode(call, deployment, [], msgspec.json.encode(told))
    assert reply.usage is not None
    assert (reply.usage.input_tokens, reply.usage.service_tier) == (5, "flex")


def framed(*events: Any) -> bytes:
    frames = []
    for event in events:
        name = b"event: %b\n" % event["type"].encode() if "type" in event else b""
        frames.append(name + b"data: " + msgspec.json.encode(event) + b"\n\n")
    return b"".join(frames)


def chunks(*, apart: bool = True, **more: Any) -> bytes:
    first, last = {**CHUNK, "choices": [DELTA], **more}, {**CHUNK, "choices": [END], **more}
    usage = [{**CHUNK, "choices": [], "usage": COUNTS, **more}] if apart else []
    return framed(first, last, *usage)


BEGUN = {"type": "message_start", "message": {"usage": {"input_tokens": 5, "output_tokens": 1, "service_tier": "flex"}}}
OPENED = {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}
TEXT = {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "hi"}}
STOPPED = {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 2}}
CREATED = {"type": "response.created", "response": {**RESPONSE, "status": "in_progress", "service_tier": "auto"}}
COMPLETED = {"type": "response.completed", "response": {**RESPONSE, "usage": READ, "service_tier": "flex"}}
GROQS = {**CHUNK, "choices": [END], "service_tier": "flex", "x_groq": {"id": "r", "usage": COUNTS}}
CONVERSED = (
    binary("messageStart", role="assistant")
    + binary("contentBlockDelta", contentBlockIndex=0, delta={"text": "hi"})
    + binary("messageStop", stopReason="end_turn")
    + binary("metadata", usage={"inputTokens": 5, "outputTokens": 2}, serviceTier={"type": "flex"})
)
STREAMS: dict[str, tuple[str, str, bytes]] = {
    "chat": ("openai", "/chat/completions", chunks(service_tier="flex")),
    "mended": ("groq", "/chat/completions", chunks(service_tier="flex")),
    "groq": ("groq", "/chat/completions", framed({**CHUNK, "choices": [DELTA], "service_tier": "flex"}, GROQS)),
    "responses": ("openai", "/responses", framed(CREATED, COMPLETED)),
    "messages": ("anthropic", "/messages", framed(BEGUN, OPENED, TEXT, STOPPED, {"type": "message_stop"})),
    "chat by messages": (
        "anthropic",
        "/chat/completions",
        framed(BEGUN, OPENED, TEXT, STOPPED, {"type": "message_stop"}),
    ),
    "converse": ("bedrock", "/chat/completions", CONVERSED),
    "vertex": (
        "vertex",
        "/chat/completions",
        framed({"candidates": [CANDIDATE], "usageMetadata": {**GOOGLES, "trafficType": "ON_DEMAND_FLEX"}}),
    ),
    "responses by chat": ("groq", "/responses", chunks(service_tier="flex")),
    "messages by chat": ("openai", "/messages", chunks(service_tier="flex")),
}


@pytest.mark.parametrize("case", STREAMS)
def test_streams(case: str) -> None:
    """The last word counts: opening events say what was asked for."""
    kind, path, told = STREAMS[case]
    call, deployment = call_of(path, kind, stream=True)
    decoder = SPEAKERS.of(call, deployment).stream(call, deployment)
    decoder.feed(told)
    decoder.end()
    assert decoder.usage is not None
    assert (decoder.usage.input_tokens, decoder.usage.service_tier) == (5, "flex")


@pytest.mark.parametrize(
    ("kind", "path", "told"),
    [
        ("openai", "/chat/completions", chunks(service_tier="flex", apart=False)),
        ("openai", "/messages", chunks(service_tier="flex", apart=False)),
        ("openai", "/responses", framed({**CREATED, "response": {**RESPONSE, "service_tier": "flex"}}, {"type": "x"})),
        ("anthropic", "/chat/completions", framed(BEGUN, OPENED, TEXT)),
        ("anthropic", "/messages", framed(BEGUN, OPENED, TEXT)),
    ],
)
def test_before_the_usage(kind: str, path: str, told: bytes) -> None:
    """What was said of it first is known of an answer that breaks off."""
    call, deployment = call_of(path, kind, stream=True)
    decoder: Any = SPEAKERS.of(call, deployment).stream(call, deployment)
    decoder.feed(told)
    assert decoder.usage is None
    known = getattr(decoder, "known_input", None)
    assert (known.service_tier if known is not None else decoder.service_tier) == "flex"


def test_texts_say_nothing() -> None:
    """An answer may speak of tiers, in the very event with the usage; the member counts, however it is spaced."""
    quoted = '"service_tier": "priority", "service_tier":"priority"'
    assert tier_in(msgspec.json.encode({"content": quoted, "usage": COUNTS})) is None
    assert tier_in(msgspec.json.encode({"content": quoted, "service_tier": "flex"})) == "flex"
    assert tier_in(b'{"service_tier" : "flex","usage":{}}') == "flex"
    assert tier_in(b'{"service_tier":null,"usage":{}}') is None


@pytest.mark.parametrize("odd", [5, [], {"a": 1}, "no name at all", None])
def test_surprises_spoil_no_answer(odd: object) -> None:
    """Whatever an imitator puts there: the answer and its counts are read."""
    call, deployment = call_of("/chat/completions", "openai")
    told = {**CHAT, "choices": [SAID], "service_tier": odd, "usage": {**COUNTS, "service_tier": odd}}
    body = msgspec.json.encode(told)
    usage = SPEAKERS.of(call, deployment).decode(call, deployment, [], body).usage
    assert usage is not None
    assert (usage.input_tokens, usage.service_tier) == (5, "")
    call, deployment = call_of("/chat/completions", "openai", stream=True)
    decoder = SPEAKERS.of(call, deployment).stream(call, deployment)
    decoder.feed(chunks(service_tier=odd) + b"data: [DONE]\n\n")
    assert decoder.complete
    assert decoder.usage is not None
    assert decoder.usage.service_tier == ""
