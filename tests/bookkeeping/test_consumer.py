"""Events from the streams into the ledger: nothing lost, nothing twice, whatever is away."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import suppress

import msgspec
import pytest

from gateway.storage.embedded import EmbeddedRedis
from gateway.storage.errors import StoreUnavailable
from gateway.storage.redis import RedisClient, connect
from gateway.storage.streams import StreamGroup, stream_options
from gateway.telemetry.bookkeeping import BookkeepingMetrics
from gateway.types import LedgerRow
from gateway.usage import consumer as module
from gateway.usage.booking import Booker
from gateway.usage.consumer import GROUP, Consumer, usage_key
from gateway.usage.events import encode_entry, encode_event
from tests.bookkeeping.books import MemoryLedger, row
from tests.storage.servers import cluster
from tests.support.waiting import eventually

KEY = usage_key("0")

Make = Callable[..., asyncio.Task[None]]


@pytest.fixture
async def make(redis: RedisClient, booker: Booker, metrics: BookkeepingMetrics) -> AsyncIterator[Make]:
    """Starts consumers; they end with the test."""
    tasks: list[asyncio.Task[None]] = []

    def start(name: str = "one") -> asyncio.Task[None]:
        tasks.append(asyncio.create_task(Consumer(redis, ("0",), name, booker, metrics).run()))
        return tasks[-1]

    yield start
    for task in tasks:
        await end(task)


async def end(task: asyncio.Task[None]) -> None:
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


async def add(redis: RedisClient, *rows: LedgerRow) -> None:
    """One entry with one event a row."""
    await redis.execute("XADD", KEY, "*", "e", encode_entry([encode_event([one]) for one in rows]))


async def left(redis: RedisClient) -> tuple[int, int]:
    """Entries in the stream, and those that were given and not acknowledged."""
    pending = await redis.execute("XPENDING", KEY, GROUP)
    return int(await redis.execute("XLEN", KEY)), int(pending[0])


async def until_empty(redis: RedisClient) -> None:
    for _ in range(1500):
        with suppress(StoreUnavailable):
            if await left(redis) == (0, 0):
                return
        await asyncio.sleep(0.01)
    raise AssertionError(await left(redis))


async def test_events_are_booked_and_removed(make: Make, redis: RedisClient, memory: MemoryLedger) -> None:
    """Events from before and after the start reach the ledger; stream and pending list end empty."""
    await add(redis, row("before"))
    make()
    for number in range(50):
        await add(redis, row(f"c{number}"), row(f"c{number}", 2))
    await eventually(lambda: len(memory.rows) == 101, "every row")
    await until_empty(redis)
    assert memory.writes < 50, "rows share transactions"


async def test_repeated_events_change_nothing(
    make: Make, redis: RedisClient, memory: MemoryLedger, metrics: BookkeepingMetrics
) -> None:
    """The same event twice is one row, and counted as a duplicate."""
    make()
    await add(redis, row("same"))
    await until_empty_after(memory, redis, 1)
    await add(redis, row("same"))
    await eventually(lambda: metrics.counted("duplicate") == 1, "the duplicate")
    assert len(memory.rows) == 1


async def until_empty_after(memory: MemoryLedger, redis: RedisClient, rows: int) -> None:
    await eventually(lambda: len(memory.rows) == rows, f"{rows} rows")
    await until_empty(redis)


async def test_a_ledger_that_is_away_loses_nothing(
    make: Make, redis: RedisClient, memory: MemoryLedger, metrics: BookkeepingMetrics
) -> None:
    """While SQL is away events stay in the stream and the backlog shows them; then all are booked."""
    memory.away = True
    make()
    for number in range(20):
        await add(redis, row(f"c{number:02}"))
    await eventually(lambda: metrics.waiting >= 20, "a backlog")
    assert not memory.rows
    memory.away = False
    await until_empty_after(memory, redis, 20)
    await eventually(lambda: metrics.waiting == 0, "no backlog")


async def test_the_log_says_why_and_that_it_is_over(
    make: Make, redis: RedisClient, memory: MemoryLedger, metrics: BookkeepingMetrics, caplog: pytest.LogCaptureFixture
) -> None:
    """Trouble is told of once, however often it is tried, and so is its end."""
    memory.away = True
    make()
    await add(redis, row("a"))
    await eventually(lambda: metrics.failures >= 2, "two failed tries")
    memory.away = False
    await until_empty_after(memory, redis, 1)
    await eventually(lambda: len(told(caplog)) == 2, "two lines")
    assert told(caplog) == [
        f"ledger events of {KEY} wait: LedgerAway: Away",
        f"ledger events of {KEY} are booked again",
    ]


def told(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [found.getMessage() for found in caplog.records if found.name == "gateway.usage"]


async def test_events_come_as_they_are_or_as_byte_strings(make: Make, redis: RedisClient, memory: MemoryLedger) -> None:
    """What the gate writes and what the reaper and older versions write is booked; what is too large is cut to fit."""
    events = [encode_event([row(name)]) for name in ("a", "b")]
    await redis.execute("XADD", KEY, "*", "e", b"\xdc\x00\x02" + b"".join(events))
    await redis.execute("XADD", KEY, "*", "e", encode_entry([encode_event([row("c")])]))
    large = msgspec.structs.replace(row("d"), requested_model="m\0" * 1000, output_tokens=2**62, duration_ms=-1.0)
    await redis.execute("XADD", KEY, "*", "e", b"\xdc\x00\x02" + encode_event([large]) + encode_event([row("e")]))
    make()
    await until_empty_after(memory, redis, 5)
    cut = memory.rows["d", 1]
    assert (len(cut.requested_model), cut.output_tokens, cut.duration_ms) == (512, 2**40 - 1, 0.0)
    assert "\0" not in cut.requested_model


async def test_events_of_older_versions_are_booked(make: Make, redis: RedisClient, memory: MemoryLedger) -> None:
    """Their rows end before the columns that came later: those are as they were before there were any."""
    first = LedgerRow.__struct_fields__.index("cache_write_1h_tokens")
    for name, length in (("a", first), ("b", first + 1), ("c", first + 2), ("d", first + 3)):
        (whole,) = msgspec.msgpack.decode(encode_event([row(name)]))
        await redis.execute("XADD", KEY, "*", "e", b"\xdc\x00\x01" + msgspec.msgpack.encode([whole[:length]]))
    make()
    await until_empty_after(memory, redis, 4)
    assert [memory.rows[name, 1] for name in "abcd"] == [row(name) for name in "abcd"]
    assert {(one.upstream_requests, one.service_tier, one.searches) for one in memory.rows.values()} == {(1, "", 0)}


POISON = [
    b"\xc1",
    b"",
    b"\x91" * 5000 + b"\xc0",
    encode_entry([b"\x93"]),
    encode_entry([encode_event([row("")])]),
    encode_entry([b"\x91" * 5000 + b"\xc0"]),
]


@pytest.mark.parametrize("poison", POISON)
async def test_a_poisonous_entry_blocks_nobody(
    make: Make, redis: RedisClient, memory: MemoryLedger, metrics: BookkeepingMetrics, poison: bytes
) -> None:
    """What cannot be decoded is kept in another stream and counted; its neighbours are booked."""
    await add(redis, row("a"))
    await redis.execute("XADD", KEY, "*", "e", poison)
    await add(redis, row("b"))
    make()
    await until_empty_after(memory, redis, 2)
    kept = await redis.execute("XRANGE", f"{KEY}:bad", "-", "+")
    assert [fields for _, fields in kept] == [[b"e", poison]]
    await eventually(lambda: metrics.counted("bad") == 1, "a count")


@pytest.mark.parametrize("poison", [b"\x93", b"\x91\xc0", b"\x91" * 5000 + b"\xc0", encode_event([row("")])])
async def test_a_poisonous_event_takes_no_other_along(
    make: Make, redis: RedisClient, memory: MemoryLedger, metrics: BookkeepingMetrics, poison: bytes
) -> None:
    """An entry holds what many calls did: those that can be read are booked, the other one is kept."""
    await redis.execute(
        "XADD", KEY, "*", "e", encode_entry([encode_event([row("a")]), poison, encode_event([row("b")])])
    )
    make()
    await until_empty_after(memory, redis, 2)
    ((_, fields),) = await redis.execute("XRANGE", f"{KEY}:bad", "-", "+")
    assert fields == [b"e", encode_entry([poison])]
    await eventually(lambda: metrics.counted("bad") == 1, "a count")


async def test_events_as_they_are_are_told_apart(make: Make, redis: RedisClient, memory: MemoryLedger) -> None:
    """The same of events that stand in their entry as they are: a later version's may have words that are new."""
    strange = encode_event([row("new")]).replace(b"\xa7settled", b"\xa7revoked")
    await redis.execute("XADD", KEY, "*", "e", b"\x93" + encode_event([row("a")]) + strange + encode_event([row("b")]))
    make()
    await until_empty_after(memory, redis, 2)
    ((_, fields),) = await redis.execute("XRANGE", f"{KEY}:bad", "-", "+")
    assert fields == [b"e", encode_entry([strange])]


