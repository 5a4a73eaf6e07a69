"""One timer for several awaits."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types import TracebackType

_GRACE = 0.002


class Deadline:
    """Bounds the awaits inside `with` by `seconds`; raises TimeoutError.

    Fairer than `asyncio.timeout`: an answer that lay in the socket while the loop itself was busy still counts, because
    the timer yields to one more poll before it cancels.
    """

    __slots__ = ("_due", "_expired", "_handle", "_loop", "_seconds", "_task")

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._expired = False

    def __enter__(self) -> None:
        task = asyncio.current_task()
        if task is None:
            raise RuntimeError("a Deadline needs a task")
        self._task: asyncio.Task[object] = task
        self._loop = asyncio.get_running_loop()
        self._due = self._loop.time() + self._seconds
        self._handle: asyncio.Handle = self._loop.call_at(self._due, self._yield)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._handle.cancel()
        if self._expired and self._task.uncancel() == 0 and kind is asyncio.CancelledError:
            raise TimeoutError from error

    def _yield(self) -> None:
        # What the loop is late by, the process was busy or not running at all: as likely as not the other side was too.
        late = min(self._loop.time() - self._due, self._seconds)
        self._handle = self._loop.call_later(max(_GRACE, late), self._expire)

    def _expire(self) -> None:
        self._expired = True
        self._task.cancel()
