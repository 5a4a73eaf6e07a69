"""The one encoder of translated streams: what OpenAI's SDKs rely on holds whatever a dialect says."""

from __future__ import annotations

import json
from collections import defaultdict
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import UpstreamBadEvent, UpstreamOverloaded, UpstreamTruncated
from gateway.providers.chat.chunks import ChunkEncoder
from gateway.providers.chat.events import (
    Annotations,
    Begin,
    Done,
    Event,
    Finish,
    ReasoningBlock,
    ReasoningDelta,
    RefusalDelta,
    StreamError,
    TextDelta,
    ToolCallDelta,
    ToolCallEnd,
    ToolCallStart,
    UsageUpdate,
)
from gateway.providers.chat.stream import TranslatedStream
from gateway.providers.wire.frames import MAX_EVENT, EventSplitter
from gateway.types import Call, Service, Usage

from .contract import reading


def call(*, usage: bool = True) -> Call:
    return Call("c1", "r", Service.CHAT, "/x", "asked", b"{}", 0.0, stream=True, include_usage=usage)


def chunks(*events: Event, usage: bool = True) -> list[Any]:
    encoder = ChunkEncoder(call(usage=usage))
    return reading.events(b"".join(map(encoder.encode, events)) + encoder.end())


def test_choices_are_apart() -> None:
    """Each choice has its own role, its own numbers of calls and its own finish reason; usage comes once."""
    found = chunks(
        ToolCallStart("a", "id-a", "f", choice=0),
        ToolCallStart("a", "id-b", "g", choice=1),
        ToolCallStart("b", "id-c", "h", "{}", choice=1),
        ToolCallDelta("a", "1", choice=1),
        Finish("stop", choice=1),
        Finish("length", choice=0),
        UsageUpdate(Usage(1, 2)),
        UsageUpdate(Usage(1, 3)),
    )
    by_choice: dict[int, list[Any]] = defaultdict(list)
    for chunk in found[:-2]:
        (choice,) = chunk["choices"]
        by_choice[choice["index"]].append(choice)
    assert [choice["delta"].get("role") for choice in by_choice[1]][:2] == ["assistant", None]
    calls = [piece for choice in by_choice[1] for piece in choice["delta"].get("tool_calls", ())]
    assert [(piece["index"], piece.get("id")) for piece in calls] == [(0, "id-b"), (1, "id-c"), (0, None)]
    assert [choice["finish_reason"] for choice in by_choice[0]][-1] == "length"
    assert [choice["finish_reason"] for choice in by_choice[1]][-1] == "tool_calls"
    assert found[-2]["usage"]["completion_tokens"] == 3


def test_extensions() -> None:
    """Refusals, reasoning, its blocks, sources and what belongs to a call reach the client."""
    block = {"type": "thinking", "thinking": "x", "signature": "s"}
    found = chunks(
        Begin("native-id"),
        ReasoningDelta("hm"),
        ReasoningBlock(block),
        RefusalDelta("no"),
        Annotations([{"type": "url_citation"}]),
        ToolCallStart(0, "", "f", extra={"google": {"thought_signature": "t"}}),
        Finish("stop"),
    )
    deltas = [chunk["choices"][0]["delta"] for chunk in found[:-1]]
    assert found[0]["id"] == "native-id"
    assert deltas[1:5] == [
        {"reasoning_content": "hm"},
        {"thinking_blocks": [block]},
        {"refusal": "no"},
        {"annotations": [{"type": "url_citation"}]},
    ]
    assert deltas[5]["tool_calls"][0]["extra_content"] == {"google": {"thought_signature": "t"}}
    assert deltas[5]["tool_calls"][0]["id"] == "call_c1_0_0"


def test_nothing_is_said_before_there_is_something() -> None:
    """The start of an answer and its counts send nothing: a failure may still be answered by another deployment."""
    encoder = ChunkEncoder(call())
    for event in (Begin("x"), UsageUpdate(Usage(1, 1)), TextDelta(""), ReasoningDelta("")):
        assert encoder.encode(event) == b""


def test_arguments_of_a_call_that_never_began() -> None:
    """They belong to nothing, and are not made up into something."""
    with pytest.raises(UpstreamBadEvent):
        ChunkEncoder(call()).encode(ToolCallDelta("x", "{}"))


def test_too_many_calls() -> None:
    """A stream cannot make the gateway remember calls, or choices, without end."""
    calls = [ToolCallStart(number, "i", "f") for number in range(2000)]
    choices = [TextDelta("x", number) for number in range(2000)]
    for events in (calls, choices):
        with pytest.raises(UpstreamBadEvent):
            chunks(*events)


class Played:
    """A native stream whose events are made up: one JSON number each, an index into a list."""

    def __init__(self, events: list[Event]) -> None:
        self._events = events

    def read(self, name: bytes, data: bytes) -> list[Event]:
        return [self._events[json.loads(data)]]


def played(*events: Event, more: bytes = b"") -> tuple[TranslatedStream, bytes]:
    stream = TranslatedStream(call(), EventSplitter(), Played(list(events)))
    body = b"".join(b"data: %d\n\n" % at for at in range(len(events))) + more
    return stream, stream.feed(body) + stream.end()


