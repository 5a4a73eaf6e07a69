"""Workers that spend, and looks at their counters. Knows no SQL: other processes start quickly with it."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from gateway.limits.demand import Demand, Used
from gateway.limits.gate import Gate, Reservation
from gateway.limits.limitset import LimitSet, Member, Names
from gateway.metering import Metering
from gateway.settings import Settings
from gateway.storage.redis import RedisClient, RedisOptions
from gateway.types import LedgerRow, LedgerState, LimitSpec, QuotaSpec
from gateway.usage.events import encode_event

PATIENT = RedisOptions(timeout=10.0, connect_timeout=10.0)
CENT = 10_000_000
"""In nano-USD."""
ONE = Demand(fixed_cost=CENT)
KEY = "ci"
TEAM = "research"
_calls = itertools.count(1)


def quota(kind: str, amount: int, *, name: str = KEY, period: str = "total", **more: Any) -> QuotaSpec:
    """A quota of a key, unless it says otherwise; of a period that does not end while a test runs."""
    return QuotaSpec(more.pop("scope", "key"), name, kind, period, amount, **more)


def sets(*specs: LimitSpec | QuotaSpec, worker: str = "w", shard: str = "0") -> LimitSet:
    """These limits, decided together."""
    return LimitSet.of([Member(spec, spec.name) for spec in specs], Names(shard, worker))


@dataclass
class Boot:
    """What a worker needs to know."""

    settings: Settings
    workers: int = 1


@dataclass
class Till:
    """One worker: its gate, with upkeep, journal and line to the ledger."""

    redis: RedisClient
    metering: Metering
    name: str
    open: dict[str, Reservation] = field(default_factory=dict)
    patient: RedisClient | None = None

    @property
    def gate(self) -> Gate:
        return self.metering.gate

    def sets(self, *specs: LimitSpec | QuotaSpec) -> LimitSet:
        return sets(*specs, worker=self.name)

    def event(self, call_id: str, state: LedgerState = LedgerState.SETTLED, **fields: Any) -> bytes:
        """A row of this call that began now."""
        fields = {"started_at": int(self.gate.store_clock() * 1e6), "key": KEY, "team": TEAM, **fields}
        return encode_event([row(call_id, state, **fields)])

    async def begin(
        self,
        limits: LimitSet | Sequence[LimitSet],
        demand: Demand | None = None,
        *,
        call_id: str = "",
        user: str | None = None,
        charged: tuple[int, int, int] = (1, 0, 0),
        **fields: Any,
    ) -> Reservation:
        """Reserve for one call; `charged` is what a dead worker's call is charged with, as tokens and nano-USD."""
        call_id = call_id or f"{self.name}-{next(_calls)}"
        reservation = Reservation(call_id, user)
        fields = {"user_hash": user, "status": 500, "reason": "worker_crash", **fields}
        event = self.event(
            call_id, LedgerState.ABANDONED, input_tokens=charged[1], output_tokens=0, cost_nano_usd=charged[2], **fields
        )
        chosen = [limits] if isinstance(limits, LimitSet) else limits
        await self.gate.reserve(reservation, chosen, demand or Demand(), (event, charged))
        self.open[call_id] = reservation
        return reservation

    def end(self, reservation: Reservation, tokens: int = 0, cost: int = 0, **fields: Any) -> None:
        """Settle it: the ledger gets a row of that."""
        self.open.pop(reservation.call_id, None)
        event = self.event(
            reservation.call_id, input_tokens=tokens, cost_nano_usd=cost, user_hash=reservation.user, **fields
        )
        self.gate.settle(reservation, Used(tokens, cost), event)

    async def done(self) -> None:
        """Everything settled is with the store."""
        await self.gate.close()

    async def counters(self, limits: LimitSet, user: str | None = None) -> list[tuple[int, int] | None]:
        """Of each quota what is used and what of it is reserved; None: there is no counter."""
        await self.done()
        shard = limits.names.shard
        epoch = self.gate.epochs.known(shard) or await self.gate.epochs.ask(shard)
        frame = limits.frame(user, epoch, self.gate.store_clock())
        found = [await self.redis.execute("HMGET", frame.keys[3 + at], "u", "r") for at in limits.quotas]
        return [None if used is None else (int(used), int(held)) for used, held in found]

    async def close(self) -> None:
        await self.metering.close()
        await self.redis.close()
        if self.patient is not None:
            await self.patient.close()


def row(call_id: str, state: LedgerState, **fields: Any) -> LedgerRow:
    """One attempt."""
    known: dict[str, Any] = {
        "attempt": 1,
        "request_id": "req",
        "user_hash": None,
        "route": "chat",
        "service": "chat",
        "requested_model": "fast",
        "provider": "openai",
        "deployment": "openai/gpt-4o",
        "model": "gpt-4o",
        "stream": False,
        "status": 200,
        "reason": "ok",
    }
    return LedgerRow(call_id=call_id, state=state, **{**known, **fields})


async def spend(till: Till, limits: LimitSet, count: int) -> None:
    """So many calls, from beginning to end."""
    for _ in range(count):
        till.end(await till.begin(limits, ONE), cost=CENT)
    await till.done()
