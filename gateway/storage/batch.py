"""Many script calls as one: what is submitted in one tick of the event loop travels in one EVALSHA.

The script gets the distinct keys of all items as KEYS, and one msgpack blob as ARGV[1], `[tables, groups, items]`:
a group is `[[key indexes], table number]`, an item `[group number, args]`; all count from 1, as Lua does. Items that
share their keys' and their table's tuple share a group, and groups share tables: what is the same for many calls
travels once. The script answers
with one `cmsgpack.pack` of `{now, result, …}`: its server's time in µs, then one result per item, in their order.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from gateway.storage.errors import StoreUnavailable

if TYPE_CHECKING:
    from gateway.storage.redis import Script

Key = str | bytes
OnCall = Callable[[float, str | None], None]
OnLost = Callable[["Item", StoreUnavailable], None]
OnOrphan = Callable[["Item", Any], None]
OnTime = Callable[[int, float], None]

LINGER_SECONDS = 0.002
"""How long an item that nobody waits for may wait for others to travel with."""

PACE_SECONDS = 0.001
"""The least time between the starts of two calls while many ask: each costs more than what one item does."""
MANY = 2500.0
"""Items a second above which calls are paced. One caller alone, who asks again when he is answered, stays below it."""
MEMORY_SECONDS = 0.05
"""How far back that is measured."""

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(list[Any]).decode


class Item:
    """One call of the script: the keys it touches, a table that many calls share, and its own arguments.

    Table and arguments are anything msgpack can say; bytes go through `as_text`. Keep one `keys` and one `table` object
    for all calls that share them, and never change either: they are told apart by identity.
    """

    __slots__ = ("args", "future", "keys", "presses", "table")

    def __init__(self, keys: Sequence[Key], table: Sequence[Any], args: Sequence[Any]) -> None:
        self.keys = keys
        self.table = table
        self.args = args
        self.future: asyncio.Future[Any] | None = None
        self.presses = False


class ScriptBatcher:
    """One call in flight at a time; what arrives meanwhile gathers for the next.

    `on_call` hears of every call (seconds, reason or None), `on_lost` of every `submit_nowait` that failed, `on_orphan`
    of every result whose caller was cancelled meanwhile, so that what the script reserved for it can be given back,
    `on_time` of the server's clock (µs) and the monotonic seconds at which it was read here, before any result is told.
    """

    def __init__(
        self,
        script: Script,
        *,
        max_batch: int = 256,
        on_call: OnCall | None = None,
        on_lost: OnLost | None = None,
        on_orphan: OnOrphan | None = None,
        on_time: OnTime | None = None,
    ) -> None:
        self._script = script
        self._max_batch = max_batch
        self._on_call = on_call
        self._on_lost = on_lost
        self._on_orphan = on_orphan
        self._on_time = on_time
        self._waiting: deque[Item] = deque()
        self._flight: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._paced = False
        """The timer is set for items that somebody waits for."""
        self._pressing = 0
        """How many of those that wait must not wait longer."""
        self._started = 0.0
        """When the latest call started."""
        self._rate = 0.0
        """Items a second that somebody waits for, of late."""
        self._loop = asyncio.get_running_loop()

    def __repr__(self) -> str:
        return f"<ScriptBatcher {self._script.name} waiting={len(self._waiting)} in_flight={self._flight is not None}>"

    def submit(self, item: Item) -> asyncio.Future[Any]:
        """Await it for the item's result. Raises StoreUnavailable. Cancelling it never disturbs the shared call."""
        item.future = future = self._loop.create_future()
        item.presses = True
        self._pressing += 1
        self._waiting.append(item)
        if self._flight is None and not self._paced:
            self._depart_in(self._pause())
        return future

    def submit_nowait(self, item: Item, *, linger: bool = False) -> None:
        """Send it and do not wait; a failure reaches `on_lost`. With `linger` it may wait a little for company."""
        item.future = None
        item.presses = not linger  # it may be sent a second time, in another hurry
        self._waiting.append(item)
        if not linger:
            self._pressing += 1
            self._depart()
        elif self._flight is None and self._timer is None:
            self._timer = self._loop.call_later(LINGER_SECONDS, self._depart)

    def _pause(self) -> float:
        """Seconds for which others may still join."""
        if self._rate < MANY:
            return 0.0
        return max(0.0, self._started + PACE_SECONDS - time.perf_counter())

    def _depart_in(self, seconds: float) -> None:
        """Not later than that."""
        if seconds <= 0.0:
            self._depart()
            return
        if self._timer is not None:
            self._timer.cancel()
        self._timer, self._paced = self._loop.call_later(seconds, self._depart), True

    def _depart(self) -> None:
        self._paced = False
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._flight is None:
            self._flight = self._loop.create_task(self._fly())

    async def close(self) -> None:
        """Wait until everything submitted is answered; each call is bounded by the client's timeout."""
        while self._flight is not None or self._waiting:
            self._depart()
            if self._flight is not None:
                await asyncio.wait([self._flight])

    async def _fly(self) -> None:
        try:
            while True:
                batch = self._take()
                if batch:
                    await self._send(batch)
                if not self._pressing or self._pause() > 0.0:
                    break
        finally:
            self._flight = None
            if self._pressing:
                self._depart_in(self._pause())
            elif self._waiting:
                self._timer = self._loop.call_later(LINGER_SECONDS, self._depart)

    def _take(self) -> list[Item]:
        """The next items, without those whose callers left before anything was sent."""
        waiting = self._waiting
        batch: list[Item] = []
        while waiting and len(batch) < self._max_batch:
            item = waiting.popleft()
            self._pressing -= item.presses
            if item.future is None or not item.future.done():
                batch.append(item)
        return batch

    def _measure(self, batch: list[Item], now: float) -> None:
        """How many ask at the moment."""
        since, self._started = now - self._started, now
        asked = sum(item.future is not None for item in batch)
        self._rate += (asked / since - self._rate) * min(1.0, since / MEMORY_SECONDS)

    async def _send(self, batch: list[Item]) -> None:
        started = time.perf_counter()
        self._measure(batch, started)
        try:
            results = await self._call(batch)
        except StoreUnavailable as error:
            self._report(started, error.reason)
            if error.reason != "error":  # the store itself is sick: nobody waits longer than one timeout
                batch = [*batch, *self._waiting]
                self._forget_waiting()
            self._fail(batch, error)
        except BaseException:  # shutdown, or a bug: nobody may be left waiting; the task reports it
            self._fail([*batch, *self._waiting], StoreUnavailable("error", "the batcher stopped"))
            self._forget_waiting()
            raise
        else:
            self._report(started, None)
            self._deliver(batch, results)

    def _forget_waiting(self) -> None:
        self._waiting.clear()
        self._pressing = 0

    async def _call(self, batch: list[Item]) -> list[Any]:
        """One script call. Raises StoreUnavailable, `error` for what cannot be encoded or understood."""
        keys, rows = _pack(batch)
        try:
            blob = _encode(rows)
        except (TypeError, ValueError, OverflowError) as error:
            raise StoreUnavailable("error", f"an item cannot be encoded: {error}") from error
        reply = await self._script.run(keys, (blob,))
        try:
            results = _decode(reply)
        except (TypeError, ValueError) as error:
            raise StoreUnavailable("error", f"{self._script.name} sent an unreadable reply") from error
        if len(results) != len(batch) + 1:
            found = len(results) - 1
            raise StoreUnavailable("error", f"{self._script.name} sent {found} results for {len(batch)} items")
        now = results.pop(0)
        if self._on_time is not None and isinstance(now, int):
            self._on_time(now, time.monotonic())
        return results

    def _deliver(self, batch: list[Item], results: list[Any]) -> None:
        for item, result in zip(batch, results, strict=True):
            future = item.future
            if future is None:
                continue
            if not future.done():
                future.set_result(result)
            elif self._on_orphan is not None:
                self._on_orphan(item, result)

    def _fail(self, batch: list[Item], error: StoreUnavailable) -> None:
        for item in batch:
            if item.future is None:
                if self._on_lost is not None:
                    self._on_lost(item, error)
            elif not item.future.done():
                item.future.set_exception(StoreUnavailable(error.reason, str(error)))

    def _report(self, started: float, reason: str | None) -> None:
        if self._on_call is not None:
            self._on_call(time.perf_counter() - started, reason)


