"""Quotas and budgets on a real store with a real ledger: what is admitted, what is granted, what is counted."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from typing import Any

import pytest

from gateway.errors import GatewayError, InsufficientQuota, RateLimited
from gateway.limits.demand import Demand
from gateway.limits.gate import Reservation
from gateway.limits.limitset import LimitSet, Member, Names
from gateway.limits.periods import period_of
from gateway.limits.refusals import Downgrade
from gateway.storage.client import Argument, Key, Script
from gateway.storage.errors import StoreUnavailable
from gateway.types import QuotaSpec, RateLimit
from tests.limits.books import Bookkeeping, clerks
from tests.limits.tills import CENT, KEY, TEAM, Till, quota

PERIODS = ("minute", "hour", "day", "week", "month", "year", "total")
SCOPES = {"key": KEY, "team": TEAM, "user": "someone", "model": "fast", "provider": "openai", "global": ""}


def costing(cost: int, tokens: int = 0) -> Demand:
    """A call that says how many output tokens it wants at most: all of them cost as much."""
    return Demand(tokens=tokens, input_tokens=tokens, fixed_cost=cost)


def scoped(till: Till, scope: str, *specs: QuotaSpec) -> LimitSet:
    """Quotas of one member of a scope, as the policy names their counters."""
    whose = f"team:{TEAM}" if scope == "user" else SCOPES[scope]
    members = [Member(spec, f"{spec.name}:{whose}", scope == "user", whose) for spec in specs]
    return LimitSet.of(members, Names("0", till.name))


async def attempt(till: Till, limits: LimitSet, count: int, demand: Demand) -> list[Reservation | GatewayError]:
    calls = (till.begin(limits, demand) for _ in range(count))
    found = await asyncio.gather(*calls, return_exceptions=True)
    assert all(isinstance(one, Reservation | GatewayError) for one in found), found
    return found  # type: ignore[return-value]


def admitted(found: list[Reservation | GatewayError]) -> list[Reservation]:
    return [one for one in found if isinstance(one, Reservation)]


def refused(found: list[Reservation | GatewayError]) -> set[type]:
    return {type(one) for one in found if not isinstance(one, Reservation)}


@pytest.mark.parametrize("kind", ["requests", "tokens", "cost"])
async def test_exactly_what_the_amount_allows(till: Till, kind: str) -> None:
    """Of twenty calls at once, as many as the amount pays for are admitted, whatever it counts and for how long."""
    amount = {"requests": 7, "tokens": 79, "cost": 7 * CENT}[kind]
    for period in PERIODS:
        limits = till.sets(quota(kind, amount, name=period, period=period))
        found = await attempt(till, limits, 20, costing(CENT, 11))
        # A short period may end between two of these calls: then each part has the whole amount.
        most = 14 if period in ("minute", "hour", "day") else 7
        assert 7 <= len(admitted(found)) <= most
        assert refused(found) <= {RateLimited}


@pytest.mark.parametrize("scope", SCOPES)
async def test_every_scope(found: Bookkeeping, till: Till, scope: str) -> None:
    """A quota of any scope counts its own member's use, before and after its counter was lost."""
    spec = quota("cost", 10 * CENT, scope=scope, name="rule", period="year")
    for round_ in range(2):
        limits = scoped(till, scope, spec)
        for _ in range(4):
            call = await till.begin(limits, costing(CENT), user="someone")
            till.end(call, cost=CENT)
        # Others' use is not this member's; what all use counts for everybody.
        other = await till.begin(till.sets(), costing(0), user="another", key="k2", team="t2")
        where: dict[str, Any] = {"requested_model": "m2", "provider": "p2", "key": "k2", "team": "t2"}
        till.end(other, cost=CENT if scope != "global" else 0, **where)
        await till.done()
        await found.rows()
        if round_ == 0:
            frame = limits.frame("someone", till.gate.epochs.known("0") or "", till.gate.store_clock())
            await till.redis.execute("DEL", frame.keys[3])
    assert await till.counters(limits, "someone") == [(8 * CENT, 0)]
    third = [await till.begin(limits, costing(CENT), user="someone") for _ in range(2)]
    with pytest.raises(RateLimited, match="is reserved by requests under way"):
        await till.begin(limits, costing(CENT), user="someone")
    for call in third:
        till.end(call, cost=CENT)
    await till.done()
    whose = "gateway" if scope == "global" else scope
    with pytest.raises(InsufficientQuota, match=f"This {whose}'s quota of \\$0.1 a year does not allow this request"):
        await till.begin(limits, costing(CENT), user="someone")


