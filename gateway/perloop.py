"""What there is one of for each event loop."""

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
    """Makes one for the loop of each thread. What belonged to a loop that is gone goes with it."""

    def __init__(self, make: Callable[[asyncio.AbstractEventLoop], T]) -> None:
        self._make = make
        self._here = _Here()

    def of(self, loop: asyncio.AbstractEventLoop) -> T:
        """This thread's loop's."""
        here = self._here
        if here.loop is not loop:
            here.loop, here.what = loop, self._make(loop)
        return here.what  # type: ignore[return-value]

    def here(self) -> T | None:
        """This thread's, if it has one."""
        return self._here.what  # type: ignore[return-value]
