"""Translation bugs that other gateways had with OpenAI's imitators, by their number in our list: each is absent."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from gateway.errors import (
    UpstreamContentFiltered,
    UpstreamOverloaded,
    UpstreamRejected,
    UpstreamServerError,
    UpstreamTruncated,
)
from gateway.ports import StreamDecoder

from .contract import reading
from .contract.cases import RESULTS, TWO_CALLS
from .contract.said import Read
from .imitators import ASKED, call, chunk, decoded, decoder, delta, deployment, dialect, sent

USER: dict[str, Any] = {"role": "user", "content": "hi"}
END = chunk({}, "stop") + b"data: [DONE]\n\n"


def read(kind: str, *events: bytes) -> Read:
    """What a client reads of a complete stream."""
    one = decoder(kind)
    out = one.feed(b"".join(events)) + one.end()
    assert one.failure is None
    return reading.streamed(out, ASKED, usage=True)


def fragment(index: Any, id_: Any, name: Any = None, arguments: Any = "") -> bytes:
    """An event with a fragment of one call."""
    return delta(tool_calls=[{"index": index, "id": id_, "function": {"name": name, "arguments": arguments}}])


def test_bug_01_parallel_calls_have_their_own_index() -> None:
    """Whole calls without numbers, as Mistral sent them, are numbered."""
    calls = [{"id": f"abcdefgh{n}", "function": {"name": "f", "arguments": f'{{"x":{n}}}'}} for n in range(3)]
    found = read("mistral", delta(role="assistant", content=""), delta(tool_calls=calls), chunk({}, "tool_calls"), DONE)
    assert [arguments for _, _, arguments in found.calls] == ['{"x":0}', '{"x":1}', '{"x":2}']


DONE = b"data: [DONE]\n\n"


def test_bug_03_calls_that_are_all_numbered_0_are_told_apart() -> None:
    """A new id with a name is a new call, whatever its number; a bare fragment goes on with the latest."""
    found = read(
        "ollama",
        delta(role="assistant", content=""),
        fragment(0, "a", "f", '{"x":'),
        fragment(0, None, None, "1}"),
        fragment(0, "b", "g", '{"y":2}'),
        fragment(0, "a", None, ""),
        END,
    )
    assert found.calls == [("a", "f", '{"x":1}'), ("b", "g", '{"y":2}')]


def test_bug_05_numbers_begin_at_0() -> None:
    """Whatever numbers a server uses."""
    found = read(
        "vllm",
        delta(role="assistant", content=""),
        fragment(1, "a", "f", "{"),
        fragment(3, "b", "g", "{"),
        fragment(1, None, None, "}"),
        fragment(3, None, None, "}"),
        END,
    )
    assert found.calls == [("a", "f", "{}"), ("b", "g", "{}")]


def test_bug_06_a_stream_with_calls_finishes_with_tool_calls() -> None:
    """`stop` after calls is `tool_calls`, streamed or whole."""
    assert read("ollama", delta(role="assistant"), fragment(0, "a", "f", "{}"), END).finish == "tool_calls"
    call_ = {"id": "a", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    whole = decoded("ollama", {"role": "assistant", "content": "", "tool_calls": [call_]}, "stop")
    assert whole.finish == "tool_calls"


def test_bug_07_every_event_has_a_finish_reason() -> None:
    """xAI leaves the member out until there is one: `null` is put in, for who reads without asking."""
    base = {"id": "x", "object": "chat.completion.chunk", "created": 1, "model": "m"}
    bare = {**base, "choices": [{"index": 0, "delta": {"role": "assistant", "content": "a"}}]}
    for separators in ((",", ":"), (", ", ": ")):
        one = decoder("xai")
        out = one.feed(b"data: " + json.dumps(bare, separators=separators).encode() + b"\n\n")
        assert reading.events(out)[0]["choices"][0]["finish_reason"] is None
        assert b"finish_reason" in out


@pytest.mark.parametrize("first", [delta(content="a"), delta(reasoning="a"), fragment(0, "a", "f", "{}"), b""])
def test_bug_08_the_first_event_says_the_role(first: bytes) -> None:
    """And no later one does: accumulators add it up to `assistantassistant`."""
    found = decoder("openai_compatible")
    out = found.feed(first + delta(role="assistant", content="b") + END)
    roles = [event["choices"][0]["delta"].get("role") for event in reading.events(out)[:-1]]
    assert roles == ["assistant"] + [None] * (len(roles) - 1)


def test_bug_09_usage_of_a_stream_is_kept() -> None:
    """With a choice, in every event, or in Groq's own place: the client reads the last of it, once, at the end."""
    early, late = ({"prompt_tokens": 5, "completion_tokens": made, "total_tokens": 5 + made} for made in (1, 3))
    streams = (
        [delta(role="assistant", content="a", usage=early), chunk({}, "stop", usage=late)],
        [delta(role="assistant", content="a"), chunk({}, "stop", x_groq={"id": "r", "usage": late})],
        [delta(role="assistant", content="a"), chunk({}, "stop"), chunk(None, usage=late)],
    )
    for events in streams:
        one = decoder("groq")
        out = one.feed(b"".join([*events, DONE]))
        found = reading.streamed(out, ASKED, usage=True)
        assert found.usage is not None
        assert (found.usage["prompt_tokens"], found.usage["completion_tokens"]) == (5, 3)
        assert one.usage is not None
        assert one.usage.output_tokens == 3