async def test_what_is_bad_is_counted_once(
    make: Make, redis: RedisClient, memory: MemoryLedger, metrics: BookkeepingMetrics
) -> None:
    """However often the rows beside it have to be tried."""
    memory.away = True
    await redis.execute("XADD", KEY, "*", "e", b"\xc1")
    await add(redis, row("a"))
    make()
    await eventually(lambda: metrics.failures >= 2, "two failed tries")
    memory.away = False
    await until_empty_after(memory, redis, 1)
    await eventually(lambda: metrics.counted("bad") > 0, "a count")
    assert metrics.counted("bad") == 1


async def test_a_foreign_entry_is_kept(make: Make, redis: RedisClient, memory: MemoryLedger) -> None:
    """An entry with other fields than ours is set aside with all it says."""
    await redis.execute("XADD", KEY, "*", "name", "value")
    await add(redis, row("a"))
    make()
    await until_empty_after(memory, redis, 1)
    ((_, fields),) = await redis.execute("XRANGE", f"{KEY}:bad", "-", "+")
    assert fields == [b"e", b"\xc1name\0value"]


async def test_large_entries_come_a_few_at_a_time(make: Make, redis: RedisClient, memory: MemoryLedger) -> None:
    """Entries with many rows: batches stay near their size, and everything is booked."""
    for number in range(60):
        await add(redis, *(row(f"c{number}-{at}") for at in range(200)))
    make()
    await until_empty_after(memory, redis, 12_000)
    assert memory.writes >= 3


