"""A chat's chunks as the events of a response, whatever servers make of OpenAI's API."""

from __future__ import annotations

import json
from typing import Any

import pytest

from gateway.bridges.responses import events as written
from gateway.bridges.responses.provider_state import UNSIGNED, ProviderState, packed
from gateway.errors import UpstreamBadEvent, UpstreamEmpty, UpstreamServerError, UpstreamTooLarge
from gateway.ports import Numbering, StreamDecoder
from tests.providers.contract.said import Read

from . import reading
from .asks import ASKED, DIALECTS, SPEAKERS, call_of, deployment_of, fed

DONE = b"data: [DONE]\n\n"
FREE = {"type": "custom", "name": "free", "description": "Takes text."}


def frame(value: Any) -> bytes:
    return b"data: " + json.dumps(value, ensure_ascii=False).encode() + b"\n\n"


def delta(finish: str | None = None, /, logprobs: Any = None, **fields: Any) -> bytes:
    """A chunk."""
    choice = {"index": 0, "delta": fields, "finish_reason": finish, "logprobs": logprobs}
    return frame({"id": "x", "object": "chat.completion.chunk", "model": "m", "choices": [choice]})


def called(index: int | None, id_: str | None = None, name: str | None = None, arguments: str = "") -> bytes:
    """A fragment of a call."""
    function = {"arguments": arguments, **({"name": name} if name else {})}
    call = {"index": index, "function": function, **({"id": id_, "type": "function"} if id_ else {})}
    return delta(tool_calls=[call])


def decoder(fields: dict[str, Any] | None = None, indent: int | None = None) -> StreamDecoder:
    call = call_of(fields or {"input": "hi"}, stream=True, indent=indent)
    deployment = deployment_of(DIALECTS["openai_compatible"])
    return SPEAKERS.of(call, deployment).stream(call, deployment)


def read(*chunks: bytes, fields: dict[str, Any] | None = None) -> Read:
    """What a client reads of these, at once and one by one."""
    whole = fed(decoder(fields), [b"".join([delta(role="assistant"), *chunks, DONE])])
    single = fed(decoder(fields), [delta(role="assistant"), *chunks, DONE])
    assert reading.streamed(single, ASKED) == reading.streamed(whole, ASKED)
    return reading.streamed(whole, ASKED)


def kinds(out: bytes) -> list[str]:
    return [event["type"].removeprefix("response.") for event in reading.events(out)]


def test_the_order_of_events() -> None:
    """As OpenAI sends them, each where SDKs expect it."""
    out = fed(decoder(), [delta(role="assistant"), delta(content="Hi"), delta("stop"), DONE])
    assert kinds(out) == [
        "created",
        "in_progress",
        "output_item.added",
        "content_part.added",
        "output_text.delta",
        "output_text.done",
        "content_part.done",
        "output_item.done",
        "completed",
    ]
    out = fed(decoder(), [called(0, "c1", "f"), called(0, arguments="{}"), delta("tool_calls"), DONE])
    assert kinds(out)[2:-1] == [
        "output_item.added",
        "function_call_arguments.delta",
        "function_call_arguments.done",
        "output_item.done",
    ]
    out = fed(decoder(), [delta(reasoning="Hm."), delta(content="Hi"), delta("stop"), DONE])
    assert kinds(out)[2:8] == [
        "output_item.added",
        "reasoning_summary_part.added",
        "reasoning_summary_text.delta",
        "reasoning_summary_text.done",
        "reasoning_summary_part.done",
        "output_item.done",
    ]


def test_a_response_begins_with_the_first_chunk() -> None:
    """Nothing is sent before the provider's answer has begun: until then another may be asked."""
    one = decoder()
    assert one.feed(b": keep-alive\n\n") == b""
    assert kinds(one.feed(delta(role="assistant"))) == ["created", "in_progress"]
    assert one.feed(b": keep-alive\n\n").startswith(b":")


def test_calls_that_take_turns() -> None:
    """Fragments of several calls in any order go to their own items; each has a place and an id of its own."""
    found = read(
        called(0, "c1", "f"),
        called(1, "c2", "g"),
        called(0, arguments='{"a":'),
        called(1, arguments='{"b":'),
        called(0, arguments="1}"),
        called(1, arguments="2}"),
        delta("tool_calls"),
    )
    assert found.calls == [("c1", "f", '{"a":1}'), ("c2", "g", '{"b":2}')]


