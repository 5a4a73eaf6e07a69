"""Every dialect that translates, given anything: requests and answers end in a body or in an error of ours."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.errors import ClientError, UnsupportedParameter, UpstreamError
from gateway.providers.wire.openai import OpenAIDialect

from . import reading
from .cases import ANSWERS, REQUESTS
from .natives import native_of
from .test_contract import ASKED, DIALECTS, call_of, decoder_of, deployment_of, fed

MENDED = frozenset({"azure", "groq", "mistral", "ollama", "openai_compatible", "openrouter", "together", "xai"})
"""Of OpenAI's imitators those whose requests are adapted and whose answers are mended."""
TRANSLATORS = sorted(name for name, one in DIALECTS.items() if not isinstance(one, OpenAIDialect))
FEW = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])

WORDS = st.text(max_size=6)
LEAVES = st.none() | st.booleans() | st.integers(-5, 5) | st.floats(allow_nan=False, allow_infinity=False) | WORDS
JSON: st.SearchStrategy[Any] = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS, inner, max_size=3), max_leaves=5
)
URLS = st.sampled_from(["data:image/png;base64,iVBORw0KGgo=", "https://x.invalid/a.png", "data:,", "", "x", "data:a"])
PARTS = st.fixed_dictionaries(
    {"type": st.sampled_from(["text", "image_url", "file", "input_audio", "refusal", "news"])},
    optional={
        "text": WORDS | JSON,
        "image_url": st.fixed_dictionaries({"url": URLS}) | URLS | JSON,
        "file": st.fixed_dictionaries({}, optional={"file_data": URLS, "file_id": WORDS, "filename": WORDS}) | JSON,
    },
)
CALLS = st.fixed_dictionaries(
    {"id": WORDS},
    optional={
        "type": st.sampled_from(["function", "custom"]) | JSON,
        "function": st.fixed_dictionaries({"name": WORDS, "arguments": st.sampled_from(["{}", "", "[", '{"a":1}'])})
        | JSON,
    },
)
MESSAGES = st.fixed_dictionaries(
    {"role": st.sampled_from(["system", "developer", "user", "assistant", "tool", "function", "robot"])},
    optional={
        "content": WORDS | st.lists(PARTS, max_size=3) | JSON,
        "tool_calls": st.lists(CALLS, max_size=2) | JSON,
        "tool_call_id": WORDS | JSON,
        "thinking_blocks": st.lists(st.dictionaries(WORDS, JSON, max_size=2), max_size=2) | JSON,
        "refusal": WORDS | JSON,
        "reasoning_content": WORDS | JSON,
    },
)
TOOLS = st.fixed_dictionaries(
    {"type": st.sampled_from(["function", "custom"])},
    optional={
        "function": st.fixed_dictionaries(
            {"name": WORDS}, optional={"parameters": JSON, "description": WORDS, "strict": st.booleans()}
        )
        | JSON
    },
)
ASKS = st.fixed_dictionaries(
    {"messages": st.lists(MESSAGES, max_size=5)},
    optional={
        "tools": st.lists(TOOLS, max_size=2) | JSON,
        "tool_choice": st.sampled_from(["auto", "none", "required", "any"]) | JSON,
        "response_format": st.fixed_dictionaries({"type": st.sampled_from(["text", "json_object", "json_schema"])})
        | JSON,
        "max_tokens": st.integers(0, 5000),
        "temperature": st.floats(0, 2) | JSON,
        "stop": WORDS | st.lists(WORDS, max_size=2) | JSON,
        "n": st.integers(1, 3),
        "seed": JSON,
        "reasoning_effort": st.sampled_from(["none", "low", "high", "huge"]) | JSON,
        "user": JSON,
    },
)


@pytest.mark.parametrize("name", sorted({*TRANSLATORS, *MENDED}))
@given(asks=ASKS, policy=st.sampled_from(["error", "drop"]))
@FEW
def test_any_request(name: str, asks: dict[str, Any], policy: str) -> None:
    """A request of any shape becomes a native body, or a refusal of ours."""
    dialect = DIALECTS[name]
    native = native_of(dialect)
    try:
        parts = dialect.body(call_of(asks), deployment_of(dialect, native, unsupported=policy))
    except (ClientError, UnsupportedParameter):
        return
    assert isinstance(parts, list | tuple)
    assert isinstance(json.loads(b"".join(parts)), dict)


@pytest.mark.parametrize("name", TRANSLATORS)
@given(body=JSON)
@FEW
def test_any_answer(name: str, body: Any) -> None:
    """A whole answer of any shape is read, or is an error of the provider's."""
    dialect = DIALECTS[name]
    call, deployment = call_of(REQUESTS["text"][0]), deployment_of(dialect, native_of(dialect))
    headers = [(b"content-type", b"application/json")]
    try:
        reply = dialect.decode(call, deployment, headers, json.dumps(body).encode())
    except UpstreamError:
        return
    reading.whole(reply.body, ASKED)


@pytest.mark.parametrize("name", sorted({*TRANSLATORS, *MENDED}))
@given(data=st.data())
@FEW
def test_any_stream(name: str, data: st.DataObject) -> None:
    """A damaged stream ends complete or with a failure, never with both or neither, and never raises."""
    dialect = DIALECTS[name]
    native = native_of(dialect)
    body = bytearray(b"".join(native.stream(ANSWERS["text_and_call"])[1]))
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(body) - 1))
        junk = data.draw(st.binary(max_size=4))
        body[at : at + data.draw(st.integers(0, 6))] = junk
    size = data.draw(st.integers(1, 200))
    decoder = decoder_of(dialect, native)
    out = fed(decoder, [bytes(body[at : at + size]) for at in range(0, len(body), size)])
    assert decoder.complete != (decoder.failure is not None)
    assert (b"data: [DONE]" in out) == decoder.complete
