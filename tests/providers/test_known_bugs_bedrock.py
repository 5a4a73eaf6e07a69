"""Translation bugs that other gateways had with Bedrock, by their number in our list: each is shown to be absent."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from gateway.errors import UnsupportedParameter, UpstreamOverloaded, UpstreamServerError, UpstreamTruncated
from tests.support.eventstream import exception

from .bedrock import (
    BEDROCK,
    BEGIN,
    CLAUDE,
    NEWER,
    USAGE,
    USER,
    call,
    decoded,
    delta,
    finish,
    sent,
    stop,
    streamed,
    talk,
)
from .contract import reading
from .contract.cases import PNG, RESULTS, TIME, TWO_CALLS, WEATHER

PIXEL = base64.b64encode(PNG).decode()


def picture(url: str) -> dict[str, Any]:
    return {"role": "user", "content": [{"type": "image_url", "image_url": {"url": url}}]}


def test_bug_01_parallel_calls_have_their_own_index() -> None:
    """Two calls in a row are numbered 0 and 1."""
    read = streamed(call(0, "f", '{"a":', "1}", id_="t1"), call(1, "g", "{}", id_="t2"), finish("tool_use"))
    assert read.calls == [("t1", "f", '{"a":1}'), ("t2", "g", "{}")]


def test_bug_05_the_index_of_a_block_is_not_that_of_a_call() -> None:
    """The first call is number 0, whatever blocks stand before it: `reading.streamed` asserts it."""
    read = streamed(delta(0, text="Let me see."), stop(0), call(3, "f", "{}"), finish("tool_use"))
    assert (read.text, [name for _, name, _ in read.calls]) == ("Let me see.", ["f"])


def test_bug_06_a_stream_with_calls_finishes_with_tool_calls() -> None:
    """Even if Bedrock should say that the turn is over."""
    assert streamed(call(0, "f", "{}"), finish("end_turn")).finish == "tool_calls"
    used = {"toolUse": {"toolUseId": "t", "name": "f", "input": {}}}
    assert decoded(used).finish == "tool_calls"


def test_bug_08_the_first_chunk_says_the_role() -> None:
    """Whatever comes first, and even if nothing does."""
    for first in (delta(text="a"), call(0, "f", "{}"), delta(reasoningContent={"text": "h"}), b""):
        one = BEDROCK.decoder()
        out = one.feed(BEGIN + first + finish() + USAGE) + one.end()
        assert reading.events(out)[0]["choices"][0]["delta"]["role"] == "assistant"


def test_bug_09_usage_of_a_stream_is_kept() -> None:
    """The counts come after the stop reason: the stream is not over before them."""
    one = BEDROCK.decoder()
    out = one.feed(BEGIN + delta(text="a") + stop() + finish())
    assert not one.complete
    assert b"[DONE]" not in out
    assert one.feed(USAGE).endswith(b"data: [DONE]\n\n")
    assert one.usage is not None
    assert (one.usage.input_tokens, one.usage.output_tokens) == (5, 3)


def test_bug_10_an_exception_in_a_stream_is_heard() -> None:
    """It ends the stream as an error, not as an end."""
    one = BEDROCK.decoder()
    out = one.feed(BEGIN + delta(text="a") + exception("modelStreamErrorException", "broke") + USAGE) + one.end()
    assert b'"content":"a"' in out
    assert isinstance(one.failure, UpstreamServerError)
    assert b"[DONE]" not in out


def test_bug_11_a_failure_is_no_empty_answer() -> None:
    """An exception as the first event leaves the attempt free to fail over; a model that broke down is an error."""
    one = BEDROCK.decoder()
    assert one.feed(BEGIN + exception("serviceUnavailableException")) == b""
    assert isinstance(one.failure, UpstreamOverloaded)
    for reason in ("malformed_model_output", "malformed_tool_use"):
        one = BEDROCK.decoder()
        one.feed(BEGIN + delta(text="a") + finish(reason) + USAGE)
        assert isinstance(one.failure, UpstreamServerError)
        with pytest.raises(UpstreamServerError):
            decoded({"text": "a"}, stop=reason)


def test_bug_12_a_stream_that_stops_is_no_end() -> None:
    """Without a stop reason it broke off, in the middle of a message too."""
    for body in (BEGIN + delta(text="a"), BEGIN + delta(text="a") + finish()[:-3]):
        one = BEDROCK.decoder()
        out = one.feed(body) + one.end()
        assert isinstance(one.failure, UpstreamTruncated)
        assert b"[DONE]" not in out


def test_bug_16_nothing_is_lost_between_blocks() -> None:
    """The first piece of each block arrives: text has no start of its own here."""
    read = streamed(
        delta(0, reasoningContent={"text": "hm"}),
        delta(0, reasoningContent={"signature": "sig"}),
        stop(0),
        delta(1, text="a"),
        stop(1),
        delta(2, text="b"),
        stop(2),
        finish(),
    )
    assert (read.reasoning, read.text) == ("hm", "ab")


def test_bug_20_parallel_results_are_one_turn() -> None:
    """All results of a turn stand in one message, before what the user says, and no two of one side in a row."""
    turns = talk(USER, TWO_CALLS, RESULTS[0], {"role": "user", "content": "and?"}, RESULTS[1], tools=[WEATHER, TIME])
    assert [turn["role"] for turn in turns] == ["user", "assistant", "user"]
    assert [next(iter(block)) for block in turns[2]["content"]] == ["toolResult", "toolResult", "text"]


@pytest.mark.parametrize("fields", [{}, {"tools": [TIME]}, {"tools": [WEATHER, TIME], "tool_choice": "none"}])
def test_bug_21_tools_of_the_conversation_are_always_there(fields: dict[str, Any]) -> None:
    """A conversation with calls names their tools, whether they are offered now or not."""
    body = sent(messages=[USER, TWO_CALLS, *RESULTS], **fields)
    assert {tool["toolSpec"]["name"] for tool in body["toolConfig"]["tools"]} == {"weather", "time"}
    assert "toolChoice" not in body["toolConfig"]
    assert ("call no tools" in str(body.get("system"))) == ("tool_choice" in fields)


def test_bug_21_no_tools_are_none() -> None:
    """Without calls before, `none` offers nothing: an empty list would be refused."""
    assert "toolConfig" not in sent(tools=[WEATHER], tool_choice="none")
    assert "toolConfig" not in sent(tools=[])


def test_bug_22_empty_text_is_left_out() -> None:
    """Blocks of text and descriptions are never empty; neither is `system`."""
    messages = [
        {"role": "system", "content": ""},
        {"role": "user", "content": [{"type": "text", "text": ""}, {"type": "text", "text": "hi"}]},
        {"role": "assistant", "content": ""},
        {"role": "user", "content": "again"},
    ]
    tool = {"type": "function", "function": {"name": "f", "description": ""}}
    body = sent(messages=messages, tools=[tool])
    assert body["messages"] == [{"role": "user", "content": [{"text": "hi"}, {"text": "again"}]}]
    assert "system" not in body
    assert body["toolConfig"]["tools"] == [
        {"toolSpec": {"name": "f", "inputSchema": {"json": {"type": "object", "properties": {}}}}}
    ]


def test_bug_23_thinking_stands_before_the_call() -> None:
    """Signed reasoning goes back first in its turn, as it came; what nobody signed does not."""
    blocks = [
        {"type": "thinking", "thinking": "hm", "signature": "sig=="},
        {"type": "redacted_thinking", "data": "c2VhbGVk"},
        {"type": "thinking", "thinking": "unsigned", "signature": ""},
    ]
    turn = talk(USER, {**TWO_CALLS, "content": "I look.", "thinking_blocks": blocks}, *RESULTS)[1]
    assert turn["content"][:3] == [
        {"reasoningContent": {"reasoningText": {"text": "hm", "signature": "sig=="}}},
        {"reasoningContent": {"redactedContent": "c2VhbGVk"}},
        {"text": "I look."},
    ]
    assert [next(iter(block)) for block in turn["content"][3:]] == ["toolUse", "toolUse"]


def test_bug_23_reasoning_comes_back_whole() -> None:
    """What the client is given, streamed or not, is what Bedrock wants back."""
    told = {"reasoningContent": {"reasoningText": {"text": "hm", "signature": "ab"}}}
    sealed = {"reasoningContent": {"redactedContent": "c2VhbGVk"}}
    wanted = [
        {"type": "thinking", "thinking": "hm", "signature": "ab"},
        {"type": "redacted_thinking", "data": "c2VhbGVk"},
    ]
    read = decoded(told, sealed, {"text": "42"})
    assert (read.text, read.reasoning, read.extras["thinking_blocks"]) == ("42", "hm", wanted)
    read = streamed(
        delta(0, reasoningContent={"text": "h"}),
        delta(0, reasoningContent={"text": "m"}),
        delta(0, reasoningContent={"signature": "a"}),
        delta(0, reasoningContent={"signature": "b"}),
        stop(0),
        delta(1, reasoningContent={"redactedContent": "c2VhbGVk"}),
        stop(1),
        delta(2, text="42"),
        finish(),
    )
    assert (read.text, read.reasoning, read.extras["thinking_blocks"]) == ("42", "hm", wanted)


@pytest.mark.parametrize("declared", ["image/jpg", "image/gif", "application/octet-stream"])
def test_bug_24_the_bytes_say_what_a_picture_is(declared: str) -> None:
    """Whatever the client declared."""
    (turn,) = talk(picture(f"data:{declared};base64,{PIXEL}"))
    assert turn["content"][0]["image"]["format"] == "png"


def test_bug_25_pictures_are_encoded_once_and_named_rightly() -> None:
    """The base64 of the client is what is sent; a `jpg` is a `jpeg`."""
    jpeg = base64.b64encode(b"\xff\xd8\xff\xe0" + b"\0" * 20).decode()
    (turn,) = talk(picture(f"data:image/jpg;base64,{jpeg}"))
    assert turn["content"] == [{"image": {"format": "jpeg", "source": {"bytes": jpeg}}}]


def test_bug_26_addresses_are_not_fetched() -> None:
    """Bedrock takes no address but S3's: any other is refused with what to do instead."""
    (turn,) = talk(picture("s3://bucket/a/b.jpg"))
    assert turn["content"] == [{"image": {"format": "jpeg", "source": {"s3Location": {"uri": "s3://bucket/a/b.jpg"}}}}]
    with pytest.raises(UnsupportedParameter, match="data:") as refused:
        talk(picture("https://example.com/a.png"), unsupported="drop")
    assert refused.value.param == "messages[0].content[0].image_url.url"


