"""From the stream of reports to the history: what the bookkeeper does about providers' health."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Protocol

from gateway.health.events import GROUP, STREAM, BadEvents, decode
from gateway.health.incidents import SECOND
from gateway.health.layout import Layout
from gateway.storage.errors import StoreUnavailable
from gateway.storage.streams import StreamGroup, group_is_missing
from gateway.trouble import Trouble

if TYPE_CHECKING:
    from gateway.health.events import Event
    from gateway.health.history import Told
    from gateway.ports import IncidentChanged, Observer
    from gateway.registry.snapshot import Snapshot
    from gateway.storage.redis import RedisClient
    from gateway.storage.streams import Entry
    from gateway.telemetry.bookkeeping import BookkeepingMetrics

_log = logging.getLogger("gateway.health")

AT_ONCE = 100
BLOCK_SECONDS = 2.0
BACKOFF = 2.0
CLAIM_EVERY = 30.0
SETTLE_EVERY = 5.0
PRUNE_EVERY = 3600.0


class Keeps(Protocol):
    """Where it is kept. Every method raises one of `away` when that cannot be reached."""

    away: tuple[type[Exception], ...]

    async def record(self, entries: Sequence[Told], layout: Layout) -> list[IncidentChanged]: ...

    async def settle(self, now: int, layout: Layout) -> tuple[list[IncidentChanged], list[str]]: ...

    async def prune(self, before: int, now: int) -> None: ...


class Recorder:
    """Books reports, opens and closes incidents, tells of them. `snapshot` gives the configuration as it is now."""

    def __init__(
        self,
        stream: StreamGroup,
        history: Keeps,
        snapshot: Callable[[], Snapshot],
        observer: Observer,
        metrics: BookkeepingMetrics,
        keep: float,
    ) -> None:
        self._stream = stream
        self._history = history
        self._snapshot = snapshot
        self._observer = observer
        self._metrics = metrics
        self._away = history.away
        self._keep = round(keep * SECOND)
        self._claimed = 0.0
        began = partial(_log.warning, "reports of providers' health wait, and incidents are not looked at: %s")
        self._trouble = Trouble(began, partial(_log.info, "reports of providers' health are booked again"))
        """Trouble with the books."""

    async def run(self) -> None:
        """Until cancelled. While the database or Redis is away, reports wait in the stream."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._follow())
            group.create_task(self._tend())

    async def _follow(self) -> None:
        left_over = True
        while True:
            try:
                left_over = await self._take(left_over=left_over)
            except StoreUnavailable as error:
                left_over = True
                await self._again(error)
            except self._away as error:
                left_over = True
                self._trouble.met(error)
                await asyncio.sleep(BACKOFF)

    async def _again(self, error: StoreUnavailable) -> None:
        if group_is_missing(error):
            try:
                await self._stream.create()
            except StoreUnavailable:
                pass
            else:
                return
        await asyncio.sleep(BACKOFF)

    async def _take(self, *, left_over: bool) -> bool:
        """Book what comes next; whether something may be left that we were given before."""
        if time.monotonic() - self._claimed > CLAIM_EVERY:
            self._claimed = time.monotonic()
            left_over = bool(await self._stream.claim(CLAIM_EVERY)) or left_over
        entries = await (self._stream.pending(AT_ONCE) if left_over else self._stream.fresh(AT_ONCE, BLOCK_SECONDS))
        if entries:
            await self._book(entries)
        return left_over and bool(entries)

    async def _book(self, entries: Sequence[Entry]) -> None:
        told = [(entry.id.decode(), events) for entry in entries if (events := _events(entry))]
        changes = await self._recorded(told)
        self._trouble.over()
        for change in changes:
            self._observer.incident_changed(change)
        await self._stream.done([entry.id for entry in entries])

    async def _recorded(self, told: Sequence[Told]) -> list[IncidentChanged]:
        """What no database takes is dropped: alone, and said."""
        try:
            return await self._history.record(told, Layout(self._snapshot()))
        except self._away:
            raise
        except Exception:  # guards the books against one report that cannot be kept: logged, the others are kept
            if len(told) == 1:
                _log.exception("a report of providers' health cannot be kept; it is dropped")
                return []
        return [change for one in told for change in await self._recorded([one])]

    async def _tend(self) -> None:
        pruned = -PRUNE_EVERY
        while True:
            try:
                await self.settle()
                if time.monotonic() - pruned > PRUNE_EVERY:
                    pruned = time.monotonic()
                    now = round(time.time() * SECOND)
                    await self._history.prune(now - self._keep, now)
            except self._away as error:
                self._trouble.met(error)
            except Exception:  # a fault of ours must not end the books: logged, and the next round is tried
                _log.exception("open incidents could not be looked at")
            await asyncio.sleep(SETTLE_EVERY)

    async def settle(self) -> None:
        """Close what is over, show what is not, and tell what people did."""
        layout = Layout(self._snapshot())
        changes, going_on = await self._history.settle(round(time.time() * SECOND), layout)
        self._trouble.over()
        self._metrics.incidents({name: name in going_on for name in {*layout.providers, *going_on}})
        for change in changes:
            self._observer.incident_changed(change)


def stream_of(redis: RedisClient, consumer: str) -> StreamGroup:
    """The reports, as this consumer of the group gets them."""
    return StreamGroup(redis, STREAM, GROUP, consumer)


def _events(entry: Entry) -> Sequence[Event]:
    if entry.value is None:
        return ()
    try:
        return decode(entry.value)
    except BadEvents:
        _log.error("a report of providers' health cannot be read; it is dropped")
        return ()
