"""What every engine does with an upstream that behaves."""

from __future__ import annotations

import asyncio
import gzip
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from gateway.errors import UpstreamBadResponse, UpstreamError, UpstreamTooLarge
from gateway.upstream.engines import create_engine
from tests.support.steps import Step, chunked, close, json_reply, raw_head, raw_reply, send, sleep, status
from tests.support.upstream import Received, ScriptedUpstream

from .calls import LIMIT, Arriving, fetch, post, soon

if TYPE_CHECKING:
    from gateway.ports import Engine
    from gateway.upstream.engines.httptools_engine import HttptoolsEngine

TE = ("transfer-encoding", "chunked")


def test_an_unknown_engine_is_refused_by_name() -> None:
    """Asking for an engine that is not in the table names those that are."""
    with pytest.raises(LookupError, match=r"httptools, httpx2"):
        create_engine("curl")


def test_the_second_engine_is_not_imported_unasked() -> None:
    """Making the default engine leaves httpx2 unimported."""
    code = "import sys; from gateway.upstream.engines import create_engine as c; c('httptools'); "
    done = subprocess.run([sys.executable, "-c", code + "sys.exit('httpx2' in sys.modules)"], check=False)
    assert done.returncode == 0


async def test_the_request_arrives_exactly_as_given(engine: Engine) -> None:
    """Nothing is added to the given headers but the content-length."""
    async with ScriptedUpstream() as up:
        assert await fetch(engine, post(up, (b"ab", b"cde"), [(b"x-call", b"7")])) == (200, b'{"ok": true}')
    request = up.received[0]
    assert (request.method, request.target, request.body) == ("POST", "/v1/chat?x=1", b"abcde")
    assert sorted(request.headers) == [
        ("accept-encoding", "identity"),
        ("content-length", "5"),
        ("host", "provider.test"),
        ("x-call", "7"),
    ]


async def test_a_get_has_no_body_and_no_length(engine: Engine) -> None:
    """A GET without body carries neither content-length nor transfer-encoding; an empty POST says length 0."""
    async with ScriptedUpstream() as up:
        await fetch(engine, post(up, (), method=b"GET"))
        await fetch(engine, post(up, ()))
    assert [request.header("content-length") for request in up.received] == [None, "0"]
    assert up.received[0].header("transfer-encoding") is None


@pytest.mark.parametrize("value", [b"a\r\nx-evil: 1", b"a\nb", b"a\rb", b"a\0b"])
async def test_a_header_that_could_end_its_line_is_refused(engine: Engine, value: bytes) -> None:
    """CR, LF and NUL in a value raise ValueError before anything is sent."""
    async with ScriptedUpstream() as up:
        with pytest.raises(ValueError, match="CR, LF or NUL"):
            await engine.send(post(up, extra=[(b"x-call", value)]), soon())
        bad = post(up)
        bad.head.headers = ((b"host", value),)
        with pytest.raises(ValueError, match="CR, LF or NUL"):
            await engine.send(bad, soon())
    assert up.connections == 0


@pytest.mark.parametrize("name", [b"", b"X-Upper", b"a b", b"a:", b"content-length", b"transfer-encoding", b"a\r\n"])
async def test_a_header_name_that_is_none_is_refused(engine: Engine, name: bytes) -> None:
    """Names that are no lower-case token, and those the engine decides about, raise ValueError."""
    async with ScriptedUpstream() as up:
        with pytest.raises(ValueError, match=r"header name|decides"):
            await engine.send(post(up, extra=[(name, b"1")]), soon())
    assert up.connections == 0


@pytest.mark.parametrize("target", [b"/a b", b"/a\r\n", b""])
async def test_a_target_that_cannot_stand_in_a_request_line_is_refused(engine: Engine, target: bytes) -> None:
    """Spaces and line ends in a target raise ValueError."""
    async with ScriptedUpstream() as up:
        request = post(up)
        request.head.target = target
        with pytest.raises(ValueError, match="request line"):
            await engine.send(request, soon())
    assert up.connections == 0