def test_bug_04_calls_that_are_all_numbered_0() -> None:
    """Another id with a name is another call: two calls with index 0 do not become one."""
    found = read(
        called(0, "c1", "f", '{"a":1}'),
        called(0, "c2", "g", '{"b":2}'),
        called(None, "c3", "h", "{}"),
        delta("tool_calls"),
    )
    assert found.calls == [("c1", "f", '{"a":1}'), ("c2", "g", '{"b":2}'), ("c3", "h", "{}")]


def test_a_call_ends_when_the_next_begins() -> None:
    """Clients need not wait for the end of the answer; blanks may still follow, anything else is a fault."""
    one = decoder()
    out = one.feed(called(0, "c1", "f", "{}") + called(1, "c2", "g"))
    assert kinds(out)[-3:] == ["function_call_arguments.done", "output_item.done", "output_item.added"]
    assert one.feed(called(0, arguments=" ")) == b""
    one.feed(called(0, arguments="{"))
    assert isinstance(one.failure, UpstreamBadEvent)


def test_a_call_that_is_cut_short() -> None:
    """Arguments that end in the middle are told as they are, in an item that says so."""
    out = fed(decoder(), [called(0, "c1", "f", '{"a":'), delta("length"), DONE])
    assert reading.streamed(out, ASKED).calls == [("c1", "f", '{"a":')]
    assert [item["status"] for item in reading.events(out)[-1]["response"]["output"]] == ["incomplete"]


def test_words_between_calls() -> None:
    """Text after a call is a message of its own; nothing is lost."""
    found = read(delta(content="a"), called(0, "c1", "f", "{}"), delta(content="b"), delta("tool_calls"))
    assert (found.text, [name for _, name, _ in found.calls]) == ("ab", ["f"])


def test_bug_06_and_07_reasons_why_it_ended() -> None:
    """A stream of calls is complete though the provider says `stop`, and one without any reason has an end too."""
    assert read(called(0, "c1", "f", "{}"), delta("stop")).calls
    assert read(delta(content="Hi")).finish == "stop"
    assert read(delta(content="Hi"), delta("length")).finish == "length"
    assert read(delta("content_filter")).finish == "content_filter"
    one = decoder()
    fed(one, [delta(content="Hi"), delta("error"), DONE])
    assert isinstance(one.failure, UpstreamServerError)


def test_bug_14_a_broken_stream_says_so_in_its_own_words() -> None:
    """The number of the error event follows that of the last one; nothing of a chat reaches the client."""
    one = decoder()
    out = one.feed(delta(role="assistant")) + one.feed(delta(content="Hi"))
    one.feed(frame({"error": {"message": "busy", "type": "server_error"}}))
    assert isinstance(one.failure, UpstreamServerError)
    assert isinstance(one, Numbering)
    assert one.number == len(reading.events(out))
    assert b"chat.completion" not in out


def test_an_empty_stream_is_a_failure() -> None:
    """An end and nothing before it is no answer."""
    one = decoder()
    assert fed(one, [DONE]) == b""
    assert isinstance(one.failure, UpstreamEmpty)
    assert read(delta("stop")).text == ""


def test_refusals() -> None:
    """A refusal is a part of the message, beside what was said before it."""
    found = read(delta(content="Well. "), delta(refusal="I can"), delta(refusal="not."), delta("stop"))
    assert (found.text, found.extras["refusal"]) == ("Well. ", "I cannot.")


def test_likelihoods_and_sources() -> None:
    """Logprobs and citations are told where they belong, and repeated at the end."""
    token = {"token": "Hi", "logprob": -0.1, "bytes": [72, 105], "top_logprobs": []}
    source = {"title": "T", "url": "https://x.invalid", "start_index": 0, "end_index": 2}
    found = read(
        delta(None, {"content": [token]}, content="Hi"),
        delta(annotations=[{"type": "url_citation", "url_citation": source}]),
        delta("stop"),
    )
    assert found.extras == {"logprobs": [token], "annotations": [{"type": "url_citation", **source}]}


