"""The gate on a real server: all or none, exact counts, true waiting times, settlement, leases and cancellation."""

from __future__ import annotations

import asyncio
import random
from typing import Any

import pytest

from gateway.errors import RateLimited, RequestExceedsLimit
from gateway.limits.gate import Gate, Reservation
from gateway.limits.limitset import LimitSet
from gateway.storage.batch import Item, ScriptBatcher
from gateway.storage.redis import RedisClient
from gateway.types import LimitSpec, Principal
from tests.limits.conftest import Decisions, MakeGate, fresh, rate, slots


async def attempt(gate: Gate, limits: LimitSet, count: int, tokens: int = 0) -> list[Reservation | RateLimited]:
    """`count` reservations at once: what each became."""
    label = fresh()
    calls = (gate.reserve(f"{label}-{at}", limits, tokens) for at in range(count))
    found = await asyncio.gather(*calls, return_exceptions=True)
    assert all(isinstance(one, Reservation | RateLimited) for one in found), found
    return found  # type: ignore[return-value]


def admitted(found: list[Any]) -> list[Reservation]:
    return [one for one in found if isinstance(one, Reservation)]


async def held(redis: RedisClient, limits: LimitSet, at: int) -> int:
    """How many slots the limit at this place has given out."""
    return int(await redis.execute("ZCARD", limits.keys[at]))


async def ahead(redis: RedisClient, limits: LimitSet, at: int) -> float:
    """How many units the bucket at this place has given out and not yet refilled."""
    seconds, micros = await redis.execute("TIME")
    tat = float(await redis.execute("GET", limits.keys[at]) or 0)
    return max(0.0, tat - int(seconds) * 1e6 - int(micros)) / limits.microseconds[at]


async def test_nothing_to_hold(gate: Gate) -> None:
    """Without limits there is no reservation and no call of the store."""
    assert await gate.reserve("a", LimitSet.of(()), 5) is None


@pytest.mark.parametrize("kind", ["requests", "concurrency", "tokens"])
async def test_all_or_none(gate: Gate, redis: RedisClient, kind: str) -> None:
    """Whichever limit refuses, the others keep everything they had."""
    name = fresh()
    room = {"requests": 1000, "tokens": 1000, "concurrency": 1000, kind: 5 if kind != "tokens" else 50}
    specs = [
        rate("requests", room["requests"], 86400.0, name=name),
        rate("tokens", room["tokens"], 86400.0, name=name),
        slots(room["concurrency"], name=name),
    ]
    limits = LimitSet.of(specs)
    found = await attempt(gate, limits, 20, tokens=10)
    refused = [one for one in found if isinstance(one, RateLimited)]
    assert len(admitted(found)) == 5
    assert {error.limit for error in refused} == {f"key:{kind}"}
    assert await ahead(redis, limits, 0) == pytest.approx(5, abs=0.1)
    assert await ahead(redis, limits, 1) == pytest.approx(50, abs=0.1)
    assert await held(redis, limits, 2) == 5


@pytest.mark.parametrize("count", [*range(1, 40), 97, 119, 240, 499])
async def test_exactly_the_count(gate: Gate, count: int) -> None:
    """A full bucket gives exactly its count to calls that come at once, whatever rounding its interval needs."""
    limits = LimitSet.of([rate("requests", count, 86400.0, name=fresh())])
    assert len(admitted(await attempt(gate, limits, count + 5))) == count


async def test_five_hundred_at_once(make_gate: MakeGate) -> None:
    """500 calls over five gates against a limit of ten: ten are admitted."""
    limits = LimitSet.of([rate("requests", 10, 86400.0, name=fresh(), scope="team")])
    found = await asyncio.gather(*(attempt(make_gate(), limits, 100) for _ in range(5)))
    assert len(admitted([one for part in found for one in part])) == 10


