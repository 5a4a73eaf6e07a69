"""Chat streams as the events of a message, whatever the sizes of reads."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.bridges.messages.names import shortened
from tests.bridges.messages.talk import (
    COUNTED,
    DONE,
    Heard,
    chunk,
    frame,
    heard_of,
    relayed,
    stream,
    streamed,
    tool,
    whole,
)

FIRST = tool(0, "", id="c1", name="weather", type="function")
SECOND = tool(1, "", id="c2", name="now", type="function")


def calls(heard: Heard) -> list[tuple[str, str, Any]]:
    return [(block["id"], block["name"], block["input"]) for block in heard.blocks if block["type"] == "tool_use"]


def test_text() -> None:
    """Start, one block with its deltas, the reason with the counts, stop."""
    heard = streamed(whole(chunk({"content": "Grüße "}), chunk({"content": "🎈"})))
    assert heard.kinds == [
        "message_start",
        "content_block_start",
        "content_block_delta",
        "content_block_delta",
        "content_block_stop",
        "message_delta",
        "message_stop",
    ]
    assert heard.text == "Grüße 🎈"
    assert heard.message["stop_reason"] == "end_turn"
    assert (heard.message["usage"]["input_tokens"], heard.message["usage"]["output_tokens"]) == (11, 7)
    assert heard.message["model"] == "asked"


MIXED = whole(
    chunk({"reasoning_content": "hm 🤔"}),
    chunk({"content": "Ich "}),
    chunk({"content": "schaue…"}),
    chunk(FIRST),
    chunk(tool(0, '{"city": "K')),
    chunk(tool(0, 'öln"}')),
    chunk(SECOND),
    chunk(tool(1, '{"a": "}\\"{"}')),
    finish="tool_calls",
)


@pytest.mark.parametrize("size", range(1, 40))
def test_any_split(size: int) -> None:
    """The same events, byte for byte, however the bytes arrive; characters may be cut."""
    assert relayed(MIXED, size=size)[0] == relayed(MIXED)[0]


def test_every_offset() -> None:
    """Cut once, at any byte."""
    wanted = relayed(MIXED)[0]
    for at in range(len(MIXED)):
        decoder = stream()
        assert decoder.feed(MIXED[:at]) + decoder.feed(MIXED[at:]) + decoder.end() == wanted


def test_blocks_come_one_after_the_other() -> None:
    """Thinking, words and calls: each in a block of its own, in their order."""
    heard = streamed(MIXED)
    assert [block["type"] for block in heard.blocks] == ["thinking", "text", "tool_use", "tool_use"]
    assert heard.blocks[0] == {"type": "thinking", "thinking": "hm 🤔", "signature": "gateway:unsigned"}
    assert calls(heard) == [("c1", "weather", {"city": "Köln"}), ("c2", "now", {"a": '}"{'})]
    assert heard.message["stop_reason"] == "tool_use"


def test_calls_that_take_turns() -> None:
    """Fragments of later calls wait until the first one is whole."""
    heard = streamed(
        whole(
            chunk(FIRST),
            chunk(SECOND),
            chunk(tool(1, '{"b"')),
            chunk(tool(0, '{"a"')),
            chunk(tool(1, ":2}")),
            chunk(tool(0, ":1}")),
            finish="tool_calls",
        )
    )
    assert calls(heard) == [("c1", "weather", {"a": 1}), ("c2", "now", {"b": 2})]


def test_the_first_call_is_not_held_back() -> None:
    """A provider that sends calls one by one is heard as it speaks, the second call included."""
    decoder = stream()
    said = [decoder.feed(chunk(one)) for one in (FIRST, tool(0, "{}"), SECOND, tool(1, "{}"))]
    assert all(said)
    assert b'"now"' in said[2]


def test_two_fragments_in_one_chunk() -> None:
    """Whole calls side by side in one chunk, without indexes, as some servers send them."""
    both = [{"id": f"c{n}", "type": "function", "function": {"name": "now", "arguments": "{}"}} for n in (1, 2)]
    heard = streamed(whole(chunk({"tool_calls": both}), finish="tool_calls"))
    assert calls(heard) == [("c1", "now", {}), ("c2", "now", {})]


def test_words_between_arguments() -> None:
    """Words that come amid a call's arguments wait for its end."""
    heard = streamed(whole(chunk(FIRST), chunk(tool(0, '{"a":')), chunk({"content": "so"}), chunk(tool(0, "1}"))))
    assert calls(heard) == [("c1", "weather", {"a": 1})]
    assert heard.text == "so"


def test_words_behind_a_call() -> None:
    """They are a block behind it."""
    heard = streamed(whole(chunk(FIRST), chunk(tool(0, "{}")), chunk({"content": "so"})))
    assert [block["type"] for block in heard.blocks] == ["tool_use", "text"]


def test_a_call_without_arguments() -> None:
    """It has an empty object."""
    assert calls(streamed(whole(chunk(FIRST), chunk(SECOND)))) == [("c1", "weather", {}), ("c2", "now", {})]


def test_arguments_behind_the_end_of_a_call() -> None:
    """White space is none; anything else cannot be put anywhere, and breaks the stream."""
    parts = (chunk(FIRST), chunk(tool(0, "{}")), chunk(SECOND), chunk(tool(1, "{}")))
    assert streamed(whole(*parts, chunk(tool(0, " \n")))).complete
    heard = streamed(whole(*parts, chunk(tool(0, '{"x":1}'))))
    assert (heard.complete, heard.failure) == (False, "UpstreamBadEvent")


