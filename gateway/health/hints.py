"""What workers and replicas tell each other of deployments: a channel of Redis, and a hash for those that come later.

Without Redis each worker finds out for itself; what it found meanwhile is told once Redis is back.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress

import msgspec
import structlog

from gateway.health.board import Board, Hint
from gateway.ports import Clock
from gateway.storage.errors import StoreUnavailable
from gateway.storage.pubsub import Subscription
from gateway.storage.redis import RedisClient

CHANNEL = "gw:{health}:hints"
OUT = "gw:{health}:out"
TICK_SECONDS = 1.0
MOST_WAITING = 1024

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Hint).decode


async def told_out(redis: RedisClient) -> list[Hint]:
    """What workers found out of deployments and is so yet, with the seconds that are left. Changes nothing.

    Raises StoreUnavailable.
    """
    told = redis.load_script("gateway.health", "lua/hints.lua")
    return _hints(await told.run((OUT,), ("look",)))


class Hints:
    """One worker's share in the talk. `run` keeps the board's time too."""

    def __init__(self, redis: RedisClient, board: Board, worker: str, clock: Clock) -> None:
        self._board = board
        self._worker = worker
        self._clock = clock
        self._send = redis.load_script("gateway.health", "lua/hint.lua")
        self._read = redis.load_script("gateway.health", "lua/hints.lua")
        self._waiting: dict[str, tuple[Hint, float]] = {}
        self._stirred = asyncio.Event()
        self._late = True
        """What others said before we listened is still to be read."""
        self._listener = Subscription(redis.dial, CHANNEL, self._heard, self._joined)
        self._log = structlog.stdlib.get_logger("gateway.health")
        board.tell = self._tell

    async def run(self) -> None:
        """Until cancelled."""
        listening = asyncio.create_task(self._listener.run())
        try:
            while True:
                with suppress(TimeoutError):
                    async with asyncio.timeout(TICK_SECONDS):
                        await self._stirred.wait()
                self._stirred.clear()
                try:
                    await self.round()
                except Exception:  # a fault of ours must not end the talk: logged, and the next round is tried
                    self._log.exception("deployment hints failed")
        finally:
            listening.cancel()
            await asyncio.gather(listening, return_exceptions=True)

    async def round(self) -> None:
        """Tell what waits, and read what was missed."""
        self._board.tick()
        with suppress(StoreUnavailable):  # the next round tries again
            while self._waiting:
                name, (hint, at) = next(iter(self._waiting.items()))
                await self._tell_one(hint, at)
                if self._waiting.get(name) == (hint, at):
                    del self._waiting[name]
            if self._late:
                await self._catch_up()
                self._late = False

    def _tell(self, hint: Hint) -> None:
        hint.worker = self._worker
        if len(self._waiting) < MOST_WAITING or hint.deployment in self._waiting:
            self._waiting[hint.deployment] = (hint, self._clock())
        self._stirred.set()

    async def _tell_one(self, hint: Hint, at: float) -> None:
        """Raises StoreUnavailable."""
        left = hint.seconds - (self._clock() - at) if hint.out_for else 0.0
        if hint.out_for and left <= 0:
            return
        message = _encode(msgspec.structs.replace(hint, seconds=left))
        await self._send.run((OUT,), (CHANNEL, hint.deployment, message, max(0, round(left * 1000))))

    async def _catch_up(self) -> None:
        """Raises StoreUnavailable."""
        for hint in _hints(await self._read.run((OUT,), ())):
            self._hear(hint)

    def _joined(self) -> None:
        self._late = True
        self._stirred.set()

    def _heard(self, message: bytes) -> None:
        with suppress(msgspec.MsgspecError):  # of another version
            self._hear(_decode(message))

    def _hear(self, hint: Hint) -> None:
        if hint.worker != self._worker:
            self._board.hear(hint)


def _hints(found: list[bytes]) -> list[Hint]:
    """Those that this version understands."""
    hints = []
    for left, message in zip(found[::2], found[1::2], strict=True):
        with suppress(msgspec.MsgspecError):
            hints.append(msgspec.structs.replace(_decode(message), seconds=int(left) / 1000))
    return hints
