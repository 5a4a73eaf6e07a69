"""How many requests begin in one turn of the event loop.

What becomes ready while a long turn runs is found all at once by the next one. If all of it began together it would go
on together: one batch for the store, one burst to the providers, one burst of answers, and the next long turn. Callers
who wait for providers then wait for each other as well. A few at a time, the turns stay short and what comes in between
is seen in between.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable

from gateway.perloop import PerLoop

MOST = 16
"""Requests that begin in one turn; the others follow in the order in which they came."""


class Starts:
    """Of one loop."""

    __slots__ = ("_before", "_begun", "_loop", "waiting")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._before = 0
        self._begun = 0
        self.waiting: deque[Callable[[], None]] = deque()
        """Who comes next."""

    @property
    def pending(self) -> int:
        """Requests that wait, or begin in this turn."""
        return len(self.waiting) + self._begun

    @property
    def count(self) -> int:
        """How many have begun so far."""
        return self._before + self._begun

    def begin(self, go: Callable[[], None]) -> None:
        """Call `go`, which lets a request begin, now or in one of the next turns. It may find that its client left."""
        begun = self._begun
        if begun >= MOST:
            self.waiting.append(go)
            return
        if not begun:
            self._loop.call_soon(self._turn)
        self._begun = begun + 1
        go()

    def _turn(self) -> None:
        """The next one."""
        self._before += self._begun
        self._begun = 0
        waiting = self.waiting
        while waiting and self._begun < MOST:
            self.begin(waiting.popleft())


starts_of = PerLoop(Starts).of
