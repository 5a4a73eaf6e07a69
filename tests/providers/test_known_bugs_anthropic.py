"""Translation bugs that other gateways had with Anthropic, by their number in our list: each is shown to be absent."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from gateway.errors import (
    UnsupportedParameter,
    UpstreamOverloaded,
    UpstreamTruncated,
)

from .contract import reading
from .contract.cases import PNG, RESULTS, TOOLS, TWO_CALLS
from .messages import (
    ASKED,
    DIALECT,
    NEW,
    START,
    call,
    decoder,
    deployment,
    ending,
    frame,
    sent,
    streamed,
    talk,
    text,
    tool,
)

USER: dict[str, Any] = {"role": "user", "content": "hi"}


def picture(declared: str) -> dict[str, Any]:
    url = f"data:{declared};base64," + base64.b64encode(PNG).decode()
    return {"role": "user", "content": [{"type": "image_url", "image_url": {"url": url}}]}


def test_bug_01_parallel_calls_have_their_own_index() -> None:
    """Arguments of parallel calls are not merged into one."""
    read = streamed(START, tool(0, "a", '{"x":', "1}"), tool(1, "b", '{"y":2}'), ending("tool_use"))
    assert read.calls == [("a", "f", '{"x":1}'), ("b", "f", '{"y":2}')]


def test_bug_05_the_index_of_a_block_is_not_that_of_a_call() -> None:
    """A call after text is number 0; `reading.streamed` asserts that numbers have no gap."""
    assert streamed(START, text(0, "Let me"), tool(1, "a"), text(2, "and"), tool(3, "b"), ending("tool_use")).calls == [
        ("a", "f", "{}"),
        ("b", "f", "{}"),
    ]


@pytest.mark.parametrize("reason", ["tool_use", "end_turn", "stop_sequence", "pause_turn"])
def test_bug_06_a_stream_with_calls_finishes_with_tool_calls(reason: str) -> None:
    """The finish reason says that calls wait, even where the provider only says that the turn ended."""
    assert streamed(START, tool(0, "a"), ending(reason)).finish == "tool_calls"


def test_bug_07_every_choice_has_a_finish_reason_key() -> None:
    """`null` while it is open, a word at the end."""
    out = decoder().feed(START + text(0, "a", "b") + ending())
    reasons = [event["choices"][0]["finish_reason"] for event in reading.events(out)[:-2]]
    assert reasons == [None, None, None, "stop"]


def test_bug_08_the_first_chunk_says_the_role() -> None:
    """Whatever comes first, and even if nothing does."""
    for first in (text(0, "a"), tool(0, "a"), b""):
        out = decoder().feed(START + first + ending())
        assert reading.events(out)[0]["choices"][0]["delta"]["role"] == "assistant"


def test_bug_09_usage_of_a_stream_is_kept() -> None:
    """Input is told at the start, output at the end: the client's chunk has both, and so has the ledger."""
    one = decoder(usage=False)
    one.feed(START + text(0, "a") + ending())
    assert one.usage is not None
    assert (one.usage.input_tokens, one.usage.output_tokens) == (5, 3)
    usage = streamed(START, text(0, "a"), ending()).usage
    assert usage is not None
    assert usage["total_tokens"] == 8


def test_bug_11_a_failure_is_no_empty_answer() -> None:
    """An error event becomes that error, never a turn that ended with nothing."""
    one = decoder()
    assert one.feed(START + frame("error", error={"type": "overloaded_error", "message": "x"})) == b""
    assert isinstance(one.failure, UpstreamOverloaded)
    with pytest.raises(UpstreamOverloaded):
        DIALECT.decode(call({}), deployment(NEW), [], b'{"type":"error","error":{"type":"overloaded_error"}}')


def test_bug_12_a_stream_that_stops_is_no_end() -> None:
    """Without the finish reason there is neither a finish chunk nor `[DONE]`."""
    one = decoder()
    out = one.feed(START + text(0, "a")) + one.end()
    assert isinstance(one.failure, UpstreamTruncated)
    assert b"[DONE]" not in out
    assert b'"stop"' not in out


def test_bug_16_nothing_is_lost_between_blocks() -> None:
    """The first piece of each block arrives, also one that stands in its opening event."""
    opened = frame("content_block_start", index=1, content_block={"type": "text", "text": "B"})
    assert streamed(START, text(0, "a"), opened, text(2, "c"), ending()).text == "aBc"


def test_bug_20_parallel_results_are_one_turn() -> None:
    """All results of a turn stand in one user message, before what the user says."""
    turns = talk(USER, TWO_CALLS, RESULTS[0], {"role": "user", "content": "well?"}, RESULTS[1])
    assert [turn["role"] for turn in turns] == ["user", "assistant", "user"]
    assert [block["type"] for block in turns[2]["content"]] == ["tool_result", "tool_result", "text"]


