"""Whose turn it is of a provider's credentials: one after the other, without those that the provider refuses.

A refused one is left out for a while and then tried by one call, whose next attempt takes another one.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import structlog

from gateway.ports import Clock
from gateway.types import Provider

PARK_SECONDS = 60.0
MOST_PARKED = 600.0
"""Seconds: each refusal in a row doubles the time."""
MOST_KEPT = 4096

_log = structlog.stdlib.get_logger("gateway.upstream")


class Parked(NamedTuple):
    """A credential that is left out. `seconds` from now on."""

    provider: str
    credential: str
    seconds: float


class _Refusal(NamedTuple):
    until: float
    """Monotonic seconds."""
    seconds: float
    trying: bool = False
    """A call is finding out whether it is accepted again."""


class Credentials:
    """The credentials of one worker's providers. Without a refusal a turn costs one look into an empty dict."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._turns: dict[str, int] = {}
        self._refusals: dict[tuple[str, str], _Refusal] = {}

    def next(self, provider: Provider) -> str | None:
        """The key for the next attempt; None for a provider without any."""
        keys = provider.api_keys
        if len(keys) < 2:
            if not keys:
                return None
            turn = 0
        else:
            turn = self._turns[provider.name] = (self._turns.get(provider.name, -1) + 1) % len(keys)
        if not self._refusals:
            return keys[turn]
        return self._taken(provider, (*keys[turn:], *keys[:turn], *provider.spare_keys))

    def refused(self, provider: Provider, key: str) -> None:
        """The provider does not accept this one. Where there is no other, its deployments are parked instead."""
        if len(provider.api_keys) + len(provider.spare_keys) < 2:
            return
        now, place = self._clock(), (provider.name, key)
        before = self._refusals.get(place)
        if before is not None and before.until > now and not before.trying:
            return  # a call that was under way
        seconds = PARK_SECONDS if before is None else min(MOST_PARKED, 2 * before.seconds)
        if len(self._refusals) >= MOST_KEPT:
            self._refusals.clear()
        self._refusals[place] = _Refusal(now + seconds, seconds)
        _log.warning("credential_refused", provider=provider.name, credential=name_of(provider, key), seconds=seconds)

    def accepted(self, provider: Provider, key: str) -> None:
        """The provider accepts this one again."""
        if self._refusals.pop((provider.name, key), None) is not None:
            _log.info("credential_accepted", provider=provider.name, credential=name_of(provider, key))

    @property
    def any_refused(self) -> bool:
        """Whether one was refused and not accepted since."""
        return bool(self._refusals)

    def parked(self, providers: Mapping[str, Provider]) -> list[Parked]:
        """Those of these providers that are left out now. What is no longer a provider's is forgotten."""
        now, found = self._clock(), []
        for place, refusal in list(self._refusals.items()):
            provider = providers.get(place[0])
            if provider is None or place[1] not in (*provider.api_keys, *provider.spare_keys):
                del self._refusals[place]
            elif refusal.until > now:
                found.append(Parked(provider.name, name_of(provider, place[1]), refusal.until - now))
        return found

    def _taken(self, provider: Provider, keys: tuple[str, ...]) -> str:
        now = self._clock()
        best, ends = keys[0], float("inf")
        for key in keys:
            refusal = self._refusals.get((provider.name, key))
            if refusal is None:
                return key
            if refusal.until <= now:
                # This call tries it, and others leave it out until it is known.
                self._refusals[provider.name, key] = refusal._replace(until=now + PARK_SECONDS, trying=True)
                return key
            if refusal.until < ends:
                best, ends = key, refusal.until
        return best


def name_of(provider: Provider, key: str) -> str:
    """What people call it: its name, or its place in the file."""
    if key in provider.api_keys:
        index = provider.api_keys.index(key)
        return provider.key_names[index] if index < len(provider.key_names) else f"api_key[{index}]"
    return "replaced"
