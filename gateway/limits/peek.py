"""A look at limits without asking for anything: what the gate would say now. Nothing is written."""

from __future__ import annotations

from gateway.errors import GatewayError
from gateway.limits.demand import Demand
from gateway.limits.gate import Gate
from gateway.limits.limitset import ADMITTED, UNSEEDED, LimitSet
from gateway.limits.outage import LedgerLine, NoLedger, question
from gateway.limits.refusals import Downgrade, oversized, refusal
from gateway.limits.script import peek_of
from gateway.storage.redis import RedisClient

Refusal = GatewayError | Downgrade


class Peek:
    """Looks at the counters that a gate keeps. `ledger` knows what quotas have used whose counters were not started
    yet; where it does not answer they count as unused."""

    def __init__(self, gate: Gate, redis: RedisClient, ledger: LedgerLine | None = None) -> None:
        self._gate = gate
        self._redis = redis
        self._ledger = ledger or NoLedger()
        self.assumed = False
        """Some quota was taken for unused because nobody could say."""

    async def refusal(self, limits: LimitSet, demand: Demand, user: str | None) -> Refusal | None:
        """What `Gate.reserve` would raise for this set, or None if it admits. Raises StoreUnavailable."""
        if not limits.rows:
            return None
        if demand.tokens > limits.largest:
            return oversized(limits, demand.tokens)
        gate = self._gate
        frame = limits.frame(user, await self._epoch(limits) if limits.quotas else "", gate.store_clock())
        channel = gate.channel(limits.names.shard)
        reply = await channel.submit(peek_of(frame, limits, demand, ()))
        if reply[0] == UNSEEDED:
            used = [0] * len(limits.rows)
            try:
                found = await self._ledger.used([question(limits, frame, row, user) for row in limits.quotas])
                for row, amount in zip(limits.quotas, found, strict=True):
                    used[row] = amount
            except OSError:
                self.assumed = True
            reply = await channel.submit(peek_of(frame, limits, demand, used))
        if int(reply[0]) == ADMITTED:
            return None
        error = refusal(limits, frame, reply, demand)
        assert isinstance(error, Refusal)
        return error

    async def _epoch(self, limits: LimitSet) -> str:
        """The life of the store that this gate believes in, else the one that was seen last by any."""
        known = self._gate.epochs.current(limits.names.shard)
        if known is None:
            name = await self._redis.execute("HGET", limits.names.mark, "name")
            known = name.decode() if isinstance(name, bytes) else ""
        return known