BODIES = {
    "length": (raw_reply(200, b"hello"), b"hello"),
    "empty": (raw_reply(200, b""), b""),
    "chunked": (raw_head(200, [TE]) + chunked(b"he") + chunked(b"llo") + chunked(b""), b"hello"),
    "extensions": (raw_head(200, [TE]) + chunked(b"hello", b';a=b;c="d"') + b"0;last\r\n\r\n", b"hello"),
    "trailers": (raw_head(200, [TE]) + chunked(b"hello") + b"0\r\nx-sum: 1\r\nx-more: 2\r\n\r\n", b"hello"),
    "204": (raw_head(204), b""),
    "304": (raw_head(304, [("content-length", "99")]), b""),
    "interim": (raw_head(100) + raw_head(102) + raw_head(103, [("link", "x")]) + raw_reply(200, b"hello"), b"hello"),
    "error": (raw_reply(503, b"sorry"), b"sorry"),
    "redirect": (raw_reply(302, b"", [("location", "http://127.0.0.1:1/")]), b""),
    "identity": (raw_reply(200, b"hello", [("content-encoding", "identity")]), b"hello"),
}
OFFERING = raw_reply(200, b"hello", [("upgrade", "h2c"), ("connection", "upgrade")])


@pytest.mark.parametrize("name", BODIES)
async def test_bodies_arrive_whole_however_they_are_framed_and_split(engine: Engine, name: str) -> None:
    """A reply is the same in one piece or in several, and leaves the connection fit for the next request."""
    await _arrives_whole(engine, *BODIES[name])


async def test_an_offered_upgrade_is_let_be(own: HttptoolsEngine) -> None:
    """The reply is read as any other. (h11, under the second engine, waits for the other protocol.)"""
    await _arrives_whole(own, OFFERING, b"hello")


async def _arrives_whole(engine: Engine, raw: bytes, body: bytes) -> None:
    pieces: list[Step] = [step for byte in range(0, len(raw), 9) for step in (send(raw[byte : byte + 9]), sleep(0.001))]
    async with ScriptedUpstream([send(raw)], pieces) as up:
        for _ in range(2):
            assert (await fetch(engine, post(up)))[1] == body
        assert await fetch(engine, post(up)) == (200, b'{"ok": true}')
        assert up.connections == 1


async def test_a_body_without_length_ends_with_the_connection(engine: Engine) -> None:
    """Read-to-EOF bodies are complete when the upstream closes, and the next request has a new connection."""
    async with ScriptedUpstream([send(raw_head(200) + b"hel"), sleep(0.01), send(b"lo"), close()]) as up:
        assert await fetch(engine, post(up)) == (200, b"hello")
        assert (await fetch(engine, post(up)))[0] == 200
        assert up.connections == 2


async def test_the_answer_to_head_has_no_body(engine: Engine) -> None:
    """A HEAD's content-length announces nothing, not even against a read limit."""
    async with ScriptedUpstream([send(raw_head(200, [("content-length", "5000")]))]) as up:
        response = await engine.send(post(up, (), method=b"HEAD"), soon())
        assert (response.status, await response.read(10)) == (200, b"")
        assert (await fetch(engine, post(up)))[0] == 200


async def test_headers_come_lower_case_and_in_order(engine: Engine) -> None:
    """Response headers keep order and duplicates; empty values stay."""
    headers = [("X-A", "1"), ("X-Empty", ""), ("X-A", "2  ")]
    async with ScriptedUpstream(status(200, b"", headers)) as up:
        response = await engine.send(post(up), soon())
        await response.read(LIMIT)
    assert list(response.headers)[:3] == [(b"x-a", b"1"), (b"x-empty", b""), (b"x-a", b"2")]


async def test_a_connection_is_reused(engine: Engine) -> None:
    """Requests one after the other share a connection."""
    async with ScriptedUpstream() as up:
        for _ in range(5):
            await fetch(engine, post(up))
        assert (up.connections, len(up.received)) == (1, 5)


@pytest.mark.parametrize("header", [("connection", "close"), ("Connection", "Close, x")])
async def test_connection_close_is_honoured(engine: Engine, header: tuple[str, str]) -> None:
    """After `connection: close` the next request goes out on a new connection."""
    async with ScriptedUpstream(json_reply(1, headers=[header])) as up:
        await fetch(engine, post(up))
        await up.disconnected()
        assert await fetch(engine, post(up)) == (200, b'{"ok": true}')
        assert up.connections == 2


