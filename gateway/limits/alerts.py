"""Telling operators that a quota reaches its soft threshold, or is used up: once for its owner and period, whichever
worker notices first."""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import Callable
from typing import NamedTuple

from gateway.limits.periods import Period, period_of
from gateway.ports import QuotaAlert
from gateway.storage.errors import StoreUnavailable
from gateway.storage.redis import RedisClient
from gateway.telemetry.base import SilentObserver
from gateway.types import QuotaSpec

SOFT, EXCEEDED = 1, 2
LEVELS = {SOFT: "soft", EXCEEDED: "exceeded"}
NEARLY = 0.9
"""The share from which on a quota that refuses a call counts as used up."""
WAITING = 1000
"""Alerts that are being looked up at once; more are dropped."""
REMEMBERED = 20_000
LONGEST = 366 * 86400.0
"""Seconds that the store remembers what was told of a period that does not end."""
SKEW = 60.0
"""Seconds that this machine's clock may be ahead of the store's, by which periods end."""

Tell = Callable[[QuotaAlert], None]


class _Told(NamedTuple):
    quota: QuotaSpec
    """Kept, so that its id stays its own."""
    until: float
    """When its period ends."""
    level: int


class QuotaAlerts(SilentObserver):
    """Hears how much of each quota is used, and tells when that crosses a threshold. Costs a comparison for each call
    and quota that is below."""

    def __init__(self, redis: RedisClient, tell: Tell, wall: Callable[[], float] = time.time) -> None:
        self._redis = redis
        self._tell = tell
        self._wall = wall
        self._told: dict[tuple[int, str], _Told] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def quota_used(
        self,
        quota: QuotaSpec,
        owner: str,
        used: int,
        held: int,  # noqa: ARG002 - what is reserved counts
        until: float,
    ) -> None:
        """A call was admitted."""
        if used >= quota.amount:
            self._crossed(quota, owner, (used, EXCEEDED), until)
        elif quota.soft is not None and used >= quota.soft * quota.amount:
            self._crossed(quota, owner, (used, SOFT), until)

    def quota_exhausted(
        self,
        quota: QuotaSpec,
        owner: str,
        used: int,
        held: int,  # noqa: ARG002 - as above
        until: float,
    ) -> None:
        """A call was refused: a hard quota is hardly ever used up to the last token. One that is far from its end
        refused a call that is too large for it: nothing to tell."""
        if used >= NEARLY * quota.amount:
            self._crossed(quota, owner, (used, EXCEEDED), until)

    def _crossed(self, quota: QuotaSpec, owner: str, what: tuple[int, int], until: float) -> None:
        used, level = what
        told = self._told.get((id(quota), owner))
        if told is not None and (until < told.until or (until == told.until and level <= told.level)):
            return
        if len(self._tasks) >= WAITING:
            return
        # The period that it was counted in: by this machine's clock the next one may have begun, or not yet.
        period = period_of(quota.period, quota.zone, until - 1.0)
        if len(self._told) >= REMEMBERED:
            self._told.clear()
        self._told[id(quota), owner] = _Told(quota, until, level)
        alert = alert_of(quota, owner, (used, level), period)
        key = f"gw:alert:{_digest(quota, owner)}@{int(period.start)}:{LEVELS[level]}"
        task = asyncio.create_task(self._tell_once(alert, key, min(until - self._wall() + SKEW, LONGEST)))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _tell_once(self, alert: QuotaAlert, key: str, seconds: float) -> None:
        try:
            first = await self._redis.execute("SET", key, "1", "NX", "PX", max(1000, int(seconds * 1000)))
        except StoreUnavailable:
            # Every worker tells, then: better twice than never.
            first = True
        if first:
            self._tell(alert)

    async def close(self) -> None:
        """What was noticed is told."""
        if self._tasks:
            await asyncio.wait(self._tasks)


def alert_of(quota: QuotaSpec, owner: str, what: tuple[int, int], period: Period) -> QuotaAlert:
    """The fact, without the name of a user: `what` is what is used, and the level."""
    used, level = what
    member = owner.removeprefix(f"{quota.name}:")
    return QuotaAlert(
        level=LEVELS[level],
        scope=quota.scope,
        quota=quota.name,
        owner=None if quota.scope == "user" else member,
        kind=quota.kind,
        period=quota.period,
        period_start=period.start,
        amount=quota.amount,
        used=used,
        action=quota.action,
    )


def _digest(quota: QuotaSpec, owner: str) -> str:
    """What keeps quotas apart: a raised amount is another quota, which may be crossed again."""
    words = (quota.scope, owner, quota.kind, quota.period, quota.zone, str(quota.amount), str(quota.soft))
    return hashlib.sha256("\0".join(words).encode()).hexdigest()[:32]
