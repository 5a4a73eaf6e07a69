"""Processes of one machine tell each other that a store is away, and nobody is left waiting for one that is gone."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager

from gateway.storage.companions import STALE_SECONDS, WORDS, Companions, Lookout
from gateway.storage.errors import StoreUnavailable
from gateway.storage.redis import RedisClient, RedisOptions, connect
from tests.storage.servers import clients, free_ports, servers, works
from tests.support.waiting import eventually

BRISK = 0.5


class Time:
    """The machine's clock, and what a test adds to it."""

    ahead = 0.0

    def __call__(self) -> float:
        return time.monotonic() + self.ahead


@contextmanager
def _other(companions: Companions, place: int) -> Iterator[tuple[int, int, int]]:
    """Another process in this place: its pid, where one byte makes it tell and the next take back, where it says so."""
    commands, steps = os.pipe()
    done, says = os.pipe()
    pid = os.fork()
    if pid == 0:
        lookout = companions.lookout(place)
        for step in range(2):
            os.read(commands, 1)
            if step == 0:
                lookout.tell("main", "readonly")
            else:
                lookout.well("main")
            os.write(says, b".")
        signal.pause()
        os._exit(0)
    try:
        yield pid, steps, done
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        for end in (commands, steps, done, says):
            os.close(end)


def _step(steps: int, done: int) -> None:
    os.write(steps, b".")
    assert os.read(done, 1) == b"."


def test_word_reaches_other_processes() -> None:
    """What one process finds away the others hear of, why too, until it takes that back. It does not hear itself."""
    companions = Companions(3)
    here, third = companions.lookout(0), companions.lookout(2)
    with _other(companions, 1) as (_, steps, done):
        assert here.heard("main") is None
        _step(steps, done)
        assert here.heard("main") == third.heard("main") == "readonly"
        assert here.heard("another") is None
        _step(steps, done)
        assert here.heard("main") is None
    third.tell("main", "slow")
    assert third.heard("main") is None
    assert here.heard("main") == "slow"


def test_the_dead_do_not_keep_others_away() -> None:
    """A process that was killed is not heard for longer than its word counts, nor after its successor has come."""
    time_here = Time()
    companions = Companions(2)
    here = companions.lookout(0, time_here)
    with _other(companions, 1) as (pid, steps, done):
        _step(steps, done)
        os.kill(pid, signal.SIGKILL)
        assert here.heard("main") == "readonly"
        time_here.ahead = STALE_SECONDS + 0.1
        assert here.heard("main") is None
        time_here.ahead = 0.0
        assert here.heard("main") == "readonly"
    companions.lookout(1)
    assert here.heard("main") is None


def test_several_stores() -> None:
    """Each node of a Cluster is told of by itself; beyond what there is room for, nothing is told and nothing lost."""
    companions = Companions(2)
    here, there = companions.lookout(0), companions.lookout(1)
    stores = [f"10.0.0.{at}:6379" for at in range(WORDS + 2)]
    for store in stores:
        there.tell(store, "down")
        there.tell(store, "slow")
    assert [here.heard(store) for store in stores] == ["slow"] * WORDS + [None] * 2
    for store in [*stores[:3], stores[-1]]:
        there.well(store)
    there.tell(stores[-1], "oom")
    assert [here.heard(store) for store in stores] == [None] * 3 + ["slow"] * (WORDS - 3) + [None, "oom"]


def _options(lookout: Lookout) -> RedisOptions:
    return RedisOptions(timeout=BRISK, lookout=lookout)


class Changes:
    """What a client told of its store."""

    def __init__(self, client: RedisClient) -> None:
        self.told: list[tuple[bool, str]] = []
        client.on_change(lambda available, reason: self.told.append((available, reason)))


async def _refused(client: RedisClient) -> str:
    try:
        await client.ping()
    except StoreUnavailable as error:
        return error.reason
    return "ok"


async def _is(client: RedisClient, available: bool) -> bool:
    return client.available is available


async def test_they_give_it_up_and_take_it_back_together() -> None:
    """One that cannot reach the store keeps the other from it, without an attempt; both are back when it can."""
    ports, companions = free_ports(2), Companions(2)
    with servers(ports[:1]) as (good,):
        cut = connect(f"redis://127.0.0.1:{ports[1]}", _options(companions.lookout(0)))
        asked: list[str | None] = []
        other = connect(good.url, _options(companions.lookout(1)), lambda _, reason: asked.append(reason))
        changes = Changes(other)
        await other.ping()
        assert [await _refused(cut) for _ in range(3)] == ["down"] * 3
        assert [await _refused(other) for _ in range(100)] == ["down"] * 100
        assert not other.available
        assert asked == [None]
        with servers(ports[1:]):
            await eventually(lambda: _is(cut, True))
            await eventually(lambda: _is(other, True))
            assert await works(cut, "PING")
            assert await works(other, "PING")
        assert changes.told == [(False, "down"), (True, "down")]
        await cut.close()
        await other.close()


async def test_the_last_one_decides() -> None:
    """Who finds the store well again goes on without it, silently, as long as another one does not."""
    ports, companions = free_ports(2), Companions(2)
    first, second = (
        connect(f"redis://127.0.0.1:{port}", _options(companions.lookout(at))) for at, port in enumerate(ports)
    )
    changes = Changes(first)
    # All are on their way before the first fails: each of the two finds out by itself.
    assert await asyncio.gather(*(_refused(client) for client in (first, second) * 3)) == ["down"] * 6
    with servers(ports[:1]) as (server,):
        async with clients(server.url) as (outside,):
            await eventually(lambda: _probed(outside))
        assert await _refused(first) == "down"
        assert changes.told == [(False, "down")]
        with servers(ports[1:]):
            await eventually(lambda: _is(first, True))
            await eventually(lambda: _is(second, True))
    assert changes.told == [(False, "down"), (True, "down")]
    await first.close()
    await second.close()


async def _probed(client: RedisClient) -> bool:
    return await client.get("gw:probe") is not None


async def test_who_leaves_is_not_waited_for() -> None:
    """A client that is closed while it finds the store away takes its word back."""
    ports, companions = free_ports(2), Companions(2)
    with servers(ports[:1]) as (good,):
        cut = connect(f"redis://127.0.0.1:{ports[1]}", _options(companions.lookout(0)))
        other = connect(good.url, _options(companions.lookout(1)))
        assert [await _refused(cut) for _ in range(3)] == ["down"] * 3
        assert await _refused(other) == "down"
        await cut.close()
        await eventually(lambda: _is(other, True))
        await other.close()
