"""Answers of OpenAI's imitators, given anything: they end in an answer or in an error of ours, and hold no memory."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.errors import UpstreamError
from gateway.providers import discover
from gateway.types import Call, Deployment, Provider, Service

ASKED = "the/asked-model"
DEPLOYMENT = Deployment("p/m", Provider("p", "mistral", "https://provider.invalid/v1"), "m")
DIALECT = discover()["mistral"]
FEW = settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.too_slow])

WORDS = st.text(max_size=6)
LEAVES = st.none() | st.booleans() | st.integers(-5, 5) | st.floats(allow_nan=False, allow_infinity=False) | WORDS
JSON: st.SearchStrategy[Any] = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS, inner, max_size=3), max_leaves=5
)
CALLS: st.SearchStrategy[Any] = st.lists(
    st.fixed_dictionaries(
        {},
        optional={
            "id": st.sampled_from(["", "a", "b", None, 7]),
            "index": st.sampled_from([0, 1, 0, None, "x", -1, 9]),
            "type": st.sampled_from(["function", None, "custom"]),
            "function": st.fixed_dictionaries(
                {},
                optional={"name": st.sampled_from(["f", "", None]), "arguments": st.sampled_from(["{", {}, None, 1])},
            )
            | JSON,
        },
    )
    | JSON,
    max_size=3,
)
PARTS = st.lists(
    st.fixed_dictionaries(
        {"type": st.sampled_from(["text", "thinking", "x"])}, optional={"text": JSON, "thinking": JSON}
    )
    | JSON,
    max_size=3,
)
SAID = st.fixed_dictionaries(
    {},
    optional={
        "role": st.sampled_from(["assistant", "", None, 3]),
        "content": WORDS | PARTS | JSON,
        "reasoning": WORDS | JSON,
        "reasoning_content": WORDS | JSON,
        "tool_calls": CALLS | JSON,
    },
)
CHOICES = st.lists(
    st.fixed_dictionaries(
        {},
        optional={
            "index": st.sampled_from([0, 0, 1, None, "a", [1]]),
            "delta": SAID | JSON,
            "message": SAID | JSON,
            "finish_reason": st.sampled_from([None, "stop", "model_length", "error", "tool_calls", 5, ["x"]]),
            "error": JSON,
        },
    )
    | JSON,
    max_size=2,
)
USAGE = st.none() | st.fixed_dictionaries(
    {},
    optional={
        "prompt_tokens": st.integers(-1, 9) | JSON,
        "completion_tokens": st.integers(0, 9),
        "total_tokens": st.integers(0, 30),
        "reasoning_tokens": st.integers(0, 9) | JSON,
        "completion_tokens_details": st.fixed_dictionaries({}, optional={"reasoning_tokens": st.integers(0, 9)}) | JSON,
    },
)
ANSWERS = st.fixed_dictionaries(
    {},
    optional={
        "id": WORDS | JSON,
        "object": st.sampled_from(["chat.completion.chunk", "", "error", None, 1]),
        "model": st.sampled_from(["m", "", ASKED]),
        "choices": CHOICES | JSON,
        "usage": USAGE | JSON,
        "error": st.sampled_from([None, {}, {"code": 503}, "no"]),
        "x_groq": st.fixed_dictionaries({}, optional={"usage": USAGE | JSON}) | JSON,
    },
)


def call(*, usage: bool = True) -> Call:
    return Call("c", "r", Service.CHAT, "/chat/completions", ASKED, b"{}", 0.0, stream=True, include_usage=usage)


@given(answer=ANSWERS)
@FEW
def test_any_answer(answer: Any) -> None:
    """A whole answer becomes one, or an error of the provider's."""
    raw = json.dumps(answer).encode()
    try:
        reply = DIALECT.decode(call(), DEPLOYMENT, [(b"content-type", b"application/json")], raw)
    except UpstreamError:
        return
    assert isinstance(json.loads(reply.body), dict)


@given(events=st.lists(ANSWERS, max_size=5), usage=st.booleans(), size=st.integers(1, 400), spaced=st.booleans())
@FEW
def test_any_stream(events: list[Any], usage: bool, size: int, spaced: bool) -> None:
    """A stream ends complete or with a failure, never with both or neither, and only the former with `[DONE]`."""
    separators = (", ", ": ") if spaced else (",", ":")
    frames = [b"data: " + json.dumps(event, separators=separators).encode() + b"\n\n" for event in events]
    body = b"".join([*frames, b"data: [DONE]\n\n"])
    decoder = DIALECT.stream(call(usage=usage), DEPLOYMENT)
    out = b"".join(decoder.feed(body[at : at + size]) for at in range(0, len(body), size)) + decoder.end()
    assert decoder.complete != (decoder.failure is not None)
    assert out.endswith(b"data: [DONE]\n\n") == decoder.complete
    for frame in out.split(b"\n\n")[:-1]:
        assert frame == b"data: [DONE]" or isinstance(json.loads(frame.removeprefix(b"data: ")), dict)


@pytest.mark.parametrize("event", [{"choices": []}, {"choices": [], "prompt_filter_results": [1]}, {"choices": None}])
def test_endless_events_without_a_choice(event: Any) -> None:
    """What is held back for the next event does not grow."""
    decoder: Any = DIALECT.stream(call(), DEPLOYMENT)
    frame = b"data: " + json.dumps({**event, "junk": "x" * 1000}).encode() + b"\n\n"
    for _ in range(2000):
        assert decoder.feed(frame) == b""
    assert len(str(decoder._held)) < 5000


def test_endless_calls() -> None:
    """Nor do the calls that are told apart."""
    decoder: Any = DIALECT.stream(call(), DEPLOYMENT)
    for number in range(3000):
        fragment = {"id": f"call-{number}", "function": {"name": "f", "arguments": ""}}
        chunk = {"choices": [{"index": 0, "delta": {"tool_calls": [fragment]}}]}
        decoder.feed(b"data: " + json.dumps(chunk).encode() + b"\n\n")
    assert len(decoder._calls[0]._ids) <= 1024


def test_endless_choices() -> None:
    """Nor do the choices."""
    decoder: Any = DIALECT.stream(call(), DEPLOYMENT)
    for number in range(3000):
        fragment = {"id": "a", "function": {"name": "f"}}
        chunk = {"choices": [{"index": number, "delta": {"tool_calls": [fragment]}}]}
        decoder.feed(b"data: " + json.dumps(chunk).encode() + b"\n\n")
    assert len(decoder._calls) <= 256
    assert len(decoder._begun) <= 256
