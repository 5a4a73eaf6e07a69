"""Requests and answers of the Messages API that pass through, at Anthropic and for Claude on Vertex AI."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.errors import (
    UpstreamBadEvent,
    UpstreamBadResponse,
    UpstreamError,
    UpstreamOverloaded,
    UpstreamTooLarge,
    UpstreamTruncated,
)
from gateway.ports import Dialect
from gateway.providers.anthropic import DIALECT as ANTHROPIC
from gateway.providers.vertex import DIALECT as VERTEX
from gateway.types import Call, Deployment, Provider, Service, Surface, Usage

MODEL = "claude-sonnet-4-6"
START = {
    "type": "message_start",
    "message": {
        "id": "msg_1",
        "type": "message",
        "model": MODEL,
        "content": [],
        "usage": {"input_tokens": 9, "output_tokens": 1},
    },
}
TEXT = {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": f"I am {MODEL} 🎈"}}
OPEN = {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}
END = {
    "type": "message_delta",
    "delta": {"stop_reason": "end_turn"},
    "usage": {"output_tokens": 7, "cache_read_input_tokens": 4},
}
STOP = {"type": "message_stop"}
PING = {"type": "ping"}


def to(kind: str = "anthropic", model: str = MODEL, **more: Any) -> Deployment:
    options = {"project": "p", "location": "global"} if kind == "vertex" else {}
    provider = Provider("p", kind, "https://provider.invalid/v1", ("k",), options)
    return Deployment(f"p/{model}", provider, model, **more)


def call(
    raw: bytes = b'{ "model": "fast",\n"max_tokens": 5, "messages": [] }', path: str = "/messages", **more: Any
) -> Call:
    start = raw.index(b'"fast"')
    return Call("c", "r", Service.CHAT, path, "fast", raw, 0.0, model_span=(start, start + 6), **more)


def sent(dialect: Dialect, asked: Call, deployment: Deployment) -> bytes:
    parts = dialect.body(asked, deployment)
    assert isinstance(parts, list | tuple)
    return b"".join(parts)


def framed(events: Sequence[dict[str, Any]]) -> bytes:
    return b"".join(b"event: %b\ndata: %b\n\n" % (one["type"].encode(), json.dumps(one).encode()) for one in events)


def test_only_the_name_changes() -> None:
    """White space, order, unknown fields: everything else is the client's."""
    assert sent(ANTHROPIC, call(), to()) == b'{ "model": "claude-sonnet-4-6",\n"max_tokens": 5, "messages": [] }'


def test_vertex_wants_the_version_in_the_body() -> None:
    """And the model in the path; fields that nobody knows stay."""
    asked = call(b'{"model":"fast","max_tokens":5,"messages":[],"beta":{"x":1.50}}', stream=True)
    body = sent(VERTEX, asked, to("vertex"))
    assert body == b'{"max_tokens":5,"messages":[],"beta":{"x":1.50},"anthropic_version":"vertex-2023-10-16"}'
    assert VERTEX.head(asked, to("vertex"), "t").target.endswith(
        b"/publishers/anthropic/models/claude-sonnet-4-6:streamRawPredict"
    )


def test_who_has_it() -> None:
    """Anthropic and Claude on Vertex AI; Gemini there does not."""
    assert Surface.MESSAGES in ANTHROPIC.surfaces(to())
    assert Surface.MESSAGES in VERTEX.surfaces(to("vertex"))
    assert Surface.MESSAGES not in VERTEX.surfaces(to("vertex", "gemini-3-pro"))


def test_heads() -> None:
    """The version is the client's to name, but for translations; counts have a path of their own."""
    native = dict(ANTHROPIC.head(call(), to(), "secret").headers)
    assert b"anthropic-version" not in native
    assert native[b"x-api-key"] == b"secret"
    assert (
        dict(ANTHROPIC.head(call(path="/chat/completions"), to(), "k").headers)[b"anthropic-version"] == b"2023-06-01"
    )
    assert ANTHROPIC.head(call(path="/messages/count_tokens"), to(), "k").target == b"/v1/messages/count_tokens"


