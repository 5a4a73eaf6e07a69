"""Active probes: every provider is asked now and then how it is, by one worker of all, and all hear the answer."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from random import Random
from typing import TYPE_CHECKING, Protocol

import msgspec
import structlog

from gateway.errors import GatewayError
from gateway.ports import ProbeResult
from gateway.registry.fetched import identity
from gateway.storage.errors import StoreUnavailable
from gateway.storage.rounds import Rounds

if TYPE_CHECKING:
    from gateway.ports import Observer
    from gateway.registry.snapshot import Snapshot
    from gateway.storage.redis import RedisClient
    from gateway.types import Deployment, Provider

CLAIMS = "gw:probe-turn:"
CHANNEL = "gw:probes"
CONFIRM = 10.0
"""Seconds until a provider that failed for the first time is asked again: once is no incident."""
WATCHED = 30.0
"""Seconds between two probes of one that goes on failing."""

_log = structlog.stdlib.get_logger("gateway.health")
_DECODER = msgspec.msgpack.Decoder(ProbeResult)


class Asks(Protocol):
    """Who puts the questions on the wire. Raises GatewayError."""

    def lists(self, provider: Provider) -> bool:
        """Whether it can be asked for its models at all."""
        ...

    async def models(self, provider: Provider) -> tuple[str, ...] | None:
        """Its models; None: it has no such list."""
        ...

    async def call(self, deployment: Deployment) -> None:
        """The smallest call there is."""
        ...


class Prober:
    """Probes those providers whose turn it is, and hears what others found."""

    def __init__(
        self,
        redis: RedisClient,
        asks: Asks,
        observer: Observer,
        every: float,
        chance: Random,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._redis = redis
        self._asks = asks
        self._observer = observer
        self._every = every
        self._clock = clock
        self._me = b"%x:" % chance.getrandbits(64)
        self._providers: dict[str, Provider] = {}
        self._called: dict[str, tuple[Deployment, ...]] = {}
        self._failing: set[str] = set()
        self._said: dict[str, str] = {}
        """The outcome that each provider and deployment had last."""
        self._rounds = Rounds(redis, CLAIMS, self._probe, chance, clock)

    def __repr__(self) -> str:
        return f"<Prober providers={len(self._providers)} failing={len(self._failing)}>"

    def use(self, snapshot: Snapshot) -> None:
        """Whom to probe from now on."""
        wanted = [provider for provider in snapshot.providers.values() if probed_every(provider, self._every)]
        called = {identity(provider): to_call(provider, snapshot) for provider in wanted}
        # Whose list nobody can ask for, and whose models nobody may call, has no probe.
        probed = [provider for provider in wanted if self._asks.lists(provider) or called[identity(provider)]]
        self._providers = {identity(provider): provider for provider in probed}
        self._called = called
        self._failing &= set(self._providers)
        self._said.clear()
        self._rounds.use({key: probed_every(provider, self._every) for key, provider in self._providers.items()})

    async def run(self) -> None:
        """Probe until cancelled."""
        await self._rounds.run()

    def heard(self, message: bytes) -> None:
        """A worker, perhaps this one, told the result of a probe."""
        sender, _, data = message.partition(b":")
        if sender + b":" == self._me:
            return
        try:
            result = _DECODER.decode(data)
        except msgspec.DecodeError:
            return  # of another version: its own workers understand it
        self._observer.probe_finished(msgspec.structs.replace(result, heard=True))

    async def _probe(self, key: str) -> float | None:
        provider = self._providers[key]
        results = [await self._timed(provider, None)] if self._asks.lists(provider) else []
        # What cannot even be asked for its list is not called.
        called = () if any(result.failed for result in results) else self._called.get(key, ())
        results += [await self._timed(provider, deployment) for deployment in called]
        for result in results:
            await self._tell(result)
        return self._when(key, probed_every(provider, self._every), failed=any(result.failed for result in results))

    async def _timed(self, provider: Provider, deployment: Deployment | None) -> ProbeResult:
        began = self._clock()
        try:
            outcome = await self._asked(provider, deployment)
        except GatewayError as error:
            outcome = str(getattr(error, "outcome", "4xx"))
        name = None if deployment is None else deployment.id
        return ProbeResult(provider.name, name, outcome, time.time(), self._clock() - began)

    async def _asked(self, provider: Provider, deployment: Deployment | None) -> str:
        if deployment is None:
            return "no_list" if await self._asks.models(provider) is None else "ok"
        await self._asks.call(deployment)
        return "ok"

    async def _tell(self, result: ProbeResult) -> None:
        self._observer.probe_finished(result)
        subject = result.deployment or result.provider
        before = self._said.get(subject, "ok")
        self._said[subject] = result.outcome
        if result.failed and result.outcome != before:  # once, not every half minute for as long as it takes
            _log.warning("probe_failed", of=subject, outcome=result.outcome, seconds=round(result.seconds, 3))
        with suppress(StoreUnavailable):  # a hint less for the other workers
            await self._redis.execute("PUBLISH", CHANNEL, self._me + msgspec.msgpack.encode(result))

    def _when(self, key: str, every: float, *, failed: bool) -> float | None:
        """When to come back; None: at the next turn. Sooner while it fails."""
        if not failed:
            self._failing.discard(key)
            return None
        known = key in self._failing
        self._failing.add(key)
        return min(every, WATCHED if known else CONFIRM)


def probed_every(provider: Provider, default: float) -> float:
    """Seconds between its probes; 0: it is not probed."""
    check = provider.health
    if not check.enabled or provider.status == "inactive":
        return 0.0
    return default if check.interval is None else check.interval


def to_call(provider: Provider, snapshot: Snapshot) -> tuple[Deployment, ...]:
    """The deployments that are called: none by default, since that may cost money."""
    check = provider.health
    if not check.call:
        return ()
    if check.model is not None:
        named = snapshot.deployment_for(provider.name, check.model)
        return () if named is None else (named,)
    return tuple(found for found in snapshot.deployments.values() if found.provider is provider)
