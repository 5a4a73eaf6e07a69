"""What every engine makes of an upstream that misbehaves: one of our errors, in bounded time, no dirty connection."""

from __future__ import annotations

import asyncio
import os
import random
import resource
import socket
import ssl
from contextlib import contextmanager
from typing import TYPE_CHECKING

import httptools
import pytest
from httptools.parser import errors

from gateway.errors import (
    UpstreamBadResponse,
    UpstreamConnectTimeout,
    UpstreamDisconnected,
    UpstreamDnsFailed,
    UpstreamError,
    UpstreamNoSocket,
    UpstreamPoolExhausted,
    UpstreamStalled,
    UpstreamTimeout,
    UpstreamTlsFailed,
    UpstreamTruncated,
    UpstreamUnreachable,
)
from gateway.ports import Endpoint
from gateway.upstream.engines.failures import connect_failure
from tests.support.steps import (
    Step,
    chunked,
    close,
    cut,
    json_reply,
    junk,
    raw_head,
    raw_reply,
    reset,
    send,
    sleep,
    sse,
    stall,
)
from tests.support.upstream import Received, ScriptedUpstream

from .calls import LIMIT, Arriving, endpoint, fetch, post, soon

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from gateway.ports import Engine
    from gateway.upstream.engines.httptools_engine import HttptoolsEngine

TE = ("transfer-encoding", "chunked")


def _free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


# ---- connecting ----


async def test_a_refused_connection_is_unreachable(engine: Engine) -> None:
    """Nobody listens: UpstreamUnreachable."""
    with pytest.raises(UpstreamUnreachable) as caught:
        await engine.send(post(Endpoint("127.0.0.1", _free_port(), tls=False, private_network=True)), soon())
    assert caught.value.outcome == "connect_refused"


@contextmanager
def _no_more_files() -> Iterator[None]:
    """The system refuses this process every further descriptor."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    free = os.dup(0)
    os.close(free)
    resource.setrlimit(resource.RLIMIT_NOFILE, (free, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


async def test_descriptors_that_run_out_are_not_the_providers_failure(engine: Engine) -> None:
    """The provider listens, and no socket can be made: that is ours, speaks against nobody, and is over with its
    cause."""
    async with ScriptedUpstream([*json_reply(1)]) as up:
        with _no_more_files(), pytest.raises(UpstreamNoSocket) as caught:
            await engine.send(post(endpoint(up)), soon())
        assert not caught.value.counts_against_health
        assert caught.value.public_status == 503
        assert await fetch(engine, post(endpoint(up))) == (200, b"1")


async def test_a_name_that_cannot_resolve_is_a_dns_failure(engine: Engine) -> None:
    """A name that DNS cannot even ask for fails as a name, not as a host."""
    with pytest.raises(UpstreamDnsFailed):
        await engine.send(post(Endpoint("a" * 70 + ".test", 80, tls=False)), soon())


async def test_a_handshake_that_hangs_is_a_connect_timeout(engine: Engine) -> None:
    """TCP accepts and TLS says nothing: the connect deadline covers it."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        where = Endpoint("127.0.0.1", silent.getsockname()[1], tls=True, private_network=True)
        with pytest.raises(UpstreamConnectTimeout):
            await engine.send(post(where), soon(connect=0.05))


@pytest.mark.parametrize("bound", [{"first_byte": 0.05}, {"pool": 0.05, "first_byte": 60.0}])
async def test_a_busy_pool_is_waited_for_until_the_deadline(engine: Engine, bound: dict[str, float]) -> None:
    """Every connection is busy until the deadline, or for as long as a connection is waited for: UpstreamPoolExhausted,
    and the busy one is not harmed."""
    async with ScriptedUpstream([sleep(0.3), *json_reply(1)]) as up:
        where = endpoint(up, max_connections=1)
        first = asyncio.ensure_future(fetch(engine, post(where)))
        await up.requested()
        with pytest.raises(UpstreamPoolExhausted):
            await engine.send(post(where), soon(**bound))
        assert await first == (200, b"1")
        assert (await fetch(engine, post(where)))[0] == 200
        assert up.connections == 1


