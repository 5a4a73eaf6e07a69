"""Cancelling at every await: no connection in an unknown state is used again, nobody gets another caller's reply."""

from __future__ import annotations

import asyncio
import random
import socket
from typing import TYPE_CHECKING, Any

import pytest

from gateway.errors import UpstreamError
from gateway.ports import Endpoint
from gateway.upstream.engines.pool import Pool
from tests.support.steps import Step, chunked, json_reply, raw_head, send, sleep, stall
from tests.support.upstream import Received, ScriptedUpstream

from .calls import LIMIT, Arriving, endpoint, fetch, post, soon
from .waits import settled

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from gateway.ports import Engine
    from gateway.upstream.engines.connection import Connection
    from gateway.upstream.engines.httptools_engine import HttptoolsEngine

TE = ("transfer-encoding", "chunked")


async def _cancel(task: asyncio.Future[Any]) -> None:
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_while_connecting(engine: Engine) -> None:
    """A cancelled handshake closes its socket."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.setblocking(False)
        where = Endpoint("127.0.0.1", server.getsockname()[1], tls=True, private_network=True)
        call = asyncio.ensure_future(engine.send(post(where), soon()))
        loop = asyncio.get_running_loop()
        accepted, _ = await loop.sock_accept(server)
        with accepted:
            assert await loop.sock_recv(accepted, 10_000)
            await _cancel(call)
            assert await asyncio.wait_for(loop.sock_recv(accepted, 10_000), 5) == b""


async def test_while_queueing(own: HttptoolsEngine) -> None:
    """One who leaves the queue takes nothing with him."""
    async with ScriptedUpstream([sleep(0.05), *json_reply(1)]) as up:
        where = endpoint(up, max_connections=1)
        calls = [asyncio.ensure_future(fetch(own, post(where))) for _ in range(4)]
        await up.requested()
        assert "waiting=3" in repr(own)
        await _cancel(calls[1])
        assert "waiting=2" in repr(own)
        await asyncio.gather(calls[0], *calls[2:])
        assert "idle=1 busy=0 opening=0 waiting=0" in repr(own)
        assert len(up.received) == 3


@pytest.mark.parametrize("event", ["cancelled", "dead"])
async def test_in_the_turn_in_which_the_queue_is_served(
    own: HttptoolsEngine, monkeypatch: pytest.MonkeyPatch, event: str
) -> None:
    """A waiter cancelled just as it gets its connection passes it on; one that gets a dead connection waits again."""
    give_back = Pool.give_back

    def give_and_then(pool: Pool[Connection], connection: Connection) -> None:
        give_back(pool, connection)
        monkeypatch.undo()
        if event == "cancelled":
            second.cancel()
        else:
            connection.discard()

    async with ScriptedUpstream([sleep(0.02), *json_reply(1)]) as up:
        where = endpoint(up, max_connections=1)
        first = asyncio.ensure_future(fetch(own, post(where)))
        await up.requested()
        second = asyncio.ensure_future(fetch(own, post(where)))
        third = asyncio.ensure_future(fetch(own, post(where)))
        await asyncio.sleep(0)
        monkeypatch.setattr(Pool, "give_back", give_and_then)
        await asyncio.wait([first, second, third])
        assert second.cancelled() == (event == "cancelled")
        assert [task.result()[0] for task in (first, second, third) if not task.cancelled()] == [200] * len(up.received)
        assert "idle=1 busy=0 opening=0 waiting=0" in repr(own)


async def test_closing_the_engine_while_connecting_and_queueing(engine: Engine) -> None:
    """Requests that are on their way to a connection fail when the engine closes; none stays open."""
    async with ScriptedUpstream(default=[stall()]) as up:
        calls = [asyncio.ensure_future(engine.send(post(endpoint(up, max_connections=2)), soon())) for _ in range(4)]
        await asyncio.sleep(0)
        await engine.close()
        outcomes = await asyncio.gather(*calls, return_exceptions=True)
        assert all(isinstance(outcome, UpstreamError) for outcome in outcomes)
        await up.until(lambda: up.open == 0, "the end of every connection")


@pytest.mark.parametrize("begun", [False, True])
async def test_while_waiting_for_the_head(engine: Engine, begun: bool) -> None:
    """The connection is closed, whether or not part of the head is here."""
    async with ScriptedUpstream([send(b"HTTP/1.1 200" if begun else b""), stall()]) as up:
        call = asyncio.ensure_future(engine.send(post(up), soon()))
        await up.requested()
        await asyncio.sleep(0.01 if begun else 0)
        await _cancel(call)
        await up.disconnected()
        assert (await fetch(engine, post(up)))[0] == 200


async def test_while_uploading(engine: Engine) -> None:
    """A half-sent request leaves no connection behind, and the body is asked for nothing more."""
    gate = asyncio.Event()
    body = Arriving([b"abc", b"def"], gate=gate)
    async with ScriptedUpstream() as up:
        call = asyncio.ensure_future(engine.send(post(up, body), soon()))
        await up.requested()
        await _cancel(call)
        gate.set()
        await up.disconnected()
        assert body.sent == 1
        assert (await fetch(engine, post(up)))[0] == 200


async def test_while_the_socket_takes_no_more_of_the_upload(own: HttptoolsEngine) -> None:
    """The same while the upload waits for a full socket."""
    body = Arriving([b"x" * 65536] * 2000)
    async with ScriptedUpstream([sleep(30)], early=True) as up:
        call = asyncio.ensure_future(own.send(post(up, body), soon()))
        await up.requested()
        await settled(lambda: body.sent)
        assert body.sent < 2000
        await _cancel(call)
        assert "idle=0 busy=0" in repr(own)


async def test_while_reading(engine: Engine) -> None:
    """A cancelled `read` aborts; a cancelled `chunk` leaves it to `abort`."""
    endless: list[Step] = [send(raw_head(200, [TE]) + chunked(b"one")), stall()]
    async with ScriptedUpstream(endless, endless) as up:
        response = await engine.send(post(up), soon())
        reading = asyncio.ensure_future(response.read(LIMIT))
        await asyncio.sleep(0.005)
        await _cancel(reading)
        await up.disconnected(1)
        response = await engine.send(post(up), soon())
        await response.chunk()
        reading = asyncio.ensure_future(response.chunk())
        await asyncio.sleep(0.005)
        await _cancel(reading)
        response.abort()
        await up.disconnected(2)
        assert (await fetch(engine, post(up)))[0] == 200


async def test_aborting_wakes_a_reader(engine: Engine) -> None:
    """`abort` by one task ends another task's `chunk` with an error."""
    async with ScriptedUpstream([send(raw_head(200, [TE])), stall()]) as up:
        response = await engine.send(post(up), soon())
        reading = asyncio.ensure_future(response.chunk())
        await asyncio.sleep(0)
        response.abort()
        with pytest.raises(UpstreamError):
            await reading


