"""Work that comes round again and again, and that one of all workers does each time: a queue, a few hands, and a claim
in Redis."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from random import Random

from gateway.storage.errors import StoreUnavailable
from gateway.storage.redis import RedisClient

_log = logging.getLogger("gateway.rounds")

AT_ONCE = 4
JITTER = 0.1
"""Share of an interval by which each turn may come sooner or later."""
CLAIMED = 0.8
"""Share of an interval for which a turn belongs to who took it: the next one is nobody's before it is due."""
FIRST_SECONDS = 10.0
"""Everything new has its first turn within so many seconds, and within a tenth of its interval."""

Do = Callable[[str], Awaitable[float | None]]
"""Does one job. Seconds until it is due again, where that is not its interval."""


class Rounds:
    """Does jobs at their intervals, at most `at_once` together. A job that is being done is not done a second time."""

    def __init__(
        self,
        redis: RedisClient,
        prefix: str,
        do: Do,
        chance: Random,
        clock: Callable[[], float],
        at_once: int = AT_ONCE,
    ) -> None:
        self._redis = redis
        self._prefix = prefix
        self._do = do
        self._chance = chance
        self._clock = clock
        self._at_once = at_once
        self._every: dict[str, float] = {}
        self._due: dict[str, float] = {}
        self._waiting: asyncio.Queue[str] = asyncio.Queue()
        self._taken: set[str] = set()
        self._changed = asyncio.Event()

    def __repr__(self) -> str:
        return f"<Rounds {self._prefix} jobs={len(self._every)} waiting={self._waiting.qsize()}>"

    def use(self, jobs: Mapping[str, float]) -> None:
        """What there is to do from now on, with its intervals in seconds."""
        now = self._clock()
        for key, every in jobs.items():
            if self._every.get(key) != every:
                self._due[key] = now + self._chance.uniform(0, min(FIRST_SECONDS, every / 10))
        self._every = dict(jobs)
        self._due = {key: due for key, due in self._due.items() if key in jobs}
        self._changed.set()

    async def run(self) -> None:
        """Do what is due until cancelled."""
        async with asyncio.TaskGroup() as hands:
            for _ in range(self._at_once):
                hands.create_task(self._work())
            while True:
                self._changed.clear()
                pause = self._queue_what_is_due()
                try:
                    async with asyncio.timeout(pause):
                        await self._changed.wait()
                except TimeoutError:
                    pass

    def _queue_what_is_due(self) -> float | None:
        """Seconds until something is due; None while there is nothing at all."""
        now = self._clock()
        for key in [key for key, due in self._due.items() if due <= now]:
            self._put_off(key, self._every[key])
            if key not in self._taken:
                self._taken.add(key)
                self._waiting.put_nowait(key)
        return max(0.0, min(self._due.values()) - now) if self._due else None

    def _put_off(self, key: str, seconds: float) -> None:
        self._due[key] = self._clock() + seconds * self._chance.uniform(1 - JITTER, 1 + JITTER)

    async def _work(self) -> None:
        while True:
            key = await self._waiting.get()
            try:
                if key in self._every:
                    await self._turn(key)
            except StoreUnavailable:
                pass  # without the store nobody knows whose turn it is: the next one comes
            except Exception:  # a fault of ours in one job must not end the others: logged, and it comes round again
                _log.exception("a job of %s failed", self._prefix)
            finally:
                self._taken.discard(key)

    async def _turn(self, key: str) -> None:
        name, every = f"{self._prefix}{key}", self._every[key]
        if not await self._redis.execute("SET", name, "1", "NX", "PX", _milliseconds(every)):
            return
        sooner = await self._do(key)
        if sooner is not None and key in self._every:
            self._put_off(key, sooner)
            self._changed.set()
            await self._redis.execute("PEXPIRE", name, _milliseconds(sooner))


def _milliseconds(seconds: float) -> int:
    return max(1, round(seconds * CLAIMED * 1000))
