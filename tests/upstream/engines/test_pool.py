"""The pool: its bookkeeping alone, then under the default engine."""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING

from gateway.upstream.engines import connection as connection_module
from gateway.upstream.engines.pool import Pool
from tests.support.steps import Step, json_reply, send, sleep
from tests.support.upstream import Received, ScriptedUpstream

from .calls import endpoint, fetch, post, soon

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    import pytest

    from gateway.upstream.engines.httptools_engine import HttptoolsEngine


class _Waiter:
    def __init__(self) -> None:
        self.results: list[str | None] = []
        self.given_up = False

    def done(self) -> bool:
        return self.given_up or bool(self.results)

    def set_result(self, result: str | None, /) -> None:
        assert not self.done()
        self.results.append(result)


def test_the_newest_idle_connection_is_taken_first() -> None:
    """Idle connections are a stack, so that the oldest can expire."""
    pool: Pool[str] = Pool("p", 3)
    for name in "abc":
        assert pool.reserve()
        pool.opened(name)
    assert not pool.reserve()
    for name in "abc":
        pool.give_back(name)
    assert repr(pool) == "<p idle=3 busy=0 opening=0 waiting=0>"
    assert [pool.take() for _ in range(4)] == ["c", "b", "a", None]


def test_what_becomes_free_goes_to_who_waited_longest() -> None:
    """Connections and slots are handed out in the order of the queue; those who gave up are passed over."""
    pool: Pool[str] = Pool("p", 1)
    assert pool.reserve()
    pool.opened("a")
    first, second, third = _Waiter(), _Waiter(), _Waiter()
    for waiter in (first, second, third):
        pool.enqueue(waiter)
    second.given_up = True
    pool.give_back("a")
    assert (first.results, pool.idle, pool.busy) == (["a"], 0, 1)
    pool.drop("a")
    assert third.results == [None]
    assert repr(pool) == "<p idle=0 busy=0 opening=1 waiting=0>"
    pool.unreserve()
    assert pool.unused


def test_dropping_twice_frees_one_slot() -> None:
    """`drop` may be repeated, and `give_back` of a dropped connection is ignored."""
    pool: Pool[str] = Pool("p", 1)
    assert pool.reserve()
    pool.opened("a")
    pool.drop("a")
    pool.drop("a")
    pool.give_back("a")
    assert pool.take() is None
    assert pool.reserve()
    assert not pool.reserve()


def test_a_random_history_keeps_the_bound_and_the_order() -> None:
    """Never more than the limit, nobody waits beside a free connection, the queue is served in order."""
    rng = random.Random(7)
    for _ in range(50):
        pool: Pool[int] = Pool("p", rng.randrange(1, 5))
        busy: list[int] = []
        queue: list[_Waiter] = []
        opening = number = 0
        for _ in range(200):
            match rng.randrange(6):
                case 0 | 1:
                    taken = pool.take()
                    if taken is not None:
                        busy.append(taken)
                    elif pool.reserve():
                        opening += 1
                    else:
                        waiter = _Waiter()
                        queue.append(waiter)
                        pool.enqueue(waiter)  # type: ignore[arg-type]  # results are numbers here
                case 2 if opening:
                    opening, number = opening - 1, number + 1
                    pool.opened(number)
                    busy.append(number)
                case 3 if opening:
                    opening -= 1
                    pool.unreserve()
                case 4 if busy:
                    pool.give_back(busy.pop(rng.randrange(len(busy))))
                case 5 if busy:
                    pool.drop(busy.pop(rng.randrange(len(busy))))
            served = [waiter for waiter in queue if waiter.results]
            assert served == queue[: len(served)]
            for waiter in served:
                queue.remove(waiter)
                if waiter.results[0] is None:
                    opening += 1
                else:
                    busy.append(waiter.results[0])  # type: ignore[arg-type]
            assert (pool.busy, pool.waiting) == (len(busy), len(queue))
            assert pool.idle + pool.busy + opening <= pool.limit
            assert not (queue and (pool.idle or pool.busy + opening < pool.limit))


# ---- under the engine ----


async def test_the_bound_holds_and_the_queue_is_fair(own: HttptoolsEngine) -> None:
    """More requests than connections: never more connections than allowed, served in the order they came."""
    most = 0

    async def script(request: Received) -> AsyncIterator[Step]:
        nonlocal most
        most = max(most, up.open)
        yield sleep(0.002)
        for step in json_reply(request.body):
            yield step

    async with ScriptedUpstream(default=script) as up:
        where = endpoint(up, max_connections=3)
        calls = [asyncio.ensure_future(fetch(own, post(where, (b"%d" % n,)))) for n in range(40)]
        await up.requested(3)
        assert "idle=0 busy=3 opening=0 waiting=37" in repr(own)
        assert [body for _, body in await asyncio.gather(*calls)] == [b"%d" % n for n in range(40)]
        assert (most, up.connections) == (3, 3)
        begun = [int(request.body) for request in up.received]
        assert all(abs(place - number) < 3 for place, number in enumerate(begun))
        assert "idle=3 busy=0 opening=0 waiting=0" in repr(own)


async def test_a_slot_freed_by_a_failure_is_used(own: HttptoolsEngine) -> None:
    """When the only connection breaks, the next in the queue opens another."""
    async with ScriptedUpstream([send(b"junk\r\n\r\n")]) as up:
        where = endpoint(up, max_connections=1)
        outcomes = await asyncio.gather(*[fetch(own, post(where)) for _ in range(5)], return_exceptions=True)
        assert [isinstance(outcome, Exception) for outcome in outcomes] == [True, False, False, False, False]
        assert "idle=1 busy=0 opening=0 waiting=0" in repr(own)


async def test_a_failed_connect_frees_its_slot(own: HttptoolsEngine) -> None:
    """Refused connections leave nothing behind, and all who wait learn of it."""
    up = ScriptedUpstream()
    await up.start()
    where = endpoint(up, max_connections=1)
    await up.stop()
    outcomes = await asyncio.gather(*[fetch(own, post(where)) for _ in range(5)], return_exceptions=True)
    assert {type(outcome).__name__ for outcome in outcomes} == {"UpstreamUnreachable"}
    assert "idle=0 busy=0 opening=0 waiting=0" in repr(own)


async def test_idle_connections_expire(own: HttptoolsEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    """An unused connection is closed after the idle time."""
    monkeypatch.setattr(connection_module, "IDLE_SECONDS", 0.03)
    async with ScriptedUpstream() as up:
        await fetch(own, post(up), soon())
        await up.disconnected()
        assert "idle=0 busy=0" in repr(own)


async def test_a_server_may_shorten_the_idle_time(own: HttptoolsEngine) -> None:
    """`keep-alive: timeout=1` closes the connection before the server does."""
    async with ScriptedUpstream(json_reply(1, headers=[("Keep-Alive", "timeout=1, max=5")])) as up:
        await fetch(own, post(up), soon())
        assert "idle=1" in repr(own)
        await up.disconnected()


async def test_endpoints_share_nothing(own: HttptoolsEngine) -> None:
    """Equal endpoints share connections, others do not; pools of endpoints that are gone are forgotten."""
    async with ScriptedUpstream() as one, ScriptedUpstream() as two:
        for _ in range(2):
            await fetch(own, post(one))
            await fetch(own, post(two))
        assert (one.connections, two.connections) == (1, 1)
        await one.drop_all()
        await one.until(lambda: repr(own).count("idle=1") == 1, "the end of the idle connection")
        await fetch(own, post(endpoint(two, max_connections=2)))
        assert f":{one.port} " not in repr(own)