def _foreign_errors() -> list[type[Exception]]:
    def below(kind: type[Exception]) -> list[type[Exception]]:
        return [kind, *(found for sub in kind.__subclasses__() for found in below(sub))]

    modules = ("builtins", "ssl", "socket", "_socket", "asyncio")
    return [kind for kind in [*below(OSError), UnicodeError] if kind.__module__.split(".")[0] in modules]


@pytest.mark.parametrize("kind", _foreign_errors(), ids=lambda kind: kind.__name__)
def test_every_error_of_sockets_and_tls_is_mapped(kind: type[Exception]) -> None:
    """Each subclass of OSError that the standard library knows becomes one of our errors for connecting; what says that
    the connection ended is no failure of TLS, however it was said."""
    error = kind() if kind.__init__ is not UnicodeDecodeError.__init__ else UnicodeError()
    mapped = type(connect_failure(error))
    allowed = (UpstreamUnreachable, UpstreamConnectTimeout, UpstreamTlsFailed)
    assert issubclass(mapped, allowed)
    if issubclass(kind, ConnectionError | ssl.SSLEOFError | ssl.SSLZeroReturnError | ssl.SSLSyscallError):
        assert mapped is UpstreamUnreachable
    elif issubclass(kind, ssl.SSLError):
        assert mapped is UpstreamTlsFailed
    if issubclass(kind, socket.gaierror | UnicodeError):
        assert mapped is UpstreamDnsFailed
    if kind is TimeoutError:
        assert mapped is UpstreamConnectTimeout


def test_every_error_of_the_parser_is_caught() -> None:
    """All that httptools can raise while parsing is what the connection catches."""
    names = [name for name in errors.__all__ if name != "HttpParserUpgrade"]
    assert all(issubclass(getattr(errors, name), httptools.HttpParserError) for name in names)


# ---- time ----


async def test_no_first_byte_in_time(engine: Engine) -> None:
    """A head that does not come within `first_byte` is UpstreamTimeout; the connection is closed."""
    async with ScriptedUpstream([stall()]) as up:
        with pytest.raises(UpstreamTimeout):
            await engine.send(post(up), soon(first_byte=0.05))
        await up.disconnected()
        assert (await fetch(engine, post(up)))[0] == 200


async def test_the_absolute_deadline_bounds_the_head(engine: Engine) -> None:
    """`at` counts before `first_byte` if it comes earlier, even when it has passed already."""
    async with ScriptedUpstream([stall()]) as up:
        with pytest.raises(UpstreamTimeout):
            await engine.send(post(up), soon(total=0.05))
        with pytest.raises(UpstreamTimeout):
            await engine.send(post(up), soon(total=-1))
        assert len(up.received) == 1


async def _drip(_: Received) -> AsyncIterator[Step]:
    yield send(raw_head(200, [TE]))
    while True:
        yield send(chunked(b"."))
        yield sleep(0.01)


async def test_a_drip_meets_the_absolute_deadline(engine: Engine) -> None:
    """A byte now and then keeps the idle time away, but not `at`."""
    async with ScriptedUpstream(_drip) as up:
        response = await engine.send(post(up), soon(total=0.5))
        with pytest.raises(UpstreamTimeout):
            await response.read(LIMIT)
        await up.disconnected()


async def test_a_drip_of_head_bytes_meets_the_first_byte_deadline(engine: Engine) -> None:
    """An endless head is no answer."""

    async def script(_: Received) -> AsyncIterator[Step]:
        yield send(b"HTTP/1.1 200 OK\r\n")
        while True:
            yield send(b"x-a: 1\r\n")
            yield sleep(0.01)

    async with ScriptedUpstream(script) as up:
        with pytest.raises(UpstreamTimeout):
            await engine.send(post(up), soon(first_byte=0.1))
        await up.disconnected()


