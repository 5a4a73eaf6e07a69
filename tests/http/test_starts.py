"""How many requests begin in one turn of the event loop, and in which order the others follow."""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from contextlib import ExitStack
from functools import partial

from gateway.http.cycle import Cycle
from gateway.http.server import Protocol
from gateway.http.starts import MOST, Starts, starts_of
from tests.support.app import Client
from tests.support.scripted_server import serving


async def test_a_few_at_a_time_in_their_order() -> None:
    """What comes together begins a few at a time; nobody is overtaken, also not by who comes later."""
    starts = Starts(asyncio.get_running_loop())
    begun: list[int] = []
    count = 3 * MOST + 2
    for number in range(count - 1):
        starts.begin(partial(begun.append, number))
    assert (len(begun), starts.pending, starts.turns) == (MOST, count - 1, 4)
    starts.begin(partial(begun.append, count - 1))
    seen = []
    while len(begun) < count:
        await asyncio.sleep(0)
        seen.append(len(begun))
    assert seen == [2 * MOST, 3 * MOST, count]
    assert begun == list(range(count))
    await asyncio.sleep(0)
    assert (starts.pending, starts.turns) == (0, 1)
    starts.begin(partial(begun.append, count))
    assert begun[-1] == count
    assert starts_of(asyncio.get_running_loop()) is starts_of(asyncio.get_running_loop()) is not starts


def test_new_connections_take_their_turn_as_well() -> None:
    """What was sent on many new connections while the loop was busy does not begin all at once."""
    begun: Counter[int] = Counter()
    turn = 0
    busy, go_on = threading.Event(), threading.Event()

    def tick(loop: asyncio.AbstractEventLoop) -> None:
        nonlocal turn
        turn += 1
        if not go_on.is_set() or sum(begun.values()) < 3 * MOST:
            loop.call_soon(tick, loop)

    class App:
        """Counts the requests of each turn of its loop; the first one holds it up."""

        async def serve(self, cycle: Cycle, addresses: tuple[object, object]) -> None:
            if not busy.is_set():
                busy.set()
                go_on.wait(30)
                tick(asyncio.get_running_loop())
            else:
                begun[turn] += 1
            cycle.reply(200, (), b"")

        async def __call__(self, scope: object, receive: object, send: object) -> None:
            raise NotImplementedError

    with serving(App(), http=Protocol) as port, ExitStack() as stack:
        first, *others = [stack.enter_context(Client(port)) for _ in range(3 * MOST + 1)]
        first.send("GET", "/", b"")
        assert busy.wait(30)
        for client in others:
            client.send("GET", "/", b"")
        go_on.set()
        assert [client.reply().status for client in (first, *others)] == [200] * (3 * MOST + 1)
    assert sum(begun.values()) == 3 * MOST
    assert max(begun.values()) <= MOST
