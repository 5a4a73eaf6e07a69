"""The answer of one exchange: filled by the connection's parser, emptied by the caller."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Protocol

import msgspec

from gateway.errors import UpstreamTooLarge, UpstreamTruncated
from gateway.ports import Deadlines
from gateway.types import Headers

HIGH_WATER = 256 * 1024
"""Bytes of body that are held for a slow reader before its upstream is paused."""


class Carrier(Protocol):
    """What a response needs of the connection it arrives on."""

    def resume(self) -> None:
        """The buffer was drained."""
        ...

    def discard(self) -> None:
        """Close at once: what arrives from here on is nobody's."""
        ...


class Response(msgspec.Struct, eq=False):
    """Implements `gateway.ports.UpstreamResponse`. The connection lets go of it as soon as its last byte is here."""

    loop: asyncio.AbstractEventLoop
    carrier: Carrier | None
    deadlines: Deadlines
    status: int = 0
    """0 until the head of the final answer is here."""
    headers: Headers = ()
    length: int | None = None
    """The announced content-length."""
    parts: list[bytes] = []
    buffered: int = 0
    high_water: int = HIGH_WATER
    whole: bool = False
    """The reader wants nothing before the end (or the failure, or `high_water`)."""
    got_bytes: bool = False
    complete: bool = False
    error: BaseException | None = None
    waiter: asyncio.Future[None] | None = None
    changed: Callable[[], None] | None = None

    def __repr__(self) -> str:
        state = "complete" if self.complete else "failed" if self.error else "open"
        return f"<Response {self.status} {state}, {self.buffered} bytes buffered>"

    # ---- the connection's side ----

    def wake(self) -> None:
        """Tell the one who waits, if there is one."""
        if self.changed is not None:
            self.changed()
            return
        waiter = self.waiter
        if waiter is not None and not waiter.done():
            waiter.set_result(None)

    def finish(self) -> None:
        """Every byte is here."""
        self.complete = True
        self.carrier = None

    def fail(self, error: BaseException) -> None:
        """It breaks off here; what is buffered can still be read. Without effect on a complete answer."""
        if not self.complete and self.error is None:
            self.error = error
            self.carrier = None
            self.wake()

    async def wait(self) -> None:
        """Until something changed."""
        self.waiter = self.loop.create_future()
        try:
            await self.waiter
        finally:
            self.waiter = None

    async def head(self) -> None:
        """Until the head is here. Raises what broke the exchange."""
        while self.status == 0:
            if self.error is not None:
                raise self.error
            self.waiter = self.loop.create_future()
            try:
                await self.waiter
            finally:
                self.waiter = None

    # ---- the caller's side ----

    async def chunk(self) -> bytes:
        """See `gateway.ports.UpstreamResponse.chunk`."""
        while not self.parts:
            if self.error is not None:
                raise self.error
            if self.complete:
                return b""
            await self.wait()
        return self._drain()

    def take(self) -> bytes | None:
        """See `gateway.ports.TappedResponse.take`."""
        parts = self.parts
        if len(parts) == 1 and self.buffered <= self.high_water:
            self.buffered = 0
            return parts.pop()
        if parts:
            return self._drain()
        if self.error is not None:
            raise self.error
        return b"" if self.complete else None

    def tap(self, changed: Callable[[], None] | None) -> None:
        """See `gateway.ports.TappedResponse.tap`."""
        self.changed = changed

    async def read(self, limit: int) -> bytes:
        """See `gateway.ports.UpstreamResponse.read`. A cancelled read aborts."""
        if self.complete and self.buffered <= limit:
            return self._drain()
        if self.buffered > limit or (not self.complete and (self.length or 0) > limit):
            self.abort()
            raise UpstreamTooLarge
        self.whole, self.high_water = True, limit
        if self.carrier is not None:
            self.carrier.resume()
        try:
            while not self.complete:
                if self.error is not None:
                    raise self.error
                await self.wait()
                if self.buffered > limit:
                    raise UpstreamTooLarge
        except BaseException:  # whatever ended it, the rest is not read in order any more
            self.abort()
            raise
        return self._drain()

    def abort(self) -> None:
        """See `gateway.ports.UpstreamResponse.abort`."""
        carrier = self.carrier
        if carrier is not None:
            carrier.discard()
            self.fail(UpstreamTruncated())
        self.parts.clear()
        self.buffered = 0

    def _drain(self) -> bytes:
        parts = self.parts
        data = parts[0] if len(parts) == 1 else b"".join(parts)
        parts.clear()
        self.buffered = 0
        if self.carrier is not None:
            self.carrier.resume()
        return data
