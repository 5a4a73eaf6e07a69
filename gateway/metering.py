"""What a worker needs to hold calls to their limits and to leave a record of them, wired together."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import Protocol

from gateway.limits.gate import Gate
from gateway.limits.outage import Backing
from gateway.limits.upkeep import TICK_SECONDS, Upkeep
from gateway.ports import Clock, Observer
from gateway.registry.snapshot import Snapshot
from gateway.settings import Settings
from gateway.storage.redis import RedisClient
from gateway.types import QuotaSpec
from gateway.usage.ledger_client import LedgerClient
from gateway.usage.rpc import ledger_socket
from gateway.usage.spool import Spool

SPOOL = "spool"
FLUSH_SECONDS = 5.0


class About(Protocol):
    """What is known when a worker starts."""

    @property
    def settings(self) -> Settings: ...

    @property
    def workers(self) -> int: ...


class Metering:
    """One worker's gate with its upkeep, its line to the ledger and its journal."""

    def __init__(
        self,
        boot: About,
        redis: RedisClient,
        observer: Observer,
        clock: Clock,
        worker: str,
        patient: RedisClient | None = None,
    ) -> None:
        data_dir: Path = boot.settings.data_dir
        self.spool = Spool(data_dir / SPOOL, worker)
        self.ledger = LedgerClient(ledger_socket(data_dir), worker)
        self.gate = Gate(redis, observer, clock, Backing(boot.workers, self.ledger, self.spool, patient))
        self.upkeep = Upkeep(self.gate, redis, worker, clock)
        self._observer = observer

    async def start(self) -> None:
        """Tell the store that this worker lives, if it is there already."""
        await self.upkeep.tick()

    async def run(self) -> None:
        """Keep things true until cancelled."""
        # Apart, for a round of upkeep waits for the store.
        await asyncio.gather(self._repeat(self.upkeep.look), self._repeat(self.upkeep.tick))

    async def _repeat(self, duty: Callable[[], Awaitable[None]]) -> None:
        while True:
            await asyncio.sleep(TICK_SECONDS)
            try:
                await duty()
            except Exception as error:  # a fault of ours must not end the upkeep: reported, and the next round is tried
                self._observer.failed(error, "")

    async def close(self) -> None:
        """Everything settled is on record, in the store or in the journal."""
        await self.gate.close()
        await self.ledger.close()
        with suppress(TimeoutError):  # a dead disk must not hold up the end; closing tries once more
            async with asyncio.timeout(FLUSH_SECONDS):
                await self.spool.flush()
        self.spool.close()


def has_budgets(snapshot: Snapshot) -> bool:
    """Whether some quota counts money."""
    owners: list[tuple[QuotaSpec, ...]] = [key.principal.quotas for key in snapshot.virtual_keys.values()]
    owners += [team.quotas for team in snapshot.teams.values()]
    owners += [rule.quotas for rule in snapshot.limits]
    return any(quota.kind == "cost" for quotas in owners for quota in quotas)
