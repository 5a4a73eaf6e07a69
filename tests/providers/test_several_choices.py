"""Streams of several choices that end without `[DONE]`: each of them has to be whole."""

from __future__ import annotations

import json
from typing import Any

import pytest
from msgspec import structs

from gateway.errors import UpstreamTruncated

from .imitators import call, chunk, deployment, dialect

DONE = b"data: [DONE]\n\n"


@pytest.mark.parametrize("kind", ["openai", "azure", "openai_compatible"])
@pytest.mark.parametrize("at_once", [True, False])
@pytest.mark.parametrize(("n", "whole"), [(1, 1), (2, 2), (2, 1), (2, 0), (5, 4)])
def test_an_end_without_a_word_needs_every_choice_s_finish_reason(kind: str, at_once: bool, n: int, whole: int) -> None:
    """A body that ends without `[DONE]` is whole where each choice that was asked for is, and broken off otherwise."""
    events = [choices({"index": at, "delta": {"content": "x"}, "finish_reason": None}) for at in range(n)]
    events += [choices({"index": at, "delta": {}, "finish_reason": "stop"}) for at in range(whole)]
    asked = structs.replace(call({"n": n}, stream=True), choices=n)
    stream = dialect(kind).stream(asked, deployment(kind))
    out = stream.feed(b"".join(events)) if at_once else b"".join(map(stream.feed, events))
    out += stream.end()
    assert stream.complete is out.endswith(DONE) is (n == whole)
    assert isinstance(stream.failure, UpstreamTruncated) is (n != whole)


def test_choices_may_end_in_one_event() -> None:
    """Several finish reasons in one event count one by one; the same one again counts once."""
    ends = [{"index": at, "delta": {}, "finish_reason": "stop"} for at in range(3)]
    for events, whole in (([ends], True), ([ends[:2], ends[2:]], True), ([ends[:2], ends[1:2]], False)):
        stream = dialect("openai").stream(structs.replace(call({}, stream=True), choices=3), deployment("openai"))
        for event in events:
            stream.feed(choices(*event))
        stream.end()
        assert stream.complete is whole


def test_choices_that_a_provider_is_not_asked_for_are_not_missed() -> None:
    """Where `n` is cut down for a provider, the one choice that it makes is the whole answer."""
    stream = dialect("groq").stream(structs.replace(call({}, stream=True), choices=2), deployment("groq"))
    stream.feed(chunk({"content": "x"}) + chunk({}, "stop"))
    assert stream.end() == DONE


def choices(*given: dict[str, Any]) -> bytes:
    """One event with these choices."""
    event = {"id": "x", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": given}
    return b"data: " + json.dumps(event).encode() + b"\n\n"
