"""Objects of which every event loop has one of its own."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class _Here(threading.local):
    loop: asyncio.AbstractEventLoop | None = None
    what: object = None


class PerLoop(Generic[T]):
    """Makes one object for the event loop of each thread. When a thread runs another loop, the object is made anew."""

    def __init__(self, make: Callable[[asyncio.AbstractEventLoop], T]) -> None:
        self._make = make
        self._here = _Here()

    def of(self, loop: asyncio.AbstractEventLoop) -> T:
        """The object of `loop`, which has to be this thread's."""
        here = self._here
        if here.loop is not loop:
            here.loop, here.what = loop, self._make(loop)
        return here.what  # type: ignore[return-value]

    def here(self) -> T | None:
        """The object of this thread's loop, if one was made."""
        return self._here.what  # type: ignore[return-value]
