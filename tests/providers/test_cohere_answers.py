"""Cohere's answers as OpenAI's clients read them, and the bugs that other gateways had with such, by their number."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.errors import UpstreamBadEvent, UpstreamOverloaded, UpstreamServerError, UpstreamTimeout, UpstreamTruncated
from gateway.types import Service
from tests.support.translated import ASKED, call_of

from .cohere import COHERE, arguments, begun, end, ended, frame, function, said, text, thought, whole
from .contract import reading

START = frame("message-start", id="n1", delta={"message": {"role": "assistant", "content": [], "tool_calls": []}})


def test_bug_01_parallel_calls_have_their_own_index() -> None:
    """Calls are told apart by Cohere's index, also where their pieces mix; numbers have no gap."""
    events = [begun(0, "a"), begun(3, "b"), arguments(3, '{"y":'), arguments(0, '{"x":1}'), arguments(3, "2}")]
    read = COHERE.streamed(START, *events, ended(0), ended(3), end("TOOL_CALL"))
    assert read.calls == [("a_0", "a", '{"x":1}'), ("b_3", "b", '{"y":2}')]
    assert read.finish == "tool_calls"


def test_bug_05_the_index_starts_at_0() -> None:
    """Whatever the number of Cohere's first call: `reading.streamed` asserts it."""
    assert len(COHERE.streamed(START, begun(1), ended(1), end("TOOL_CALL")).calls) == 1


def test_bug_06_a_stream_with_calls_finishes_with_tool_calls() -> None:
    """Even where Cohere says `COMPLETE`; and never without a call."""
    assert COHERE.streamed(START, begun(0), ended(0), end()).finish == "tool_calls"
    assert COHERE.streamed(START, text("a"), end("TOOL_CALL")).finish == "stop"
    assert COHERE.whole(whole(tool_calls=[function()])).finish == "tool_calls"


def test_bug_07_a_finish_reason_that_nobody_knows() -> None:
    """It is `stop`; without one a whole answer is none, and a stream is cut off."""
    assert COHERE.streamed(START, text("a"), end("NEWS")).finish == "stop"
    decoder = COHERE.decoder()
    decoder.feed(START + text("a") + frame("message-end", delta={"usage": {}}))
    assert isinstance(decoder.failure, UpstreamTruncated)


def test_bug_08_the_first_chunk_says_the_role() -> None:
    """Whatever comes first, and even if nothing does."""
    for first in (text("a"), thought("t"), begun(0), b""):
        decoder = COHERE.decoder()
        out = decoder.feed(START + first + end()) + decoder.end()
        assert reading.events(out)[0]["choices"][0]["delta"]["role"] == "assistant"


def test_bug_09_usage_of_a_stream_is_kept() -> None:
    """The last event counts."""
    usage = COHERE.streamed(START, text("a"), end()).usage
    assert usage is not None
    assert (usage["prompt_tokens"], usage["completion_tokens"], usage["total_tokens"]) == (5, 3, 8)


@pytest.mark.parametrize(
    ("reason", "told", "wanted"),
    [
        ("ERROR", "No valid response generated. Try updating messages", UpstreamServerError),
        ("ERROR", "The model is overloaded", UpstreamOverloaded),
        ("ERROR", None, UpstreamServerError),
        ("TIMEOUT", None, UpstreamTimeout),
    ],
)
def test_bug_11_a_failure_is_no_empty_answer(reason: str, told: Any, wanted: type[Exception]) -> None:
    """A finish reason that is none is the provider's failure, streamed or whole; its text stays here."""
    decoder = COHERE.decoder()
    out = decoder.feed(START + text("a") + end(reason, error=told))
    assert isinstance(decoder.failure, wanted)
    assert b'"content":"a"' in out
    assert b"[DONE]" not in out
    assert "valid response" not in decoder.failure.public_message
    with pytest.raises((UpstreamServerError, UpstreamTimeout)):
        COHERE.whole(whole(reason))


def test_bug_12_a_stream_that_breaks_off() -> None:
    """Without its last event it has no finish reason and no `[DONE]`, though the line after it may be there."""
    for rest in (b"", b"data: [DONE]\n\n"):
        decoder = COHERE.decoder()
        out = decoder.feed(START + text("a") + rest) + decoder.end()
        assert isinstance(decoder.failure, UpstreamTruncated)
        assert b"[DONE]" not in out


def test_bug_16_the_first_words_after_another_block_are_kept() -> None:
    """Also where a block begins with text of its own."""
    starts = said("content-start", 0, content={"type": "thinking", "thinking": "Hm"})
    read = COHERE.streamed(
        START, starts, thought("."), said("content-start", 1, content={"text": "4"}), text("2"), end()
    )
    assert (read.reasoning, read.text) == ("Hm.", "42")


def test_bug_27_cached_tokens_are_within_the_billed_ones() -> None:
    """The model's preamble is counted, cached and not billed: only what is cached beyond it was the caller's."""
    usage: dict[str, Any] = {
        "billed_units": {"input_tokens": 217, "output_tokens": 21},
        "tokens": {"input_tokens": 1833, "output_tokens": 24},
        "cached_tokens": 1792,
    }
    for cached, wanted in ((1792, 176), (480, 0), (5000, 217)):
        read = COHERE.whole(whole(content=[{"type": "text", "text": "a"}], usage={**usage, "cached_tokens": cached}))
        assert read.usage is not None
        assert read.usage["prompt_tokens"] == 217
        assert read.usage["prompt_tokens_details"]["cached_tokens"] == wanted
    counted = {"tokens": {"input_tokens": 9.0, "output_tokens": 2.0}}
    read = COHERE.whole(whole(content=[], usage=counted))
    assert read.usage is not None
    assert (read.usage["prompt_tokens"], read.usage["completion_tokens"]) == (9, 2)