def test_bug_27_cached_tokens_are_part_of_the_input() -> None:
    """Bedrock's input leaves out what was read from the cache and written to it; ours does not."""
    usage = {"inputTokens": 2, "outputTokens": 5, "cacheReadInputTokens": 10, "cacheWriteInputTokens": 30}
    message = {"role": "assistant", "content": [{"text": "a"}]}
    body = {"output": {"message": message}, "stopReason": "end_turn", "usage": usage}
    read = BEDROCK.whole(body)
    assert read.usage is not None
    assert (read.usage["prompt_tokens"], read.usage["completion_tokens"], read.usage["total_tokens"]) == (42, 5, 47)
    assert read.usage["prompt_tokens_details"] == {"cached_tokens": 10, "cache_write_tokens": 30, "audio_tokens": 0}


def test_bug_28_characters_may_be_split_between_reads() -> None:
    """Whatever a read ends in."""
    body = BEGIN + delta(text="grüße 🎈") + finish() + USAGE
    for at in range(len(body)):
        one = BEDROCK.decoder()
        out = one.feed(body[:at]) + one.feed(body[at:]) + one.end()
        assert reading.streamed(out, "asked", usage=True).text == "grüße 🎈"


def test_bug_30_developers_are_heard() -> None:
    """As `system`."""
    assert sent(messages=[{"role": "developer", "content": "be brief"}, USER])["system"] == [{"text": "be brief"}]


def test_bug_35_new_models_get_no_sampling() -> None:
    """Claude from 4.7 on refuses it by presence."""
    lost: list[dict[str, Any]] = [{"temperature": 0.5}, {"top_p": 0.9}, {"top_k": 5}]
    for fields in lost:
        with pytest.raises(UnsupportedParameter):
            sent(NEWER, **fields)
        body = sent(NEWER, unsupported="drop", **fields)
        assert body.keys() == {"messages"}
    with pytest.raises(UnsupportedParameter):
        sent(CLAUDE, temperature=0.5, top_p=0.9)
