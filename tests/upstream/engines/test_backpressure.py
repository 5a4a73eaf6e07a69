"""A slow side slows the other side down; nothing piles up in between."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from gateway.errors import UpstreamTimeout
from tests.support.steps import Step, chunked, json_reply, raw_head, read_body, send
from tests.support.upstream import Received, ScriptedUpstream

from .calls import LIMIT, Arriving, fetch, post, soon
from .waits import settled

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from gateway.ports import Engine
    from gateway.upstream.engines.httptools_engine import HttptoolsEngine

PIECE = b"x" * 65536
PIECES = 640
TE = ("transfer-encoding", "chunked")


async def _flood(request: Received) -> AsyncIterator[Step]:
    yield send(raw_head(200, [TE]))
    for _ in range(PIECES):
        yield send(chunked(PIECE))
    yield send(chunked(b""))


async def test_a_slow_reader_pauses_the_upstream(engine: Engine) -> None:
    """While nobody reads, the upstream's send blocks; then all of it arrives, and the idle time did not run."""
    async with ScriptedUpstream(_flood) as up:
        response = await engine.send(post(up), soon(idle=0.5))
        await settled(lambda: up.bytes_sent)
        # What is out is in the sockets' buffers (the kernel's, some megabytes) and in ours.
        assert up.bytes_sent < PIECES * len(PIECE) / 2
        await asyncio.sleep(0.55)
        got = 0
        while data := await response.chunk():
            got += len(data)
            assert len(data) <= 2 * 256 * 1024 + len(PIECE)
        assert got == PIECES * len(PIECE)
        assert (await fetch(engine, post(up)))[0] == 200
        assert up.connections == 1


async def test_a_reader_that_never_comes_meets_the_absolute_deadline(engine: Engine) -> None:
    """A paused answer is given up at `at`."""
    async with ScriptedUpstream(_flood) as up:
        response = await engine.send(post(up), soon(total=0.6))
        await settled(lambda: up.bytes_sent)
        await asyncio.sleep(0.6)

        async def drain() -> None:
            while await response.chunk():
                pass

        with pytest.raises(UpstreamTimeout):
            await drain()


async def test_a_whole_read_is_not_paused(engine: Engine) -> None:
    """`read` takes more than the buffer holds for slow readers."""
    async with ScriptedUpstream(_flood) as up:
        response = await engine.send(post(up), soon())
        assert len(await response.read(LIMIT)) == PIECES * len(PIECE)


async def test_a_slow_upstream_pauses_the_upload(own: HttptoolsEngine) -> None:
    """An arriving body is asked for no more than the socket takes; when the upstream reads on, all of it arrives."""
    go = asyncio.Event()

    async def script(request: Received) -> AsyncIterator[Step]:
        await go.wait()
        yield read_body()
        for step in json_reply({"size": len(request.body)}):
            yield step

    body = Arriving([PIECE] * PIECES, size=PIECES * len(PIECE))
    async with ScriptedUpstream(script, early=True) as up:
        call = asyncio.ensure_future(fetch(own, post(up, body)))
        await up.requested()
        await settled(lambda: body.sent)
        assert body.sent < PIECES / 2
        go.set()
        assert await call == (200, b'{"size": %d}' % (PIECES * len(PIECE)))
        assert (await fetch(own, post(up)))[0] == 200
