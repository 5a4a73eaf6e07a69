"""How many requests begin in one turn of the event loop, and in which order the others follow."""

from __future__ import annotations

import asyncio

from gateway.http.starts import MOST, Starts, starts_of


async def test_a_few_at_a_time_in_their_order() -> None:
    """What comes together begins a few at a time; nobody is overtaken, also not by who comes later."""
    loop = asyncio.get_running_loop()
    starts = Starts(loop)
    waiters = [loop.create_future() for _ in range(3 * MOST + 1)]
    for waiter in waiters:
        starts.begin(waiter)
    seen = [sum(waiter.done() for waiter in waiters)]
    late = loop.create_future()
    starts.begin(late)
    while not late.done():
        await asyncio.sleep(0)
        seen.append(sum(waiter.done() for waiter in waiters))
        assert [waiter.done() for waiter in waiters] == [True] * seen[-1] + [False] * (len(waiters) - seen[-1])
    assert seen == [MOST, 2 * MOST, 3 * MOST, 3 * MOST + 1]
    await asyncio.sleep(0)
    again = loop.create_future()
    starts.begin(again)
    assert again.done()


async def test_who_left_is_done_with() -> None:
    """A connection that was lost while its request waited has been told already."""
    loop = asyncio.get_running_loop()
    starts = starts_of(loop)
    assert starts_of(loop) is starts
    waiters = [loop.create_future() for _ in range(MOST + 2)]
    for waiter in waiters:
        starts.begin(waiter)
    waiters[-2].set_result(None)
    waiters[-1].cancel()
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert all(waiter.done() for waiter in waiters)