async def test_the_binding_limit_is_the_longest_wait(gate: Gate) -> None:
    """Of several limits that refuse, the one that takes longest is named, with its wait and its words."""
    name = fresh()
    limits = LimitSet.of([rate("requests", 2, 1.0, name=name), rate("requests", 2, 60.0, name=name, scope="team")])
    found = await attempt(gate, limits, 3)
    error = next(one for one in found if isinstance(one, RateLimited))
    assert error.limit == "team:requests"
    assert error.retry_after is not None
    assert 29 < error.retry_after <= 30
    assert "this team allows 2 requests per minute" in error.public_message


@pytest.mark.parametrize(("kind", "count", "tokens"), [("requests", 50, 0), ("tokens", 3000, 60)])
async def test_waiting_as_told_is_enough(gate: Gate, kind: str, count: int, tokens: int) -> None:
    """A client that waits exactly as long as it is told is admitted, every time."""
    limits = LimitSet.of([rate(kind, count, 1.0, name=fresh(), burst=max(1, tokens) * 2)])
    for _ in range(10):
        refusals = [one for one in await attempt(gate, limits, 3, tokens) if isinstance(one, RateLimited)]
        assert refusals
        wait = refusals[0].retry_after
        assert wait is not None
        assert 0 < wait <= 0.07
        await asyncio.sleep(wait)
        assert len(admitted(await attempt(gate, limits, 1, tokens))) == 1


async def test_burst_is_the_bucket_and_count_the_speed(gate: Gate) -> None:
    """The bucket holds `burst`, refills at `count` per period, and both headers and text show what was configured."""
    limits = LimitSet.of([rate("requests", 600, 60.0, name=fresh(), burst=5)])
    found = await attempt(gate, limits, 6)
    assert len(admitted(found)) == 5
    error = next(one for one in found if isinstance(one, RateLimited))
    assert error.retry_after is not None
    assert 0.09 < error.retry_after <= 0.1
    assert "600 requests per minute" in error.public_message
    headers = dict(error.headers)
    assert headers[b"x-ratelimit-limit-requests"] == b"600"
    assert headers[b"x-ratelimit-remaining-requests"] == b"0"
    assert headers[b"x-ratelimit-reset-requests"] in (b"500ms", b"499ms", b"498ms", b"497ms", b"496ms", b"495ms")


async def test_headers_of_the_tightest(gate: Gate) -> None:
    """Headers show the limit with the smallest share left, for requests and tokens apart."""
    name = fresh()
    specs = [
        rate("requests", 10, 86400.0, name=name),
        rate("requests", 3, 86400.0, name=name, scope="team"),
        rate("tokens", 100, 86400.0, name=name),
        slots(4, name=name),
    ]
    reservation = await gate.reserve("a", LimitSet.of(specs), 25)
    assert reservation is not None
    assert dict(reservation.headers) == {
        b"x-ratelimit-limit-requests": b"3",
        b"x-ratelimit-remaining-requests": b"2",
        b"x-ratelimit-reset-requests": b"8h0m0s",
        b"x-ratelimit-limit-tokens": b"100",
        b"x-ratelimit-remaining-tokens": b"75",
        b"x-ratelimit-reset-tokens": b"6h0m0s",
    }


async def test_settled_up_and_down(gate: Gate, redis: RedisClient) -> None:
    """Settlement replaces the estimate by what was used, in both directions, frees the slot, and counts once."""
    name = fresh()
    specs = [rate("tokens", 1000, 86400.0, name=name), slots(2, name=name), rate("requests", 9, 86400.0, name=name)]
    limits = LimitSet.of(specs)
    for used in (10, 300, 100, 0):
        reservation = await gate.reserve(f"c{used}", limits, 100)
        assert reservation is not None
        assert await held(redis, limits, 1) == 1
        gate.settle(reservation, used)
        gate.settle(reservation, 999)
        await gate.close()
        assert await held(redis, limits, 1) == 0
    assert await ahead(redis, limits, 0) == pytest.approx(410, abs=0.1)
    assert await ahead(redis, limits, 2) == pytest.approx(4, abs=0.1)
    assert gate.leases == 0


