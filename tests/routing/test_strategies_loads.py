"""Strategies that go by how deployments are doing, under simulated load."""

from __future__ import annotations

from collections import Counter
from heapq import heappop, heappush
from random import Random
from typing import Any

import pytest

from gateway.health.board import HEADROOM_SECONDS, Board
from gateway.ports import Ticket
from gateway.registry.snapshot import Target
from gateway.routing.facts import Unwatched
from gateway.routing.strategies import order
from gateway.routing.strategies.loads import least_busy, least_latency, usage_based
from gateway.telemetry.base import SilentObserver
from gateway.types import Condition
from tests.health.board_rig import Time
from tests.routing.support import call, conditions, facts, targets


def simulated(strategy: str, given_: list[Target], seconds: list[float], calls: int, every: float) -> Any:
    """So many calls, one after `every` seconds, to deployments that take so long; each counts the most that it had at
    once. Returns firsts, and those peaks."""
    board = Unwatched()
    looked = facts(5, conditions=board)
    running: list[tuple[float, int]] = []
    firsts: Counter[str] = Counter()
    peaks: Counter[str] = Counter()
    for n in range(calls):
        now = n * every
        while running and running[0][0] <= now:
            _, at = heappop(running)
            condition = board.of(given_[at].deployment)
            condition.in_flight -= 1
            known = condition.duration
            condition.duration = seconds[at] if known is None else 0.9 * known + 0.1 * seconds[at]
        chosen = order(strategy, given_, looked)[0]
        at = given_.index(chosen)
        condition = board.of(chosen.deployment)
        condition.in_flight += 1
        firsts[chosen.deployment.model] += 1
        peaks[chosen.deployment.model] = max(peaks[chosen.deployment.model], condition.in_flight)
        heappush(running, (now + seconds[at], at))
    return firsts, peaks


def test_the_faster_gets_more_but_no_herd_runs_there() -> None:
    """Three times as fast: most of the calls, never all of them, and nobody is buried under calls."""
    firsts, peaks = simulated("least_latency", targets(1, 1, 1), [0.3, 0.9, 0.9], 3000, 0.05)
    assert firsts["0"] > 1500
    assert min(firsts.values()) > 150
    assert max(peaks.values()) < 30


def test_nobody_is_forgotten() -> None:
    """One that was slow once is tried again now and then: when it has become fast, that is found out."""
    board = conditions(Condition("a/0", ttft=0.1, duration=0.1), Condition("a/1", ttft=50.0, duration=50.0))
    looked = facts(3, conditions=board)
    firsts = Counter(least_latency(targets(1, 1), looked)[0].deployment.model for _ in range(4000))
    assert 10 < firsts["1"] < 200


@pytest.mark.parametrize("stream", [False, True])
def test_a_slow_spell_is_soon_forgotten(stream: bool) -> None:
    """With two calls a second, of which one in a hundred is drawn for it, a deployment that was slow for some answers
    has its share again a few minutes after it is well: what was measured long ago is worth less than what is new."""
    time, given_ = Time(), targets(1, 1)
    board = Board(SilentObserver(), time, Random(1))
    looked = facts(3, call("m", stream=stream), conditions=board, clock=time)

    def answer(seconds: float, to: Target) -> None:
        ticket = board.enter(to.deployment)
        assert ticket is not None
        time.now += seconds
        board.answered(ticket, seconds if stream else None, None)
        board.leave(ticket, None)

    for to in given_:
        answer(0.1, to)
    for _ in range(8):
        answer(30.0, given_[1])
    began, lately = time.now, 0.0
    while lately < 0.25 and time.now < began + 3600:
        time.now += 0.4
        first = least_latency(given_, looked)[0]
        lately += 0.05 * ((first is given_[1]) - lately)
        answer(0.1, first)
    assert time.now - began < 600


