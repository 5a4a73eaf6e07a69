"""One worker's reports: it hears what becomes of attempts, deployments and probes, and writes it to the stream."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING

from gateway.health.events import HARMFUL, STREAM, Event, Failures, Recovered, encode
from gateway.storage.errors import StoreUnavailable
from gateway.telemetry.base import SilentObserver

if TYPE_CHECKING:
    from gateway.ports import DeploymentChanged, ProbeResult
    from gateway.storage.redis import RedisClient
    from gateway.types import Attempt

FLUSH_SECONDS = 2.0
CLOSING = 1.0
WAITING = 2000
"""Events that are kept while Redis is away; the oldest go first."""
TALLIED = 2000
"""Deployments and outcomes that are counted apart between two reports."""
KEEP = 10_000
"""Entries of the stream, about; more than that while no bookkeeper reads is old news."""


class Reporter(SilentObserver):
    """Costs an ordinary call one comparison. Failures are counted, and told together."""

    def __init__(self, redis: RedisClient, wall: Callable[[], float] = time.time) -> None:
        self._redis = redis
        self._wall = wall
        self._waiting: deque[Event] = deque(maxlen=WAITING)
        self._tally: dict[tuple[str, str], Failures] = {}
        self._failing: set[str] = set()

    def __repr__(self) -> str:
        return f"<Reporter waiting={len(self._waiting)} failing={len(self._failing)}>"

    def attempt_finished(self, attempt: Attempt) -> None:
        """Count what failed; tell what goes well again."""
        if attempt.outcome == "ok":
            if self._failing and attempt.deployment.id in self._failing:
                self._failing.discard(attempt.deployment.id)
                self._take_tally(attempt.deployment.id)
                self._waiting.append(Recovered(attempt.deployment.id, self._wall()))
        elif attempt.outcome in HARMFUL:
            self._count(attempt.deployment.id, attempt.outcome)

    def _count(self, deployment: str, outcome: str) -> None:
        now, about = self._wall(), (deployment, outcome)
        known = self._tally.get(about)
        if known is None and len(self._tally) >= TALLIED:
            return
        first, count = (now, 0) if known is None else (known.first, known.count)
        self._tally[about] = Failures(deployment, outcome, count + 1, first, now)
        if len(self._failing) < TALLIED:
            self._failing.add(deployment)

    def deployment_changed(self, change: DeploymentChanged) -> None:
        """Tell it, after what led to it."""
        self._take_tally(change.deployment)
        self._waiting.append(change)

    def probe_finished(self, result: ProbeResult) -> None:
        """Tell those of this worker's own."""
        if not result.heard:
            self._waiting.append(result)

    def _take_tally(self, deployment: str) -> None:
        for about in [about for about in self._tally if about[0] == deployment]:
            self._waiting.append(self._tally.pop(about))

    async def run(self) -> None:
        """Report every few seconds until cancelled."""
        while True:
            await asyncio.sleep(FLUSH_SECONDS)
            await self.flush()

    async def flush(self) -> None:
        """Write what there is. What Redis does not take now stays for the next time."""
        self._waiting.extend(self._tally.values())
        self._tally.clear()
        if not self._waiting:
            return
        events = list(self._waiting)
        self._waiting.clear()
        try:
            await self._redis.execute("XADD", STREAM, "MAXLEN", "~", KEEP, "*", b"e", encode(events))
        except StoreUnavailable:
            self._waiting.extendleft(reversed(events[: WAITING - len(self._waiting)]))

    async def close(self) -> None:
        """Write the last of it, within a moment."""
        try:
            async with asyncio.timeout(CLOSING):
                await self.flush()
        except TimeoutError:
            pass  # a report less; the incidents it would have told of are found by others
