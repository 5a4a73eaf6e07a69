"""Gemini's decoders given anything at all: they never raise, never hang, and claim no end that was not told."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import UpstreamError

from .contract import reading
from .google import ASKED, DIALECT, END, call, decoder, deployment, event, function

JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=5), inner, max_size=2),
    max_leaves=3,
)
REASONS = st.sampled_from(["STOP", "MAX_TOKENS", "SAFETY", "OTHER", "NEW", 1, 2, 99])
PARTS = st.fixed_dictionaries(
    {},
    optional={
        "text": st.text(max_size=4) | JSON,
        "thought": st.booleans() | JSON,
        "thoughtSignature": st.text(max_size=4) | JSON,
        "functionCall": JSON
        | st.fixed_dictionaries({"name": st.text(max_size=3)}, optional={"id": JSON, "args": JSON}),
    },
)
CANDIDATES = st.fixed_dictionaries(
    {},
    optional={
        "index": st.integers(0, 2) | JSON,
        "content": st.fixed_dictionaries({"parts": st.lists(PARTS, max_size=2)}) | JSON,
        "finishReason": REASONS | JSON,
        "logprobsResult": JSON,
    },
)
EVENTS = st.fixed_dictionaries(
    {},
    optional={
        "candidates": st.lists(CANDIDATES, max_size=2) | JSON,
        "usageMetadata": JSON
        | st.fixed_dictionaries({}, optional={"promptTokenCount": JSON, "candidatesTokenCount": st.integers()}),
        "promptFeedback": JSON,
        "responseId": JSON,
        "error": JSON,
    },
)
SIZES = st.lists(st.integers(1, 60), max_size=8)


def played(body: bytes, sizes: list[int]) -> None:
    one = decoder()
    out, at = b"", 0
    for size in sizes:
        out += one.feed(body[at : at + size])
        at += size
    out += one.feed(body[at:]) + one.end()
    assert one.complete != (one.failure is not None)
    if one.complete:
        reading.events(out)
    else:
        assert b"[DONE]" not in out


@given(st.lists(EVENTS, max_size=4), SIZES)
def test_odd_events(events: list[dict[str, Any]], sizes: list[int]) -> None:
    """Events with fields of any type."""
    played(b"".join(f"data: {json.dumps(one)}\n\n".encode() for one in events), sizes)


@given(st.binary(max_size=300), SIZES)
def test_odd_bytes(body: bytes, sizes: list[int]) -> None:
    """Bytes that are no stream."""
    played(body, sizes)


WHOLE = event({"text": "Hello"}) + event({"text": "there"}, function(x=1)) + END


@given(st.integers(0, len(WHOLE) - 1), st.binary(min_size=1, max_size=6), SIZES)
def test_damaged_streams(at: int, junk: bytes, sizes: list[int]) -> None:
    """A good stream with some of its bytes overwritten."""
    played(WHOLE[:at] + junk + WHOLE[at + len(junk) :], sizes)


@given(EVENTS | JSON)
def test_odd_replies(body: Any) -> None:
    """A whole answer of any shape is an answer or an error of the provider's."""
    try:
        reply = DIALECT.decode(call({}), deployment(), [], json.dumps(body).encode())
    except UpstreamError:
        return
    told = json.loads(reply.body)
    assert told["model"] == ASKED
    assert told["choices"]
