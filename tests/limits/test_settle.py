"""After admission: settlement, records of calls under way, leases and their renewal, and how everything ages."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from gateway.errors import RateLimited
from gateway.limits.demand import Demand, Used
from gateway.limits.gate import Gate, Reservation
from gateway.limits.limitset import LimitSet
from gateway.limits.script import LEASE, NOTE, RENEW, RESERVE, SETTLE, for_lua, text_of
from gateway.limits.upkeep import Upkeep
from gateway.storage.batch import Item, ScriptBatcher, as_text
from gateway.storage.redis import RedisClient
from tests.limits.conftest import (
    JournalOf,
    MakeGate,
    about,
    ahead,
    counter,
    event,
    events,
    frame_of,
    fresh,
    held,
    key_of,
    limit_set,
    need,
    quota,
    rate,
    records,
    slots,
    take,
)

YEAR = 86400.0 * 365


async def test_settled_up_and_down(gate: Gate, redis: RedisClient) -> None:
    """Settlement replaces the estimate by what was used, in both directions, frees the slot, and counts once."""
    limits = limit_set(rate("tokens", 1000, YEAR), slots(2), rate("requests", 9, YEAR), quota("tokens", 1000))
    for used in (10, 300, 100, 0):
        reservation = await take(gate, limits, 100)
        assert await held(redis, limits, 1) == 1
        gate.settle(reservation, Used(used))
        gate.settle(reservation, Used(999))
        await gate.close()
        assert await held(redis, limits, 1) == 0
    assert await ahead(redis, limits, 0) == pytest.approx(410, abs=0.1)
    assert await ahead(redis, limits, 2) == pytest.approx(4, abs=0.1)
    assert await counter(gate, redis, limits, 3) == (410, 0)
    assert gate.live == {}


async def test_more_used_than_the_bucket_holds(gate: Gate) -> None:
    """Use beyond the bucket is a debt: later calls wait until it is paid."""
    limits = limit_set(rate("tokens", 100, 100.0))
    gate.settle(await take(gate, limits, 10), Used(250))
    await gate.close()
    with pytest.raises(RateLimited) as refused:
        await take(gate, limits, 1)
    assert refused.value.retry_after == pytest.approx(151, abs=5)


async def test_what_is_settled_makes_room_in_the_same_moment(gate: Gate) -> None:
    """A call that ends leaves its slot to one that begins in the same tick, whichever was submitted first."""
    limits = limit_set(slots(1))
    for _ in range(20):
        first = await take(gate, limits)
        gate.settle(first, Used())
        second = await take(gate, limits)
        gate.settle(second, Used())
    await gate.close()


async def test_an_attempt_is_settled_apart_from_its_call(gate: Gate, redis: RedisClient) -> None:
    """What an attempt holds of its deployment is free when it ends; what the call holds stays."""
    own = limit_set(slots(5), rate("tokens", 1000, YEAR))
    deployment = limit_set(slots(2, scope="provider"), rate("tokens", 500, YEAR, scope="provider"))
    reservation = Reservation(fresh("c"))
    await gate.reserve(reservation, [own], need(100), about("a"))
    for _ in range(4):
        await gate.reserve(reservation, [deployment], need(100))
        assert await held(redis, deployment, 0) == 1
        gate.settle_attempt(reservation, 1, Used())
        await gate.close()
        assert await held(redis, deployment, 0) == 0
    assert await ahead(redis, deployment, 1) == pytest.approx(0, abs=0.1)
    assert (await held(redis, own, 0), len(reservation.holds)) == (1, 1)
    await gate.reserve(reservation, [deployment], need(100))
    gate.settle(reservation, Used(70))
    await gate.close()
    assert (await held(redis, own, 0), await held(redis, deployment, 0)) == (0, 0)
    assert await ahead(redis, own, 1) == pytest.approx(70, abs=0.1)
    assert await ahead(redis, deployment, 1) == pytest.approx(70, abs=0.1)


# ---- records and events ----------------------------------------------------------------------------------------------


async def test_a_record_says_what_dies_with_a_worker(gate: Gate, redis: RedisClient) -> None:
    """While a call runs its record names what it holds and what to book; its end takes it away and books the event."""
    limits = limit_set(slots(5), quota("cost", 1_000_000), quota("tokens", 900), worker=fresh("w"))
    reservation = Reservation(fresh("c"))
    demand = Demand(60, 10, 100_000, 2_000, 50, 50)
    await gate.reserve(reservation, [limits], demand, (event("dead"), (1, 60, 120_000)))
    (record,) = (await records(redis, limits)).values()
    holds, sets, told = msgspec.msgpack.decode(record.replace(event("dead"), b"told!!"))
    epoch = gate.epochs.current("0") or ""
    cost, tokens = frame_of(limits, epoch).keys[4:]
    assert holds == [[cost, 200_000, 120_000], [tokens, 60, 60]]
    assert sets == [key_of(limits, 0)]
    assert told == "told!!"
    gate.note(reservation, (event("later"), (1, 70, 130_000)), event("attempt"))
    await gate.close()
    (record,) = (await records(redis, limits)).values()
    assert event("later") in record
    assert event("attempt") in await events(redis, limits)
    gate.settle(reservation, Used(55, 110_000), event("done"))
    await gate.close()
    assert await records(redis, limits) == {}
    assert (await events(redis, limits))[-1] == event("done")
    assert await counter(gate, redis, limits, 1) == (110_000, 0)


async def test_events_of_any_size(gate: Gate, redis: RedisClient) -> None:
    """The events of a batch come out of the stream as they went in, whatever their bytes and length."""
    limits = limit_set()
    told = [msgspec.msgpack.encode([bytes(at % 256 for at in range(size))]) for size in (1, 31, 32, 255, 256, 5000)]
    for blob in told:
        gate.settle(await take(gate, limits), Used(), blob)
    await gate.close()
    assert (await events(redis, limits))[-len(told) :] == told


async def test_nothing_of_a_settled_call_comes_back(gate: Gate, redis: RedisClient) -> None:
    """A call that is noted, renewed and settled in one tick, in any order the gate has, leaves nothing but events."""
    limits = limit_set(slots(3), quota("tokens", 100), worker=fresh("w"))
    for name in ("a", "b"):
        reservation = await take(gate, limits, 10)
        gate.note(reservation, about("x"), event(name))
        gate.renew(reservation)
        gate.settle(reservation, Used(7), event(f"{name}!"))
    await gate.close()
    assert await records(redis, limits) == {}
    assert await held(redis, limits, 0) == 0
    assert await counter(gate, redis, limits, 1) == (14, 0)
    assert {event("a"), event("a!"), event("b"), event("b!")} <= set(await events(redis, limits))


async def test_without_a_record_the_journal_has_the_event(gate: Gate, journal: JournalOf) -> None:
    """What no settle script can carry is kept durably."""
    reservation = Reservation(fresh("c"))
    await gate.reserve(reservation, [limit_set(slots(1, scope="provider"))], need())
    gate.settle(reservation, Used(), event("kept"))
    assert journal.events == [event("kept")]


# ---- leases ----------------------------------------------------------------------------------------------------------


@pytest.fixture
async def script(redis: RedisClient) -> ScriptBatcher:
    """The gate's script alone, for leases shorter than a minute."""
    return ScriptBatcher(redis.load_script("gateway.limits", "lua/gate.lua"))


