"""The models that providers list: asked for by one worker of all, kept in Redis, taken up by every worker."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from random import Random
from typing import TYPE_CHECKING

import msgspec
import structlog

from gateway.errors import UpstreamError
from gateway.registry.fetched import fetching
from gateway.storage.errors import StoreUnavailable
from gateway.storage.rounds import Rounds
from gateway.types import Provider

if TYPE_CHECKING:
    from gateway.registry.snapshot import Snapshot
    from gateway.storage.redis import RedisClient

PREFIX = "gw:models:"
CLAIMS = "gw:models-turn:"
RETRY = 15.0
"""Seconds until a provider is asked again of which no list is known."""
KEEP = 30 * 86400.0
"""Seconds that a list is kept after its provider gave it last."""
SHORTEST = 1.0
"""Seconds between two looks at least, whatever ROUTING_CACHE_TTL says."""

Ask = Callable[[Provider], Awaitable[tuple[str, ...] | None]]
"""A provider's models; None: it has no list. Raises UpstreamError."""

_log = structlog.stdlib.get_logger("gateway.registry")
_DECODER = msgspec.json.Decoder(list[str])


class ModelLists:
    """What one worker knows of providers' lists. `changed` is called whenever that becomes something else.

    A provider that does not answer, answers rubbish, or has no list keeps the last one.
    """

    def __init__(
        self,
        redis: RedisClient,
        ask: Ask,
        changed: Callable[[], None],
        every: float,
        chance: Random,
        clock: Callable[[], float],
    ) -> None:
        self._redis = redis
        self._ask = ask
        self._changed = changed
        self._every = max(SHORTEST, every)
        self._providers: dict[str, Provider] = {}
        self._failing: set[str] = set()
        self._rounds = Rounds(redis, CLAIMS, self._fetch, chance, clock)
        self.known: dict[str, tuple[str, ...]] = {}
        """By the provider's identity."""

    def __repr__(self) -> str:
        return f"<ModelLists providers={len(self._providers)} known={len(self.known)}>"

    def use(self, snapshot: Snapshot) -> None:
        """Whose lists are wanted from now on."""
        self._providers = fetching(snapshot)
        self.known = {key: names for key, names in self.known.items() if key in self._providers}
        self._rounds.use(dict.fromkeys(self._providers, self._every))

    async def restore(self) -> bool:
        """Take up what is kept in Redis; whether that changed anything. Trouble there changes nothing."""
        before = dict(self.known)
        for key in list(self._providers):
            try:
                kept = await self._redis.get(PREFIX + key)
            except StoreUnavailable:
                break
            names = None if kept is None else _opened(kept)
            if names is not None:
                self.known[key] = names
        return self.known != before

    async def run(self) -> None:
        """Ask when it is our turn, and look every so often what others got, until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._rounds.run())
            group.create_task(self._follow())

    async def _follow(self) -> None:
        while True:
            await asyncio.sleep(self._every / 2)
            if await self.restore():
                self._changed()

    async def _fetch(self, key: str) -> float | None:
        provider = self._providers[key]
        try:
            names = await self._ask(provider)
        except UpstreamError as error:
            return self._complain(provider, key, error.outcome)
        if names is None:
            return self._complain(provider, key, "no_list")
        self._failing.discard(key)
        fresh = self.known.get(key) != names
        self.known[key] = names
        await self._keep(key, names)
        if fresh:
            _log.info("models_fetched", provider=provider.name, models=len(names))
            self._changed()
        return None

    async def _keep(self, key: str, names: tuple[str, ...]) -> None:
        with suppress(StoreUnavailable):  # the others have the last list; ours is told to them at the next turn
            await self._redis.set(PREFIX + key, msgspec.json.encode(names), KEEP)

    def _complain(self, provider: Provider, key: str, outcome: str) -> float | None:
        """Once for each time that it begins to fail. When to ask again: soon while nothing at all is known."""
        kept = len(self.known.get(key, ()))
        if key not in self._failing:
            self._failing.add(key)
            _log.warning("models_not_fetched", provider=provider.name, outcome=outcome, kept=kept)
        return None if kept else min(self._every, RETRY)


def _opened(kept: bytes) -> tuple[str, ...] | None:
    try:
        return tuple(_DECODER.decode(kept))
    except msgspec.DecodeError:
        return None
