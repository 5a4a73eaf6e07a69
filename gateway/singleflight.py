"""Work that many ask for at once and that is done once."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Hashable
from typing import Any, Generic, TypeVar

K = TypeVar("K", bound=Hashable)
T = TypeVar("T")


class SingleFlight(Generic[K, T]):
    """One piece of work at a time for each key: who asks meanwhile waits for the same. One that leaves ends it for
    nobody."""

    __slots__ = ("_under_way",)

    def __init__(self) -> None:
        self._under_way: dict[K, asyncio.Task[T]] = {}

    def __contains__(self, key: object) -> bool:
        """Whether work for this key is under way."""
        return key in self._under_way

    async def do(self, key: K, work: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """What the work gives, or raises: the one under way, else this."""
        return await asyncio.shield(self._under_way.get(key) or self.begin(key, work))

    def begin(self, key: K, work: Callable[[], Coroutine[Any, Any, T]]) -> asyncio.Task[T]:
        """Begin it, whoever waits for it. Work for this key must not be under way."""
        task = self._under_way[key] = asyncio.create_task(self._done(key, work))
        task.add_done_callback(_heard)
        return task

    async def _done(self, key: K, work: Callable[[], Coroutine[Any, Any, T]]) -> T:
        try:
            return await work()
        finally:
            # Before the task is done, not in a callback behind it: who looks in the same turn of the event loop must
            # not meet a failure that is over.
            del self._under_way[key]


def _heard(task: asyncio.Task[Any]) -> None:
    """A failure that nobody waits for any more is nobody's."""
    if not task.cancelled():
        task.exception()