async def test_a_stalled_body(engine: Engine) -> None:
    """What came is readable; then UpstreamStalled after `idle`."""
    async with ScriptedUpstream([send(raw_head(200, [TE]) + chunked(b"one")), stall()]) as up:
        response = await engine.send(post(up), soon(idle=0.05))
        assert await response.chunk() == b"one"
        for _ in range(2):
            with pytest.raises(UpstreamStalled):
                await response.chunk()
        await up.disconnected()


# ---- what breaks off ----


@pytest.mark.parametrize("end", [close(), reset()], ids=["close", "reset"])
async def test_a_connection_that_ends_before_the_answer(engine: Engine, end: Step) -> None:
    """On a fresh connection: UpstreamDisconnected, and nothing is sent again."""
    async with ScriptedUpstream([end]) as up:
        with pytest.raises(UpstreamDisconnected):
            await engine.send(post(up), soon())
        assert len(up.received) == 1


@pytest.mark.parametrize("end", [close(), reset()], ids=["close", "reset"])
@pytest.mark.parametrize("framed", ["length", "chunked"])
async def test_a_reply_cut_anywhere_is_never_taken_for_whole(engine: Engine, framed: str, end: Step) -> None:
    """Whatever the offset, head or body, the answer fails as disconnected or truncated, and the next one is its own."""
    rng = random.Random(f"{framed}{end}")
    body = rng.randbytes(700)
    whole = raw_reply(200, body) if framed == "length" else raw_head(200, [TE]) + chunked(body) + chunked(b"")
    head_size = whole.index(b"\r\n\r\n") + 4
    offsets = sorted({0, 1, head_size - 1, head_size, len(whole) - 1, *(rng.randrange(len(whole)) for _ in range(14))})
    async with ScriptedUpstream() as up:
        for number, offset in enumerate(offsets):
            up.then(cut([send(whole)], offset, end), json_reply({"n": number}))
            # A fresh connection each time: on a reused one, offset 0 would be sent again.
            up.default = json_reply({"ok": True}, headers=[("connection", "close")])
            with pytest.raises((UpstreamDisconnected, UpstreamTruncated)) as caught:
                await fetch(engine, post(up))
            assert isinstance(caught.value, UpstreamTruncated) or offset <= head_size
            assert await fetch(engine, post(up)) == (200, b'{"n": %d}' % number)
            await fetch(engine, post(up))


async def test_a_stream_cut_after_some_events(engine: Engine) -> None:
    """The events before the cut are readable, then comes UpstreamTruncated, never an end."""
    async with ScriptedUpstream(cut(sse([{"n": 1}, {"n": 2}, {"n": 3}]), 140, close())) as up:
        response = await engine.send(post(up), soon())
        got = b""

        async def drain() -> None:
            nonlocal got
            while data := await response.chunk():
                got += data

        with pytest.raises(UpstreamTruncated):
            await drain()
        assert b'{"n": 1}' in got
        assert b"DONE" not in got


@pytest.mark.parametrize("bad", [b"zz\r\n", b"-1\r\nx\r\n", b"3\r\nabcdef\r\n", b"ffffffffffffffffff\r\n"])
async def test_a_bad_chunk_truncates(engine: Engine, bad: bytes) -> None:
    """Broken chunk framing after a good beginning is a truncated answer."""
    async with ScriptedUpstream([send(raw_head(200, [TE]) + chunked(b"one")), sleep(0.01), send(bad), close()]) as up:
        response = await engine.send(post(up), soon())
        with pytest.raises(UpstreamTruncated):
            await response.read(LIMIT)
        await up.disconnected()


# ---- what is no answer ----

