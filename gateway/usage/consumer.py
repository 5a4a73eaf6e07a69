"""Ledger events from the Redis streams into SQL, at least once; the ledger itself makes that exactly once."""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Sequence

from gateway.storage.errors import StoreUnavailable
from gateway.storage.redis import RedisClient
from gateway.storage.streams import Entry, StreamGroup, group_is_missing, milliseconds
from gateway.telemetry.bookkeeping import BookkeepingMetrics
from gateway.types import LedgerRow
from gateway.usage.booking import Booker, LedgerAway
from gateway.usage.events import BadEvent, decode_entry, encode_entry, encode_event

_log = logging.getLogger("gateway.usage")

GROUP = "ledger"
FEWEST, MOST = 20, 2000
"""Entries of one read."""
ROWS = 4000
"""Rows that one read should bring: an entry may hold one, or hundreds."""
BLOCK_SECONDS = 1.0
LINGER_SECONDS = 0.75
"""How long the first event waits for others to share its transaction."""
CLAIM_EVERY = 10.0
CLAIM_IDLE = 30.0
BACKOFF_FIRST, BACKOFF_MAX = 0.1, 5.0
KEEP_BAD = 10_000
WATCH_SECONDS = 1.0
POLL_SECONDS = 0.02


def usage_key(shard: str) -> str:
    """The stream of ledger events of one shard."""
    return f"gw:{{{shard}}}:usage"


