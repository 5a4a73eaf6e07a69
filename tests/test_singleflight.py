from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator

import pytest

from gateway.singleflight import SingleFlight


class Work:
    """Goes on until it is let go; counts how often it was begun."""

    def __init__(self) -> None:
        self.begun = 0
        self.under_way, self.over = asyncio.Event(), asyncio.Event()
        self.failure: Exception | None = None

    async def __call__(self) -> int:
        self.begun += 1
        number = self.begun
        self.under_way.set()
        await self.over.wait()
        if self.failure is not None:
            raise self.failure
        return number


async def test_who_asks_meanwhile_waits_for_the_same() -> None:
    flights: SingleFlight[str, int] = SingleFlight()
    work, other = Work(), Work()
    asked = [asyncio.ensure_future(flights.do("key", work)) for _ in range(5)]
    apart = asyncio.ensure_future(flights.do("other", other))
    await asyncio.sleep(0)
    assert "key" in flights
    work.over.set()
    assert await asyncio.gather(*asked) == [1] * 5
    assert "key" not in flights
    assert "other" in flights
    assert await flights.do("key", work) == 2
    other.over.set()
    assert await apart == 1


async def test_one_that_leaves_ends_it_for_nobody() -> None:
    flights: SingleFlight[str, int] = SingleFlight()
    work = Work()
    first, second = (asyncio.ensure_future(flights.do("key", work)) for _ in range(2))
    await asyncio.sleep(0)
    first.cancel()
    work.over.set()
    assert await second == 1
    assert first.cancelled()


async def test_a_failure_is_over_when_it_is_there() -> None:
    """Whoever asks in the very turn of the event loop in which the work failed begins anew."""
    flights: SingleFlight[str, int] = SingleFlight()
    work = Work()
    work.failure = ConnectionResetError()
    first = asyncio.ensure_future(flights.do("key", work))
    await work.under_way.wait()
    asyncio.get_running_loop().call_soon(work.over.set)
    await work.over.wait()  # behind the work, which waits for the same
    with pytest.raises(ConnectionResetError):
        await flights.do("key", work)
    assert work.begun == 2
    with pytest.raises(ConnectionResetError):
        await first


@pytest.fixture
async def complaints() -> AsyncIterator[list[object]]:
    """What the event loop has to say of failures that nobody heard of."""
    loop, found = asyncio.get_running_loop(), list[object]()
    loop.set_exception_handler(lambda _, context: found.append(context))
    yield found
    loop.set_exception_handler(None)


async def test_a_failure_that_nobody_waits_for_is_nobodys(complaints: list[object]) -> None:
    flights: SingleFlight[str, int] = SingleFlight()
    work = Work()
    work.failure = ConnectionResetError()
    task = flights.begin("key", work)
    work.over.set()
    await asyncio.wait([task])
    assert "key" not in flights
    del task
    gc.collect()
    assert not complaints
