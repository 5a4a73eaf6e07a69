"""The watch over requests: clients that send too slowly, do not read, or leave. Time is a number here."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from gateway.http.watch import READER_SECONDS, TICK, UPLOAD_BYTES, UPLOAD_WINDOW, Watch, Watched


class FakeTask:
    """Counts cancellations."""

    def __init__(self) -> None:
        self.cancelled = 0

    def cancel(self) -> None:
        self.cancelled += 1


def watched(**fields: Any) -> tuple[Watched, FakeTask]:
    """A request that began at 100.0 and reads its body."""

    async def receive() -> dict[str, Any]:
        await asyncio.Event().wait()
        return {}

    task: Any = FakeTask()
    return Watched(task, receive, 100.0, **fields), task


def test_a_body_must_make_progress() -> None:
    """Less than a kilobyte in a window of 30 s ends the request; as much as that, window after window, does not."""
    found, task = watched()
    found.look(100.1)
    for window in range(1, 4):
        found.received += UPLOAD_BYTES
        found.look(100.0 + UPLOAD_WINDOW * window + 1)
    found.received += UPLOAD_BYTES - 1
    found.look(100.0 + UPLOAD_WINDOW * 4 - 1)
    before = task.cancelled
    found.look(1000.0)
    found.look(2000.0)
    assert (before, task.cancelled, found.verdict) == (0, 1, "slow_upload")


async def test_a_client_must_read() -> None:
    """Bytes left unread for a minute end the request; every accepted write starts anew."""
    found, task = watched(reading=False)
    found.sending_since = 100.0
    found.look(100.0 + READER_SECONDS - 1)
    found.sending_since = 100.0 + READER_SECONDS - 1
    found.look(100.0 + READER_SECONDS + 1)
    before = task.cancelled
    found.look(100.0 + 2 * READER_SECONDS)
    assert (before, task.cancelled, found.verdict) == (0, 1, "slow_reader")
    assert found.listener is not None
    found.listener.cancel()


async def test_one_listener_and_only_after_the_body() -> None:
    """Nobody else calls `receive` while the body is read; later exactly one task does."""
    found, _ = watched()
    found.look(100.0 + TICK * 2)
    while_reading = found.listener
    found.reading = False
    found.look(100.0 + TICK * 2)
    first = found.listener
    assert (while_reading is None, first is None) == (True, False)
    found.look(100.0 + TICK * 3)
    assert found.listener is first
    if first is not None:
        first.cancel()


async def test_a_client_that_leaves_cancels_its_request() -> None:
    """The timer notices it, the request's task is cancelled with the verdict `gone`, and the watch forgets it."""
    left = asyncio.Event()
    watch = Watch()
    seen: list[Watched] = []

    async def receive() -> dict[str, Any]:
        await left.wait()
        return {"type": "http.disconnect"}

    async def request() -> None:
        found = watch.add(receive)
        seen.append(found)
        found.reading = False
        try:
            await asyncio.Event().wait()
        finally:
            watch.remove(found)

    task = asyncio.create_task(request())
    await asyncio.sleep(0)
    assert len(watch) == 1
    left.set()
    with pytest.raises(asyncio.CancelledError):
        async with asyncio.timeout(10):
            await task
    assert seen[0].verdict == "gone"
    assert len(watch) == 0
