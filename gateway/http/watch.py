"""One timer that looks after every request of a worker, so that none needs a timer or a task of its own.

Most requests are over before the first look. One that lives longer gets a task that waits for its client to leave; one
whose client neither sends nor reads is ended.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

import msgspec

Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]

TICK = 0.2
UPLOAD_WINDOW = 30.0
UPLOAD_BYTES = 1024
"""What must arrive within a window."""
REVOKED = "revoked"
DRAINED = "drained"
READER_SECONDS = 60.0
"""How long a client may leave written bytes unread."""


class Watched(msgspec.Struct, eq=False):
    """One request as the watch sees it. `verdict` says why its task was cancelled."""

    task: asyncio.Task[Any]
    receive: Receive
    since: float
    credential: bytes = b""
    """The digest of the caller's key."""
    reading: bool = True
    """Its body is still arriving; then nobody else may call `receive`."""
    received: int = 0
    sending_since: float | None = None
    verdict: str | None = None
    """`gone`, `slow_upload`, `slow_reader`, `revoked` or `drained`."""
    listener: asyncio.Task[None] | None = None
    window_end: float = 0.0
    window_bytes: int = 0

    def end(self, verdict: str) -> None:
        """Cancel the request, once."""
        if self.verdict is None:
            self.verdict = verdict
            self.task.cancel()

    def look(self, now: float) -> None:
        """One look at this request."""
        if self.reading:
            if not self.window_end:
                self.window_end = self.since + UPLOAD_WINDOW
            elif now >= self.window_end:
                if self.received - self.window_bytes < UPLOAD_BYTES:
                    self.end("slow_upload")
                self.window_end, self.window_bytes = now + UPLOAD_WINDOW, self.received
        elif self.listener is None and now - self.since >= TICK:
            self.listener = asyncio.ensure_future(self._listen())
        if self.sending_since is not None and now - self.sending_since >= READER_SECONDS:
            self.end("slow_reader")

    async def _listen(self) -> None:
        while (await self.receive())["type"] != "http.disconnect":
            pass
        self.end("gone")


class Watch:
    """The requests of one worker and the timer that looks at them."""

    def __init__(self) -> None:
        self._watched: set[Watched] = set()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._timer: asyncio.TimerHandle | None = None

    def __len__(self) -> int:
        return len(self._watched)

    def add(self, receive: Receive, credential: bytes = b"") -> Watched:
        """Look after the request that the current task serves, until `remove`."""
        task = asyncio.current_task()
        assert task is not None
        loop = self._loop or asyncio.get_running_loop()
        if self._timer is None:
            self._loop = loop
            self._timer = loop.call_later(TICK, self._tick)
        watched = Watched(task, receive, loop.time(), credential)
        self._watched.add(watched)
        return watched

    def remove(self, watched: Watched) -> None:
        """The request is over."""
        self._watched.discard(watched)
        if watched.listener is not None:
            watched.listener.cancel()

    def revoke(self, credentials: frozenset[bytes]) -> None:
        """End every request that was made with one of these keys, given by their digests."""
        for watched in tuple(self._watched):
            if watched.credential and watched.credential in credentials:
                watched.end(REVOKED)

    def drain(self) -> None:
        """End every request: the worker does."""
        for watched in tuple(self._watched):
            watched.end(DRAINED)

    def holds(self, credential: bytes) -> bool:
        """Whether some request of this key is under way."""
        return any(watched.credential == credential for watched in self._watched)

    def _tick(self) -> None:
        loop = self._loop
        assert loop is not None
        now = loop.time()
        for watched in tuple(self._watched):
            watched.look(now)
        self._timer = loop.call_later(TICK, self._tick) if self._watched else None
