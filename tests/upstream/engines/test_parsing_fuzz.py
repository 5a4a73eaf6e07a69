"""The border of the default engine's parser, fed directly: whatever arrives becomes an answer or one of our errors."""

from __future__ import annotations

import asyncio
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.errors import UpstreamBadResponse, UpstreamDisconnected, UpstreamError, UpstreamTruncated
from gateway.ports import Deadlines
from gateway.upstream.engines.connection import Connection
from gateway.upstream.engines.pool import Pool
from tests.support.steps import chunked, raw_head, raw_reply

if TYPE_CHECKING:
    from gateway.upstream.engines.response import Response

TE = ("transfer-encoding", "chunked")
BODY = b"0123456789abcdef" * 4
VALID = [
    raw_reply(200, BODY, [("content-type", "text/plain")]),
    raw_head(200, [TE]) + chunked(BODY[:10], b";a=1") + chunked(BODY[10:]) + b"0\r\nx-t: 1\r\n\r\n",
    raw_head(100) + raw_head(103, [("link", "a")]) + raw_reply(200, BODY),
    raw_head(204, [("x-a", "1")]),
    raw_reply(503, BODY, [("connection", "close"), ("Keep-Alive", "timeout=5")]),
    raw_head(200, [("connection", "close")]) + BODY,
]
FUZZ = settings(
    max_examples=400, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture]
)
PLAIN = settings(max_examples=60, deadline=None)


class _Transport(asyncio.Transport):
    """Takes everything and remembers only whether it is closed."""

    def __init__(self) -> None:
        super().__init__()
        self.closed = False

    def write(self, data: Any) -> None:
        pass

    def abort(self) -> None:
        self.closed = True

    def close(self) -> None:
        self.closed = True

    def is_closing(self) -> bool:
        return self.closed

    def get_write_buffer_size(self) -> int:
        return 0

    def pause_reading(self) -> None:
        pass

    def resume_reading(self) -> None:
        pass


class _Exchange:
    """One connection with one exchange begun, in a loop that never runs."""

    def __init__(self, *, bodiless: bool = False) -> None:
        self.loop = asyncio.new_event_loop()
        self.pool: Pool[Connection] = Pool("p", 1)
        self.connection = Connection(self.loop, self.pool)
        self.transport = _Transport()
        assert self.pool.reserve()
        self.connection.connection_made(self.transport)
        self.pool.opened(self.connection)
        self.response: Response = self.connection.start(Deadlines(), self.loop.time() + 60, bodiless=bodiless)

    def feed(self, pieces: list[bytes], *, end: bool) -> None:
        try:
            for piece in pieces:
                if not self.transport.closed:
                    self.connection.data_received(piece)
            if end and not self.transport.closed:
                self.connection.eof_received()
                self.connection.connection_lost(None)
        finally:
            self.loop.close()

    def check(self) -> None:
        """Answered, failed with an error of ours, or still waiting on an open connection: nothing else."""
        response = self.response
        if response.error is not None:
            assert isinstance(response.error, UpstreamError)
            assert not response.complete
        if response.error is not None or self.transport.closed:
            assert self.connection.closed
            assert self.pool.take() is None
        if response.complete and not self.transport.closed:
            assert self.pool.take() is self.connection
        if not response.complete and response.error is None:
            assert not self.transport.closed
            assert self.pool.idle == 0
        assert response.complete or response.error or self.connection.response is response


def _split(data: bytes, cuts: list[int]) -> list[bytes]:
    places = sorted({0, len(data), *(cut % (len(data) + 1) for cut in cuts)})
    return [data[start:stop] for start, stop in pairwise(places)]


@FUZZ
@given(data=st.binary(max_size=400), cuts=st.lists(st.integers(0, 400), max_size=6), end=st.booleans())
def test_random_bytes(data: bytes, cuts: list[int], end: bool) -> None:
    """Random bytes in random pieces."""
    exchange = _Exchange()
    exchange.feed(_split(data, cuts), end=end)
    exchange.check()
    if end:
        assert isinstance(exchange.response.error, UpstreamBadResponse | UpstreamDisconnected)


@FUZZ
@given(
    raw=st.sampled_from(VALID),
    edits=st.lists(st.tuples(st.integers(0, 500), st.integers(0, 3), st.binary(min_size=1, max_size=4)), max_size=5),
    cuts=st.lists(st.integers(0, 500), max_size=6),
    end=st.booleans(),
    bodiless=st.booleans(),
)
def test_mutated_answers(
    raw: bytes, edits: list[tuple[int, int, bytes]], cuts: list[int], end: bool, bodiless: bool
) -> None:
    """Valid answers with bytes inserted, replaced, doubled or removed."""
    for place, kind, data in edits:
        place %= len(raw) + 1
        tail = {0: data + raw[place:], 1: data + raw[place + len(data) :], 2: raw[place + 1 :], 3: raw[place // 2 :]}
        raw = raw[:place] + tail[kind]
    exchange = _Exchange(bodiless=bodiless)
    exchange.feed(_split(raw, cuts), end=end)
    exchange.check()
    if end:
        assert exchange.response.complete or exchange.response.error is not None


@PLAIN
@given(raw=st.sampled_from(VALID), cuts=st.lists(st.integers(0, 500), max_size=12))
def test_valid_answers_however_split(raw: bytes, cuts: list[int]) -> None:
    """The pieces make no difference to what is read."""
    exchange = _Exchange()
    exchange.feed(_split(raw, cuts), end=True)
    exchange.check()
    assert exchange.response.complete
    assert b"".join(exchange.response.parts) == (b"" if exchange.response.status == 204 else BODY)


@PLAIN
@given(
    number=st.integers(0, len(VALID) - 2), offset=st.integers(0, 500), cuts=st.lists(st.integers(0, 500), max_size=4)
)
def test_cut_answers_are_never_whole(number: int, offset: int, cuts: list[int]) -> None:
    """Every proper beginning of an answer with a framed body ends as disconnected or truncated."""
    raw = VALID[number]
    offset %= len(raw)
    exchange = _Exchange()
    exchange.feed(_split(raw[:offset], cuts), end=True)
    exchange.check()
    assert isinstance(exchange.response.error, UpstreamDisconnected | UpstreamTruncated)


@FUZZ
@given(raw=st.sampled_from(VALID), extra=st.binary(min_size=1, max_size=80), cuts=st.lists(st.integers(0, 500)))
def test_bytes_after_an_answer_close_the_connection(raw: bytes, extra: bytes, cuts: list[int]) -> None:
    """What follows an answer makes the connection unfit for another, unless it is only empty lines in the same read."""
    exchange = _Exchange()
    pieces = _split(raw, cuts)
    exchange.feed([*pieces[:-1], pieces[-1] + extra] if len(extra) % 2 else [*pieces, extra], end=False)
    exchange.check()
    if raw is VALID[-1]:
        assert not exchange.response.complete  # read-to-EOF: it is body
    else:
        assert exchange.response.complete
        assert exchange.transport.closed or not extra.strip(b"\r\n")