async def test_chunks_come_as_they_arrive(engine: Engine) -> None:
    """`chunk` returns what is there without waiting for more, and `b""` after the end, again and again."""
    go = asyncio.Event()

    async def script(_: Received) -> object:
        yield send(raw_head(200, [TE]) + chunked(b"one") + chunked(b"two"))
        await go.wait()
        yield send(chunked(b"three") + chunked(b""))

    async with ScriptedUpstream(script) as up:  # type: ignore[arg-type]  # an async generator function
        response = await engine.send(post(up), soon())
        first = await response.chunk()
        while len(first) < 6:
            first += await response.chunk()
        assert first == b"onetwo"
        go.set()
        assert [await response.chunk() for _ in range(3)] == [b"three", b"", b""]


async def test_a_cancelled_chunk_loses_nothing(engine: Engine) -> None:
    """A wait for a chunk may be given up and taken up again."""
    go = asyncio.Event()

    async def script(_: Received) -> object:
        yield send(raw_head(200, [TE]))
        await go.wait()
        yield send(chunked(b"data") + chunked(b""))

    async with ScriptedUpstream(script) as up:  # type: ignore[arg-type]  # an async generator function
        response = await engine.send(post(up), soon())
        for _ in range(3):
            waiting = asyncio.ensure_future(response.chunk())
            await asyncio.sleep(0)
            waiting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await waiting
        go.set()
        assert await response.read(LIMIT) == b"data"


@pytest.mark.parametrize("framed", ["length", "chunked", "eof"])
async def test_a_body_above_the_limit_is_refused_and_its_connection_closed(engine: Engine, framed: str) -> None:
    """`read` raises UpstreamTooLarge as soon as the limit is passed, announced or not."""
    head = {"length": [("content-length", "100000")], "chunked": [TE], "eof": []}[framed]
    data = chunked(b"x" * 5000) if framed == "chunked" else b"x" * 5000
    async with ScriptedUpstream([send(raw_head(200, head) + data), sleep(30)]) as up:
        response = await engine.send(post(up), soon())
        with pytest.raises(UpstreamTooLarge):
            await response.read(4999)
        await up.disconnected()


async def test_a_body_as_large_as_the_limit_is_read(engine: Engine) -> None:
    """The limit itself is allowed."""
    async with ScriptedUpstream(json_reply(b"x" * 100_000)) as up:
        response = await engine.send(post(up), soon())
        assert len(await response.read(100_000)) == 100_000


async def test_large_bodies_pass_both_ways(engine: Engine) -> None:
    """Megabytes arrive whole in both directions, on one connection."""
    data = bytes(range(256)) * 8192
    async with ScriptedUpstream(default=lambda request: json_reply(request.body)) as up:
        for _ in range(2):
            assert await fetch(engine, post(up, (data[:100], data[100:]))) == (200, data)
        assert up.connections == 1


@pytest.mark.parametrize("sized", [True, False])
async def test_an_arriving_body_is_sent_as_it_comes(engine: Engine, sized: bool) -> None:
    """Parts go out before the last one exists: with content-length if the size is known, else chunked."""
    gate = asyncio.Event()
    body = Arriving([b"abc", b"", b"defg"], size=7 if sized else None, gate=gate)
    async with ScriptedUpstream() as up:
        call = asyncio.ensure_future(fetch(engine, post(up, body)))
        await up.requested()
        gate.set()
        assert (await call)[0] == 200
        assert (await fetch(engine, post(up)))[0] == 200
    request = up.received[0]
    assert (request.body, request.header("content-length")) == (b"abcdefg", "7" if sized else None)
    assert request.header("transfer-encoding") == (None if sized else "chunked")
    assert up.connections == 1