def test_of_what_is_not_known_one_call_finds_out() -> None:
    """A deployment without a measure is taken while it has no call, and left alone while it has one."""
    known, unknown = Condition("a/0", duration=0.1), Condition("a/1")
    looked = facts(4, conditions=conditions(known, unknown))
    first = Counter(least_latency(targets(1, 1), looked)[0].deployment.model for _ in range(500))
    unknown.in_flight = 1
    then = Counter(least_latency(targets(1, 1), looked)[0].deployment.model for _ in range(500))
    assert first["1"] > 450
    assert then["0"] > 450


def test_streams_go_by_the_first_byte() -> None:
    """A deployment that begins early and ends late is for streams, one that does the opposite for whole answers."""
    board = conditions(Condition("a/0", ttft=0.1, duration=9.0), Condition("a/1", ttft=2.0, duration=3.0))
    for stream, wanted in ((True, "0"), (False, "1")):
        looked = facts(6, call("m", stream=stream), conditions=board)
        firsts = Counter(least_latency(targets(1, 1), looked)[0].deployment.model for _ in range(500))
        assert firsts[wanted] > 450


def test_the_least_busy_is_taken() -> None:
    """By calls for each unit of weight: calls in progress come to stand as the weights do."""
    firsts, peaks = simulated("least_busy", targets(3, 1), [1.0, 1.0], 800, 0.05)
    assert firsts["0"] == pytest.approx(600, abs=30)
    assert peaks["0"] == pytest.approx(3 * peaks["1"], abs=2)
    board = conditions(Condition("a/0", in_flight=5), Condition("a/1", in_flight=2), Condition("a/2", in_flight=9))
    ordered = least_busy(targets(1, 1, 1), facts(conditions=board))
    assert [target.deployment.model for target in ordered] == ["1", "0", "2"]


def test_the_most_headroom_is_taken_by_either_view() -> None:
    """The provider's headers and our own limits: the smaller share counts; what is unknown counts as whole."""
    board = conditions(Condition("a/0", headroom=0.9), Condition("a/1", headroom=0.5), Condition("a/2"))
    own = {"a/0": 0.2, "a/1": None, "a/2": 0.7}
    looked = facts(8, conditions=board, headroom_of=lambda deployment: own[deployment.id])
    pairs = {
        (first, second): usage_based([given_[first], given_[second]], looked)[0].deployment.model
        for given_ in [targets(1, 1, 1)]
        for first, second in ((0, 1), (0, 2), (1, 2))
    }
    assert pairs == {(0, 1): "1", (0, 2): "2", (1, 2): "2"}


def test_headroom_of_three_spreads() -> None:
    """The better of two drawn: the best gets two thirds, the worst nothing while others have more (chi-square)."""
    board = conditions(*(Condition(f"a/{at}", headroom=0.3 * at) for at in range(3)))
    looked = facts(9, conditions=board)
    firsts = Counter(usage_based(targets(1, 1, 1), looked)[0].deployment.model for _ in range(3000))
    assert firsts["0"] == 0
    assert firsts["2"] == pytest.approx(2000, abs=150)


def test_what_was_nearly_used_up_is_asked_again() -> None:
    """A minute after its last headers one call finds out what is left, the others go by the old word meanwhile; with
    more left than elsewhere it is taken again."""
    time, given_ = Time(), targets(1, 1)
    board = Board(SilentObserver(), time, Random(1))
    looked = facts(10, conditions=board, clock=time)

    def begun(left: float | None) -> str:
        """Where the next call goes, and what the headers of its answer say; without them it still runs."""
        first = usage_based(given_, looked)[0].deployment
        ticket = board.enter(first)
        assert ticket is not None
        if left is not None:
            board.answered(ticket, None, left)
            board.leave(ticket, None)
        return first.model

    used_up = begun(0.01)
    other = begun(0.5)
    assert {used_up, other} == {"0", "1"}
    time.now += HEADROOM_SECONDS - 1
    assert {begun(0.5) for _ in range(20)} == {other}
    time.now += 1
    assert begun(None) == used_up
    assert {begun(0.5) for _ in range(20)} == {other}
    condition = board.of(given_[int(used_up)].deployment)
    board.answered(Ticket(condition, time.now), None, 0.9)
    assert {begun(0.9) for _ in range(20)} == {used_up}