def _pack(batch: list[Item]) -> tuple[tuple[Key, ...], tuple[list[Any], list[Any], list[Any]]]:
    """The distinct keys of a batch, and its tables, groups and items."""
    indexes: dict[Key, int] = {}
    number = indexes.setdefault
    known: dict[tuple[int, int], int] = {}
    placed: dict[int, int] = {}
    tables: list[Sequence[Any]] = []
    groups: list[tuple[list[int], int]] = []
    items: list[tuple[int, Sequence[Any]]] = []
    for item in batch:
        keys, table = item.keys, item.table
        about = (id(keys), id(table))
        group = known.get(about)
        if group is None:
            place = placed.get(about[1])
            if place is None:
                tables.append(table)
                place = placed[about[1]] = len(tables)
            groups.append(([number(key, len(indexes) + 1) for key in keys], place))
            group = known[about] = len(groups)
        items.append((group, item.args))
    return tuple(indexes), (tables, groups, items)


def as_text(data: bytes) -> msgspec.Raw:
    """Bytes as the servers' msgpack library reads them: it knows text, and not the newer binary type."""
    size = len(data)
    if size < 0x10000:
        return msgspec.Raw(b"\xda%b%b" % (size.to_bytes(2, "big"), data))
    return msgspec.Raw(b"\xdb%b%b" % (size.to_bytes(4, "big"), data))
