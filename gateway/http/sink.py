"""A streaming client as a sink of bytes, with an eye on how long it leaves them unread."""

from __future__ import annotations

from collections.abc import Callable

from gateway.http.cycle import Cycle
from gateway.http.watch import Watched
from gateway.ports import Clock


class WatchedSink:
    """Implements `gateway.ports.ByteSink` for one answer."""

    __slots__ = ("_clock", "_cycle", "_watched")

    def __init__(self, cycle: Cycle, watched: Watched, clock: Clock) -> None:
        self._cycle = cycle
        self._watched = watched
        self._clock = clock

    @property
    def paused(self) -> bool:
        """Whether the client has not read what it was sent; since when, is noted for the watch."""
        if not self._cycle.paused:
            self._watched.sending_since = None
            return False
        if self._watched.sending_since is None:
            self._watched.sending_since = self._clock()
        return True

    def push(self, data: bytes) -> None:
        """See `gateway.ports.ByteSink`."""
        self._cycle.push(data)

    @property
    def on_resume(self) -> Callable[[], None] | None:
        """Called when the client reads again."""
        return self._cycle.on_resume

    @on_resume.setter
    def on_resume(self, call: Callable[[], None] | None) -> None:
        self._cycle.on_resume = call