@pytest.mark.parametrize(
    ("event", "failure"),
    [
        (chunk({}, "error"), UpstreamServerError),
        (chunk({"content": ""}, "error", error={"code": 503, "message": "x"}), UpstreamOverloaded),
        (chunk({}, "insufficient_system_resource"), UpstreamServerError),
        (b'data: {"error":{"code":502,"message":"x"},"choices":[]}\n\n', UpstreamServerError),
        (b'data: {"object":"error","message":"x","type":"BadRequestError","code":400}\n\n', UpstreamRejected),
        (b'data: {"error":{"code":"content_filter","message":"x"}}\n\n', UpstreamContentFiltered),
    ],
)
@pytest.mark.parametrize("begun", [True, False])
def test_bug_11_a_failure_is_no_empty_answer(event: bytes, failure: type[Exception], begun: bool) -> None:
    """A finish reason `error`, an error event or an error among the choices ends in an error, never in an end."""
    one = decoder("openrouter")
    out = one.feed(delta(role="assistant", content="a") if begun else b"")
    out += one.feed(event + DONE) + one.end()
    assert type(one.failure) is failure
    assert not one.complete
    assert b"[DONE]" not in out
    assert bool(out) == begun


def test_bug_11_nor_is_one_of_a_whole_answer() -> None:
    """A 200 whose choice broke down, or that is an error, is a failure."""
    with pytest.raises(UpstreamServerError):
        decoded("openrouter", {"role": "assistant", "content": ""}, "error")
    for body in ({"error": {"code": 502, "message": "x"}}, {"object": "error", "message": "x", "code": 502}):
        with pytest.raises(UpstreamServerError):
            dialect("openrouter").decode(call({}), deployment("openrouter"), [], json.dumps(body).encode())


def test_bug_12_a_stream_that_stops_is_no_end() -> None:
    """The end of the body is an end only after a finish reason."""
    one: StreamDecoder = decoder("groq")
    assert b"[DONE]" not in one.feed(delta(role="assistant", content="a")) + one.end()
    assert isinstance(one.failure, UpstreamTruncated)


def test_bug_28_characters_may_be_split_between_reads() -> None:
    """Lines are split on bytes."""
    body = delta(role="assistant", content=[{"type": "text", "text": "ü🎈"}]) + END
    one = decoder("mistral")
    out = b"".join(one.feed(body[at : at + 1]) for at in range(len(body))) + one.end()
    assert reading.streamed(out, ASKED, usage=True).text == "ü🎈"


def test_bug_29_azures_first_event_has_a_choice() -> None:
    """What its filters say of the prompt comes with the first word: applications read each first choice."""
    nothing: dict[str, Any] = {"choices": [], "created": 0, "id": "", "model": "", "object": ""}
    first = b"data: " + json.dumps({**nothing, "prompt_filter_results": [{"prompt_index": 0}]}).encode() + b"\n\n"
    late = {"index": 0, "finish_reason": None, "content_filter_offsets": {"check_offset": 1}}
    late_event = b"data: " + json.dumps({**nothing, "choices": [late]}).encode() + b"\n\n"
    one = decoder("azure")
    assert one.feed(first) == b""
    out = one.feed(delta(role="assistant", content="a") + late_event + delta(content="b") + END)
    events = reading.events(out)[:-1]
    assert all(event["choices"] and event["id"] and event["model"] == ASKED for event in events)
    assert all(isinstance(event["choices"][0]["delta"], dict) for event in events)
    assert events[0]["prompt_filter_results"] == [{"prompt_index": 0}]
    assert events[1]["choices"][0]["content_filter_offsets"] == {"check_offset": 1}
    assert reading.streamed(out, ASKED, usage=True).text == "ab"


@pytest.mark.parametrize("kind", ["mistral", "ollama", "groq", "deepseek", "xai", "together", "vllm", "huggingface"])
def test_bug_30_developers_are_heard(kind: str) -> None:
    """Who does not know the role hears the system; OpenAI, Azure and OpenRouter know it."""
    developer = {"role": "developer", "content": "be brief"}
    assert sent(kind, messages=[developer, USER])["messages"][0] == {**developer, "role": "system"}
    for known in ("openai", "azure", "openrouter"):
        assert sent(known, messages=[developer, USER])["messages"][0] == developer


def test_bug_31_mistrals_ids_have_nine_characters() -> None:
    """Calls and their results keep together, whoever made the ids; Mistral's own stay as they are."""
    messages = sent("mistral", messages=[USER, TWO_CALLS, *RESULTS])["messages"]
    ids = [one["id"] for one in messages[1]["tool_calls"]]
    assert ids == [one["tool_call_id"] for one in messages[2:]]
    assert len(set(ids)) == 2
    assert all(re.fullmatch(r"[a-zA-Z0-9]{9}", one) for one in ids)
    assert sent("mistral", messages=[USER, TWO_CALLS, *RESULTS])["messages"] == messages
    own = {**TWO_CALLS, "tool_calls": [{**TWO_CALLS["tool_calls"][0], "id": "gSIMJiOkT"}]}
    (kept,) = sent("mistral", messages=[USER, own])["messages"][1]["tool_calls"]
    assert kept["id"] == "gSIMJiOkT"


@pytest.mark.parametrize("kind", ["openai", "openai_compatible", "openrouter"])
def test_bug_13_an_error_in_the_middle_is_told_and_ends_the_stream(kind: str) -> None:
    """An error event is a failure, for which the relay writes an error frame and `[DONE]`: what stood before it
    is passed on, what follows is not, and nothing says that the answer is whole."""
    failing = b'data: {"error":{"message":"overloaded","type":"server_error","code":503}}\n\n'
    one = decoder(kind)
    out = one.feed(delta(role="assistant", content="half") + failing + delta(content="lost") + DONE) + one.end()
    assert one.failure is not None
    assert not one.complete
    assert b"half" in out
    assert b"lost" not in out
    assert DONE not in out
