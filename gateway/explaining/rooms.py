"""The rooms that an explanation needs, over the state of the gateway that runs here, if one does."""

from __future__ import annotations

import time
from random import Random
from typing import TYPE_CHECKING

from gateway.accounts import Accounts
from gateway.admission import Admission
from gateway.explaining import Explainer
from gateway.limits.gate import Gate
from gateway.limits.peek import Peek
from gateway.limits.policy import Policy, many_shards, one_shard
from gateway.routing.facts import Senses
from gateway.routing.planner import Planner
from gateway.storage.embedded import running_url
from gateway.storage.redis import RedisOptions, connect
from gateway.telemetry.base import SilentObserver
from gateway.usage.catalogue import ConfiguredPrices, PriceBook
from gateway.usage.ledger_client import LedgerClient
from gateway.usage.rpc import ledger_socket

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gateway.ports import Dialect
    from gateway.registry.snapshot import Snapshot
    from gateway.settings import Settings

NOWHERE = "redis://127.0.0.1:1/0"
"""No store: the gate is there for its words only and is never asked."""


class Rooms:
    """Made on a running loop; `close` when done."""

    def __init__(self, settings: Settings, snapshot: Snapshot, dialects: Mapping[str, Dialect]) -> None:
        given = settings.redis_url
        url = running_url(settings.data_dir) if given is None else given.get_secret_value()
        clock = time.monotonic
        self._redis = connect(url or NOWHERE, RedisOptions(timeout=2.0, client_name="gateway-explain"))
        self._ledger = LedgerClient(ledger_socket(settings.data_dir), "explain")
        self._gate = gate = Gate(self._redis, SilentObserver(), clock)
        prices = ConfiguredPrices(snapshot, PriceBook())
        accounts = Accounts(
            lambda one: prices.price_of(one.provider.type, one.provider.name, one.model), gate.store_clock.at, clock
        )
        admission = Admission(gate, accounts)
        senses = Senses(clock=clock, cost_of=admission.quote, headroom_of=admission.headroom.of)
        self.planner = Planner(snapshot, dialects, Random(), senses)  # noqa: S311 - as a worker's
        self.policy = Policy(snapshot, many_shards if self._redis.cluster else one_shard, "explain")
        self.explainer = Explainer(admission, Peek(gate, self._redis, self._ledger) if url is not None else None)

    async def close(self) -> None:
        """Close every connection."""
        await self._gate.close()
        await self._ledger.close()
        await self._redis.close()