async def test_a_row_that_sql_refuses_blocks_nobody(
    make: Make, redis: RedisClient, memory: MemoryLedger, metrics: BookkeepingMetrics
) -> None:
    """Of a batch with one row that the database will never take, only that one is set aside."""
    memory.refuses = lambda found: found.call_id == "c7"
    for number in range(20):
        await add(redis, row(f"c{number}"))
    make()
    await until_empty_after(memory, redis, 19)
    assert ("c7", 1) not in memory.rows
    assert int(await redis.execute("XLEN", f"{KEY}:bad")) == 1
    assert metrics.counted("bad") == 1


async def test_what_a_predecessor_was_given_is_taken_up_at_once(
    make: Make, redis: RedisClient, memory: MemoryLedger
) -> None:
    """Entries delivered to this name and never acknowledged (killed before, or after, the commit) are booked once."""
    predecessor = StreamGroup(redis, KEY, GROUP, "one")
    await predecessor.create()
    await add(redis, row("not booked"))
    await add(redis, row("booked, not removed"))
    await add(redis, row("removed, not acknowledged"))
    entries = await predecessor.fresh(10)
    assert len(entries) == 3
    await memory.write([row("booked, not removed"), row("removed, not acknowledged")])
    await redis.execute("XDEL", KEY, entries[2].id)
    make("one")
    await until_empty_after(memory, redis, 3)


