"""Whole chat answers as messages."""

from __future__ import annotations

import json
from typing import Any

import pytest

from gateway.bridges.messages.names import shortened
from gateway.errors import UpstreamBadResponse, UpstreamServerError
from gateway.providers.anthropic import DIALECT as CLAUDE
from gateway.providers.gemini import DIALECT as GEMINI
from tests.bridges.messages.talk import answered, asked, bridged, call, chat, deployment

CALL = {"id": "c1", "type": "function", "function": {"name": "weather", "arguments": '{"city": "Köln"}'}}


def test_text() -> None:
    """A message under the client's name for the model, with its counts."""
    message = answered(chat({"content": "Grüße 🎈"}))
    assert message.pop("id").startswith("msg_")
    assert message == {
        "type": "message",
        "role": "assistant",
        "model": "asked",
        "content": [{"type": "text", "text": "Grüße 🎈"}],
        "stop_reason": "end_turn",
        "stop_sequence": None,
        "usage": {
            "input_tokens": 11,
            "output_tokens": 7,
            "cache_creation_input_tokens": 0,
            "cache_read_input_tokens": 0,
        },
    }


def test_calls() -> None:
    """Each call is a block with its id, its name and its arguments parsed; none of them is empty text."""
    other = {"id": "c2", "type": "function", "function": {"name": "now", "arguments": ""}}
    message = answered(chat({"content": "", "tool_calls": [CALL, other]}, "tool_calls"))
    assert message["content"] == [
        {"type": "tool_use", "id": "c1", "name": "weather", "input": {"city": "Köln"}},
        {"type": "tool_use", "id": "c2", "name": "now", "input": {}},
    ]
    assert message["stop_reason"] == "tool_use"


def test_arguments_that_are_no_object() -> None:
    """They reach the client, whose own check tells the model."""
    broken = {"id": "c1", "type": "function", "function": {"name": "weather", "arguments": '{"city": '}}
    assert answered(chat({"tool_calls": [broken]}))["content"][0]["input"] == {"INVALID_JSON": '{"city": '}


def test_a_call_without_an_id() -> None:
    """It gets one: clients answer calls by it."""
    message = answered(chat({"tool_calls": [{"function": {"name": "now", "arguments": "{}"}}]}))
    assert message["content"][0]["id"].startswith("toolu_")


def test_long_names_come_back() -> None:
    """The client reads the name that it gave."""
    long = "mcp__" + "server_" * 12
    called = {"id": "c1", "function": {"name": shortened(long), "arguments": "{}"}}
    message = answered(chat({"tool_calls": [called]}), tools=[{"name": long, "input_schema": {}}])
    assert message["content"][0]["name"] == long
    assert (
        answered(chat({"tool_calls": [{"id": "c", "function": {"name": "x" * 64}}]}))["content"][0]["name"] == "x" * 64
    )


@pytest.mark.parametrize(
    ("finish", "reason"),
    [
        ("stop", "end_turn"),
        ("length", "max_tokens"),
        ("model_length", "max_tokens"),
        ("content_filter", "refusal"),
        ("tool_calls", "end_turn"),
        ("made_up", "end_turn"),
        (None, "end_turn"),
    ],
)
def test_stop_reasons(finish: str | None, reason: str) -> None:
    """Each finish has its word; one of calls that were not made is an end."""
    assert answered(chat({"content": "a"}, finish))["stop_reason"] == reason


@pytest.mark.parametrize(
    ("finish", "reason"), [("stop", "tool_use"), ("tool_calls", "tool_use"), ("length", "max_tokens")]
)
def test_stop_reasons_of_calls(finish: str, reason: str) -> None:
    """Where calls were made clients must hear of them, unless the answer was cut off."""
    assert answered(chat({"tool_calls": [CALL]}, finish))["stop_reason"] == reason


def test_stop_sequence() -> None:
    """Where the provider tells which sequence ended the answer, the client hears it."""
    message = answered(chat({"content": "a"}, stop_reason="END"), stop_sequences=["END"])
    assert (message["stop_reason"], message["stop_sequence"]) == ("stop_sequence", "END")
    assert answered(chat({"content": "a"}, stop_reason=128001), stop_sequences=["END"])["stop_reason"] == "end_turn"


