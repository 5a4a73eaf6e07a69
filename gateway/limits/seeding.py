"""Counters of quotas that the store does not have: started anew from what the ledger says."""

from __future__ import annotations

import asyncio
import os

from gateway.errors import QuotaUnavailable
from gateway.limits.comparison import Comparison, Life, nowhere
from gateway.limits.limitset import Frame, LimitSet
from gateway.limits.outage import LedgerLine, question
from gateway.limits.periods import FOREVER
from gateway.singleflight import SingleFlight
from gateway.storage.errors import StoreUnavailable
from gateway.storage.redis import RedisClient, Script

KEPT_AFTER = 3600.0
"""Seconds that a counter outlives its period, for calls that end after it."""
TRIES = 10
"""Times the ledger is asked while calls that end change its answer."""


class Seeder:
    """Starts missing counters; many calls that miss the same one share the work. `compare` finds those that are there
    and wrong; `life` is for that."""

    def __init__(self, redis: RedisClient, ledger: LedgerLine, life: Life = nowhere) -> None:
        self.compare = Comparison(redis, ledger, life)
        self._script: Script = redis.load_script("gateway.limits", "lua/seed.lua")
        self._ledger = ledger
        self._working: SingleFlight[str, None] = SingleFlight()

    async def seed(self, limits: LimitSet, frame: Frame, user: str | None) -> None:
        """Start every missing counter of this set. Raises QuotaUnavailable when the ledger cannot tell."""
        await asyncio.gather(*(self._shared(limits, frame, row, user) for row in limits.quotas))

    async def _shared(self, limits: LimitSet, frame: Frame, row: int, user: str | None) -> None:
        await self._working.do(frame.keys[3 + row], lambda: self._seed(limits, frame, row, user))

    async def _seed(self, limits: LimitSet, frame: Frame, row: int, user: str | None) -> None:
        period = frame.periods[row]
        assert period is not None
        try:
            gone = 0 if period.end >= FOREVER else int((period.end + KEPT_AFTER) * 1000)
            keys, prefix = [frame.keys[3 + row], limits.names.workers], limits.names.open_prefix
            for _ in range(TRIES):
                token = await self._script.run(keys, [os.urandom(6).hex()])
                if not token:
                    return
                (used,) = await self._ledger.used([question(limits, frame, row, user)])
                if await self._script.run(keys, [token, used, gone, prefix]):
                    return
        except (OSError, StoreUnavailable):
            raise QuotaUnavailable(retry_after=1.0) from None
