"""Calls that wait while every deployment they may go to is at its concurrency limit: first come, first served."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterable

POLL_SECONDS = 0.1
"""How often who waits longest asks again: slots that other workers free are heard of by nobody here."""


class Turn:
    """One call's place."""

    __slots__ = ("_called", "_missed", "_turns", "ids")

    def __init__(self, turns: Turns, ids: frozenset[str]) -> None:
        self.ids = ids
        self._turns = turns
        self._called: asyncio.Future[None] | None = None
        self._missed = False
        """It was called while it asked: what it asks for may have become free behind its question."""

    async def called(self, seconds: float) -> None:
        """Until it is this call's turn to ask, or the time is over."""
        if self._missed:
            self._missed = False
            return
        loop = asyncio.get_running_loop()
        self._called = future = loop.create_future()
        first = self._turns.first(self)
        timer = loop.call_later(max(0.0, min(seconds, POLL_SECONDS) if first else seconds), _wake, future)
        try:
            await future
        finally:
            timer.cancel()
            self._called = None

    def call(self) -> None:
        """Wake it, or have it ask once more."""
        if self._called is None:
            self._missed = True
        else:
            _wake(self._called)

    def leave(self) -> None:
        """It was served, or gave up; the next one in line asks."""
        self._turns.remove(self)


class Turns:
    """The line of one worker. `ids` are deployments'."""

    def __init__(self) -> None:
        self._line: dict[Turn, None] = {}
        self._wanted: Counter[str] = Counter()

    def __len__(self) -> int:
        return len(self._line)

    def behind(self, ids: Iterable[str]) -> bool:
        """Whether somebody waits for each of these already: who comes now must not overtake."""
        return all(self._wanted[name] for name in ids)

    def join(self, ids: Iterable[str]) -> Turn:
        """A place at the end."""
        turn = Turn(self, frozenset(ids))
        self._line[turn] = None
        self._wanted.update(turn.ids)
        return turn

    def first(self, turn: Turn) -> bool:
        """Whether nobody before it waits for the same."""
        for other in self._line:
            if other is turn:
                return True
            if not other.ids.isdisjoint(turn.ids):
                return False
        return True

    def freed(self, deployment: str) -> None:
        """A slot of this one may be free: who waits longest for it asks."""
        for turn in self._line:
            if deployment in turn.ids:
                turn.call()
                return

    def remove(self, turn: Turn) -> None:
        """See `Turn.leave`."""
        if turn not in self._line:
            return
        del self._line[turn]
        self._wanted.subtract(turn.ids)
        for name in turn.ids:
            if self._wanted[name] <= 0:
                del self._wanted[name]
        for other in self._line:
            if not other.ids.isdisjoint(turn.ids):
                other.call()
                return


def _wake(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)