JUNK = {
    "binary": bytes(range(1, 200)),
    "ssh": b"SSH-2.0-OpenSSH_9.2\r\n\r\n\r\n",
    "rtsp": b"RTSP/1.0 200 OK\r\ncontent-length: 0\r\n\r\n",
    "status": b"HTTP/1.1 abc OK\r\ncontent-length: 0\r\n\r\n",
    "status 99": b"HTTP/1.1 099 OK\r\ncontent-length: 0\r\n\r\n",
    "switching": b"HTTP/1.1 101 Switching\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n",
    "nul": b"HTTP/1.1 200 OK\r\na: b\0c\r\ncontent-length: 0\r\n\r\n",
    "no colon": b"HTTP/1.1 200 OK\r\nabc\r\ncontent-length: 0\r\n\r\n",
    "length": b"HTTP/1.1 200 OK\r\ncontent-length: 1x\r\n\r\na",
    "negative": b"HTTP/1.1 200 OK\r\ncontent-length: -1\r\n\r\na",
    "lengths": b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\na",
    "both": b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\ntransfer-encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n",
    "many headers": raw_reply(200, b"", [(f"x-{n}", "1") for n in range(300)]),
    "large header": raw_reply(200, b"", [("x-a", "a" * 70_000)]),
    "many bytes": raw_reply(200, b"", [(f"x-{n}", "a" * 4000) for n in range(20)]),
}
STRICT = {
    "obs-fold": b"HTTP/1.1 200 OK\r\na: b\r\n c\r\ncontent-length: 0\r\n\r\n",
    "same lengths": b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 1\r\n\r\na",
    "coding": b"HTTP/1.1 200 OK\r\ntransfer-encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    "identity coding": b"HTTP/1.1 200 OK\r\ntransfer-encoding: identity\r\n\r\n",
    "bare lf": b"HTTP/1.1 200 OK\na: b\ncontent-length: 0\n\n",
    "endless interim": raw_head(103) * 20 + raw_reply(200, b""),
    "interim body": b"HTTP/1.1 103 X\r\ncontent-length: 1\r\n\r\na" + raw_reply(200, b""),
    "blank lines": b"\r\n\r\n" + raw_reply(200, b""),
}


@pytest.mark.parametrize("name", JUNK)
async def test_what_is_no_http_answer_is_refused(engine: Engine, name: str) -> None:
    """Junk, impossible framing and header bombs are UpstreamBadResponse; the connection is not used again."""
    async with ScriptedUpstream([send(JUNK[name]), sleep(30)]) as up:
        with pytest.raises(UpstreamBadResponse):
            await fetch(engine, post(up))
        await up.disconnected()
        assert (await fetch(engine, post(up)))[0] == 200


@pytest.mark.parametrize("name", STRICT)
async def test_the_default_engine_is_stricter(own: HttptoolsEngine, name: str) -> None:
    """Forms that another parser on the way might read differently are refused too."""
    async with ScriptedUpstream([send(STRICT[name]), sleep(30)]) as up:
        with pytest.raises(UpstreamBadResponse):
            await fetch(own, post(up))
        await up.disconnected()


@pytest.mark.parametrize("seed", range(8))
async def test_random_bytes_are_an_error_of_ours(engine: Engine, seed: int) -> None:
    """Random bytes and the end of the connection give an upstream error, whatever they look like."""
    async with ScriptedUpstream(junk(500, seed)) as up:
        with pytest.raises(UpstreamError):
            await fetch(engine, post(up))


async def test_an_endless_header_ends_at_the_bound(engine: Engine) -> None:
    """A header that never ends is given up long before it fills the memory."""
    endless: list[Step] = [send(b"HTTP/1.1 200 OK\r\nx-a: "), *([send(b"a" * 16384)] * 64), stall()]
    async with ScriptedUpstream(endless) as up:
        with pytest.raises(UpstreamBadResponse):
            await fetch(engine, post(up))
        await up.disconnected()


async def test_an_endless_trailer_ends_at_the_bound(own: HttptoolsEngine) -> None:
    """So is a trailer."""
    steps: list[Step] = [send(raw_head(200, [TE]) + chunked(b"one") + b"0\r\nx-a: "), *([send(b"a" * 16384)] * 64)]
    async with ScriptedUpstream([*steps, stall()]) as up:
        response = await own.send(post(up), soon())
        with pytest.raises(UpstreamTruncated):
            await response.read(LIMIT)
        await up.disconnected()


