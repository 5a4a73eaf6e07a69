"""One worker's part in looking after providers, wired together: probes, lists of models, reports of failures."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from random import Random

from gateway.health.probes import CHANNEL, Prober
from gateway.health.reporter import Reporter
from gateway.ports import Dialect, Observer
from gateway.registry.fetched import NOTHING, with_fetched
from gateway.registry.model_lists import ModelLists
from gateway.registry.snapshot import Snapshot
from gateway.settings import Settings
from gateway.storage.pubsub import Subscription
from gateway.storage.redis import RedisClient
from gateway.types import Deployment
from gateway.upstream.asking import Asker, EngineOf

AGAIN_SECONDS = 1.0


class HealthChecks:
    """Asks providers when it is this worker's turn. No request waits for any of it."""

    def __init__(
        self,
        settings: Settings,
        redis: RedisClient,
        engine_of: EngineOf,
        dialects: Mapping[str, Dialect],
        observer: Observer,
        reporter: Reporter,
    ) -> None:
        asker = Asker(engine_of, dialects)
        # Of its own: workers that were forked with the same state must not take their turns at the same moments.
        chance = Random()  # noqa: S311 - spreads load, guards nothing
        self._observer = observer
        self._reporter = reporter
        self._prober = Prober(redis, asker, observer, settings.health_check_interval, chance)
        self._heard = Subscription(redis.dial, CHANNEL, self._prober.heard, lambda: None)
        self._lists = ModelLists(redis, asker.models, self._changed, settings.routing_cache_ttl, chance, time.monotonic)
        self._configured = Snapshot("")
        self._known: Mapping[str, Deployment] = NOTHING
        self.on_change: Callable[[Snapshot], None] = lambda _: None
        """Called with the whole snapshot when a provider lists other models than before."""

    @property
    def configured(self) -> Snapshot:
        """The configuration alone."""
        return self._configured

    async def restore(self, snapshot: Snapshot) -> Snapshot:
        """The first configuration, with what its providers listed when they were asked last."""
        self._use(snapshot)
        await self._lists.restore()
        return self._merged()

    def use(self, snapshot: Snapshot) -> Snapshot:
        """Another configuration, with what is known of its providers' models."""
        self._use(snapshot)
        return self._merged()

    def _use(self, snapshot: Snapshot) -> None:
        self._configured = snapshot
        self._lists.use(snapshot)
        self._prober.use(snapshot)

    def _merged(self) -> Snapshot:
        merged = with_fetched(self._configured, self._lists.known, self._known)
        self._known = merged.deployments
        return merged

    def _changed(self) -> None:
        self.on_change(self._merged())

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            try:
                await self._duties()
            except Exception as error:  # a fault of ours must not end the looking after: reported, and begun again
                self._observer.failed(error, "")
            await asyncio.sleep(AGAIN_SECONDS)

    async def _duties(self) -> None:
        async with asyncio.TaskGroup() as group:
            for duty in (self._prober.run(), self._lists.run(), self._heard.run(), self._reporter.run()):
                group.create_task(duty)