def test_long_names_come_back() -> None:
    """The client reads the name that it gave."""
    long = "mcp__" + "server_" * 12
    data = whole(chunk(tool(0, "{}", id="c1", name=shortened(long))))
    assert calls(streamed(data, tools=[{"name": long, "input_schema": {}}])) == [("c1", long, {})]


def test_signed_thinking() -> None:
    """A block's signature follows the words that were told of it; a block that is hidden is a block."""
    signed = {"type": "thinking", "thinking": "hm", "signature": "c2ln"}
    hidden = {"type": "redacted_thinking", "data": "eA=="}
    data = whole(
        chunk({"reasoning_content": "hm"}),
        chunk({"thinking_blocks": [signed]}),
        chunk({"thinking_blocks": [hidden]}),
        chunk({"thinking_blocks": [{**signed, "thinking": ""}]}),
        chunk({"content": "a"}),
    )
    assert streamed(data).blocks == [signed, hidden, {**signed, "thinking": ""}, {"type": "text", "text": "a"}]


def test_extras_of_a_call() -> None:
    """What a provider wants back with a call comes before it, in a block that clients return unread."""
    first = tool(0, "{}", id="c1", name="now", extra_content={"google": {"thought_signature": "x"}})
    heard = streamed(whole(chunk(first), finish="tool_calls"))
    assert [block["type"] for block in heard.blocks] == ["redacted_thinking", "tool_use"]


def test_a_refusal() -> None:
    """Its words are text, and it is known for what it is."""
    heard = streamed(whole(chunk({"refusal": "No."})))
    assert (heard.text, heard.message["stop_reason"]) == ("No.", "refusal")


@pytest.mark.parametrize(
    ("finish", "reason"), [("stop", "end_turn"), ("length", "max_tokens"), ("content_filter", "refusal")]
)
def test_stop_reasons(finish: str, reason: str) -> None:
    """Each finish has its word."""
    assert streamed(whole(chunk({"content": "a"}), finish=finish)).message["stop_reason"] == reason


def test_a_stop_sequence() -> None:
    """Where the provider tells which one it was."""
    data = chunk({"content": "a"}) + chunk(finish="stop", stop_reason="END") + DONE
    message = streamed(data, stop_sequences=["END"]).message
    assert (message["stop_reason"], message["stop_sequence"]) == ("stop_sequence", "END")


def test_signs_of_life() -> None:
    """Comments are pings, once the message has begun."""
    data = b": wait\n\n" + whole(chunk({"content": "a"}), b": alive\n\n", chunk({"content": "b"}))
    heard = streamed(data)
    assert heard.kinds.count("ping") == 1
    assert heard.kinds[0] == "message_start"
    assert heard.text == "ab"


def test_only_the_first_choice() -> None:
    """A message has one."""
    other = frame({"choices": [{"index": 1, "delta": {"content": "other"}, "finish_reason": "stop"}]})
    assert streamed(whole(other, chunk({"content": "a"}))).text == "a"


def test_usage_with_caches() -> None:
    """The last event has the provider's counts, apart."""
    counted = {"prompt_tokens": 100, "completion_tokens": 20, "prompt_tokens_details": {"cached_tokens": 60}}
    data = chunk({"content": "a"}) + chunk(finish="stop") + frame({"choices": [], "usage": counted}) + DONE
    usage = streamed(data).message["usage"]
    assert (usage["input_tokens"], usage["cache_read_input_tokens"], usage["output_tokens"]) == (40, 60, 20)


def test_no_usage() -> None:
    """A provider that counts nothing leaves an estimate."""
    usage = streamed(chunk({"content": "some words"}) + chunk(finish="stop") + DONE).message["usage"]
    assert usage["input_tokens"] > 0
    assert usage["output_tokens"] > 0


BROKEN = {
    "an error event": frame({"choices": []}).replace(b'"choices": []', b'"error": {"message": "x", "code": 500}'),
    "no JSON": b"data: {nope\n\n",
    "an end": b"",
    "a finish that is an error": chunk(finish="error") + DONE,
}


@pytest.mark.parametrize("end", BROKEN.values(), ids=BROKEN)
def test_broken_streams(end: bytes) -> None:
    """What came before is told, and then nothing: no reason, no stop, but a failure for who writes the last event."""
    heard = streamed(chunk({"content": "half"}) + end)
    assert heard.message["content"][0]["text"] == "half"
    assert not heard.complete
    assert heard.failure.startswith("Upstream")


@pytest.mark.parametrize("data", [DONE, COUNTED + DONE, b"", b": only comments\n\n"])
def test_nothing_commits_to_nothing(data: bytes) -> None:
    """A stream without a choice says nothing at all, so that another deployment may answer."""
    out, decoder = relayed(data)
    assert out == b""
    assert decoder.failure is not None
    assert not decoder.complete


def test_what_is_held_is_bounded() -> None:
    """Arguments that wait for a call which never ends are too much at some point."""
    decoder = stream()
    decoder.feed(chunk(FIRST) + chunk(tool(0, "{")) + chunk(SECOND))
    for _ in range(100):
        decoder.feed(chunk(tool(1, "x" * 65_536)))
        if decoder.failure is not None:
            break
    assert decoder.failure is not None
    assert heard_of(decoder.feed(DONE)).kinds == []


def test_too_many_calls() -> None:
    """Nobody means more than a thousand."""
    out, decoder = relayed(whole(*(chunk(tool(n, "{}", id=f"c{n}", name="x")) for n in range(1100))))
    assert decoder.failure is not None
    assert out.count(b"content_block_start") < 2100