async def _echo(request: Received) -> AsyncIterator[Step]:
    """The request's body as the reply, in a framing and at a pace that the body itself decides."""
    rng = random.Random(request.body)
    yield sleep(rng.random() * 0.004)
    if rng.random() < 0.5:
        for step in json_reply(request.body):
            yield step
        return
    yield send(raw_head(200, [TE]))
    for byte in range(0, len(request.body), 3):
        yield send(chunked(request.body[byte : byte + 3]))
        yield sleep(rng.random() * 0.002)
    yield send(chunked(b""))


@pytest.mark.parametrize("seed", range(2))
async def test_no_reply_is_ever_crossed(engine: Engine, seed: int) -> None:
    """Hundreds of requests cancelled at random moments on few connections: the others get their own reply, whole."""
    rng = random.Random(seed)
    answered = cancelled = 0

    async def call(number: int) -> None:
        nonlocal answered
        body = b"request %d of seed %d" % (number, seed)
        uploaded = Arriving([body[:5], body[5:]], size=len(body) if number % 2 else None)
        response = await engine.send(post(where, uploaded if number % 3 == 0 else (body,)), soon())
        try:
            assert await response.read(LIMIT) == body
        finally:
            response.abort()
        answered += 1

    async def batch(first: int) -> None:
        nonlocal cancelled
        tasks = [asyncio.ensure_future(call(number)) for number in range(first, first + 25)]
        doomed = [task for task in tasks if rng.random() < 0.5]
        for task in doomed:
            await asyncio.sleep(rng.random() * 0.002)
            task.cancel()
        results = await asyncio.gather(*tasks, return_exceptions=True)
        cancelled += sum(isinstance(result, asyncio.CancelledError) for result in results)
        assert not [result for result in results if result and not isinstance(result, asyncio.CancelledError)]

    async with ScriptedUpstream(default=_echo) as up:
        where = endpoint(up, max_connections=8)
        for first in range(0, 500, 25):
            await batch(first)
        assert answered + cancelled == 500
        assert min(answered, cancelled) > 50
        assert up.errors == []
        if "busy" in repr(engine):
            assert "busy=0 opening=0 waiting=0" in repr(engine)
