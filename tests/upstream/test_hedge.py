"""Hedged attempts whose client leaves: nothing of them is lost, in whichever moment that is."""

from __future__ import annotations

import asyncio
from random import Random

import pytest

from gateway.errors import UpstreamOutrun
from gateway.health.board import Board
from gateway.ports import Ticket
from gateway.telemetry.base import SilentObserver
from gateway.types import Call, Deployment, Hedge, Plan, Provider, Service
from gateway.upstream.hedge import Hedger
from gateway.upstream.latencies import LEAST
from gateway.upstream.progress import Answer, Attempts, Progress, Unbooked
from gateway.upstream.retry import Failure

PROVIDER = Provider("p", "openai", "http://127.0.0.1", api_keys=("one",))
FIRST, SECOND = (Deployment(f"p/{name}", PROVIDER, name) for name in ("first", "second"))
CALL = Call("call", "request", Service.CHAT, "/v1/chat/completions", "m", b"{}", 0.0)
PLAN = Plan("hedged", (FIRST, SECOND), "revision", hedge=Hedge(0.0, 1.0))


class Booked(Unbooked):
    """What was booked of attempts that gave no answer."""

    def __init__(self) -> None:
        self.rows: list[tuple[str, str]] = []

    def failed(self, failure: Failure, seconds: float, number: int) -> None:
        del seconds, number
        self.rows.append((failure.deployment.model, failure.error.outcome))


class Race:
    """A hedged call; who wins is up to the test. The first attempt takes a turn of the loop to end, as sockets do."""

    def __init__(self) -> None:
        self.loop = asyncio.get_running_loop()
        self.clock = self.loop.time
        self.board = Board(SilentObserver(), self.clock, Random(1))
        self.board.keep([FIRST, SECOND])
        self.answers = {one.id: self.loop.create_future() for one in (FIRST, SECOND)}
        self.progress, self.booked = Progress(), Booked()
        self.both, self.ending = asyncio.Event(), asyncio.Event()
        ticket = self.board.enter(FIRST)
        assert ticket is not None
        hedger = Hedger(self._try, self.board, self.clock)
        self.task = asyncio.ensure_future(hedger.run(CALL, PLAN, self.progress, self.booked, ticket))

    async def _try(self, call: Call, to: Deployment, progress: Progress, attempts: Attempts, ticket: Ticket) -> Answer:
        del call, attempts
        progress.attempts += 1
        progress.number, progress.deployment, progress.began = progress.attempts, to, self.clock()
        if to is SECOND:
            self.both.set()
        try:
            await self.answers[to.id]
        except asyncio.CancelledError:
            self.ending.set()
            await asyncio.sleep(0)
            self.board.leave(ticket, UpstreamOutrun())
            raise
        progress.ticket = ticket
        return Answer(to, b"application/json", b"{}")

    async def left(self) -> Answer:
        """The answer that the client did not wait for."""
        with pytest.raises(asyncio.CancelledError):
            await self.task
        assert self.progress.orphan is not None
        return await self.progress.orphan


async def test_a_client_that_leaves_while_the_slower_attempt_ends() -> None:
    """The answer is there for who ends the call, and both attempts are told of."""
    race = Race()
    await race.both.wait()
    race.answers[SECOND.id].set_result(None)
    await race.ending.wait()
    race.task.cancel()
    answer = await race.left()
    assert answer.deployment is SECOND
    assert race.progress.deployment is SECOND
    assert race.progress.ticket is not None
    assert race.progress.ticket.condition.deployment == SECOND.id
    assert race.booked.rows == [("first", "hedged")]
    assert race.board.of(FIRST).in_flight == 0


async def test_a_client_that_leaves_as_the_answer_comes() -> None:
    """The answer came in the very moment: who ends the call has it, and the attempt's place is given back with it."""
    race = Race()
    await race.both.wait()
    race.answers[FIRST.id].set_result(None)
    await asyncio.sleep(0)  # the attempt's turn; that of the call is next
    race.task.cancel()
    answer = await race.left()
    assert answer.deployment is FIRST
    assert race.progress.ticket is not None
    assert race.booked.rows == [("second", "hedged")]
    assert race.board.of(SECOND).in_flight == 0


async def test_a_first_attempt_that_was_outrun_took_at_least_so_long() -> None:
    """What was too slow to be waited for counts as slow: else the p95 would be that of the quick ones, and sink with
    each hedge. What a second attempt took until it was outrun says nothing: it had less time."""
    time, board = 1000.0, Board(SilentObserver(), lambda: time, Random(1))
    board.keep([FIRST, SECOND])
    wins = SECOND

    async def try_one(call: Call, to: Deployment, progress: Progress, attempts: Attempts, ticket: Ticket) -> Answer:
        nonlocal time
        progress.attempts += 1
        progress.number, progress.deployment, progress.began = progress.attempts, to, time
        if to is SECOND:
            time += 3.0
            both.set()
        await (both.wait() if to is wins else asyncio.Event().wait())
        progress.ticket = ticket
        return Answer(to, b"application/json", b"{}")

    hedger = Hedger(try_one, board, lambda: time)
    for winner in (SECOND, FIRST):
        wins = winner
        for _ in range(LEAST):
            both, ticket = asyncio.Event(), board.enter(FIRST)
            assert ticket is not None
            answer = await hedger.run(CALL, PLAN, Progress(), Booked(), ticket)
            assert answer.deployment is winner
        if winner is SECOND:
            assert hedger._latencies.p95(FIRST.id, stream=False) == 3.0
            quick = hedger._latencies.p95(SECOND.id, stream=False)
    assert hedger._latencies.p95(SECOND.id, stream=False) == quick
