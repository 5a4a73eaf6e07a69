"""The batcher: one call per tick, results to their owners, and every failure to everyone it concerns."""

from __future__ import annotations

import asyncio
import os
import random
import re
import signal
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest
import uvloop

from gateway.storage.batch import Item, ScriptBatcher
from gateway.storage.errors import StoreUnavailable
from gateway.storage.redis import RedisClient, RedisOptions, connect
from tests.storage.conftest import ECHO, PATIENT
from tests.support.waiting import eventually, pause, until

if TYPE_CHECKING:
    from gateway.storage.embedded import EmbeddedRedis

Make = Callable[..., RedisClient]


def _item(number: int) -> Item:
    return Item(("gw:calls", f"gw:{{k{number % 7}}}"), (), [number, "x"])


async def _calls(client: RedisClient) -> int:
    """How many EVALSHA the server has seen."""
    found = re.search(rb"cmdstat_evalsha:calls=(\d+)", await client.execute("INFO", "commandstats"))
    return int(found[1]) if found else 0


async def _ready(client: RedisClient, **options: Any) -> ScriptBatcher:
    """A batcher whose script is loaded."""
    batcher = ScriptBatcher(client.script(ECHO, "echo"), **options)
    await batcher.submit(_item(0))
    return batcher


async def test_one_call_per_tick(make_client: Make) -> None:
    """All items of one tick travel in one EVALSHA, and each gets its own answer."""
    client = make_client()
    batcher = await _ready(client)
    before = await _calls(client)
    results = await asyncio.gather(*(batcher.submit(_item(i)) for i in range(100)))
    assert [result[0] for result in results] == [[i, "x"] for i in range(100)]
    assert [result[1] for result in results] == [["gw:calls", f"gw:{{k{i % 7}}}"] for i in range(100)]
    assert await _calls(client) == before + 1