async def test_users_are_counted_apart(till: Till) -> None:
    """A quota for each user gives each user the whole amount."""
    limits = scoped(till, "user", quota("requests", 2, scope="user", name="rule"))
    for user in ("a", "b", "c"):
        calls = [till.begin(limits, costing(0), user=user) for _ in range(5)]
        results = await asyncio.gather(*calls, return_exceptions=True)
        assert sum(isinstance(one, Reservation) for one in results) == 2


async def test_reserved_is_not_used_up(till: Till) -> None:
    """While calls under way hold what is left, others are told to come back in a second; once it is used, to stay
    away: `insufficient_quota`, with the time of renewal."""
    limits = till.sets(quota("cost", 2 * CENT, period="month", zone="Europe/Berlin"))
    first, second = [await till.begin(limits, costing(CENT)) for _ in range(2)]
    with pytest.raises(RateLimited) as busy:
        await till.begin(limits, costing(CENT))
    assert (busy.value.retry_after, busy.value.limit) == (1.0, "key:cost")
    till.end(first, cost=CENT)
    with pytest.raises(RateLimited):
        await till.begin(limits, costing(CENT))
    till.end(second, cost=0)
    third = await till.begin(limits, costing(CENT))
    till.end(third, cost=CENT)
    await till.done()
    with pytest.raises(InsufficientQuota) as spent:
        await till.begin(limits, costing(CENT))
    assert "$0.02 a month does not allow this request. It is renewed at " in spent.value.public_message
    assert "T00:00:00+0" in spent.value.public_message
    # What would never have fitted is not worth waiting for, whoever holds what.
    huge = till.sets(quota("tokens", 100, name="other"))
    held = await till.begin(huge, costing(0, 60))
    with pytest.raises(InsufficientQuota):
        await till.begin(huge, costing(0, 101))
    with pytest.raises(RateLimited):
        await till.begin(huge, costing(0, 41))
    till.end(held, tokens=1)
    assert (await till.begin(huge, costing(0, 99))).output == 0


async def test_throttle(till: Till) -> None:
    """Beyond the amount of a quota that throttles, calls are served at its lower rate, and told so."""
    spec = quota("requests", 3, action="throttle", throttle=RateLimit(1, 60.0))
    limits = till.sets(spec)
    found = await attempt(till, limits, 8, costing(0))
    assert len(admitted(found)) == 4
    (error,) = {str(one) for one in found if isinstance(one, RateLimited)}
    assert "until it is renewed 1 requests per minute are served" in error
    assert {one.limit for one in found if isinstance(one, RateLimited)} == {"key:throttle"}
    waits = {one.retry_after for one in found if isinstance(one, RateLimited)}
    assert all(wait is not None and 50 < wait <= 60 for wait in waits)
    assert await till.counters(limits) == [(4, 4)]


@pytest.mark.parametrize("action", ["alert", "reject"])
async def test_warnings(till: Till, action: str) -> None:
    """From the soft threshold on replies warn; a quota that only alerts goes on beyond its amount, and counts."""
    limits = till.sets(quota("requests", 4, action=action, soft=0.5))
    results = await attempt(till, limits, 6, costing(0))
    calls = admitted(results)
    assert len(calls) == (6 if action == "alert" else 4)
    warned = [dict(call.headers).get(b"x-gateway-quota-warning") for call in calls]
    assert warned[:4] == [
        None,
        *(f"key requests per total: {share} % used".encode() for share in (50, 75, 100)),
    ]
    assert all(warned[1:])


async def test_downgrade(till: Till) -> None:
    """A quota that switches models says to which; with the switch made it only counts."""
    limits = till.sets(quota("cost", CENT, action="downgrade", downgrade_to="small"))
    till.end(await till.begin(limits, costing(CENT)), cost=CENT)
    await till.done()
    with pytest.raises(Downgrade) as switch:
        await till.begin(limits, costing(CENT))
    assert switch.value.model == "small"
    assert isinstance(switch.value.refusal, InsufficientQuota)
    till.end(await till.begin(limits.relaxed(), costing(CENT)), cost=CENT)
    assert await till.counters(limits) == [(2 * CENT, 0)]


async def test_explicit_max_tokens_is_kept(till: Till) -> None:
    """What a caller asked for is granted whole or the call is refused: it is never cut."""
    limits = till.sets(quota("tokens", 1000))
    asked = Demand(input_tokens=100, least=800, most=800)
    call = await till.begin(limits, asked)
    assert call.output == 800
    assert await till.counters(limits) == [(900, 900)]
    with pytest.raises(RateLimited):
        await till.begin(limits, Demand(input_tokens=50, least=51, most=51))
    assert (await till.begin(limits, Demand(input_tokens=50, least=50, most=50))).output == 50


