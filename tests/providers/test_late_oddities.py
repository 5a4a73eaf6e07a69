"""What imitators word in ways of their own is mended wherever in a stream it stands: early, late, and in one read."""

from __future__ import annotations

import json
from typing import Any

import pytest

from gateway.providers.wire.plain_chunks import has_shape, shape_of

from .imitators import chunk, decoder, delta

WORDS = 20
PLAIN = delta(content="x")
ODDITIES: dict[str, bytes] = {
    "role again": delta(role="assistant", content="odd"),
    "content as a list": delta(content=[{"type": "text", "text": "odd"}]),
    "another name for thoughts": delta(reasoning="odd"),
    "a call without an index": delta(tool_calls=[{"id": "c", "function": {"name": "odd", "arguments": "{}"}}]),
    "no finish reason": PLAIN.replace(b',"finish_reason":null', b""),
    "no index": PLAIN.replace(b'"index":0,', b""),
    "an empty id": PLAIN.replace(b'"chatcmpl-1"', b'""'),
    "a whole answer's name": PLAIN.replace(b".chunk", b""),
    "no name": PLAIN.replace(b"chat.completion.chunk", b""),
    "no choice": chunk(None, note="odd"),
    "nothing of an event": b'data: {"type":"ping"}\n\n',
}


def fed(events: list[bytes], *, together: bool) -> tuple[list[dict[str, Any]], Any]:
    """The events that a client gets, and the decoder."""
    reader = decoder("openai_compatible")
    out = reader.feed(b"".join(events)) if together else b"".join(map(reader.feed, events))
    return [json.loads(frame[6:]) for frame in out.split(b"\n\n") if frame and frame != b"data: [DONE]"], reader


@pytest.mark.parametrize("together", [False, True], ids=["one by one", "in one read"])
@pytest.mark.parametrize("before", [2, WORDS], ids=["early", "late"])
@pytest.mark.parametrize("odd", ODDITIES)
def test_it_is_mended(odd: str, before: int, together: bool) -> None:
    """Applications rely on an id, an index, a finish reason and a name in each event, and on its first choice."""
    opening = delta(role="assistant", content="")
    events, _ = fed([opening, *[PLAIN] * before, ODDITIES[odd], PLAIN, chunk({}, "stop")], together=together)
    for number, event in enumerate(events):
        assert (event["id"], event["object"]) == ("chatcmpl-1", "chat.completion.chunk")
        [choice] = event["choices"]
        assert choice["index"] == 0
        assert "finish_reason" in choice
        said = choice["delta"]
        assert ("role" in said) == (number == 0)
        assert "reasoning" not in said
        assert isinstance(said.get("content") or "", str)
        assert [call["index"] for call in said.get("tool_calls", ())] in ([], [0])
    silent = odd in ("no choice", "nothing of an event")
    assert len(events) == before + 4 - silent
    assert events[-1]["choices"][0]["finish_reason"] in ("stop", "tool_calls")


@pytest.mark.parametrize("together", [False, True], ids=["one by one", "in one read"])
@pytest.mark.parametrize("error", [b'{"object":"error","message":"boom","code":500}', b'{"error":{"message":"boom"}}'])
def test_a_late_error_is_one(error: bytes, together: bool) -> None:
    """It fails the stream, and is not passed on as an event."""
    opening = delta(role="assistant", content="")
    events, reader = fed([opening, *[PLAIN] * WORDS, b"data: " + error + b"\n\n", PLAIN], together=together)
    assert reader.failure is not None
    assert len(events) <= WORDS + 1
    assert "boom" not in json.dumps(events)


@pytest.mark.parametrize("reason", ["stop", "length"])
def test_an_echo_of_the_finish_is_dropped(reason: str) -> None:
    """Some end twice."""
    events, _ = fed([delta(role="assistant", content="x"), chunk({}, reason), chunk({}, reason)], together=False)
    assert [event["choices"][0]["finish_reason"] for event in events] == [None, reason]


def test_ordinary_events_keep_their_bytes() -> None:
    """Texts with quotes, brackets and what looks like a choice among them."""
    texts = ["x", 'a "quoted" word', '"choices":[{"index":1,"delta":{"content":"', "\\", "\n\n", "}]}", "", "é🎈"]
    events = [delta(role="assistant", content=""), *(delta(content=text) for text in texts * 3), chunk({}, "stop")]
    for together in (False, True):
        reader = decoder("openai_compatible")
        out = reader.feed(b"".join(events)) if together else b"".join(map(reader.feed, events))
        assert out == b"".join(events).replace(b'"m"', b'"the/asked-model"')


def test_a_shape() -> None:
    """It is learnt from an ordinary event alone, and holds for such."""
    shape = shape_of(PLAIN * 3)
    assert shape is not None
    assert has_shape(delta(content='say "choices"'), shape)
    assert has_shape(PLAIN * 5, shape)
    for odd in (*ODDITIES.values(), chunk({"content": "x"}, "stop"), chunk({"content": "x"}, None, error={})):
        assert not has_shape(PLAIN + odd, shape)
        assert shape_of(odd) is None or b'"reasoning"' in odd
