"""Streams and bodies of any kind: never a crash, never a broken order of events, and the same for every cut."""

from __future__ import annotations

import json
from typing import Any

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.errors import GatewayError
from tests.bridges.messages.talk import DONE, asked, bridged, call, chunk, deployment, heard_of, relayed, stream

TEXT = st.text(max_size=8)
ARGUMENTS = st.sampled_from(['{"a":', '"x', '"}', "{", "}", "\\", '\\"', "[1]", "é", "", " "])
CALLS = st.fixed_dictionaries(
    {
        "function": st.fixed_dictionaries(
            {}, optional={"name": st.sampled_from(["", "f", "g" * 64]), "arguments": ARGUMENTS}
        )
    },
    optional={"index": st.one_of(st.none(), st.integers(-1, 2)), "id": st.sampled_from(["", "a", "b"])},
)
DELTAS = st.fixed_dictionaries(
    {},
    optional={
        "content": st.one_of(
            TEXT,
            st.none(),
            st.lists(
                st.fixed_dictionaries(
                    {"type": st.sampled_from(["text", "thinking", "x"]), "text": st.one_of(TEXT, st.just(1))}
                ),
                max_size=2,
            ),
        ),
        "reasoning_content": TEXT,
        "refusal": TEXT,
        "thinking_blocks": st.lists(
            st.sampled_from(
                [
                    {"type": "thinking", "thinking": "t", "signature": "s"},
                    {"type": "redacted_thinking", "data": "d"},
                    {},
                ]
            ),
            max_size=1,
        ),
        "tool_calls": st.lists(CALLS, max_size=3),
    },
)
FINISHES = st.sampled_from([None, None, None, "stop", "length", "tool_calls", "error", "odd"])
CHUNKS = st.builds(chunk, DELTAS, FINISHES)
FRAMES = st.one_of(CHUNKS, st.sampled_from([b": c\n\n", DONE, b"data: {}\n\n", b'event: x\ndata: {"choices":[]}\n\n']))
JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-5, 5), TEXT),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(TEXT, inner, max_size=3)),
    max_leaves=12,
)
BLOCKS = st.fixed_dictionaries(
    {
        "type": st.sampled_from(
            ["text", "image", "document", "tool_use", "tool_result", "thinking", "search_result", "x"]
        )
    },
    optional={
        "text": TEXT,
        "source": JSON,
        "content": JSON,
        "id": TEXT,
        "name": TEXT,
        "input": JSON,
        "tool_use_id": TEXT,
        "is_error": st.booleans(),
        "cache_control": st.just({"type": "ephemeral"}),
        "data": st.sampled_from(["", "gateway:", "gateway:e30=", "gateway:é"]),
    },
)
TURNS = st.lists(
    st.fixed_dictionaries(
        {
            "role": st.sampled_from(["user", "assistant", "system"]),
            "content": st.one_of(TEXT, st.lists(BLOCKS, max_size=4)),
        }
    ),
    max_size=4,
)


@settings(max_examples=150, deadline=None)
@given(st.lists(FRAMES, max_size=12).map(b"".join), st.integers(1, 30))
def test_streams(data: bytes, size: int) -> None:
    """The grammar holds for whatever chunks say; every cut gives the same; an end or a failure, never both."""
    out, decoder = relayed(data, size=size)
    again, same = relayed(data)
    assert out == again
    assert type(decoder.failure) is type(same.failure)
    assert decoder.complete == (decoder.failure is None)
    heard_of(out)


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=200))
def test_any_bytes(data: bytes) -> None:
    """What is no stream at all is a failure."""
    decoder = stream()
    out = decoder.feed(chunk({"content": "a"})) + decoder.feed(data) + decoder.end()
    assert decoder.complete or decoder.failure is not None
    heard_of(out)


@settings(max_examples=200, deadline=None)
@given(
    TURNS,
    st.fixed_dictionaries(
        {},
        optional={
            "system": JSON,
            "tools": st.one_of(JSON, st.lists(JSON, max_size=2)),
            "tool_choice": JSON,
            "thinking": JSON,
            "output_config": JSON,
            "metadata": JSON,
            "stop_sequences": JSON,
        },
    ),
)
def test_requests(turns: list[Any], fields: dict[str, Any]) -> None:
    """Any request is carried over to a chat with messages, or refused by an error of ours."""
    try:
        body = asked(messages=turns, **fields)
    except GatewayError:
        return
    assert body["messages"]
    assert all(message["role"] in ("system", "user", "assistant", "tool") for message in body["messages"])


@settings(max_examples=100, deadline=None)
@given(JSON, DELTAS)
def test_replies(odd: Any, message: dict[str, Any]) -> None:
    """Any answer is a message, or an error of ours."""
    for reply in ({"choices": odd}, {"choices": [{"index": 0, "message": message, "finish_reason": "stop"}]}):
        try:
            told = bridged().decode(call(), deployment(), (), json.dumps(reply).encode())
        except GatewayError:
            continue
        assert msgspec.json.decode(told.body)["type"] == "message"
