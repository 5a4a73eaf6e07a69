"""Events as long as a whole answer: put together once, whatever reads they come in, and bounded."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.errors import UpstreamTooLarge
from gateway.providers.wire.named_stream import NamedEventStream
from gateway.providers.wire.sizes import PER_IMAGE, PER_INPUT, REPLY, reply_limit
from gateway.types import Call, Service, Usage

ASKED = "the/asked-model"


def picture(size: int, end: bytes = b"\n") -> bytes:
    """The event that brings a picture of so many bytes."""
    fields = b'{"type":"image_generation.completed","b64_json":"%b","usage":{"input_tokens":3,"output_tokens":4}}'
    return b"event: image_generation.completed%bdata: %b%b" % (end, fields % (b"A" * size), 2 * end)


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"])
@pytest.mark.parametrize("size", [1000, 65536, 99_991])
def test_a_long_named_event(size: int, end: bytes) -> None:
    """A picture is one event of several megabytes: relayed whole when its end is here, wherever reads end."""
    stream = NamedEventStream(ASKED)
    event = picture(3 << 20, end)
    out = b"".join(stream.feed(event[at : at + size]) for at in range(0, len(event), size)) + stream.end()
    assert out == picture(3 << 20)
    assert (stream.complete, stream.failure, stream.usage) == (True, None, Usage(3, 4))


@pytest.mark.parametrize("last", [b"\n\n", b"\r\n\r\n", b"\n", b""])
@pytest.mark.parametrize("cut", range(1, 6))
def test_the_end_of_a_long_event_may_come_in_pieces(cut: int, last: bytes) -> None:
    """An empty line is found across reads, and the end of the body ends the last event."""
    stream = NamedEventStream(ASKED)
    body = picture(200_000)[:-2] + last
    out = b"".join(stream.feed(piece) for piece in (body[:150_000], body[150_000:-cut], body[-cut:])) + stream.end()
    assert out == picture(200_000)
    assert (stream.complete, stream.failure) == (True, None)


def test_a_long_event_is_put_together_once() -> None:
    """Reads of an unfinished event are kept as they came: feeding costs no more the more of it is here."""
    stream = NamedEventStream(ASKED)
    piece = b"x" * 65536
    stream.feed(b"data: " + piece)
    for _ in range(100):
        stream.feed(piece)
    assert stream._long is not None
    assert [kept is piece for kept in stream._long._pieces] == [False, *[True] * 100]


def test_a_named_event_has_a_bound_too() -> None:
    """That of a whole reply; what was kept of it is let go, and the provider is no worse for it."""
    stream = NamedEventStream(ASKED, 1 << 20)
    stream.feed(b"data: ")
    for _ in range(17):
        stream.feed(b"x" * 65536)
    assert isinstance(stream.failure, UpstreamTooLarge)
    assert not stream.failure.counts_against_health
    assert (stream._rest, stream._long) == (b"", None)
    assert stream.feed(b"\n\n") == b""


@pytest.mark.parametrize(
    ("service", "fields", "limit"),
    [
        (Service.CHAT, {"choices": 100}, REPLY),
        (Service.RESPONSES, {}, REPLY),
        (Service.RERANK, {"inputs": 5000}, REPLY),
        (Service.EMBEDDINGS, {"inputs": 1}, REPLY),
        (Service.EMBEDDINGS, {"inputs": 2048}, 2048 * PER_INPUT),
        (Service.IMAGES, {"choices": 1}, REPLY),
        (Service.IMAGES, {"choices": 10}, 10 * PER_IMAGE),
        (Service.IMAGES, {"choices": 2**31 - 1}, 10 * PER_IMAGE),
    ],
)
def test_how_much_of_an_answer_is_held(service: Service, fields: dict[str, Any], limit: int) -> None:
    """It grows with what was asked for, and never beyond what a provider would make of it."""
    assert reply_limit(Call("c", "r", service, "/x", "m", b"{}", 0.0, **fields)) == limit
