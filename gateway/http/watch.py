"""One timer that looks after every request of a worker, so that none needs a timer or a task of its own.

Most requests are over before the first look. Of those that live longer it ends the ones whose client neither sends nor
reads. A client that leaves ends its request at once, without a look.
"""

from __future__ import annotations

import asyncio
from typing import Any, Protocol

import msgspec

TICK = 0.2
UPLOAD_WINDOW = 30.0
UPLOAD_BYTES = 1024
"""What must arrive within a window."""
GONE = "gone"
MALFORMED = "malformed"
REVOKED = "revoked"
DRAINED = "drained"
READER_SECONDS = 60.0
"""How long a client may take nothing of what was written."""


class Request(Protocol):
    """What the watch sees of a cycle."""

    whole: bool
    received: int
    gone: bool
    malformed: bool
    on_gone: Any

    @property
    def task(self) -> asyncio.Task[Any]: ...

    @property
    def held_back(self) -> bool: ...

    @property
    def unread_since(self) -> float | None: ...

    def reads_on(self) -> bool: ...


class Watched(msgspec.Struct, eq=False):
    """One request as the watch sees it. `verdict` says why its task was cancelled."""

    request: Request
    since: float
    credential: bytes = b""
    """The digest of the caller's key."""
    verdict: str | None = None
    """`gone`, `malformed`, `slow_upload`, `slow_reader`, `revoked` or `drained`."""
    window_end: float = 0.0
    window_bytes: int = 0

    @property
    def task(self) -> asyncio.Task[Any]:
        """The one that serves it."""
        return self.request.task

    def end(self, verdict: str) -> None:
        """Cancel the request, once."""
        if self.verdict is None:
            self.verdict = verdict
            self.task.cancel()

    def left(self) -> None:
        """Its client is not there any more."""
        self.end(MALFORMED if self.request.malformed else GONE)

    def look(self, now: float) -> None:
        """One look at this request."""
        if not self.request.whole:
            self._look_at_upload(now)
        unread = self.request.unread_since
        # The first look at what it reads is made after a while: few are that slow.
        if unread is None or now - unread < READER_SECONDS / 4 or self.request.reads_on():
            return
        if now - unread >= READER_SECONDS * 3 / 4:
            self.end("slow_reader")

    def _look_at_upload(self, now: float) -> None:
        received = self.request.received
        if not self.window_end:
            self.window_end = self.since + UPLOAD_WINDOW
        elif now >= self.window_end:
            # Of a client that is held back nothing can come.
            if received - self.window_bytes < UPLOAD_BYTES and not self.request.held_back:
                self.end("slow_upload")
            self.window_end, self.window_bytes = now + UPLOAD_WINDOW, received


class Watch:
    """The requests of one worker and the timer that looks at them."""

    def __init__(self) -> None:
        self._watched: set[Watched] = set()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._timer: asyncio.TimerHandle | None = None

    def __len__(self) -> int:
        return len(self._watched)

    def add(self, request: Request, credential: bytes = b"") -> Watched:
        """Look after this request until `remove`."""
        loop = self._loop
        if self._timer is None or loop is None:
            self._loop = loop = asyncio.get_running_loop()
            self._timer = loop.call_later(TICK, self._tick)
        watched = Watched(request, loop.time(), credential)
        self._watched.add(watched)
        request.on_gone = watched.left
        if request.gone:
            watched.left()
        return watched

    def remove(self, watched: Watched) -> None:
        """The request is over."""
        self._watched.discard(watched)
        watched.request.on_gone = None

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
