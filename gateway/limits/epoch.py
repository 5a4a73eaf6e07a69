"""Which life of the store this is. A store that restarted, failed over or was flushed may have lost its last moments or
everything: what it counted of quotas is not believed any more, and counted anew from the ledger."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable

from gateway.limits.limitset import Names
from gateway.storage.redis import RedisClient, Script

OnLost = Callable[[str], None]


class Epochs:
    """The current life of each shard's store. `on_lost` hears of a shard whose life has changed."""

    def __init__(self, redis: RedisClient, on_lost: OnLost) -> None:
        self._script: Script = redis.load_script("gateway.limits", "lua/epoch.lua")
        self._on_lost = on_lost
        self._known: dict[str, str] = {}
        self._believed: set[str] = set()
        self._asking: dict[str, asyncio.Task[None]] = {}

    def current(self, shard: str) -> str | None:
        """The name of this life, or None when that has to be asked again."""
        return self._known[shard] if shard in self._believed else None

    def doubt(self) -> None:
        """Something went wrong with the store: ask before the next quota is decided."""
        self._believed.clear()

    async def ask(self, shard: str) -> str:
        """The name of this life, asked for anew; many who ask at once share one question. Raises StoreUnavailable."""
        task = self._asking.get(shard)
        if task is None:
            task = self._asking[shard] = asyncio.create_task(self._refresh(shard))
            task.add_done_callback(lambda done: self._asked(shard, done))
        await asyncio.shield(task)
        return self._known[shard]

    def _asked(self, shard: str, task: asyncio.Task[None]) -> None:
        self._asking.pop(shard, None)
        if not task.cancelled():
            task.exception()

    async def rotate(self, shard: str) -> None:
        """Begin a new life: what was used meanwhile is only in the ledger. Raises StoreUnavailable."""
        await self._refresh(shard, replace=True)

    async def _refresh(self, shard: str, *, replace: bool = False) -> None:
        known = self._known.get(shard)
        mark = known.partition("-")[2] if replace and known is not None else ""
        answer = await self._script.run([Names(shard, "").mark], [os.urandom(6).hex(), mark])
        name = answer.decode()
        self._known[shard] = name
        self._believed.add(shard)
        if known is not None and known != name:
            self._on_lost(shard)