def item(limits: LimitSet, *args: Any) -> Item:
    return Item(
        frame_of(limits).keys, limits.rows, tuple(as_text(arg) if isinstance(arg, bytes) else arg for arg in args)
    )


def ask(limits: LimitSet, name: str, lease: int = LEASE) -> Item:
    return item(limits, RESERVE, name, lease, 0, (0, 0, 0, 0, 0), False)


def end(limits: LimitSet, name: str) -> Item:
    return item(limits, SETTLE, name, 0, 0, 0, (0, 0, 0), (0, 0, 0), False)


async def test_leases_expire_and_renewal_keeps_them(script: ScriptBatcher, redis: RedisClient) -> None:
    """A slot whose lease ran out is free for another call; a renewed one is not."""
    limits = limit_set(slots(1))
    assert (await script.submit(ask(limits, "a")))[0] == 1
    assert (await script.submit(ask(limits, "b")))[0] == 0
    await script.submit(item(limits, RENEW, "a", 1))
    assert (await script.submit(item(limits, RENEW, "a", LEASE))) == [1]
    assert (await script.submit(ask(limits, "b")))[0] == 0
    await script.submit(item(limits, RENEW, "a", 1))
    assert (await script.submit(ask(limits, "b")))[0] == 1
    assert await redis.execute("ZRANGE", key_of(limits, 0), 0, -1) == [b"b"]


