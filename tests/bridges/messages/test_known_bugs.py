"""Bugs of other gateways on the way from the Messages API to OpenAI's chat and back: a test each, by the number of
their list."""

from __future__ import annotations

import pytest

from tests.bridges.messages.talk import (
    COUNTED,
    DONE,
    answered,
    asked,
    chat,
    chunk,
    frame,
    relayed,
    stream,
    streamed,
    tool,
    whole,
)


def test_bug_01_all_calls_have_index_0() -> None:
    """Calls that a provider numbers alike are told apart by their ids."""
    heard = streamed(whole(chunk(tool(0, "{}", id="a", name="f")), chunk(tool(0, '{"x":1}', id="b", name="g"))))
    assert [(block["id"], block["input"]) for block in heard.blocks] == [("a", {}), ("b", {"x": 1})]


def test_bug_03_arguments_are_merged() -> None:
    """Whole calls with one index each keep their own arguments."""
    parts = [chunk(tool(0, f'{{"n":{n}}}', id=f"c{n}", name="f")) for n in range(3)]
    assert [block["input"] for block in streamed(whole(*parts)).blocks] == [{"n": 0}, {"n": 1}, {"n": 2}]


def test_bug_05_indexes_begin_at_1() -> None:
    """Blocks are numbered by themselves, from 0, whatever the calls are numbered."""
    heard = streamed(whole(chunk(tool(5, "{}", id="a", name="f")), chunk(tool(9, "{}", id="b", name="f"))))
    assert len(heard.blocks) == 2


def test_bug_06_stop_although_there_are_calls() -> None:
    """A provider that tells `stop` after calls has made calls."""
    assert streamed(whole(chunk(tool(0, "{}", id="a", name="f")), finish="stop")).message["stop_reason"] == "tool_use"


def test_bug_07_no_finish_reason() -> None:
    """Chunks and answers without the key are read; the end is an end."""
    data = frame({"choices": [{"index": 0, "delta": {"content": "a"}}]}) + DONE
    assert streamed(data).message["stop_reason"] == "end_turn"
    reply = chat({"content": "a"})
    del reply["choices"][0]["finish_reason"]
    assert answered(reply)["stop_reason"] == "end_turn"


def test_bug_09_usage_is_dropped() -> None:
    """Counts that come behind the finish reach the client and the ledger."""
    out, decoder = relayed(chunk({"content": "a"}) + chunk(finish="stop") + COUNTED + DONE)
    assert b'"output_tokens":7' in out
    assert decoder.usage is not None
    assert (decoder.usage.input_tokens, decoder.usage.output_tokens) == (11, 7)


@pytest.mark.parametrize("end", [b"", b'data: {"error":{"message":"x","type":"server_error"}}\n\n'])
def test_bug_11_a_failure_is_an_empty_turn(end: bytes) -> None:
    """A provider that fails has not ended its turn, before its first word or after it."""
    for opening in (b"", chunk({"role": "assistant", "content": ""}), chunk({"content": "half"})):
        heard = streamed(opening + end)
        assert heard.failure
        assert "message_delta" not in heard.kinds


def test_bug_12_a_reset_is_an_end() -> None:
    """A stream that stops without its last event is broken, even after a block was closed."""
    heard = streamed(chunk({"reasoning_content": "hm"}) + chunk({"content": "a"}))
    assert heard.failure == "UpstreamTruncated"
    assert not heard.complete


def test_bug_15_thinking_in_a_text_block() -> None:
    """Deltas stand in blocks of their type, and a message starts once, however the two take turns."""
    data = whole(
        chunk({"role": "assistant", "content": ""}),
        chunk({"reasoning_content": "a"}),
        chunk({"content": "b"}),
        chunk({"role": "assistant", "reasoning_content": "c"}),
        chunk({"content": "d"}),
    )
    heard = streamed(data)
    assert heard.kinds.count("message_start") == 1
    assert [block["type"] for block in heard.blocks] == ["thinking", "text", "thinking", "text"]


def test_bug_16_the_first_token_of_a_block_is_lost() -> None:
    """The delta that opens a block is told in it."""
    heard = streamed(
        whole(chunk({"reasoning_content": "first"}), chunk({"content": "second"}), chunk({"content": "!"}))
    )
    assert heard.blocks[0]["thinking"] == "first"
    assert heard.text == "second!"


def test_bug_17_calls_end_the_turn_behind_empty_text() -> None:
    """Calls alone are no text block, and their reason is theirs."""
    call = tool(0, "{}", id="a", name="f")
    heard = streamed(whole(chunk({"content": ""}), chunk({**call, "content": ""}), finish="tool_calls"))
    assert [block["type"] for block in heard.blocks] == ["tool_use"]
    assert heard.message["stop_reason"] == "tool_use"


def test_bug_18_arguments_are_dropped() -> None:
    """A call that comes whole, name and arguments in one chunk, keeps them."""
    heard = streamed(whole(chunk(tool(0, '{"city":"Köln"}', id="a", name="f")), finish="tool_calls"))
    assert heard.blocks[0]["input"] == {"city": "Köln"}


def test_bug_19_blocks_overlap() -> None:
    """One block is open at a time, even where calls take turns: `heard_of` insists on it."""
    parts = [chunk(tool(n % 3, '{"a":1}' if n < 3 else " ", id=f"c{n % 3}", name="f")) for n in range(6)]
    assert len(streamed(whole(chunk({"content": "x"}), *parts)).blocks) == 4


def test_bug_20_results_of_parallel_calls() -> None:
    """Results of one turn are messages in a row behind the turn that called, nothing between them."""
    used = [{"type": "tool_use", "id": f"t{n}", "name": "f", "input": {}} for n in (1, 2)]
    results = [{"type": "tool_result", "tool_use_id": f"t{n}", "content": "x"} for n in (1, 2)]
    picture = {"type": "image", "source": {"type": "url", "url": "https://p.invalid/x.png"}}
    results[0]["content"] = [picture]  # type: ignore[assignment]
    talk = [
        {"role": "assistant", "content": used},
        {"role": "user", "content": [*results, {"type": "text", "text": "?"}]},
    ]
    assert [message["role"] for message in asked(messages=talk)["messages"]] == ["assistant", "tool", "tool", "user"]


def test_bug_22_empty_text_blocks() -> None:
    """They are left out: providers refuse them."""
    talk = [{"role": "user", "content": [{"type": "text", "text": ""}, {"type": "text", "text": "a"}]}]
    assert asked(messages=talk)["messages"] == [{"role": "user", "content": "a"}]


def test_bug_28_characters_cut_in_two() -> None:
    """A character whose bytes come in two reads is one."""
    data = whole(chunk({"content": "你好 🎈"}))
    assert streamed(data, size=1).text == "你好 🎈"


def test_bug_29_chunks_without_choices() -> None:
    """Azure's first chunk has none."""
    data = frame({"choices": [], "prompt_filter_results": []}) + whole(chunk({"content": "a"}))
    assert streamed(data).text == "a"


def test_bug_33_signatures_are_lost() -> None:
    """What a provider wants back with a call is kept for it: see `test_signatures_of_other_providers_travel`."""
    decoder = stream()
    first = tool(0, "{}", id="a", name="f", extra_content={"google": {"thought_signature": "c2ln"}})
    assert b"redacted_thinking" in decoder.feed(chunk(first))
