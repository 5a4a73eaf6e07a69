"""Reading OpenAI's chat answers as strictly as its SDKs' users need: every promise about their form is asserted."""

from __future__ import annotations

import json
from typing import Any

from .said import Read

FINISHES = {"stop", "length", "tool_calls", "content_filter"}
MESSAGE = {"role", "content", "refusal", "tool_calls", "reasoning_content"}


def whole(body: bytes, model: str) -> Read:
    """A `chat.completion` with one choice."""
    reply = json.loads(body)
    assert reply["object"] == "chat.completion"
    assert reply["model"] == model
    assert isinstance(reply["id"], str)
    assert reply["id"]
    assert isinstance(reply["created"], int)
    (choice,) = reply["choices"]
    assert choice["index"] == 0
    assert choice["finish_reason"] in FINISHES
    message = choice["message"]
    assert message["role"] == "assistant"
    assert "content" in message
    calls = message.get("tool_calls") or []
    for call in calls:
        assert call["type"] == "function"
        assert call["id"]
    return Read(
        message["content"] or "",
        message.get("reasoning_content") or "",
        [(call["id"], call["function"]["name"], call["function"]["arguments"]) for call in calls],
        choice["finish_reason"],
        reply.get("usage"),
        {name: value for name, value in message.items() if name not in MESSAGE},
    )


def streamed(body: bytes, model: str, *, usage: bool, named: bool = True) -> Read:
    """A stream of chunks with one choice, up to and with `[DONE]`; `usage` says whether it was asked for, `named`
    whether each event has the same id and date."""
    chunks = events(body)
    assert chunks[-1] == "[DONE]", "a stream ends with [DONE]"
    assert chunks.count("[DONE]") == 1
    del chunks[-1]
    if not named:
        chunks = [{**chunk, "created": 0, "id": "x"} for chunk in chunks]
    _check_envelopes(chunks, model, usage=usage)
    read = Read()
    begun: list[dict[str, Any]] = []
    for at, chunk in enumerate(chunks):
        if not chunk["choices"]:
            assert usage
            assert at == len(chunks) - 1, "usage is the last chunk"
            read.usage = chunk["usage"]
            continue
        (choice,) = chunk["choices"]
        assert read.finish is None, "nothing of a choice follows its finish reason"
        delta = choice["delta"]
        assert (delta.get("role") == "assistant") == (at == 0), "the first chunk alone says the role"
        read.text += delta.get("content") or ""
        read.reasoning += delta.get("reasoning_content") or ""
        for name in delta.keys() - MESSAGE:
            if isinstance(delta[name], list):
                read.extras[name] = read.extras.get(name, []) + delta[name]
        for fragment in delta.get("tool_calls") or ():
            _take(begun, fragment)
        read.finish = choice["finish_reason"]
    assert read.finish in FINISHES
    read.calls = [(call["id"], call["name"], call["arguments"]) for call in begun]
    return read


def events(body: bytes) -> list[Any]:
    """The data of each event; nothing but `data:` lines and comments stands in a chat stream."""
    found: list[Any] = []
    assert body.endswith(b"\n\n")
    for frame in body[:-2].split(b"\n\n"):
        if frame.startswith(b":"):
            continue
        assert frame.startswith(b"data: "), frame
        assert b"\n" not in frame
        text = frame.removeprefix(b"data: ")
        found.append("[DONE]" if text == b"[DONE]" else json.loads(text))
    return found


def _check_envelopes(chunks: list[Any], model: str, *, usage: bool) -> None:
    assert {chunk["object"] for chunk in chunks} == {"chat.completion.chunk"}
    assert {chunk["model"] for chunk in chunks} == {model}
    assert len({(chunk["id"], chunk["created"]) for chunk in chunks}) == 1, "one id and one date"
    for chunk in chunks:
        if chunk["choices"]:
            assert chunk.get("usage") is None
        if not usage:
            assert "usage" not in chunk
        for choice in chunk["choices"]:
            assert "finish_reason" in choice


def _take(begun: list[dict[str, Any]], fragment: dict[str, Any]) -> None:
    index = fragment["index"]
    function = fragment["function"]
    if index == len(begun):
        assert fragment["id"], "the first fragment of a call has its id"
        assert fragment["type"] == "function"
        begun.append({"id": fragment["id"], "name": function["name"], "arguments": ""})
    assert index < len(begun), "calls are numbered without gaps"
    begun[index]["arguments"] += function["arguments"]