@pytest.mark.parametrize("renew_first", [True, False])
@pytest.mark.parametrize("operation", [RENEW, NOTE])
async def test_renewed_and_settled_in_one_batch(
    script: ScriptBatcher, redis: RedisClient, operation: int, renew_first: bool
) -> None:
    """A call that is renewed or noted, and settled in the same batch, is gone: nothing of it comes back."""
    limits = limit_set(slots(1), worker=fresh("w"))
    await script.submit(ask(limits, "a"))
    sure = event("sure")
    more = (LEASE,) if operation == RENEW else (for_lua((b"x", (0, 0, 0))), text_of(sure), (0, 0, 0))
    both = [item(limits, operation, "a", *more), end(limits, "a")]
    for one in both if renew_first else reversed(both):
        script.submit_nowait(one)
    await script.close()
    assert await held(redis, limits, 0) == 0
    assert await records(redis, limits) == {}
    assert (sure in await events(redis, limits)) == (operation == NOTE)


async def test_upkeep_renews_what_lives(make_gate: MakeGate, redis: RedisClient) -> None:
    """After 20 seconds a running call's lease is extended, before that and after its end nothing is sent."""
    now = 100.0
    gate = make_gate(clock=lambda: now)
    limits = limit_set(slots(3))
    upkeep = Upkeep(gate, redis, limits.names.worker, lambda: now)
    reservation = await take(gate, limits)
    name, key = reservation.call_id, key_of(limits, 0)

    async def lease() -> float:
        await upkeep.tick()
        await gate.close()
        seconds, _ = await redis.execute("TIME")
        return float(await redis.execute("ZSCORE", key, name)) / 1e6 - int(seconds)

    await redis.execute("ZADD", key, 1, name)
    now = 119.0
    assert await lease() < 0
    now = 121.0
    assert await lease() == pytest.approx(60, abs=3)
    gate.settle(reservation, Used())
    now = 200.0
    await upkeep.tick()
    await gate.close()
    assert await held(redis, limits, 0) == 0


async def test_upkeep_writes_down_how_far_a_stream_has_come(make_gate: MakeGate, redis: RedisClient) -> None:
    """A stream's record follows what it has used; a record that would be the same is not sent again."""
    now = 100.0
    gate = make_gate(clock=lambda: now)
    limits = limit_set(worker=fresh("w"))
    upkeep = Upkeep(gate, redis, limits.names.worker, lambda: now)
    reservation = await take(gate, limits)
    so_far = [about("begun")]
    reservation.checkpoint = lambda: so_far[0]
    for name in ("some", "more"):
        so_far[0] = about(name, (1, 5, 50))
        now += 2.5
        await upkeep.tick()
        await gate.close()
        (record,) = (await records(redis, limits)).values()
        assert event(name) in record
    await redis.execute("DEL", limits.names.open)
    now += 2.5
    await upkeep.tick()
    await gate.close()
    assert await records(redis, limits) == {}
    gate.settle(reservation, Used())


async def test_state_ages(gate: Gate, redis: RedisClient) -> None:
    """Every key expires by itself soon after it stopped mattering: nothing is left of callers who are gone."""
    limits = limit_set(
        rate("requests", 60, 60.0), rate("tokens", 600, 60.0), slots(1), quota("tokens", 99, period="day")
    )
    await take(gate, limits, 30)
    keys = frame_of(limits, gate.epochs.current("0") or "").keys[3:]
    left = [int(await redis.execute("PTTL", key)) for key in keys]
    assert 0 < left[0] <= 2000
    assert 2000 < left[1] <= 4000
    assert 50_000 < left[2] <= 61_000
    assert 3_600_000 <= left[3] + 1000 <= 86_400_000 + 3_601_000
