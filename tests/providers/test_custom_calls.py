"""Calls of custom tools in the streams of OpenAI's imitators, and of Azure."""

from __future__ import annotations

import pytest

from .contract import reading
from .imitators import decoder, delta


@pytest.mark.parametrize("kind", ["azure", "openai_compatible", "mistral"])
def test_a_custom_tool_call_is_no_function(kind: str) -> None:
    """What is called is said in `custom`; a function that nobody calls is not made up beside it."""
    one = {"index": 0, "id": "a", "type": "custom", "custom": {"name": "sh", "input": ""}}
    other = {"index": 1, "id": "b", "type": "function", "function": {"name": "f", "arguments": ""}}
    more = [
        {"index": 0, "custom": {"input": "ls"}},
        {"index": 1, "function": {"arguments": "{}"}},
        {"index": 0, "id": "a", "type": "custom", "custom": {"input": " /"}},
    ]
    stream = decoder(kind)
    out = b"".join(stream.feed(delta(tool_calls=[each])) for each in (one, other, *more))
    found = [event["choices"][0]["delta"]["tool_calls"][0] for event in reading.events(out)]
    assert found == [one, other, *more[:2], {"index": 0, "custom": {"input": " /"}}]


def test_custom_calls_without_numbers_are_told_apart() -> None:
    """By their names, as functions are."""
    stream = decoder("mistral")
    calls = [{"id": each, "type": "custom", "custom": {"name": "sh", "input": each}} for each in "ab"]
    (event,) = reading.events(stream.feed(delta(tool_calls=calls)))
    assert event["choices"][0]["delta"]["tool_calls"] == [{"index": at, **each} for at, each in enumerate(calls)]