async def test_a_body_that_breaks_off_breaks_the_request(engine: Engine) -> None:
    """What the body raises comes out of `send` unchanged, and the half-sent request's connection is closed."""
    body = Arriving([b"abc"])
    body.error = LookupError("the client left")
    async with ScriptedUpstream() as up:
        with pytest.raises(LookupError, match="the client left"):
            await engine.send(post(up, body), soon())
        await up.disconnected()
        assert (await fetch(engine, post(up)))[0] == 200


@pytest.mark.parametrize("size", [2, 4])
async def test_a_body_of_another_size_than_it_says_is_refused(own: HttptoolsEngine, size: int) -> None:
    """A body longer or shorter than its content-length raises ValueError: the framing would be a lie."""
    async with ScriptedUpstream(early=True, default=[sleep(30)]) as up:
        with pytest.raises(ValueError, match="as long as"):
            await own.send(post(up, Arriving([b"ab", b"c"], size=size)), soon())
        await up.disconnected()


async def test_an_early_answer_ends_the_upload(own: HttptoolsEngine) -> None:
    """A reply that comes before the request is sent is delivered; the rest is not sent, the connection not reused."""
    gate = asyncio.Event()
    body = Arriving([b"x" * 1000] * 50, gate=gate)
    async with ScriptedUpstream([*status(413, b"too large"), sleep(30)], early=True) as up:
        assert await fetch(own, post(up, body)) == (413, b"too large")
        await up.disconnected()
        assert body.sent == 1
        assert (await fetch(own, post(up)))[0] == 200
        assert up.connections == 2


async def test_an_early_answer_to_a_large_present_body(own: HttptoolsEngine) -> None:
    """The same for a body that is all here but does not fit into the socket."""
    async with ScriptedUpstream([*status(413, b"too large"), sleep(30)], early=True) as up:
        assert await fetch(own, post(up, (b"x" * (32 << 20),))) == (413, b"too large")
        assert "idle=0 busy=0" in repr(own)


async def test_aborting_twice_or_after_the_end_is_harmless(engine: Engine) -> None:
    """`abort` after a complete body keeps the connection; before it, closes it."""
    async with ScriptedUpstream(default=lambda _: json_reply(b"x" * 100)) as up:
        response = await engine.send(post(up), soon())
        await response.read(LIMIT)
        response.abort()
        response.abort()
        await fetch(engine, post(up))
        assert up.connections == 1
        up.then([send(raw_head(200, [TE]) + chunked(b"one")), sleep(30)])
        response = await engine.send(post(up), soon())
        response.abort()
        response.abort()
        await up.disconnected()
        assert (await fetch(engine, post(up)))[0] == 200


async def test_closing_the_engine_closes_its_connections(engine: Engine) -> None:
    """After `close` nothing is open and nothing more is sent."""
    async with ScriptedUpstream(json_reply(1), [send(raw_head(200, [TE]) + chunked(b"one")), sleep(30)]) as up:
        await fetch(engine, post(up))
        response = await engine.send(post(up), soon())
        await response.chunk()
        await engine.close()
        await up.until(lambda: up.open == 0, "the end of every connection")
        with pytest.raises(UpstreamError):
            await response.chunk()
        with pytest.raises(UpstreamError):
            await engine.send(post(up), soon())


@pytest.mark.parametrize("encoding", ["gzip", "br", "gzip, identity"])
async def test_an_encoded_answer_is_refused(engine: Engine, encoding: str) -> None:
    """We ask for identity; anything else cannot be passed on or counted."""
    async with ScriptedUpstream(json_reply(b"x", headers=[("content-encoding", encoding)])) as up:
        with pytest.raises(UpstreamBadResponse):
            await fetch(engine, post(up))
        await up.disconnected()


async def test_an_encoded_error_is_known_by_its_status(engine: Engine) -> None:
    """Its words cannot be read, its status and headers can: a rate limit stays one, and says for how long."""
    body = gzip.compress(b'{"error": {"message": "slow down"}}')
    headers = [("content-encoding", "gzip"), ("retry-after", "7")]
    async with ScriptedUpstream(json_reply(body, 429, headers=headers)) as up:
        response = await engine.send(post(up), soon())
        assert (response.status, dict(response.headers)[b"retry-after"]) == (429, b"7")
        assert await response.read(LIMIT) == body
