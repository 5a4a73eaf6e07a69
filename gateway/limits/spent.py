"""What is spent of budgets, looked at between calls: those that ended since, and what other replicas spent."""

from __future__ import annotations

from collections import defaultdict
from typing import NamedTuple

from gateway.limits.epoch import Epochs
from gateway.limits.limitset import Frame, LimitSet
from gateway.limits.periods import FOREVER
from gateway.ports import Observer
from gateway.storage.redis import RedisClient, Script
from gateway.types import QuotaSpec

MOST = 1000
"""Budgets that are looked at."""
_UNNAMED = ("key", "user")
"""Scopes of whose members there are too many."""


class _Budget(NamedTuple):
    quota: QuotaSpec
    owner: str
    shard: str
    epoch: str
    until: float


class Spent:
    """The budgets of teams, models, providers and all calls that this worker has called under."""

    def __init__(self, redis: RedisClient, observer: Observer, epochs: Epochs) -> None:
        self._script: Script = redis.load_script("gateway.limits", "lua/spent.lua")
        self._observer = observer
        self._epochs = epochs
        self._known: dict[str, _Budget] = {}

    def remember(self, quota: QuotaSpec, owner: str, limits: LimitSet, frame: Frame, row: int) -> None:
        """A call was admitted under the quota in this row; budgets are looked at."""
        if quota.kind != "cost":
            return
        key = frame.keys[3 + row]
        known = self._known.get(key)
        if (known is not None and known.quota is quota) or quota.scope in _UNNAMED:
            return
        if known is not None or len(self._known) < MOST:
            period = frame.periods[row]
            until = FOREVER if period is None else period.end
            self._known[key] = _Budget(quota, owner, limits.names.shard, frame.epoch, until)

    async def look(self, now: float) -> None:
        """Tell what is spent of each in the period that `now` (Unix seconds) is in. Raises StoreUnavailable."""
        places: dict[str, dict[str, _Budget]] = defaultdict(dict)
        for key, budget in [*self._known.items()]:
            if budget.until <= now or budget.epoch != self._epochs.known(budget.shard):
                del self._known[key]  # until somebody calls in the next one
            else:
                places[budget.shard][key] = budget
        for budgets in places.values():
            found = await self._script.run([*budgets], [])
            for budget, (used, held) in zip(budgets.values(), found, strict=True):
                if used is not None:
                    self._observer.quota_seen(budget.quota, budget.owner, int(used), int(held or 0), budget.until)
