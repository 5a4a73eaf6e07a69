"""Answers that are read to their end although their client has left: where a provider charges for them anyway, its own
count is worth more than an estimate."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable

from gateway.errors import GatewayError
from gateway.types import Provider
from gateway.upstream.progress import Answer, Progress

Done = Callable[[Answer | None], None]


class Drains:
    """What one worker reads on, at most so much of each provider at once. Beyond that, and after its time, an answer is
    broken off as if nobody read on."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()
        self._tasks: set[asyncio.Task[None]] = set()

    def __len__(self) -> int:
        return len(self._tasks)

    def take(self, provider: Provider, progress: Progress, answer: Answer | None, done: Done) -> bool:
        """Read this on beside everything else, if there is room: the answer, or the attempt that may still bring one.
        `done` hears of its end, whatever that is."""
        bounds = provider.drain
        if bounds is None or self._counts[provider.name] >= bounds.at_once:
            return False
        if answer is None and progress.orphan is None:
            return False
        self._counts[provider.name] += 1
        task = asyncio.ensure_future(self._read_on(provider, bounds.seconds, progress, answer, done))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return True

    async def close(self) -> None:
        """Break off what is still read."""
        tasks = tuple(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _read_on(
        self, provider: Provider, seconds: float, progress: Progress, answer: Answer | None, done: Done
    ) -> None:
        try:
            async with asyncio.timeout(seconds):
                if answer is None and progress.orphan is not None:
                    answer = await progress.orphan
                relay = None if answer is None else answer.relay
                while relay is not None and not relay.over:
                    await relay.next()
        except (TimeoutError, GatewayError):
            pass  # what is known by then is booked
        finally:
            self._counts[provider.name] -= 1
            if answer is not None and answer.relay is not None and not answer.relay.over:
                answer.relay.abort()
            done(answer)