def test_a_refusal() -> None:
    """Its words are text, and it is known for what it is."""
    message = answered(chat({"refusal": "I will not."}))
    assert message["content"] == [{"type": "text", "text": "I will not."}]
    assert message["stop_reason"] == "refusal"


def test_nothing_said() -> None:
    """An answer without a word is one, without blocks."""
    message = answered(chat({"content": ""}))
    assert (message["content"], message["stop_reason"]) == ([], "end_turn")


@pytest.mark.parametrize("name", ["reasoning_content", "reasoning"])
def test_reasoning(name: str) -> None:
    """It is thinking, with a signature by which it is known again as nobody's."""
    message = answered(chat({name: "hm", "content": "a"}))
    assert message["content"] == [
        {"type": "thinking", "thinking": "hm", "signature": "gateway:unsigned"},
        {"type": "text", "text": "a"},
    ]


def test_parts() -> None:
    """Content in parts, thinking among them, as Mistral has it."""
    parts = [{"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]}, {"type": "text", "text": "a"}]
    assert [block["type"] for block in answered(chat({"content": parts}))["content"]] == ["thinking", "text"]


def test_usage_with_caches() -> None:
    """What was read from a cache or written to it stands apart; thinking is told."""
    reply = chat({"content": "a"})
    reply["usage"] = {
        "prompt_tokens": 100,
        "completion_tokens": 20,
        "prompt_tokens_details": {"cached_tokens": 60, "cache_write_tokens": 30},
        "completion_tokens_details": {"reasoning_tokens": 5},
    }
    assert answered(reply)["usage"] == {
        "input_tokens": 10,
        "cache_creation_input_tokens": 30,
        "cache_read_input_tokens": 60,
        "output_tokens": 20,
        "output_tokens_details": {"thinking_tokens": 5},
    }


def test_no_usage() -> None:
    """A provider that counts nothing leaves an estimate: unknown is not zero."""
    reply = chat({"content": "some words of an answer"})
    del reply["usage"]
    usage = answered(reply)["usage"]
    assert usage["input_tokens"] > 0
    assert usage["output_tokens"] > 0


@pytest.mark.parametrize("reply", [{"choices": []}, {"choices": [{"index": 0}]}, {"choices": "x"}, {"id": "x"}])
def test_bad_answers(reply: dict[str, Any]) -> None:
    """An answer without a message is none."""
    with pytest.raises(UpstreamBadResponse):
        answered(reply)


def test_an_answer_that_failed() -> None:
    """`error` as the finish is a failure, not an end."""
    with pytest.raises(UpstreamServerError):
        answered(chat({"content": "half"}, "error"))


def test_signatures_of_other_providers_travel() -> None:
    """What Gemini wants back with a call travels through the client as a block that it does not read, and gets back."""
    signed = {"functionCall": {"name": "weather", "args": {"city": "x"}, "id": "g1"}, "thoughtSignature": "c2lnbmVk"}
    native = {"candidates": [{"content": {"role": "model", "parts": [signed]}, "finishReason": "STOP"}]}
    to = deployment("gemini-3-pro", "gemini")
    told = bridged(GEMINI).decode(call(), to, (), json.dumps(native).encode())
    content = json.loads(told.body)["content"]
    assert [block["type"] for block in content] == ["redacted_thinking", "tool_use"]
    talk = [
        {"role": "user", "content": "go"},
        {"role": "assistant", "content": content},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": content[1]["id"], "content": "rain"}]},
    ]
    assert asked(to, GEMINI, messages=talk)["contents"][1]["parts"] == [signed]
    assert "extra_content" not in json.dumps(asked(messages=talk))


def test_thinking_that_is_signed_stays_so() -> None:
    """Blocks of a provider that signs them are the client's as they are."""
    blocks = [
        {"type": "thinking", "thinking": "hm", "signature": "c2ln"},
        {"type": "redacted_thinking", "data": "eA=="},
    ]
    native = {"type": "message", "content": [*blocks, {"type": "text", "text": "a"}], "stop_reason": "end_turn"}
    told = bridged(CLAUDE).decode(call(), deployment("claude-sonnet-4-5", "anthropic"), (), json.dumps(native).encode())
    assert json.loads(told.body)["content"] == native["content"]
