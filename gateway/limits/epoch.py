"""The store's epoch ("life" below). A store that restarted, failed over or was flushed may have lost its last moments
or everything. A new epoch begins then: counters of quotas are not trusted any more, but rebuilt from the ledger."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable

from gateway.limits.limitset import Names
from gateway.singleflight import SingleFlight
from gateway.storage.redis import RedisClient, Script

OnLost = Callable[[str], None]
GRACE_SECONDS = 1.5
"""How long after the first worker noticed a new life quotas are started in it: until then every worker has noticed,
and has put there again what its calls hold. Three times what passes between two questions of one worker."""


class Epochs:
    """The current life of each shard's store. `on_lost` hears of a shard whose life has changed."""

    def __init__(self, redis: RedisClient, on_lost: OnLost) -> None:
        # A store that restarted closed its connections: nothing that is answered on a new one is believed unasked.
        redis.on_connect(self.doubt)
        self._script: Script = redis.load_script("gateway.limits", "lua/epoch.lua")
        self._on_lost = on_lost
        self._known: dict[str, str] = {}
        self._believed: set[str] = set()
        self._doubts = 0
        self._asking: SingleFlight[str, None] = SingleFlight()
        self._complete: dict[str, float] = {}
        """When the grace of a shard's life ends, on the monotonic clock."""

    def current(self, shard: str) -> str | None:
        """The name of this life, or None when that has to be asked again."""
        return self._known[shard] if shard in self._believed else None

    def known(self, shard: str) -> str | None:
        """The name of this life as it was heard last."""
        return self._known.get(shard)

    def in_doubt(self) -> bool:
        """Whether some shard's life has to be asked for again."""
        return len(self._believed) < len(self._known)

    async def complete(self, shard: str) -> None:
        """Return once every worker has had the time to notice this life."""
        left = self._complete.get(shard, 0.0) - time.monotonic()
        if left > 0:
            await asyncio.sleep(left)

    def doubt(self) -> None:
        """Something went wrong with the store: ask before the next quota is decided."""
        self._doubts += 1
        self._believed.clear()

    async def ask(self, shard: str) -> str:
        """The name of this life, asked for anew; many who ask at once share one question. Raises StoreUnavailable."""
        await self._asking.do(shard, lambda: self._refresh(shard))
        return self._known[shard]

    async def rotate(self, shard: str) -> None:
        """Begin a new life: what was used meanwhile is only in the ledger. Raises StoreUnavailable."""
        await self._refresh(shard, replace=True)

    async def _refresh(self, shard: str, *, replace: bool = False) -> None:
        known = self._known.get(shard)
        mark = known.partition("-")[2] if replace and known is not None else ""
        doubts = self._doubts
        answer, since = await self._script.run([Names(shard, "").mark], [os.urandom(6).hex(), mark, known or ""])
        name = answer.decode()
        self._known[shard] = name
        if since >= 0:
            self._complete[shard] = time.monotonic() + GRACE_SECONDS - since / 1e6
        if doubts == self._doubts:
            self._believed.add(shard)
        if known is not None and known != name:
            self._on_lost(shard)