def test_custom_tools() -> None:
    """The input of a custom tool is the text in its arguments; calls of functions beside it stay what they are."""
    found = read(
        called(0, "c1", "free", '{"input": "a \\"b\\""'),
        called(0, arguments="}"),
        called(1, "c2", "f", "{}"),
        called(2, "c3", "free", "no JSON"),
        delta("tool_calls"),
        fields={"input": "hi", "tools": [FREE, {"type": "function", "name": "f"}]},
    )
    assert found.extras["custom"] == [("c1", "free", 'a "b"'), ("c3", "free", "no JSON")]
    assert found.calls == [("c2", "f", "{}")]


def test_what_providers_want_back() -> None:
    """Blocks of reasoning end its item, what belongs to a call comes in an item before it. Reasoning without either is
    marked, too, to be known again."""
    block = {"type": "thinking", "thinking": "Hm.", "signature": "c2ln"}
    extra = {"google": {"thought_signature": "c2lnbmVk"}}
    call = {"index": 0, "id": "c1", "function": {"name": "f", "arguments": "{}"}, "extra_content": extra}
    found = read(
        delta(reasoning_content="Hm."),
        delta(thinking_blocks=[block]),
        delta(content="Hi"),
        delta(tool_calls=[call]),
        delta("tool_calls"),
    )
    assert found.reasoning == "Hm."
    assert found.extras["encrypted"] == [packed(ProviderState([block])), packed(ProviderState([], {"c1": extra}))]
    only = read(delta(thinking_blocks=[block]), delta(content="Hi"), delta("stop"))
    assert (only.text, only.extras["encrypted"]) == ("Hi", [packed(ProviderState([block]))])
    shown = read(delta(reasoning_content="Hm."), delta(content="Hi"), delta("stop"))
    assert (shown.reasoning, shown.extras["encrypted"]) == ("Hm.", [UNSIGNED])
    late = read(delta(content="Hi"), delta(thinking_blocks=[block]), delta("stop"))
    assert (late.text, late.extras["encrypted"]) == ("Hi", [packed(ProviderState([block]))])


def test_what_the_client_wrote_in_lines() -> None:
    """Fields that are repeated as they came do not break the events in which they stand."""
    fields = {"input": "hi", "metadata": {"a": "b\nc"}, "tools": [{"type": "function", "name": "f", "parameters": {}}]}
    out = fed(decoder(fields, indent=2), [delta(content="Hi"), delta("stop"), DONE])
    reading.streamed(out, ASKED)
    final = reading.events(out)[-1]["response"]
    assert (final["metadata"], final["tools"][0]["name"]) == ({"a": "b\nc"}, "f")


def test_parts_of_content() -> None:
    """Servers that send content in parts are read too: Mistral's thinking is reasoning."""
    thinking = [{"type": "thinking", "thinking": [{"type": "text", "text": "Hm."}]}]
    found = read(delta(content=thinking), delta(content=[{"type": "text", "text": "Hi"}]), delta("stop"))
    assert (found.reasoning, found.text) == ("Hm.", "Hi")


def test_other_choices_are_none_of_a_response() -> None:
    """A response has one answer."""
    other = frame({"choices": [{"index": 1, "delta": {"content": "no"}}]})
    assert read(delta(content="Hi"), other, delta("stop")).text == "Hi"


def test_counts_are_estimated_where_none_are_told() -> None:
    """Unknown is not zero."""
    out = fed(decoder(), [delta(content="x" * 400), delta("stop"), DONE])
    usage = reading.events(out)[-1]["response"]["usage"]
    assert usage["input_tokens"] == 5
    assert usage["output_tokens"] >= 100


def test_an_answer_without_end_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is kept for the last event is bounded, and so is the number of items."""
    monkeypatch.setattr(written, "MAX_TOLD", 10_000)
    one = decoder()
    for _ in range(200):
        one.feed(delta(content="x" * 100))
    assert isinstance(one.failure, UpstreamTooLarge)
    monkeypatch.setattr(written, "MAX_ITEMS", 10)
    many = decoder()
    for index in range(20):
        many.feed(called(index, f"c{index}", "f"))
    assert isinstance(many.failure, UpstreamBadEvent)