class ShardConsumer:
    """Books one stream's events, one batch at a time. While SQL is away it keeps what it was given and tries on."""

    def __init__(self, stream: StreamGroup, booker: Booker, metrics: BookkeepingMetrics, hurry: asyncio.Event) -> None:
        self.stream = stream
        self._booker = booker
        self._metrics = metrics
        self._hurry = hurry
        self._failures = 0
        self._claimed = time.monotonic()
        self._entries = 50
        """Entries to read at once, by what they held so far."""

    async def run(self) -> None:
        """Consume until cancelled. What was given to us and not acknowledged is given again to the next run."""
        left_over = True
        while True:
            try:
                if time.monotonic() - self._claimed > CLAIM_EVERY:
                    self._claimed = time.monotonic()
                    left_over = bool(await self.stream.claim(CLAIM_IDLE)) or left_over
                entries = await self.stream.pending(self._entries) if left_over else await self._fresh()
                left_over = left_over and bool(entries)
                if entries:
                    await self._book(entries)
                self._well()
            except StoreUnavailable as error:
                left_over = True  # whether a reply was lost that gave us entries is unknown
                if group_is_missing(error):
                    await self._create()
                else:
                    await self._back_off(error)

    async def drain(self) -> None:
        """Book what is there now, ours and what is new, and return when nothing is left. Raises StoreUnavailable,
        LedgerAway."""
        await self.stream.create()
        while entries := await self.stream.pending(self._entries) or await self.stream.fresh(self._entries):
            await self._book_once(entries)

    async def _fresh(self) -> list[Entry]:
        entries = await self.stream.fresh(self._entries, BLOCK_SECONDS)
        if entries and len(entries) < self._entries and not self._hurry.is_set():
            try:
                async with asyncio.timeout(LINGER_SECONDS):
                    await self._hurry.wait()
            except TimeoutError:
                pass
            entries += await self.stream.fresh(self._entries)
        return entries

    async def _create(self) -> None:
        try:
            await self.stream.create()
        except StoreUnavailable as error:
            await self._back_off(error)

    async def _book(self, entries: list[Entry]) -> None:
        """Until it succeeds: nobody else will be given these entries while we live."""
        while True:
            try:
                await self._book_once(entries)
            except LedgerAway as error:
                await self._back_off(error)
            else:
                self._well()
                return

    async def _book_once(self, entries: Sequence[Entry]) -> None:
        """Commit, then remove and acknowledge: a crash in between books them again, which changes nothing."""
        rows: list[LedgerRow] = []
        good: list[bytes] = []
        bad: list[tuple[bytes, bytes]] = []
        for entry in entries:
            found, left = _read(entry)
            rows += found
            if left is None:
                good.append(entry.id)
            else:
                bad.append((entry.id, left))
        for refused in await self._booker.book(rows):
            await self._set_aside(encode_entry([encode_event([refused])]))
        # First those that are booked: a server that is full has room again for the bad ones.
        if good:
            await self.stream.done(good)
            self._entries = min(MOST, max(FEWEST, ROWS * len(good) // (len(rows) + 1)))
        for entry_id, value in bad:
            await self._set_aside(value)
            await self.stream.done([entry_id])
            self._metrics.rows("bad", 1)

    async def _set_aside(self, value: bytes) -> None:
        _log.error("a ledger event cannot be booked; it is kept in %s:bad", self.stream.key)
        await self.stream.set_aside(f"{self.stream.key}:bad", value, KEEP_BAD)

    def _well(self) -> None:
        if self._failures:
            _log.warning("ledger events of %s are booked again", self.stream.key)
        self._failures = 0

    async def _back_off(self, error: Exception) -> None:
        self._failures += 1
        self._metrics.failed()
        if self._failures == 1:
            _log.warning("ledger events of %s wait: %s: %s", self.stream.key, type(error).__name__, error)
        pause = min(BACKOFF_MAX, BACKOFF_FIRST * 2 ** min(self._failures, 10))
        await asyncio.sleep(pause * random.uniform(0.5, 1.0))  # noqa: S311 - spreads load, guards nothing


def _read(entry: Entry) -> tuple[list[LedgerRow], bytes | None]:
    """The rows of an entry, and what of it has to be set aside, as an entry of its own."""
    if entry.value is None:
        return [], None
    try:
        rows, bad = decode_entry(entry.value)
    except BadEvent:
        return [], entry.value
    return rows, encode_entry(bad) if bad else None


class Consumer:
    """All shards' streams. `consumer` names this process's place in the group: the same after a restart, so that what
    its predecessor was given comes to it at once."""

    def __init__(
        self, redis: RedisClient, shards: Sequence[str], consumer: str, booker: Booker, metrics: BookkeepingMetrics
    ) -> None:
        self._metrics = metrics
        self._hurry = asyncio.Event()
        self._hurried = 0
        self._shards = [
            ShardConsumer(StreamGroup(redis, usage_key(shard), GROUP, consumer), booker, metrics, self._hurry)
            for shard in shards
        ]

    async def run(self) -> None:
        """Consume until cancelled."""
        async with asyncio.TaskGroup() as group:
            for shard in self._shards:
                group.create_task(shard.run())
            group.create_task(self._watch())

    async def drain(self) -> None:
        """After `run` has ended: book what is left. Raises StoreUnavailable, LedgerAway."""
        for shard in self._shards:
            await shard.drain()

    async def caught_up(self) -> None:
        """Return once every event that stands in the streams now is in SQL. Raises StoreUnavailable."""
        tails = [(shard.stream, await shard.stream.tail()) for shard in self._shards]
        self._hurried += 1
        self._hurry.set()
        try:
            for stream, tail in tails:
                # Another host's consumer may hold an entry: no event of ours would tell.
                while tail is not None and await stream.oldest(tail) is not None:  # noqa: ASYNC110
                    await asyncio.sleep(POLL_SECONDS)
        finally:
            self._hurried -= 1
            if not self._hurried:
                self._hurry.clear()

    async def _watch(self) -> None:
        """The backlog, for metrics. While Redis is away it stays as it was."""
        while True:
            try:
                streams = [shard.stream for shard in self._shards]
                waiting = sum([await stream.length() for stream in streams])
                oldest = [milliseconds(found) for stream in streams if (found := await stream.oldest()) is not None]
                self._metrics.backlog(waiting, max(0.0, time.time() - min(oldest) / 1000) if oldest else 0.0)
            except StoreUnavailable:
                pass  # the consumers report it
            await asyncio.sleep(WATCH_SECONDS)