def test_bug_22_empty_text_is_left_out() -> None:
    """An empty text block is a 400 at Anthropic: none is sent, whoever wrote it."""
    turns = talk(
        {"role": "system", "content": ""},
        {"role": "user", "content": [{"type": "text", "text": ""}, {"type": "text", "text": "hi"}]},
        {**TWO_CALLS, "content": ""},
        {**RESULTS[0], "content": ""},
    )
    assert b'"text":""' not in json.dumps(turns, separators=(",", ":")).encode()
    assert "content" not in turns[2]["content"][0]


def test_bug_23_thinking_stands_before_the_call() -> None:
    """Blocks that came back stand first in their turn; where the client lost them, this call goes without thinking."""
    thought = {"type": "thinking", "thinking": "hm", "signature": "s"}
    asks: dict[str, Any] = {"model": "claude-sonnet-4-5", "reasoning_effort": "low", "max_tokens": 4000}
    kept = sent(**asks, messages=[USER, {**TWO_CALLS, "thinking_blocks": [thought]}, *RESULTS])
    assert kept["messages"][1]["content"][0] == thought
    assert kept["thinking"] == {"type": "enabled", "budget_tokens": 2048}
    assert "thinking" not in sent(**asks, messages=[USER, TWO_CALLS, *RESULTS])


@pytest.mark.parametrize("declared", ["image/jpeg", "image/jpg", "application/octet-stream", "image/webp"])
def test_bug_24_the_bytes_say_what_a_picture_is(declared: str) -> None:
    """A wrong declaration is corrected, for the provider would refuse it."""
    (turn,) = talk(picture(declared))
    assert turn["content"][0]["source"]["media_type"] == "image/png"


def test_bug_25_pictures_are_encoded_once() -> None:
    """The base64 text is passed on as it came, and `jpg` is called by its name."""
    (turn,) = talk(picture("image/png"))
    assert base64.b64decode(turn["content"][0]["source"]["data"]) == PNG
    url = "data:image/jpg;base64," + base64.b64encode(b"unknown bytes").decode()
    (turn,) = talk({"role": "user", "content": [{"type": "image_url", "image_url": {"url": url}}]})
    assert turn["content"][0]["source"]["media_type"] == "image/jpeg"


def test_bug_26_links_stay_links() -> None:
    """A picture by URL is fetched by the provider, not inlined against its size limit."""
    (turn,) = talk(
        {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "https://x.invalid/a.png"}}]}
    )
    assert turn["content"][0]["source"] == {"type": "url", "url": "https://x.invalid/a.png"}


def test_bug_27_cached_tokens_are_part_of_the_input() -> None:
    """What was read from the cache or written to it counts as input once, and is told apart for its price."""
    body = {
        "id": "m",
        "type": "message",
        "content": [{"type": "text", "text": "a"}],
        "stop_reason": "end_turn",
        "usage": {
            "input_tokens": 7,
            "cache_read_input_tokens": 100,
            "cache_creation_input_tokens": 20,
            "output_tokens": 3,
        },
    }
    usage = DIALECT.decode(call({}), deployment(NEW), [], json.dumps(body).encode()).usage
    assert usage is not None
    told = (usage.input_tokens, usage.cached_input_tokens, usage.cache_write_tokens, usage.output_tokens)
    assert told == (127, 100, 20, 3)


def test_bug_28_characters_may_be_split_between_reads() -> None:
    """Bytes are joined before they are decoded."""
    one = decoder()
    body = START + text(0, "ü🎈").replace(rb"\u00fc\ud83c\udf88", "ü🎈".encode()) + ending()
    assert "ü🎈".encode() in body
    out = b"".join(one.feed(body[at : at + 1]) for at in range(len(body)))
    assert reading.streamed(out, ASKED, usage=True).text == "ü🎈"


def test_bug_30_developers_are_heard() -> None:
    """A developer's message is the system's."""
    assert sent(messages=[{"role": "developer", "content": "be brief"}, USER])["system"] == "be brief"


def test_bug_35_new_models_get_no_sampling() -> None:
    """A model that refuses sampling parameters never gets one: the client reads so, or they are left out."""
    options: list[dict[str, Any]] = [{"temperature": 1}, {"top_p": 1}, {"top_k": 5}]
    for given in options:
        (name,) = given
        with pytest.raises(UnsupportedParameter) as refused:
            sent(NEW, **given)
        assert refused.value.param == name
        assert name not in sent(NEW, unsupported="drop", **given)
        assert sent("claude-sonnet-4-6", **given)[name] == given[name]


def test_tools_of_the_cases() -> None:
    """The cases that these tests borrow are what they are taken for."""
    assert set(TOOLS) == {call["function"]["name"] for call in TWO_CALLS["tool_calls"]}