async def test_more_used_than_the_bucket_holds(gate: Gate) -> None:
    """Use beyond the bucket is a debt: later calls wait until it is paid."""
    limits = LimitSet.of([rate("tokens", 100, 100.0, name=fresh())])
    reservation = await gate.reserve("a", limits, 10)
    assert reservation is not None
    gate.settle(reservation, 250)
    await gate.close()
    with pytest.raises(RateLimited) as refused:
        await gate.reserve("b", limits, 1)
    assert refused.value.retry_after == pytest.approx(151, abs=5)


async def test_larger_than_the_bucket(gate: Gate, decisions: Decisions) -> None:
    """A call larger than a whole bucket is told so at once and holds nothing; one that fits exactly passes."""
    limits = LimitSet.of([rate("tokens", 100, 86400.0, name=fresh())])
    with pytest.raises(RequestExceedsLimit, match="about 101 tokens, more than the key's limit of 100"):
        await gate.reserve("a", limits, 101)
    assert decisions.found == []
    assert await gate.reserve("b", limits, 100) is not None


async def test_decisions_are_told(gate: Gate, decisions: Decisions) -> None:
    """Every limit of an admitted call is heard of, and of a refused call the binding one."""
    name = fresh()
    limits = LimitSet.of([rate("requests", 1, 86400.0, name=name), slots(5, name=name)])
    await attempt(gate, limits, 1)
    await attempt(gate, limits, 1)
    told = [(one.scope, one.kind, one.decision) for one in decisions.found]
    assert told == [
        ("key", "requests", "admitted"),
        ("key", "concurrency", "admitted"),
        ("key", "requests", "refused"),
    ]


async def test_limits_are_compiled_once(gate: Gate) -> None:
    """A principal's limits are compiled at its first call."""
    principal = Principal("k", limits=(slots(1, name="x"),))
    assert gate.limits_of(principal) is gate.limits_of(principal)


# ---- leases ----------------------------------------------------------------------------------------------------------


def item(limits: LimitSet, operation: int, call_id: str, *more: Any) -> Item:
    return Item(limits.keys, [operation, call_id, *more])


@pytest.fixture
async def script(redis: RedisClient) -> ScriptBatcher:
    """The gate's script alone, for leases shorter than a minute."""
    return ScriptBatcher(redis.load_script("gateway.limits", "lua/gate.lua"))


async def test_leases_expire_and_renewal_keeps_them(script: ScriptBatcher, redis: RedisClient) -> None:
    """A slot whose lease ran out is free for another call; a renewed one is not."""
    limits = LimitSet.of([slots(1, name=fresh())])
    assert (await script.submit(item(limits, 1, "a", 60e6, limits.args(0))))[0] == 1
    assert (await script.submit(item(limits, 1, "b", 60e6, limits.args(0))))[0] == 0
    await script.submit(item(limits, 3, "a", 1.0, limits.changes(0)))
    assert (await script.submit(item(limits, 3, "a", 60e6, limits.changes(0)))) == [1]
    assert (await script.submit(item(limits, 1, "b", 60e6, limits.args(0))))[0] == 0
    await script.submit(item(limits, 3, "a", 1.0, limits.changes(0)))
    assert (await script.submit(item(limits, 1, "b", 60e6, limits.args(0))))[0] == 1
    assert await redis.execute("ZRANGE", limits.keys[0], 0, -1) == [b"b"]


@pytest.mark.parametrize("renew_first", [True, False])
async def test_renewed_and_settled_in_one_batch(script: ScriptBatcher, redis: RedisClient, renew_first: bool) -> None:
    """A call that is renewed and settled in the same batch is gone: its slot does not come back."""
    limits = LimitSet.of([slots(1, name=fresh())])
    await script.submit(item(limits, 1, "a", 60e6, limits.args(0)))
    both = [item(limits, 3, "a", 60e6, limits.changes(0)), item(limits, 2, "a", limits.changes(0))]
    for one in both if renew_first else reversed(both):
        script.submit_nowait(one)
    await script.close()
    assert await held(redis, limits, 0) == 0