def test_what_came_before_a_bad_event_is_relayed() -> None:
    """The text before an event that cannot be read arrives; the failure comes after it."""
    for bad in (b"data: nonsense\n\n", b"data: 99\n\n"):
        stream, out = played(TextDelta("kept"), more=bad)
        assert b"kept" in out
        assert isinstance(stream.failure, UpstreamBadEvent)


def test_errors_end_a_stream() -> None:
    """Nothing after an error is relayed."""
    stream, out = played(TextDelta("a"), StreamError(UpstreamOverloaded()), TextDelta("b"), Finish("stop"), Done())
    assert isinstance(stream.failure, UpstreamOverloaded)
    assert b'"a"' in out
    assert b'"b"' not in out


def test_ends() -> None:
    """A finish reason makes an end complete with or without a terminal event; neither alone, nor a terminal event."""
    assert played(TextDelta("a"), Finish("stop"), Done())[0].complete
    assert played(TextDelta("a"), Finish("stop"))[0].complete
    assert isinstance(played(TextDelta("a"), Done())[0].failure, UpstreamTruncated)
    assert isinstance(played(TextDelta("a"))[0].failure, UpstreamTruncated)


def test_counts_for_estimates() -> None:
    """Chunks with text and its bytes are told apart from the rest."""
    stream, out = played(
        Begin(), TextDelta("abc"), ReasoningDelta("de"), ToolCallStart(0, "i", "f", "{}"), Finish("stop")
    )
    assert stream.text == (3, 8)
    assert stream.relayed_bytes == len(out)


KEYS = st.sampled_from([0, 1, "k"])
CHOICES = st.sampled_from([0, 0, 0, 1])
WORDS = st.text(max_size=4)
EVENTS: st.SearchStrategy[Event] = st.one_of(
    st.builds(Begin, WORDS),
    st.builds(TextDelta, WORDS, CHOICES),
    st.builds(ReasoningDelta, WORDS, CHOICES),
    st.builds(ToolCallStart, KEYS, WORDS, WORDS, WORDS, st.none(), CHOICES),
    st.builds(ToolCallEnd, KEYS, CHOICES),
    st.builds(Finish, st.sampled_from(["stop", "tool_calls", "length"]), CHOICES),
    st.builds(UsageUpdate, st.builds(Usage, st.integers(0, 9), st.integers(0, 9))),
)


@given(st.lists(EVENTS, max_size=30), st.booleans())
def test_promises_hold_for_any_events(events: list[Event], usage: bool) -> None:
    """Role first, dense numbers, one finish reason, last, per choice; usage once if asked; `[DONE]`."""
    found = chunks(*events, usage=usage)
    assert found[-1] == "[DONE]"
    begun: dict[int, int] = defaultdict(int)
    state: dict[int, str] = {}
    for chunk in found[:-1]:
        if not chunk["choices"]:
            assert usage
            assert chunk is found[-2]
            continue
        (choice,) = chunk["choices"]
        index = choice["index"]
        assert state.get(index) != "over"
        assert ("role" in choice["delta"]) == (index not in state)
        state[index] = "over" if choice["finish_reason"] else "open"
        for piece in choice["delta"].get("tool_calls", ()):
            assert piece["index"] <= begun[index]
            begun[index] = max(begun[index], piece["index"] + 1)
        if choice["finish_reason"] in ("stop", "tool_calls"):
            assert (choice["finish_reason"] == "tool_calls") == bool(begun[index])
    assert set(state.values()) <= {"over"}


@given(st.binary(max_size=200), st.lists(st.integers(1, 40), max_size=20))
def test_splitting_is_the_same_at_any_cut(data: bytes, sizes: list[int]) -> None:
    """Events of a stream do not depend on where reads end, for any bytes and kinds of line ends."""
    body = data.replace(b"A", b"data: x\r\n\r\n").replace(b"B", b"event: n\ndata: 1\ndata: 2\n\n").replace(b"C", b"\r")
    whole = EventSplitter()
    wanted = whole.feed(body) + whole.end()
    pieces, at = [], 0
    for size in sizes:
        pieces.append(body[at : at + size])
        at += size
    parts = EventSplitter()
    found = [event for piece in (*pieces, body[at:]) for event in parts.feed(piece)] + parts.end()
    assert found == wanted


def test_an_event_too_long() -> None:
    """It is given up at the bound, and what was kept of it is let go."""
    splitter = EventSplitter()
    for _ in range(MAX_EVENT // 65536 + 1):
        splitter.feed(b"x" * 65536)
    assert splitter.too_long
    assert splitter._unfinished.size == 0


@pytest.mark.parametrize("size", [1, 700_000, 3_000_000])
def test_a_picture_is_one_event(size: int) -> None:
    """A long event comes whole, whatever the reads, and so does what stands around it."""
    body = b"data: a\n\n" + b"data: " + b"x" * size + b"\n\ndata: b\n\n"
    splitter = EventSplitter()
    found = [event for at in range(0, len(body), 40_000) for event in splitter.feed(body[at : at + 40_000])]
    assert [data for _, data in found] == [b"a", b"x" * size, b"b"]