def test_a_version_that_the_operator_sets_wins() -> None:
    """Headers of the configuration always do."""
    provider = Provider("p", "anthropic", "https://provider.invalid/v1", headers=(("Anthropic-Version", "2030-01-01"),))
    head = ANTHROPIC.head(call(), Deployment("p/x", provider, "x"), "k")
    assert dict(head.headers)[b"anthropic-version"] == b"2030-01-01"


def test_replies() -> None:
    """The body as it came, under the name that was asked for; its usage is read."""
    usage = {"input_tokens": 10, "cache_read_input_tokens": 20, "cache_creation_input_tokens": 5, "output_tokens": 3}
    body = json.dumps(
        {
            "type": "message",
            "model": MODEL,
            "content": [{"type": "text", "text": f'"model":"{MODEL}"'}],
            "usage": usage,
            "odd": 1,
        }
    ).encode()
    reply = ANTHROPIC.decode(call(), to(), [(b"content-type", b"application/json")], body)
    assert reply.body == body.replace(b'"model": "claude-sonnet-4-6"', b'"model": "fast"', 1)
    assert reply.usage == Usage(35, 3, 20, 5)


@pytest.mark.parametrize(
    ("kept", "hour"),
    [
        ({"ephemeral_5m_input_tokens": 1, "ephemeral_1h_input_tokens": 4}, 4),
        ({"ephemeral_5m_input_tokens": 5}, 0),
        ({"ephemeral_1h_input_tokens": None}, 0),
        (None, 0),
        ("odd", 0),
    ],
)
def test_caches_of_an_hour(kept: Any, hour: int) -> None:
    """What is kept for an hour has a price of its own; whole and in a stream, where that is told first."""
    usage = {"input_tokens": 10, "cache_creation_input_tokens": 5, "cache_creation": kept, "output_tokens": 3}
    body = json.dumps({"type": "message", "model": "fast", "content": [], "usage": usage}).encode()
    wanted = Usage(15, 3, 0, 5, cache_write_1h_tokens=hour)
    assert ANTHROPIC.decode(call(), to(), [], body).usage == wanted
    decoder = ANTHROPIC.stream(call(stream=True), to())
    start = {"type": "message_start", "message": {"model": "fast", "content": [], "usage": usage}}
    end = {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 3}}
    decoder.feed(framed([start, OPEN, TEXT, end, STOP]))
    assert (decoder.usage, decoder.complete) == (wanted, True)


@pytest.mark.parametrize("body", [b"", b"{", b"null", b"{}", b'{"type":"message"}', b"<html>"])
def test_bad_replies(body: bytes) -> None:
    """What is no message is a failure of the provider's."""
    with pytest.raises(UpstreamBadResponse):
        ANTHROPIC.decode(call(), to(), (), body)


def test_an_error_under_200() -> None:
    """It is the error that it says it is."""
    body = b'{"type":"error","error":{"type":"overloaded_error","message":"busy"}}'
    with pytest.raises(UpstreamOverloaded):
        ANTHROPIC.decode(call(), to(), (), body)


def test_counts() -> None:
    """A count passes through and is free; anything else is no count."""
    asked = call(path="/messages/count_tokens")
    reply = ANTHROPIC.decode(asked, to(), (), b'{"input_tokens":7,"more":1}')
    assert (reply.body, reply.usage) == (b'{"input_tokens":7,"more":1}', Usage())
    with pytest.raises(UpstreamBadResponse):
        ANTHROPIC.decode(asked, to(), (), b"{}")


EVENTS = framed([START, OPEN, PING, TEXT, END, STOP])