def test_bug_28_characters_cut_in_two() -> None:
    """A read may end in the middle of one."""
    raw = START + text("ü🎈").replace(b"\\u00fc\\ud83c\\udf88", "ü🎈".encode()) + end()
    at = raw.index("🎈".encode()) + 2
    assert COHERE.streamed(raw[:at], raw[at:]).text == "ü🎈"


def test_no_arguments() -> None:
    """Some models write `null` for none: clients read an object, whole or streamed."""
    assert COHERE.whole(whole("TOOL_CALL", tool_calls=[function(given="null")])).calls[0][2] == "{}"
    for events in ([arguments(0, "null")], [], [arguments(0, "")]):
        assert COHERE.streamed(START, begun(0), *events, ended(0), end("TOOL_CALL")).calls[0][2] == "{}"
    assert COHERE.streamed(START, begun(0, "f", '{"a":1}'), ended(0), end()).calls[0][2] == '{"a":1}'


def test_plans_are_reasoning() -> None:
    """What a model says of the calls it will make."""
    assert COHERE.whole(whole(tool_plan="I will.", tool_calls=[function()])).reasoning == "I will."
    plan = frame("tool-plan-delta", delta={"message": {"tool_plan": "I will."}})
    assert COHERE.streamed(START, plan, begun(0), ended(0), end("TOOL_CALL")).reasoning == "I will."


def test_citations_are_annotations() -> None:
    """Of documents, by their address or else their id; results of tools, which the caller sent, are not cited."""
    document = {"type": "document", "id": "d1", "document": {"id": "d1", "title": "A", "url": "https://a.invalid"}}
    bare = {"type": "document", "id": "d2"}
    tool = {"type": "tool", "id": "t:0", "tool_output": {"content": "x"}}
    cited = {"start": 0, "end": 3, "text": "abc", "sources": [document, tool, bare], "type": "TEXT_CONTENT"}
    wanted = [
        {"type": "url_citation", "url_citation": {"start_index": 0, "end_index": 3, "title": title, "url": url}}
        for title, url in (("A", "https://a.invalid"), ("d2", "d2"))
    ]
    read = COHERE.whole(whole(content=[{"type": "text", "text": "abc"}], citations=[cited]))
    assert read.extras["annotations"] == wanted
    cite = said("citation-start", citations=cited)
    assert (
        COHERE.streamed(START, text("abc"), cite, frame("citation-end", index=0), end()).extras["annotations"] == wanted
    )
    only = said("citation-start", citations={**cited, "sources": [tool]})
    assert "annotations" not in COHERE.streamed(START, text("abc"), only, end()).extras


def test_logprobs() -> None:
    """A piece of several tokens is as likely as all of them; thoughts have none that a client could place."""
    item = {"text": "Hello", "token_ids": [1, 2], "logprobs": [-0.25, -0.5]}
    wanted = {"token": "Hello", "logprob": -0.75, "bytes": list(b"Hello"), "top_logprobs": []}
    body = {**whole(content=[{"type": "text", "text": "Hello"}]), "logprobs": [item]}
    assert COHERE.answered(call_of(), body)["choices"][0]["logprobs"]["content"] == [wanted]
    delta = {"message": {"content": {"text": "Hello"}}}
    decoder = COHERE.decoder()
    out = decoder.feed(START + frame("content-delta", index=0, delta=delta, logprobs=item) + end())
    found = [chunk["choices"][0].get("logprobs") for chunk in reading.events(out)[:-1] if chunk["choices"]]
    assert [one["content"] for one in found if one] == [[wanted]]


def test_events_that_nobody_knows() -> None:
    """They are passed over, as are empty ones; one that cannot be read is a failure."""
    odd = [
        frame("news", delta={"x": 1}),
        frame("debug", prompt="x"),
        frame("content-end", index=0),
        frame("tool-call-start"),
    ]
    assert COHERE.streamed(START, *odd, text("a"), end()).text == "a"
    decoder = COHERE.decoder()
    decoder.feed(START + text("a") + b'data: {"type":3}\n\n')
    assert isinstance(decoder.failure, UpstreamBadEvent)


def test_bug_34_vectors_have_the_encoding_that_was_asked_for() -> None:
    """Numbers from Cohere; base64 of them to who wants that."""
    body = {
        "embeddings": {"float": [[0.5, -2.0]]},
        "meta": {"billed_units": {"input_tokens": 2.0, "image_tokens": 3.0}},
    }
    plain = COHERE.answered(call_of(Service.EMBEDDINGS, input="x", encoding_format="float"), body)
    packed = COHERE.answered(call_of(Service.EMBEDDINGS, input="x", encoding_format="base64"), body)
    assert plain["data"][0]["embedding"] == [0.5, -2.0]
    assert packed["data"][0]["embedding"] == "AAAAPwAAAMA="
    assert packed["usage"] == {"prompt_tokens": 5, "total_tokens": 5}
    assert packed["model"] == ASKED