async def test_grants_without_max_tokens(till: Till) -> None:
    """Without `max_tokens` a call is granted an eighth of what is left, at least what it is expected to need and at
    most its ceiling; what is granted is what is reserved."""
    limits = till.sets(quota("tokens", 8800))
    open_ended = Demand(input_tokens=800, least=100, most=4000)
    assert (await till.begin(limits, open_ended)).output == 1000
    assert await till.counters(limits) == [(1800, 1800)]
    granted = []
    while True:
        try:
            granted.append((await till.begin(limits, open_ended)).output or 0)
        except RateLimited:
            break
    left = 8800 - 1800
    for output in granted:
        assert output == max(100, (left - 800) // 8)
        left -= 800 + output
    assert 0 <= left < 900
    rich = till.sets(quota("cost", 1000 * CENT, name="rich"))
    assert (await till.begin(rich, Demand(fixed_cost=5, output_cost=7, least=100, most=4000))).output == 4000


async def test_the_tightest_quota_grants(till: Till) -> None:
    """Of several quotas in one decision the one with the least left sets the grant, and all reserve that."""
    limits = till.sets(
        quota("cost", 100_000, period="month"), quota("tokens", 80_000, scope="team", name=TEAM), quota("requests", 10)
    )
    call = await till.begin(limits, Demand(input_tokens=10, fixed_cost=4000, output_cost=10, least=16, most=8000))
    assert call.output == (100_000 - 4000) // 10 // 8 == 1200
    assert await till.counters(limits) == [(16_000, 16_000), (1210, 1210), (1, 1)]
    till.end(call, tokens=60, cost=4321)
    assert await till.counters(limits) == [(4321, 0), (60, 0), (1, 0)]


async def test_all_or_none(till: Till) -> None:
    """Whichever quota refuses, the others keep everything they had."""
    specs = [quota("requests", 5), quota("tokens", 1000, scope="team", name=TEAM), quota("cost", CENT)]
    limits = till.sets(*specs)
    found = await attempt(till, limits, 30, costing(1000, 10))
    assert len(admitted(found)) == 5
    assert await till.counters(limits) == [(5, 5), (50, 50), (5000, 5000)]
    gate = till.gate
    for call in admitted(found):
        gate.release(call)
    assert await till.counters(limits) == [(0, 0), (0, 0), (0, 0)]


async def test_several_of_one_kind(till: Till) -> None:
    """One owner may have several quotas of a kind, of several periods or of one: each counts on its own, each binds."""
    specs = [
        quota("requests", 9, period="month"),
        quota("requests", 3, period="year"),
        quota("requests", 6, period="year", action="alert"),
        quota("requests", 4, period="total"),
    ]
    limits = till.sets(*specs)
    found = await attempt(till, limits, 7, costing(0))
    assert len(admitted(found)) == 3
    assert await till.counters(limits) == [(3, 3)] * 4
    for call in admitted(found):
        till.end(call)
    assert await till.counters(limits) == [(3, 0)] * 4


BIG = 2**53


@pytest.mark.parametrize("before", [0, BIG - 5 * CENT, BIG, 2 * BIG, 2**61])
async def test_amounts_beyond_exact_floats(found: Bookkeeping, till: Till, before: int) -> None:
    """Budgets and uses beyond 2**53 nano-USD (nine million dollars) are counted and bind as smaller ones do; sums are
    then right to a millionth of a cent."""
    amount = before + 10 * CENT
    parts = [BIG - 1] * (before // (BIG - 1)) + [before % (BIG - 1)]
    for part in parts if before else ():
        till.end(await till.begin(till.sets(), costing(0)), cost=part)
    await till.done()
    await found.rows()
    limits = till.sets(quota("cost", amount))
    calls = admitted(await attempt(till, limits, 15, costing(CENT)))
    assert len(calls) == 10
    for call in calls[:5]:
        till.end(call, cost=CENT - 1)
    (counter,) = await till.counters(limits)
    assert counter is not None
    used, held = counter
    assert used == pytest.approx(before + 10 * CENT - 5, abs=0 if amount <= BIG else 10 * max(1, before // BIG))
    assert held == 5 * CENT
    with pytest.raises(RateLimited):
        await till.begin(limits, costing(CENT))


@pytest.mark.parametrize("seed", range(4))
async def test_counters_equal_settled_and_reserved(found: Bookkeeping, seed: int) -> None:
    """At any time a counter is what was settled plus what is reserved, exactly, whatever happens to calls."""
    chance = random.Random(seed)
    tills = [await found.till(), await found.till()]
    specs = [quota("cost", 10**9), quota("tokens", 10**6, scope="team", name=TEAM), quota("requests", 10**4)]
    running: list[tuple[Till, Reservation, Demand]] = []
    settled = [0, 0, 0]
    for _ in range(60):
        for _ in range(chance.randrange(1, 8)):
            till = chance.choice(tills)
            demand = Demand(
                input_tokens=chance.randrange(500), fixed_cost=chance.randrange(10**5),
                output_cost=chance.randrange(500), least=(least := chance.randrange(50)), most=least + 900,
            )  # fmt: skip
            running.append((till, await till.begin(till.sets(*specs), demand), demand))
        for _ in range(min(len(running), chance.randrange(8))):
            till, call, _ = running.pop(chance.randrange(len(running)))
            if chance.random() < 0.3:
                till.gate.release(call)
                continue
            tokens, cost = chance.randrange(2000), chance.randrange(10**6)
            till.end(call, tokens, cost)
            settled = [settled[0] + cost, settled[1] + tokens, settled[2] + 1]
        for till in tills:
            await till.done()
        held = [0, 0, 0]
        for _, call, demand in running:
            requests, tokens, cost = demand.amounts(call.output or 0)
            held = [held[0] + cost, held[1] + tokens, held[2] + requests]
        expected = [(used + more, more) for used, more in zip(settled, held, strict=True)]
        assert await tills[0].counters(tills[0].sets(*specs)) == expected
    for till, call, _ in running:
        till.end(call)
    for till in tills:
        await till.done()
    sums = [await found.books._used("key", KEY, kind, 0, 2**60) for kind in ("cost", "tokens")]
    assert sums == settled[:2] or await found.rows()
    assert [await found.books._used("key", KEY, kind, 0, 2**60) for kind in ("cost", "tokens")] == settled[:2]


async def test_periods_name_their_counters(till: Till) -> None:
    """Each period has a counter of its own, which goes an hour after the period's end."""
    limits = till.sets(quota("requests", 5, period="hour", zone="Asia/Kolkata"))
    await till.begin(limits)
    frame = limits.frame(None, till.gate.epochs.known("0") or "", till.gate.store_clock())
    period = period_of("hour", "Asia/Kolkata", till.gate.store_clock())
    assert f":requests:hour@{int(period.start)}:" in frame.keys[3]
    gone = int(await till.redis.execute("PTTL", frame.keys[3]))
    left = (period.end - till.gate.store_clock() + 3600) * 1000
    assert gone == pytest.approx(left, abs=5000)


ROUNDS = 20


@pytest.mark.slow
async def test_five_hundred_for_ten(found: Bookkeeping) -> None:
    """500 calls at once from four processes against a budget for exactly ten: ten are admitted, every time."""
    spec = quota("cost", 10 * CENT)
    async with clerks(found, 4, spec) as workers:
        for _ in range(ROUNDS):
            for worker in workers:
                worker.tell({"do": "reserve", "count": 125, "demand": {"fixed_cost": CENT}})
            words = [await worker.answer() for worker in workers]
            assert sum(found.get("admitted", 0) for found in words) == 10
            assert sum(found.get("RateLimited", 0) for found in words) == 490
            assert sum([await worker.ask({"do": "release"}) for worker in workers]) == 10
        for worker in workers:
            worker.tell({"do": "reserve", "count": 125, "demand": {"fixed_cost": CENT}})
        assert sum([(await worker.answer()).get("admitted", 0) for worker in workers]) == 10
        assert sum([await worker.ask({"do": "settle", "cost": CENT}) for worker in workers]) == 10
        words = [await worker.ask({"do": "reserve", "count": 20, "demand": {"fixed_cost": CENT}}) for worker in workers]
        assert words == [{"InsufficientQuota": 20}] * 4


class _Deaf:
    """A script whose next reply is lost after it was done."""

    def __init__(self, script: Script) -> None:
        self._script = script
        self.name = script.name
        self.deaf = True

    async def run(self, keys: Sequence[Key], args: Sequence[Argument]) -> Any:
        reply = await self._script.run(keys, args)
        if self.deaf:
            self.deaf = False
            raise StoreUnavailable("slow", "the reply came too late")
        return reply


async def test_a_reply_that_is_lost(till: Till) -> None:
    """A reservation that was made though nobody heard of it is given back as large as it was, not as it might have
    been."""
    limits = till.sets(quota("tokens", 10_000))
    running = await till.begin(limits, Demand(input_tokens=1000, least=1000, most=1000))
    channel = till.gate.channel("0")
    channel._script = _Deaf(channel._script)  # type: ignore[assignment]
    degraded = await till.begin(limits, Demand(input_tokens=100, least=10, most=4000))
    assert degraded.degraded
    assert await till.counters(limits) == [(2000, 2000)]
    till.end(running, tokens=1500)
    assert await till.counters(limits) == [(1500, 0)]
