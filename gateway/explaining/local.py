"""Explanations outside a server, over the state of the gateway that runs here, if one does."""

from __future__ import annotations

import time
from random import Random
from typing import TYPE_CHECKING

from gateway.accounts import Accounts
from gateway.admission import Admission
from gateway.explaining import Explainer
from gateway.health.hints import told_out
from gateway.limits.gate import Gate
from gateway.limits.peek import Peek
from gateway.limits.policy import Policy, many_shards, one_shard
from gateway.routing.facts import Senses, Unwatched
from gateway.routing.planner import Planner
from gateway.storage.embedded import running_url
from gateway.storage.errors import StoreUnavailable
from gateway.storage.redis import RedisOptions, connect
from gateway.telemetry.base import SilentObserver
from gateway.upstream.foresight import Foresight
from gateway.usage.catalogue import ConfiguredPrices, PriceBook
from gateway.usage.ledger_client import LedgerClient
from gateway.usage.rpc import ledger_socket

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gateway.explaining import Explanation
    from gateway.ports import Dialect
    from gateway.registry.snapshot import Snapshot
    from gateway.settings import Settings
    from gateway.types import Call, Principal

NOWHERE = "redis://127.0.0.1:1/0"
"""No store: the gate is there for its words only and is never asked."""
NOT_LOOKED = "which deployments are out of rotation was not looked at: the store in which workers tell it is not there"


class LocalExplainer:
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
            lambda one: prices.price_of(one.provider.type, one.provider.name, one.model),
            Foresight(dialects),
            gate.store_clock.at,
            clock,
        )
        admission = Admission(gate, accounts)
        self._conditions, self._clock = Unwatched(), clock
        senses = Senses(self._conditions, clock, admission.quote, admission.headroom.of)
        self._planner = Planner(snapshot, dialects, Random(), senses)  # noqa: S311 - as a worker's
        self._policy = Policy(snapshot, many_shards if self._redis.cluster else one_shard, "explain")
        self._explainer = Explainer(admission, Peek(gate, self._redis, self._ledger) if url is not None else None)
        self._stored = url is not None

    async def explain(self, call: Call, principal: Principal) -> Explanation:
        """What would become of this call of this caller now."""
        looked = await self._look()
        found = await self._explainer.explain(self._planner, self._policy, call, principal)
        if not looked:
            found.notes = (*found.notes, NOT_LOOKED)
        return found

    async def _look(self) -> bool:
        """Which deployments are out of rotation, as workers told each other; False where that cannot be known."""
        if not self._stored:
            return False
        try:
            hints = await told_out(self._redis)
        except StoreUnavailable:
            return False
        for hint in hints:
            condition = self._conditions.named(hint.deployment)
            condition.out_for, condition.out_until = hint.out_for, self._clock() + hint.seconds
        return True

    async def close(self) -> None:
        """Close every connection."""
        await self._gate.close()
        await self._ledger.close()
        await self._redis.close()
