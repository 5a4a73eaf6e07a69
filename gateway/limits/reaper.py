"""Booking what dead workers left open: their slots and reservations are freed, their calls become `abandoned` rows."""

from __future__ import annotations

from collections.abc import Sequence

from gateway.limits.limitset import Names
from gateway.limits.workers import is_dead
from gateway.ports import Clock
from gateway.storage.errors import StoreUnavailable
from gateway.storage.redis import RedisClient, Script

SETTLING_SECONDS = 30.0
"""How long the store must have answered before missed heartbeats count: while it was away nobody could send any."""


class Reaper:
    """Run it every few seconds; several may run at once."""

    def __init__(self, redis: RedisClient, shards: Sequence[str], clock: Clock) -> None:
        self._redis = redis
        self._script: Script = redis.load_script("gateway.limits", "lua/reap.lua")
        self._shards = shards
        self._clock = clock
        self._answering_since: float | None = None

    async def run_once(self) -> int:
        """Book the calls of workers that are dead; how many calls that were. Raises StoreUnavailable."""
        now = self._clock()
        try:
            reaped = 0
            for shard in self._shards:
                reaped += await self._reap(Names(shard, ""), now)
        except StoreUnavailable:
            self._answering_since = None
            raise
        if self._answering_since is None:
            self._answering_since = now
        return reaped

    async def _reap(self, names: Names, now: float) -> int:
        found = await self._redis.execute("ZRANGE", names.workers, 0, -1)
        settled = self._answering_since is not None and now - self._answering_since >= SETTLING_SECONDS
        reaped = 0
        for worker in (name.decode() for name in found):
            dead = is_dead(worker)
            if dead or (settled and not dead):
                reaped += max(0, await self._book(names, worker, known_dead=bool(dead)))
        return reaped

    async def _book(self, names: Names, worker: str, *, known_dead: bool) -> int:
        before = 0
        if not known_dead:
            seconds, micros = await self._redis.execute("TIME")
            before = int(seconds) * 1_000_000 + int(micros)
        keys = [f"{names.open_prefix}{worker}", names.events, names.reaped, names.workers]
        booked: int = await self._script.run(keys, [worker, before])
        return booked