@pytest.mark.parametrize("size", [1, 2, 3, 5, 7, 11, 64, 10_000])
@pytest.mark.parametrize("ends", [b"\n", b"\r\n", b"\r"])
def test_streams(size: int, ends: bytes) -> None:
    """Events as they came but for the model's name, whatever the reads and the line ends; usage is read."""
    data = EVENTS.replace(b"\n", ends)
    decoder = ANTHROPIC.stream(call(stream=True), to())
    out = b"".join(decoder.feed(data[at : at + size]) for at in range(0, len(data), size)) + decoder.end()
    assert out == EVENTS.replace(b'"model": "claude-sonnet-4-6"', b'"model": "fast"', 1)
    assert decoder.complete
    assert decoder.usage == Usage(13, 7, 4)
    assert decoder.relayed_bytes == len(out)


def test_the_opening_waits() -> None:
    """Until something is said nothing is committed to: a provider that fails then has another take its place."""
    decoder = ANTHROPIC.stream(call(stream=True), to())
    assert decoder.feed(framed([START, PING])) == b""
    assert decoder.feed(framed([OPEN])).count(b"event: ") == 3


@pytest.mark.parametrize(
    ("end", "error"),
    [
        (framed([{"type": "error", "error": {"type": "overloaded_error", "message": "x"}}]), UpstreamOverloaded),
        (b"event: x\ndata: {nope\n\n", UpstreamBadEvent),
        (b"data: " + b"x" * (33 << 20), UpstreamTooLarge),
        (b"", UpstreamTruncated),
    ],
)
def test_broken_streams(end: bytes, error: type[UpstreamError]) -> None:
    """What came before is relayed; counts of the opening are not charged for."""
    decoder = ANTHROPIC.stream(call(stream=True), to())
    out = decoder.feed(framed([START, OPEN, TEXT])) + decoder.feed(end) + decoder.end()
    assert "🎈" in json.loads(out.split(b"\n\n")[2].split(b"data: ")[1])["delta"]["text"]
    assert type(decoder.failure) is error
    assert decoder.usage is None
    assert not decoder.complete


@settings(max_examples=100, deadline=None)
@given(
    st.lists(
        st.one_of(st.binary(max_size=12), st.sampled_from([framed([one]) for one in (START, OPEN, TEXT, END, STOP)]))
    ),
    st.integers(1, 40),
)
def test_any_stream(parts: list[bytes], size: int) -> None:
    """Whatever comes, however it is cut: the same bytes, and an end or a failure."""
    data = b"".join(parts)
    outcomes = []
    for step in (size, max(1, len(data))):
        decoder = ANTHROPIC.stream(call(stream=True), to())
        out = b"".join(decoder.feed(data[at : at + step]) for at in range(0, len(data), step)) + decoder.end()
        assert decoder.complete is (decoder.failure is None)
        outcomes.append((out, type(decoder.failure), decoder.usage))
    assert outcomes[0] == outcomes[1]


def test_thinking_that_the_gateway_wrote_is_left_out() -> None:
    """A conversation that was with others before: Anthropic would refuse signatures that are not its own."""
    ours = [
        {"type": "thinking", "thinking": "hm", "signature": "gateway:unsigned"},
        {"type": "redacted_thinking", "data": "gateway:e30="},
    ]
    theirs = {"type": "thinking", "thinking": "a", "signature": "c2ln"}
    turn = {"role": "assistant", "content": [*ours, theirs, {"type": "text", "text": '"gateway:'}]}
    nothing = {"role": "assistant", "content": ours}
    talk = [turn, nothing, {"role": "user", "content": "x"}]
    raw = json.dumps({"model": "fast", "max_tokens": 5, "messages": talk}).encode()
    told = json.loads(sent(ANTHROPIC, call(raw), to()))
    assert len(told["messages"]) == 2
    assert told["messages"][0]["content"] == [theirs, {"type": "text", "text": '"gateway:'}]
    assert told["model"] == MODEL
