"""What each worker serves, told to all through a hash in Redis: whether the replicas agree is read from it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

import msgspec
import structlog

from gateway.storage.errors import StoreUnavailable

if TYPE_CHECKING:
    from gateway.storage.redis import RedisClient

KEY = "gw:{config}:workers"
LOOK_SECONDS = 0.25
"""How soon a change is told."""
BEAT_SECONDS = 2.0
SILENT_SECONDS = 10.0
"""After these a worker counts as gone."""
FORGOTTEN_SECONDS = 120.0

_log = structlog.stdlib.get_logger("gateway.registry")


class Refused(msgspec.Struct, frozen=True):
    """A credential that its provider refuses: not used until then (Unix seconds) while others are."""

    provider: str
    credential: str
    until: float


class Beat(msgspec.Struct, frozen=True):
    """One worker: what it serves, since when, and why it does not serve what is newer. Times are Unix seconds."""

    replica: str
    worker: str
    revision: str
    """Of the whole configuration, as `x-gateway-revision` tells it."""
    resources: int
    """Of the database's resources in it."""
    loaded_at: float
    last_error: str | None = None
    parked: tuple[str, ...] = ()
    """Resources of the database that do not fit the file."""
    refused: tuple[Refused, ...] = ()
    at: float = 0.0
    """When it was told."""


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Beat).decode


class Heartbeats:
    """One worker's. `now` says what it serves."""

    def __init__(self, redis: RedisClient, now: Callable[[], Beat], wall: Callable[[], float] = time.time) -> None:
        self._redis = redis
        self._now = now
        self._wall = wall
        self._told: Beat | None = None
        self._told_at = 0.0

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            try:
                await self.look()
            except StoreUnavailable:
                self._told = None  # as soon as it is back
            except Exception:  # a fault of ours must not end the beats: logged, and tried again
                _log.exception("a heartbeat failed")
            await asyncio.sleep(LOOK_SECONDS)

    async def look(self) -> None:
        """Tell what is new, or that there is nothing new. Raises StoreUnavailable."""
        beat, at = self._now(), self._wall()
        if beat == self._told and at - self._told_at < BEAT_SECONDS:
            return
        await self._redis.execute("HSET", KEY, _field(beat), _encode(msgspec.structs.replace(beat, at=at)), key=KEY)
        self._told, self._told_at = beat, at

    async def leave(self) -> None:
        """This worker ends."""
        if self._told is not None:
            with suppress(StoreUnavailable):  # it is forgotten after a while
                await self._redis.execute("HDEL", KEY, _field(self._told), key=KEY)


async def everybody(redis: RedisClient, wall: Callable[[], float] = time.time) -> list[Beat]:
    """Every worker of every replica that was heard of lately. Raises StoreUnavailable."""
    raw = await redis.execute("HGETALL", KEY, key=KEY)
    pairs = list(raw.items()) if isinstance(raw, dict) else list(zip(raw[::2], raw[1::2], strict=True))
    now = wall()
    beats = dict(_read(pairs))
    old = [field for field, beat in beats.items() if now - beat.at > FORGOTTEN_SECONDS]
    if old:
        await redis.execute("HDEL", KEY, *old, key=KEY)
    return sorted(
        (beat for beat in beats.values() if now - beat.at <= SILENT_SECONDS),
        key=lambda beat: (beat.replica, beat.worker),
    )


def converged(beats: Sequence[Beat], resources: int) -> bool:
    """Whether all serve the same, and that is the newest."""
    return bool(beats) and all(beat.resources >= resources for beat in beats) and len({b.revision for b in beats}) == 1


def _read(pairs: Sequence[tuple[bytes, bytes]]) -> Iterator[tuple[bytes, Beat]]:
    for field, raw in pairs:
        try:
            yield field, _decode(raw)
        except msgspec.MsgspecError:
            continue  # another version's


def _field(beat: Beat) -> str:
    return f"{beat.replica}|{beat.worker}"
