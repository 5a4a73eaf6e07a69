"""Counters of quotas against the ledger. Those that say something else are forgotten: the next call starts them anew.

Too little says the counter of a quota that was not configured for a while, or not on every worker: nobody kept it then.
So each worker looks once at every counter that is new to it. Too much says one that was started while calls ran that
were admitted without the store: the ledger had what these might use. It is looked at again when they have ended.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from itertools import islice
from typing import NamedTuple

from gateway.limits.limitset import Frame, LimitSet
from gateway.limits.outage import LedgerLine, NoLedger, question
from gateway.storage.errors import StoreUnavailable
from gateway.storage.redis import RedisClient, Script
from gateway.types import LimitSpec, QuotaSpec

_log = logging.getLogger("gateway.limits")

AT_ONCE = 50
REST = 4.0
"""Times as long as a comparison took no other one is made: after a start all counters are new to a worker, and the
bookkeeper has other duties."""
AGAIN_SECONDS = 5.0
"""After a comparison that failed."""
BOOKED_SECONDS = 5.0
"""In which the ledger has got what a counter says was used."""
MOST = 20_000
"""Counters that are remembered, and that wait."""

Life = Callable[[str], str | None]
"""The name of a shard's store as long as it counts quotas and is not in doubt."""


def nowhere(shard: str) -> str | None:
    """No store."""
    del shard
    return None


class _Due(NamedTuple):
    """A counter to be looked at."""

    limits: LimitSet
    frame: Frame
    row: int
    user: str | None
    ended: bool
    """Too much is wrong, too."""


class Comparison:
    """One worker's looks at counters, made by a task of its own: no call waits for them."""

    def __init__(self, redis: RedisClient, ledger: LedgerLine, life: Life) -> None:
        self._script: Script = redis.load_script("gateway.limits", "lua/compare.lua")
        self._ledger = ledger
        self._life = life
        self._seen: dict[tuple[int, str], LimitSpec | QuotaSpec] = {}
        """By the identity of the quota, which is kept so that it stays its own: another configuration has others."""
        self._due: dict[tuple[str, bool], _Due] = {}
        self._task: asyncio.Task[None] | None = None

    @property
    def idle(self) -> bool:
        """Nothing waits."""
        return not self._due

    def admitted(self, limits: LimitSet, frame: Frame, user: str | None) -> None:
        """A call was admitted by these counters."""
        if frame.compared or isinstance(self._ledger, NoLedger):
            return
        frame.compared = True
        if len(self._seen) >= MOST:
            self._seen.clear()
        for row in limits.quotas:
            spec, owner = limits.spec_of(row), limits.owner_of(row, user)
            if (id(spec), owner) not in self._seen:
                self._seen[id(spec), owner] = spec
                self._add(_Due(limits, frame, row, user, ended=False))

    def ended(self, limits: LimitSet, frame: Frame, user: str | None) -> None:
        """A call is over that was admitted without the store."""
        if not isinstance(self._ledger, NoLedger):
            for row in limits.quotas:
                self._add(_Due(limits, frame, row, user, ended=True))

    async def close(self) -> None:
        """Look at nothing more."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    def _add(self, due: _Due) -> None:
        if len(self._due) < MOST:
            self._due[due.frame.keys[3 + due.row], due.ended] = due
        if self._task is None:
            self._task = asyncio.create_task(self._work())
            self._task.add_done_callback(self._worked)

    def _worked(self, task: asyncio.Task[None]) -> None:
        del task
        self._task = None

    async def _work(self) -> None:
        loop = asyncio.get_running_loop()
        while self._due:
            first = next(iter(self._due.values()))
            shard, ended = first.limits.names.shard, first.ended
            alike = (one for one in self._due.items() if (one[1].limits.names.shard, one[1].ended) == (shard, ended))
            some = dict(islice(alike, AT_ONCE))
            began = loop.time()
            try:
                await self._look(shard, [*some.values()], ended=ended)
            except (OSError, StoreUnavailable):
                await asyncio.sleep(AGAIN_SECONDS)
                continue
            except Exception:  # guards the other counters against what is wrong with these: logged, and they stay
                _log.exception("counters of quotas could not be compared with the ledger")
            for key, one in some.items():
                if self._due.get(key) is one:  # else another call has ended meanwhile
                    del self._due[key]
            if not ended:
                await asyncio.sleep(REST * (loop.time() - began))

    async def _look(self, shard: str, counters: list[_Due], *, ended: bool) -> None:
        """Raises OSError, StoreUnavailable."""
        life = self._life(shard)
        if life is None:
            raise StoreUnavailable("error", "whether the store lost something is not known")
        frames = [one.limits.moved(one.frame, one.user, life) for one in counters]
        keys = [frame.keys[3 + one.row] for frame, one in zip(frames, counters, strict=True)]
        before: list[int | str] = [""] * len(keys)
        if ended:
            before = await self._script.run(keys, [])
            await asyncio.sleep(BOOKED_SECONDS)
        asked = [question(one.limits, frame, one.row, one.user) for frame, one in zip(frames, counters, strict=True)]
        used = await self._ledger.used(asked)
        # In this order: what the ledger said then the counter says now, and what that said before the ledger says.
        if self._life(shard) != life:
            raise StoreUnavailable("error", "the store began a new life")
        await self._script.run(keys, [*used, *before])
