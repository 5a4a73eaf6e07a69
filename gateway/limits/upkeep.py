"""What keeps the gate's state true while calls run: heartbeats, leases, checkpoints, and getting over an outage."""

from __future__ import annotations

from gateway.limits.gate import LEASE_SECONDS, Gate
from gateway.limits.limitset import Names
from gateway.ports import Clock
from gateway.storage.errors import StoreUnavailable
from gateway.storage.redis import RedisClient, Script

TICK_SECONDS = 0.5
HEARTBEAT_SECONDS = 5.0
RENEW_SECONDS = 20.0
AUDIT_SECONDS = 30.0
CHECKPOINT_SECONDS = 2.0
BUDGET_SECONDS = 5.0


class Upkeep:
    """One per worker; `tick` is to be called every `TICK_SECONDS`."""

    def __init__(self, gate: Gate, redis: RedisClient, worker: str, clock: Clock) -> None:
        self._gate = gate
        self._redis = redis
        self._worker = worker
        self._clock = clock
        self._beaten: dict[str, tuple[str | None, float]] = {}
        """Of each shard the life of its store, and when it was told that we live."""
        self._audited = self._seen = clock()
        self._strangers: set[str] = set()
        self._drop: Script = redis.load_script("gateway.limits", "lua/reap.lua")

    async def look(self) -> None:
        """What the workers of this machine find of the store. Every `TICK_SECONDS`, however long a round takes: others
        count on it."""
        for shard in self._gate.shards:
            self._gate.handover.look(shard)

    async def tick(self) -> None:
        """One round. Never raises for a store that is away."""
        self._renew()
        try:
            for shard in self._gate.shards or ["0"]:
                await self._of_shard(shard)
            self._gate.repeat()
            if self._clock() - self._seen >= BUDGET_SECONDS:
                self._seen = self._clock()
                await self._gate.spent.look(self._gate.store_clock())
            if self._clock() - self._audited >= AUDIT_SECONDS:
                self._audited = self._clock()
                await self._audit()
        except StoreUnavailable:
            self._gate.epochs.doubt()
            for shard in self._gate.shards:
                self._gate.handover.tell(shard)

    async def _of_shard(self, shard: str) -> None:
        gate = self._gate
        await gate.take_back(shard)
        now, epoch = self._clock(), gate.epochs.known(shard)
        life, at = self._beaten.get(shard, (None, now))
        if life != epoch or now - at >= HEARTBEAT_SECONDS:
            await self.beat(shard)
            self._beaten[shard] = epoch, now

    async def beat(self, shard: str) -> None:
        """Tell the reaper that this worker lives. Raises StoreUnavailable."""
        deadline = int((self._gate.store_clock() + LEASE_SECONDS) * 1e6)
        await self._redis.execute("ZADD", Names(shard, "").workers, deadline, self._worker)

    def _renew(self) -> None:
        now = self._clock()
        for reservation in list(self._gate.live.values()):
            if now - reservation.renewed >= RENEW_SECONDS:
                self._gate.renew(reservation)
            if reservation.checkpoint is not None and now - reservation.noted >= CHECKPOINT_SECONDS:
                about = reservation.checkpoint()
                if about != reservation.about:
                    self._gate.note(reservation, about)

    async def _audit(self) -> None:
        """Free what the store holds for calls that we do not know: reserved after nobody waited any more."""
        gate, strangers = self._gate, set()
        for shard in gate.shards:
            names = Names(shard, self._worker)
            found = {call.decode() for call in await self._redis.execute("HKEYS", names.open)}
            unknown = {call for call in found if call.partition("#")[0] not in gate.live}
            strangers |= unknown
            stale = sorted(unknown & self._strangers)
            if stale:
                keys = [names.open, names.events, names.reaped, names.workers]
                await self._drop.run(keys, [self._worker, 0, *stale])
        self._strangers = strangers
