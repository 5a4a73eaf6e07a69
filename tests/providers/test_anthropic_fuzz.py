"""Anthropic's decoders given anything at all: they never raise, never hang, and claim no end that was not told."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import UpstreamError
from gateway.providers.messages.stream import MAX_THOUGHT, MessageStream

from .contract import reading
from .messages import ASKED, DIALECT, NEW, START, call, decoder, deployment, ending, frame, text, tool

JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
TYPES = st.sampled_from(
    [
        "message_start",
        "content_block_start",
        "content_block_delta",
        "content_block_stop",
        "message_delta",
        "message_stop",
        "ping",
        "error",
        "news",
    ]
)
KINDS = st.sampled_from(["text", "tool_use", "thinking", "redacted_thinking", "text_delta", "input_json_delta", "x"])
PARTS = st.fixed_dictionaries(
    {},
    optional={
        "type": KINDS | JSON,
        "text": JSON,
        "partial_json": st.text(max_size=4) | JSON,
        "thinking": st.text(max_size=4) | JSON,
        "id": JSON,
        "name": JSON,
        "input": JSON,
        "stop_reason": JSON,
    },
)
FIELDS = st.fixed_dictionaries(
    {"type": TYPES},
    optional={
        "index": st.integers(0, 3) | JSON,
        "delta": PARTS | JSON,
        "content_block": PARTS | JSON,
        "message": JSON,
        "usage": JSON,
        "error": JSON,
    },
)


def played(body: bytes, sizes: list[int]) -> None:
    one = decoder()
    out, at = b"", 0
    for size in sizes:
        out += one.feed(body[at : at + size])
        at += size
    out += one.feed(body[at:]) + one.end()
    assert one.complete != (one.failure is not None)
    if one.complete:
        reading.streamed(out, ASKED, usage=True) if one.usage is not None else reading.events(out)
    else:
        assert b"[DONE]" not in out


SIZES = st.lists(st.integers(1, 60), max_size=8)


@given(st.lists(FIELDS, max_size=12), SIZES)
def test_odd_events(events: list[dict[str, Any]], sizes: list[int]) -> None:
    """Events of the right kinds with fields of any type."""
    played(b"".join(f"data: {json.dumps(event)}\n\n".encode() for event in events), sizes)


@given(st.binary(max_size=300), SIZES)
def test_odd_bytes(body: bytes, sizes: list[int]) -> None:
    """Bytes that are no stream."""
    played(body, sizes)


WHOLE = START + text(0, "Hello", " there") + tool(1, "a", '{"x":', "1}") + ending("tool_use")


@given(st.integers(0, len(WHOLE) - 1), st.binary(min_size=1, max_size=6), SIZES)
def test_damaged_streams(at: int, junk: bytes, sizes: list[int]) -> None:
    """A good stream with some of its bytes overwritten."""
    played(WHOLE[:at] + junk + WHOLE[at + len(junk) :], sizes)


@given(JSON | PARTS)
def test_odd_replies(body: Any) -> None:
    """A whole answer of any shape is an answer or an error of the provider's."""
    raw = json.dumps(body).encode()
    for content in (raw, b'{"type":"message","content":%s,"stop_reason":"end_turn"}' % raw):
        try:
            reply = DIALECT.decode(call({}), deployment(NEW), [], content)
        except UpstreamError:
            continue
        reading.whole(reply.body, ASKED)


def test_thinking_without_end() -> None:
    """What is kept of one answer's thinking is bounded; the client still sees all of it."""
    native = MessageStream()
    opened = frame("content_block_start", index=0, content_block={"type": "thinking", "thinking": ""})
    list(native.read(b"", opened.partition(b"data: ")[2]))
    piece = {"type": "content_block_delta", "index": 0, "delta": {"type": "thinking_delta", "thinking": "x" * 65536}}
    data = json.dumps(piece).encode()
    for _ in range(MAX_THOUGHT // 65536 + 2):
        assert len(list(native.read(b"", data))) == 1
    assert not native._thoughts