# ---- connections that were used before ----


@pytest.mark.parametrize("end", [close(), reset()], ids=["close", "reset"])
async def test_a_stale_connection_is_replaced_once(own: HttptoolsEngine, end: Step) -> None:
    """A reused connection that closes without a byte: the request is sent once more, on a new connection."""
    async with ScriptedUpstream(json_reply(1), [end], json_reply(3)) as up:
        await fetch(own, post(up))
        assert await fetch(own, post(up, Arriving([b"abc", b"def"]))) == (200, b"3")
        assert [request.body for request in up.received] == [b"{}", b"abcdef", b"abcdef"]
        assert [request.connection for request in up.received] == [1, 1, 2]


@pytest.mark.parametrize("end", [close(), reset()], ids=["close", "reset"])
async def test_nothing_is_sent_again_that_was_worked_on(engine: Engine, end: Step) -> None:
    """A reused connection that breaks a while after the request was sent was not closed while idle: the upstream may
    have done the work, and whether it does it again is for the rules about retries."""
    async with ScriptedUpstream(json_reply(1), [sleep(1), end]) as up:
        await fetch(engine, post(up))
        with pytest.raises(UpstreamDisconnected):
            await fetch(engine, post(up))
        assert [request.connection for request in up.received] == [1, 1]


async def test_it_is_replaced_no_second_time(own: HttptoolsEngine) -> None:
    """The new connection has only this one try."""
    async with ScriptedUpstream(json_reply(1), [close()], [close()]) as up:
        await fetch(own, post(up))
        with pytest.raises(UpstreamDisconnected):
            await fetch(own, post(up))
        assert len(up.received) == 3


async def test_the_second_try_trusts_no_other_idle_connection(own: HttptoolsEngine) -> None:
    """When one idle connection proved dead, the others may be: the second try opens a new one, even at the bound."""
    async with ScriptedUpstream([sleep(0.05), *json_reply(1)], [sleep(0.05), *json_reply(2)]) as up:
        where = endpoint(up, max_connections=2)
        await asyncio.gather(fetch(own, post(where)), fetch(own, post(where)))
        up.then([close()])
        assert (await fetch(own, post(where)))[0] == 200
        assert up.received[-1].connection == 3


@pytest.mark.parametrize("first", [b"H", b"HTTP/1.1 20", raw_head(100)])
async def test_nothing_is_sent_again_once_a_byte_came_back(engine: Engine, first: bytes) -> None:
    """A byte of an answer shows that the request was seen: UpstreamDisconnected, no second try."""
    async with ScriptedUpstream(json_reply(1), [send(first), close()]) as up:
        await fetch(engine, post(up))
        with pytest.raises(UpstreamDisconnected):
            await fetch(engine, post(up))
        assert len(up.received) == 2


async def test_a_connection_closed_while_idle_is_not_used(engine: Engine) -> None:
    """The upstream closes an idle connection; the next request goes out on a new one at once."""
    async with ScriptedUpstream([*json_reply(1), close()]) as up:
        await fetch(engine, post(up))
        await up.disconnected()
        assert (await fetch(engine, post(up)))[0] == 200
        assert [request.connection for request in up.received] == [1, 2]


async def test_bytes_nobody_asked_for_close_the_connection(engine: Engine) -> None:
    """An answer without a request is never taken for the next request's."""
    first, extra = raw_reply(200, b"1"), raw_reply(200, b"stolen")
    scripts = [send(first), sleep(0.02), send(extra)], [send(raw_reply(200, b"2") + extra)]
    async with ScriptedUpstream(*scripts) as up:
        assert await fetch(engine, post(up)) == (200, b"1")
        await up.until(lambda: up.bytes_sent == len(first + extra), "the stray answer")
        await asyncio.sleep(0.01)
        assert await fetch(engine, post(up)) == (200, b"2")
        assert await fetch(engine, post(up)) == (200, b'{"ok": true}')
