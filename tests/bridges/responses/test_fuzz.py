"""Anything asked and anything answered: a bridge ends in a body, an answer or an error of ours."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.errors import ClientError, UnsupportedParameter, UpstreamError
from tests.bridges.chat.native import NATIVE
from tests.bridges.chat.test_contract import decoder_of as chat_decoder
from tests.providers.contract import reading as chat_reading
from tests.providers.contract.cases import ANSWERS

from . import reading
from .asks import ASKED, DIALECTS, SPEAKERS, call_of, deployment_of, fed
from .test_streams import decoder

FEW = settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.too_slow])
WORDS = st.text(max_size=6)
LEAVES = st.none() | st.booleans() | st.integers(-5, 5) | st.floats(allow_nan=False, allow_infinity=False) | WORDS
JSON: st.SearchStrategy[Any] = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS, inner, max_size=3), max_leaves=5
)
KINDS = st.sampled_from(
    ["message", "function_call", "function_call_output", "custom_tool_call", "custom_tool_call_output", "reasoning"]
)
PARTS = st.fixed_dictionaries(
    {"type": st.sampled_from(["input_text", "output_text", "refusal", "input_image", "input_file", "news"])},
    optional={"text": WORDS, "image_url": WORDS, "file_data": WORDS, "refusal": WORDS, "file_id": JSON},
)
ITEMS = st.fixed_dictionaries(
    {},
    optional={
        "type": KINDS | WORDS,
        "role": st.sampled_from(["user", "assistant", "system", "developer", "robot"]),
        "content": WORDS | st.lists(PARTS, max_size=3) | JSON,
        "call_id": WORDS,
        "name": WORDS,
        "arguments": st.sampled_from(["{}", "", "[", '{"a":1}']),
        "input": WORDS,
        "output": WORDS | st.lists(PARTS, max_size=2) | JSON,
        "encrypted_content": WORDS | st.just("gateway:e30="),
        "summary": st.lists(PARTS, max_size=1) | JSON,
    },
)
TOOLS = st.fixed_dictionaries(
    {"type": st.sampled_from(["function", "custom", "web_search"])},
    optional={"name": WORDS, "parameters": JSON, "format": JSON, "strict": st.booleans()},
)
ASKS = st.fixed_dictionaries(
    {"input": WORDS | st.lists(ITEMS, max_size=5) | JSON},
    optional={
        "tools": st.lists(TOOLS, max_size=3) | JSON,
        "tool_choice": st.sampled_from(["auto", "none", "required"]) | JSON,
        "text": st.fixed_dictionaries({"format": JSON}) | JSON,
        "reasoning": JSON,
        "instructions": JSON,
        "max_output_tokens": st.integers(0, 99),
        "include": JSON,
        "conversation": JSON,
    },
)
FRAGMENTS = st.fixed_dictionaries(
    {},
    optional={
        "index": st.integers(0, 3) | JSON,
        "id": st.sampled_from(["a", "b"]) | JSON,
        "function": st.fixed_dictionaries(
            {}, optional={"name": st.sampled_from(["f", "g"]), "arguments": st.sampled_from(["{}", "{", "}", " "])}
        )
        | JSON,
        "extra_content": JSON,
    },
)
DELTAS = st.fixed_dictionaries(
    {},
    optional={
        "content": WORDS | JSON,
        "refusal": WORDS,
        "reasoning_content": WORDS,
        "reasoning": JSON,
        "thinking_blocks": st.lists(st.dictionaries(WORDS, JSON, max_size=2), max_size=2),
        "annotations": st.lists(st.dictionaries(WORDS, JSON, max_size=2), max_size=2),
        "tool_calls": st.lists(FRAGMENTS, max_size=2),
    },
)
CHUNKS = st.fixed_dictionaries(
    {},
    optional={
        "choices": st.lists(
            st.fixed_dictionaries(
                {"delta": DELTAS}, optional={"finish_reason": st.sampled_from(["stop", "length", "tool_calls", "x"])}
            ),
            max_size=2,
        ),
        "usage": JSON,
        "service_tier": JSON,
    },
)


@given(asks=ASKS, policy=st.sampled_from(["error", "drop"]), name=st.sampled_from(["openai", "anthropic", "gemini"]))
@FEW
def test_any_request(asks: dict[str, Any], policy: str, name: str) -> None:
    """A request of any shape becomes a body, or a refusal of ours."""
    call, deployment = call_of(asks), deployment_of(DIALECTS[name], unsupported=policy)
    try:
        parts = SPEAKERS.of(call, deployment).body(call, deployment)
    except (ClientError, UnsupportedParameter):
        return
    assert isinstance(parts, list | tuple)
    assert isinstance(json.loads(b"".join(parts)), dict)


@given(chunks=st.lists(CHUNKS, max_size=6), size=st.integers(1, 300))
@FEW
def test_any_chunks(chunks: list[Any], size: int) -> None:
    """Chunks of any kind end in a response that is whole and well-formed, or in a failure."""
    body = b"".join(b"data: " + json.dumps(chunk).encode() + b"\n\n" for chunk in chunks) + b"data: [DONE]\n\n"
    one = decoder()
    out = fed(one, [body[at : at + size] for at in range(0, len(body), size)])
    assert one.complete != (one.failure is not None)
    if one.complete:
        reading.streamed(out, ASKED)
    else:
        assert b"response.completed" not in out


@given(body=st.fixed_dictionaries({"choices": st.lists(st.fixed_dictionaries({"message": DELTAS}), max_size=2)}) | JSON)
@FEW
def test_any_reply(body: Any) -> None:
    """A whole answer of any shape is read, or is an error of the provider's."""
    call, deployment = call_of({"input": "hi"}), deployment_of(DIALECTS["openai"])
    try:
        reply = SPEAKERS.of(call, deployment).decode(call, deployment, [], json.dumps(body).encode())
    except UpstreamError:
        return
    reading.whole(reply.body, ASKED)


@given(data=st.data())
@FEW
def test_any_events(data: st.DataObject) -> None:
    """The other way round: a damaged stream of events ends complete or with a failure, never with both or neither."""
    body = bytearray(b"".join(NATIVE.stream(ANSWERS["text_and_call"])[1]))
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(body) - 1))
        body[at : at + data.draw(st.integers(0, 6))] = data.draw(st.binary(max_size=4))
    size = data.draw(st.integers(1, 200))
    one = chat_decoder()
    out = fed(one, [bytes(body[at : at + size]) for at in range(0, len(body), size)])
    assert one.complete != (one.failure is not None)
    assert (b"data: [DONE]" in out) == one.complete
    if one.complete:
        chat_reading.streamed(out, ASKED, usage=True)