async def test_the_gate_renews_what_lives(make_gate: MakeGate, redis: RedisClient) -> None:
    """After 20 seconds a running call's lease is extended, before that and after its end nothing is sent."""
    now = 100.0
    gate = make_gate(lambda: now)
    limits = LimitSet.of([slots(3, name=fresh())])
    reservation = await gate.reserve("a", limits, 0)
    assert reservation is not None
    await redis.execute("ZADD", limits.keys[0], 1, "a")
    now = 119.0
    gate.renew()
    await gate.close()
    assert float(await redis.execute("ZSCORE", limits.keys[0], "a")) == 1
    now = 121.0
    gate.renew()
    await gate.close()
    seconds, _ = await redis.execute("TIME")
    assert float(await redis.execute("ZSCORE", limits.keys[0], "a")) / 1e6 == pytest.approx(int(seconds) + 60, abs=2)
    gate.settle(reservation, 0)
    now = 200.0
    gate.renew()
    await gate.close()
    assert await held(redis, limits, 0) == 0


async def test_state_ages(gate: Gate, redis: RedisClient) -> None:
    """Every key expires by itself soon after it stopped mattering: nothing is left of callers who are gone."""
    name = fresh()
    limits = LimitSet.of(
        [rate("requests", 60, 60.0, name=name), rate("tokens", 600, 60.0, name=name), slots(1, name=name)]
    )
    await gate.reserve("a", limits, 30)
    left = [int(await redis.execute("PTTL", key)) for key in limits.keys]
    assert 0 < left[0] <= 2000
    assert 2000 < left[1] <= 4000
    assert 50_000 < left[2] <= 61_000


# ---- cancellation ----------------------------------------------------------------------------------------------------


async def test_ten_thousand_cancellations(gate: Gate, redis: RedisClient) -> None:
    """Calls cancelled at random moments give everything back: what is held is what the survivors hold, to the unit."""
    name = fresh()
    specs: list[LimitSpec] = [
        slots(10**6, name=name),
        rate("requests", 10**6, 86400.0 * 1000, name=name),
        rate("tokens", 10**8, 86400.0 * 1000, name=name),
    ]
    limits = LimitSet.of(specs)
    chance = random.Random(5)
    holding: list[Reservation] = []
    cancelled = 0

    async def call(label: str) -> None:
        reservation = await gate.reserve(label, limits, 7)
        assert reservation is not None
        holding.append(reservation)

    for turn in range(40):
        tasks = [asyncio.ensure_future(call(f"{turn}-{at}")) for at in range(500)]
        victims = chance.sample(tasks, 250)
        while victims:
            for _ in range(min(len(victims), chance.randrange(60))):
                victims.pop().cancel()
            await asyncio.sleep(0)
        outcomes = await asyncio.gather(*tasks, return_exceptions=True)
        assert all(one is None or isinstance(one, asyncio.CancelledError) for one in outcomes)
        cancelled += sum(one is not None for one in outcomes)
    await gate.close()
    assert cancelled > 1000
    assert len(holding) + cancelled == 20_000
    assert gate.leases == await held(redis, limits, 0) == len(holding)
    assert await ahead(redis, limits, 1) == pytest.approx(len(holding), abs=1)
    assert await ahead(redis, limits, 2) == pytest.approx(7 * len(holding), abs=20)
    for reservation in holding:
        gate.settle(reservation, 0)
    await gate.close()
    assert await held(redis, limits, 0) == 0
    assert await ahead(redis, limits, 2) == pytest.approx(0, abs=20)


async def test_cancelled_with_the_answer_at_hand(gate: Gate, redis: RedisClient) -> None:
    """A call cancelled after its answer came, but before it ran again, holds nothing."""
    limits = LimitSet.of([slots(5, name=fresh())])
    task = asyncio.ensure_future(gate.reserve("a", limits, 0))
    await asyncio.sleep(0)
    batcher = gate._script
    delivered = batcher._deliver

    def deliver(batch: list[Item], results: list[Any]) -> None:
        delivered(batch, results)
        task.cancel()

    batcher._deliver = deliver  # type: ignore[method-assign]
    with pytest.raises(asyncio.CancelledError):
        await task
    await gate.close()
    assert await held(redis, limits, 0) == 0
    assert gate.leases == 0