async def test_calls_are_paced_while_many_ask(make_client: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where many ask, who asks a little later still shares the next call; one caller alone never waits for company."""
    monkeypatch.setattr("gateway.storage.batch.PACE_SECONDS", 0.5)
    client = make_client()
    batcher = await _ready(client)
    before = await _calls(client)
    for number in range(3):
        assert (await batcher.submit(_item(number)))[0] == [number, "x"]
    assert await _calls(client) == before + 3
    monkeypatch.setattr("gateway.storage.batch.MANY", 0.0)
    await batcher.submit(_item(4))
    before = await _calls(client)
    later = []
    for number in range(5):
        later.append(batcher.submit(_item(number)))
        await asyncio.sleep(0.01)
    assert [result[0] for result in await asyncio.gather(*later)] == [[number, "x"] for number in range(5)]
    assert await _calls(client) == before + 1
    batcher.submit_nowait(_item(9))
    await batcher.close()
    assert await _calls(client) == before + 2, "the end waits for nobody"


async def test_an_item_can_be_sent_again(make_client: Make) -> None:
    """What was urgent at first may be repeated without hurry: the batcher does not wait for it for ever."""
    client = make_client()
    batcher = await _ready(client)
    item = _item(1)
    batcher.submit_nowait(item)
    await batcher.close()
    batcher.submit_nowait(item, linger=True)
    await batcher.close()
    assert batcher._pressing == 0
    assert (await batcher.submit(_item(2)))[0] == [2, "x"]


async def test_groups(make_client: Make) -> None:
    """A table and a key travel once however many items share them; each item still gets its own."""
    batcher = await _ready(make_client())
    shared, other = ("gw:calls", "gw:a"), ("gw:calls", "gw:b")
    rates, slots = ([1, "rate"], [2, 60.5]), ([3, "slots"],)
    items = [
        *(Item(shared, rates, [i]) for i in range(20)),
        *(Item(shared, slots, [i]) for i in range(20, 40)),
        *(Item(other, slots, [i]) for i in range(40, 60)),
        Item(other, (), [60]),
    ]
    results = await asyncio.gather(*(batcher.submit(item) for item in items))
    assert [result[0] for result in results] == [[i] for i in range(61)]
    assert [tuple(result[1]) for result in results] == [tuple(item.keys) for item in items]
    assert [result[3] for result in results] == [[list(row) if row else row for row in i.table] for i in items]
    assert {result[4] for result in results} == {4}


async def test_server_time(make_client: Make) -> None:
    """The server's clock is told with every call, before any result of it."""
    told: list[tuple[int, float]] = []
    batcher = await _ready(make_client(), on_time=lambda now, received: told.append((now, received)))
    assert len(told) == 1
    await batcher.submit(_item(1))
    (first, read), (second, read_again) = told
    assert abs(first / 1e6 - time.time()) < 600
    assert first < second
    assert read <= read_again <= time.monotonic()


async def test_one_in_flight(server: EmbeddedRedis, make_client: Make) -> None:
    """What arrives while a call is in flight waits for the next one, and travels together."""
    client = make_client()
    batcher = await _ready(client)
    before = await _calls(client)
    pause(server.pid or 0)
    first = [batcher.submit(_item(1))]
    await asyncio.sleep(0.01)
    later = []
    for i in range(20):
        later.append(batcher.submit(_item(i)))
        await asyncio.sleep(0)
    os.kill(server.pid or 0, signal.SIGCONT)
    await asyncio.gather(*first, *later)
    assert await _calls(client) == before + 2


async def test_batches_are_bounded(make_client: Make) -> None:
    """More items than a batch holds are several calls, in order."""
    client = make_client()
    batcher = await _ready(client, max_batch=256)
    before = await _calls(client)
    results = await asyncio.gather(*(batcher.submit(_item(i)) for i in range(600)))
    assert [result[2] for result in results] == list(range(results[0][2], results[0][2] + 600))
    assert await _calls(client) == before + 3


@pytest.mark.parametrize("cancellations", [10_000, pytest.param(100_000, marks=pytest.mark.slow)])
def test_cancellation_storm(server: EmbeddedRedis, cancellations: int) -> None:
    """Callers cancelled at random moments: nobody ever gets another one's answer, and no call is disturbed."""

    async def storm() -> None:
        client = connect(server.url, PATIENT)
        failures: list[str | None] = []
        orphans: list[tuple[Item, Any]] = []
        batcher = await _ready(
            client,
            on_call=lambda _, reason: failures.append(reason),
            on_orphan=lambda item, result: orphans.append((item, result)),
        )
        answered = cancelled = start = 0
        chance = random.Random(7)

        async def caller(number: int) -> None:
            nonlocal answered, cancelled
            try:
                result = await batcher.submit(_item(number))
            except asyncio.CancelledError:
                cancelled += 1
                raise
            answered += 1
            assert result[0] == [number, "x"]

        while cancelled < cancellations:
            assert start < 10 * cancellations
            tasks = [asyncio.ensure_future(caller(start + i)) for i in range(400)]
            start += 400
            victims = chance.sample(tasks, 200)
            for task in victims[:20]:
                task.cancel()  # before it ran
            for chunk in range(20, 200, 45):
                await asyncio.sleep(0)
                for task in victims[chunk : chunk + 45]:
                    task.cancel()
            for outcome in await asyncio.gather(*tasks, return_exceptions=True):
                assert outcome is None or isinstance(outcome, asyncio.CancelledError)
        await batcher.close()
        assert answered >= cancellations / 2
        assert all(result[0] == list(item.args) for item, result in orphans)
        assert orphans
        assert set(failures) == {None}
        await client.close()

    uvloop.run(storm())


async def test_cancelled_before_the_call(make_client: Make) -> None:
    """A caller that left in the same tick costs no call at all."""
    client = make_client()
    batcher = await _ready(client)
    before = await _calls(client)
    batcher.submit(_item(1)).cancel()
    await batcher.close()
    assert await _calls(client) == before


async def test_flush(make_client: Make) -> None:
    """After SCRIPT FLUSH the batch is run by EVAL once; nobody notices."""
    client = make_client()
    batcher = await _ready(client)
    await client.execute("SCRIPT", "FLUSH")
    results = await asyncio.gather(*(batcher.submit(_item(i)) for i in range(10)))
    assert [result[0][0] for result in results] == list(range(10))


async def test_paused_store(server: EmbeddedRedis, make_client: Make) -> None:
    """A paused server fails the call in flight and all that wait with `slow`; after it, answers are right again."""
    observed: list[str | None] = []
    lost: list[str] = []
    batcher = await _ready(
        make_client(RedisOptions(timeout=0.1)),
        on_call=lambda _, reason: observed.append(reason),
        on_lost=lambda _, error: lost.append(error.reason),
    )
    pause(server.pid or 0)
    try:
        flying = [batcher.submit(_item(i)) for i in range(5)]
        await asyncio.sleep(0.01)
        waiting = [batcher.submit(_item(i)) for i in range(5)]
        batcher.submit_nowait(_item(9))
        outcomes = await asyncio.gather(*flying, *waiting, return_exceptions=True)
    finally:
        os.kill(server.pid or 0, signal.SIGCONT)
    assert [getattr(outcome, "reason", outcome) for outcome in outcomes] == ["slow"] * 10
    assert lost == ["slow"]
    assert observed[-1] == "slow"

    async def answers() -> bool:
        try:
            return bool((await batcher.submit(_item(77)))[0][0] == 77)
        except StoreUnavailable:
            return False

    await eventually(answers)


async def test_killed_and_restarted(server: EmbeddedRedis, make_client: Make) -> None:
    """A killed server is `down`; once it is back, the same batcher works."""
    batcher = await _ready(make_client())
    first = server.pid or 0
    os.kill(first, signal.SIGKILL)
    until(lambda: server._process is not None and server._process.poll() is not None)
    with pytest.raises(StoreUnavailable, match="down"):
        await batcher.submit(_item(1))
    until(lambda: server.check() and server.pid != first)

    async def answers() -> bool:
        try:
            return bool((await batcher.submit(_item(5)))[0][0] == 5)
        except StoreUnavailable:
            return False

    await eventually(answers)


async def test_readonly(make_client: Make) -> None:
    """A replica is `readonly`."""
    client = make_client()
    batcher = await _ready(client)
    await client.execute("REPLICAOF", "127.0.0.1", "1")
    with pytest.raises(StoreUnavailable, match="readonly"):
        await batcher.submit(_item(1))
    await client.execute("REPLICAOF", "NO", "ONE")
    assert (await batcher.submit(_item(2)))[0][0] == 2


async def test_fire_and_forget(make_client: Make) -> None:
    """`submit_nowait` reaches the server, and `close` waits for it."""
    client = make_client()
    batcher = await _ready(client)
    for i in range(10):
        batcher.submit_nowait(_item(i))
    await batcher.close()
    assert await client.get("gw:calls") == b"11"


@pytest.mark.parametrize(
    "source", [b"return cmsgpack.pack({1, 2})", b"return 5", b"return '\\255'", b"error('bug')"], ids=str
)
async def test_broken_script(make_client: Make, source: bytes) -> None:
    """Too few results, no msgpack or a bug in the script: every item of that call fails, no later one hangs."""
    batcher = ScriptBatcher(make_client().script(source))
    for _ in range(2):
        outcomes = await asyncio.gather(*(batcher.submit(_item(i)) for i in range(3)), return_exceptions=True)
        assert [getattr(outcome, "reason", outcome) for outcome in outcomes] == ["error"] * 3


async def test_flight_cancelled(server: EmbeddedRedis, make_client: Make) -> None:
    """When the loop shuts the flight down, nobody is left waiting."""
    batcher = await _ready(make_client())
    pause(server.pid or 0)
    flying = batcher.submit(_item(1))
    await asyncio.sleep(0)
    waiting = batcher.submit(_item(2))
    assert "in_flight=True" in repr(batcher)
    assert batcher._flight is not None
    batcher._flight.cancel()
    outcomes = await asyncio.gather(flying, waiting, return_exceptions=True)
    os.kill(server.pid or 0, signal.SIGCONT)
    assert [getattr(outcome, "reason", outcome) for outcome in outcomes] == ["error", "error"]


async def test_unpackable_item(make_client: Make) -> None:
    """An argument msgpack cannot say is `error`, not a hang."""
    batcher = await _ready(make_client())
    with pytest.raises(StoreUnavailable, match="error"):
        await batcher.submit(Item(("gw:a",), (), [object()]))
    assert (await batcher.submit(_item(1)))[0][0] == 1