async def test_what_another_left_is_claimed(
    make: Make, redis: RedisClient, memory: MemoryLedger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Entries given to a consumer that never came back are taken over once they were idle for a while."""
    monkeypatch.setattr(module, "CLAIM_EVERY", 0.05)
    monkeypatch.setattr(module, "CLAIM_IDLE", 0.2)
    monkeypatch.setattr(module, "BLOCK_SECONDS", 0.05)
    other = StreamGroup(redis, KEY, GROUP, "other host")
    await other.create()
    await add(redis, row("orphan"))
    assert len(await other.fresh(10)) == 1
    make("one")
    await until_empty_after(memory, redis, 1)


async def test_a_flushed_server_is_used_again(make: Make, redis: RedisClient, memory: MemoryLedger) -> None:
    """After FLUSHALL the group is made anew, and later events are booked."""
    make()
    await add(redis, row("before"))
    await until_empty_after(memory, redis, 1)
    await redis.execute("FLUSHALL")
    await add(redis, row("after"))
    await until_empty_after(memory, redis, 2)


async def test_a_paused_server_is_waited_for(
    make: Make, redis: RedisClient, memory: MemoryLedger, server: EmbeddedRedis, metrics: BookkeepingMetrics
) -> None:
    """SIGSTOP to the server for longer than a read may take: the consumer goes on when it wakes."""
    make()
    await add(redis, row("before"))
    await until_empty_after(memory, redis, 1)
    assert server.pid is not None
    os.kill(server.pid, signal.SIGSTOP)
    try:
        await eventually(lambda: metrics.failures > 0, "a failed read")
    finally:
        os.kill(server.pid, signal.SIGCONT)
    await patiently(redis, row("after"))
    await until_empty_after(memory, redis, 2)


async def patiently(redis: RedisClient, one: LedgerRow) -> None:
    """Add one row as soon as the server takes it."""
    for _ in range(1500):
        with suppress(StoreUnavailable):
            await add(redis, one)
            return
        await asyncio.sleep(0.01)
    raise AssertionError("the server does not come back")


async def test_a_killed_server_is_waited_for(
    make: Make, redis: RedisClient, memory: MemoryLedger, server: EmbeddedRedis, metrics: BookkeepingMetrics
) -> None:
    """SIGKILL to the server: failures are counted, and what the new one still has is booked."""
    make()
    await add(redis, row("before"))
    await until_empty_after(memory, redis, 1)
    assert server.pid is not None
    os.kill(server.pid, signal.SIGKILL)
    await eventually(lambda: metrics.failures > 0, "a counted failure")
    await eventually(server.check, "a new server")
    await patiently(redis, row("after"))
    await until_empty_after(memory, redis, 2)


async def test_caught_up_waits_for_what_was_there(redis: RedisClient, booker: Booker, memory: MemoryLedger) -> None:
    """It returns at once when nothing waits, and not before the last event of its time is booked."""
    consumer = Consumer(redis, ("0",), "one", booker, BookkeepingMetrics())
    await asyncio.wait_for(consumer.caught_up(), 5)
    memory.away = True
    task = asyncio.create_task(consumer.run())
    for number in range(5):
        await add(redis, row(f"c{number}"))
    waiting = asyncio.create_task(consumer.caught_up())
    done, _ = await asyncio.wait([waiting], timeout=0.3)
    assert not done
    memory.away = False
    await asyncio.wait_for(waiting, 10)
    assert len(memory.rows) == 5
    await end(task)


async def test_drain_books_the_rest(redis: RedisClient, booker: Booker, memory: MemoryLedger) -> None:
    """A consumer that is ending takes what is pending and what is new, then returns."""
    consumer = Consumer(redis, ("0",), "one", booker, BookkeepingMetrics())
    task = asyncio.create_task(consumer.run())
    await add(redis, row("first"))
    await until_empty_after(memory, redis, 1)
    memory.slow = 0.2
    await add(redis, row("interrupted"))
    writes = memory.writes
    await eventually(lambda: memory.writes > writes, "a write under way")
    await end(task)
    for number in range(700):
        await add(redis, row(f"c{number}"))
    memory.slow = 0.0
    await asyncio.wait_for(consumer.drain(), 10)
    assert len(memory.rows) == 702
    assert await left(redis) == (0, 0)


async def test_every_shard_of_a_cluster(memory: MemoryLedger, booker: Booker, metrics: BookkeepingMetrics) -> None:
    """On a Cluster each shard has a stream on its own node: all are consumed, and waited for."""
    shards = tuple(map(str, range(16)))
    async with cluster(replica=False) as found:
        redis = connect(found.url, stream_options(16))
        consumer = Consumer(redis, shards, "one", booker, metrics)
        task = asyncio.create_task(consumer.run())
        for shard in shards:
            for number in range(5):
                event = encode_event([row(f"c{shard}-{number}")])
                await redis.execute("XADD", usage_key(shard), "*", "e", encode_entry([event]), key=usage_key(shard))
        await asyncio.wait_for(consumer.caught_up(), 15)
        assert len(memory.rows) == 80
        await end(task)
        await consumer.drain()
        assert [await redis.execute("XLEN", usage_key(shard)) for shard in shards] == [0] * 16
        await redis.close()
