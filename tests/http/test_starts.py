"""How many requests begin in one turn of the event loop, and in which order the others follow."""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from contextlib import ExitStack
from functools import partial

import pytest

from gateway.http.cycle import Cycle
from gateway.http.overload import Overload
from gateway.http.server import Protocol
from gateway.http.starts import MOST, Starts, starts_of
from gateway.http.throttle import Throttle
from tests.support.app import Client
from tests.support.scripted_server import serving


async def test_a_few_at_a_time_in_their_order() -> None:
    """What comes together begins a few at a time; nobody is overtaken, also not by who comes later."""
    starts = Starts(asyncio.get_running_loop())
    begun: list[int] = []
    count = 3 * MOST + 2
    for number in range(count - 1):
        starts.begin(partial(begun.append, number))
    assert (len(begun), starts.pending, starts.count) == (MOST, count - 1, MOST)
    starts.begin(partial(begun.append, count - 1))
    seen = []
    while len(begun) < count:
        await asyncio.sleep(0)
        seen.append(len(begun))
    assert seen == [2 * MOST, 3 * MOST, count]
    assert begun == list(range(count))
    await asyncio.sleep(0)
    assert (starts.pending, starts.count) == (0, count)
    starts.begin(partial(begun.append, count))
    assert begun[-1] == count
    assert starts_of(asyncio.get_running_loop()) is starts_of(asyncio.get_running_loop()) is not starts


class Busy:
    """An application whose first call of `/v1/hold` holds its loop until `go_on`; notes in which turn others began."""

    def __init__(self, overload: Overload | None = None) -> None:
        self.overload = overload
        self.busy, self.go_on = threading.Event(), threading.Event()
        self.calls: Counter[int] = Counter()
        self.others: Counter[int] = Counter()
        self.expected = 0
        self._turn = 0

    async def serve(self, cycle: Cycle, addresses: tuple[object, object]) -> None:
        if cycle.path == "/v1/hold":
            if self.overload is not None:
                self.overload.start()
            self.busy.set()
            self.go_on.wait(30)
            self._tick(asyncio.get_running_loop())
        elif self.go_on.is_set():
            (self.calls if cycle.path.startswith("/v1/") else self.others)[self._turn] += 1
        cycle.reply(200, (), b"")

    def _tick(self, loop: asyncio.AbstractEventLoop) -> None:
        self._turn += 1
        if self.calls.total() + self.others.total() < self.expected:
            loop.call_soon(self._tick, loop)

    async def __call__(self, scope: object, receive: object, send: object) -> None:
        raise NotImplementedError


def rush(app: Busy, count: int, *, known: bool = True) -> Counter[int]:
    """So many calls, and one question how the worker is, that all came while the loop was busy: the calls' statuses.
    `known` connections were served before."""
    with serving(app, http=Protocol) as port, ExitStack() as stack:
        first, *others, asking = [stack.enter_context(Client(port)) for _ in range(count + 2)]
        for client in (first, *others, asking) if known else (first, asking):
            client.send("GET", "/v1/models", b"")
            assert client.reply().status == 200
        first.send("GET", "/v1/hold", b"")
        assert app.busy.wait(30)
        for client in others:
            client.send("GET", "/v1/models", b"")
        asking.send("GET", "/healthz", b"")
        app.go_on.set()
        assert [client.reply().status for client in (first, asking)] == [200, 200]
        return Counter(client.reply().status for client in others)


@pytest.mark.parametrize("known", [True, False], ids=["known", "new"])
def test_calls_take_their_turn(known: bool) -> None:
    """What was sent while the loop was busy does not begin all at once, whether its connection is new or served before.
    Who asks how the worker is waits for none of them."""
    app, count = Busy(), 3 * MOST
    app.expected = count + 1
    assert rush(app, count, known=known) == {200: count}
    assert (app.calls.total(), app.others.total()) == (count, 1)
    assert max(app.calls.values()) <= MOST
    assert min(app.others) <= sorted(app.calls)[1]


class Listener:
    """What was told of refusals."""

    def __init__(self) -> None:
        self.told: list[object] = []

    in_flight = 0
    revision = "r"

    def held_up(self) -> float:
        return 0.0

    def loop_lagged(self, seconds: float) -> None:
        pass

    def call_shed(self, status: int) -> None:
        self.told.append(status)

    def overload_changed(self, overloaded: bool, work: float | None, refused: int) -> None:
        self.told.append((overloaded, work))


def test_a_rush_is_refused_in_part(monkeypatch: pytest.MonkeyPatch) -> None:
    """When a burst waits to begin, what comes beyond it is refused at once, not after it has waited as well."""
    monkeypatch.setattr("gateway.http.server.BURST", MOST)
    listener = Listener()
    statuses = rush(Busy(Overload(Throttle(60.0, floor=0), listener, listener)), 4 * MOST)
    assert statuses[200] >= 2 * MOST
    assert statuses[503] >= 1
    assert statuses.total() == 4 * MOST
    assert listener.told == [(True, None), *[503] * statuses[503]]
