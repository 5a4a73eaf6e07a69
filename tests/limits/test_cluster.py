"""Limits of several scopes on a real Cluster: one script for each slot group, and none or all of them together."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from gateway.errors import GatewayError, InsufficientQuota, QuotaUnavailable, RateLimited
from gateway.limits.demand import Demand
from gateway.limits.gate import Reservation
from gateway.limits.limitset import QUOTA, RATE, SLOTS, LimitSet
from gateway.limits.policy import SHARDS, Policy, many_shards
from gateway.registry.snapshot import Snapshot
from gateway.types import LimitRule, LimitSpec, Principal, QuotaSpec
from gateway.usage.consumer import usage_key
from tests.limits.books import Bookkeeping, bookkeeping, upkept
from tests.limits.tills import Till, quota
from tests.storage.servers import cluster, watched
from tests.support.waiting import eventually

CENT = 10_000_000
AGES = 1e8
"""Seconds: buckets that no test sees refill."""
USERS = ("ada", "bob", None)
MODELS = ("fast", "smart")


def some_limits(chance: random.Random, scope: str, name: str) -> tuple[LimitSpec, ...]:
    """Up to one of each kind, each with room for a few calls or for many."""
    found = []
    for kind in ("requests", "tokens", "concurrency"):
        count = chance.choice((3, 9, 40, 500)) * (10 if kind == "tokens" else 1)
        if chance.random() < 0.4:
            found.append(LimitSpec(scope, name, kind, count, 0.0 if kind == "concurrency" else AGES, count))
    return tuple(found)


def some_quotas(chance: random.Random, scope: str, name: str) -> tuple[QuotaSpec, ...]:
    """Up to one of each kind."""
    found = []
    for kind, unit in (("requests", 1), ("tokens", 10), ("cost", CENT)):
        if chance.random() < 0.4:
            found.append(quota(kind, chance.choice((2, 7, 30, 400)) * unit, scope=scope, name=name))
    return tuple(found)


def mix(seed: int) -> tuple[Snapshot, list[Principal]]:
    """Random limits of keys, teams and rules; names that no other mix has."""
    chance = random.Random(seed)
    teams = {}
    for at in range(3):
        name = f"team{seed}-{at}"
        teams[name] = SimpleNamespace(
            name=name, limits=some_limits(chance, "team", name), quotas=some_quotas(chance, "team", name)
        )
    rules = []
    for scope in ("key", "team", "user", "model", "global"):
        name = f"rule{seed}-{scope}"
        if chance.random() < 0.6:
            rules.append(LimitRule(name, scope, some_limits(chance, scope, name), some_quotas(chance, scope, name)))
    principals = []
    for at in range(5):
        key = f"key{seed}-{at}"
        team = chance.choice([None, *teams])
        principals.append(Principal(key, team, None, some_limits(chance, "key", key), some_quotas(chance, "key", key)))
    return cast(Snapshot, SimpleNamespace(teams=teams, limits=rules)), principals


Held = dict[tuple[str, int], int]


async def check(till: Till, sets: list[tuple[LimitSet, str | None]], expected: Counter[Any]) -> None:
    """Every counter is exactly what the admitted calls hold, and none is above its capacity."""
    seen = set()
    for limits, user in sets:
        shard = limits.names.shard
        epoch = (till.gate.epochs.known(shard) or "") if limits.quotas else ""
        frame = limits.frame(user, epoch, till.gate.store_clock())
        for at, row in enumerate(limits.rows):
            key = frame.keys[3 + at]
            if key in seen:
                continue
            seen.add(key)
            units = expected[key]
            assert units <= row[1], key
            if row[0] == SLOTS:
                assert int(await till.redis.execute("ZCARD", key)) == units, key
            elif row[0] == QUOTA:
                found = await till.redis.execute("HMGET", key, "u", "r")
                assert [int(one or 0) for one in found] == [units, units], key
            else:
                seconds, micros = await till.redis.execute("TIME", key=key)
                tat = float(await till.redis.execute("GET", key) or 0)
                ahead = max(0.0, tat - int(seconds) * 1e6 - int(micros)) / row[2]
                assert row[0] == RATE
                assert ahead == pytest.approx(units, abs=0.05), key


async def patiently(begin: Callable[[], Awaitable[Reservation]]) -> Reservation:
    """As a client does that comes back when it is told to: counters take a while to start on a busy machine."""
    for _ in range(30):
        try:
            return await begin()
        except QuotaUnavailable as away:
            await asyncio.sleep(away.retry_after or 0.0)
    return await begin()


def units_of(limits: LimitSet, at: int, demand: Demand) -> int:
    row = limits.rows[at]
    if row[0] == SLOTS:
        return 1
    if row[0] == RATE:
        return demand.tokens if row[3] == 2 else 1
    return demand.amounts(0)[int(row[2]) - 1]


async def _mixes(found: Bookkeeping) -> None:
    """Random mixes under concurrency: nothing crosses slots, nothing is given twice, refusals leave nothing behind."""
    tills = [await found.till(), await found.till()]
    demand = Demand(tokens=10, input_tokens=10, fixed_cost=CENT)
    groups = set()
    for seed in range(6):
        snapshot, principals = mix(seed)
        chance = random.Random(seed)
        policies = [Policy(snapshot, many_shards, till.name) for till in tills]
        asked, calls = [], []
        for _ in range(120):
            at, principal, user = chance.randrange(2), chance.choice(principals), chance.choice(USERS)
            sets = policies[at].of_caller(principal, chance.choice(MODELS))
            groups.add(len([limits for limits in sets if limits.rows]))
            asked.append((tills[at], sets, user))
            begin = partial(tills[at].begin, sets, demand, user=user, key=principal.key, team=principal.team)
            calls.append(patiently(begin))
        results = await asyncio.gather(*calls, return_exceptions=True)
        for one in results:
            assert isinstance(one, Reservation | RateLimited | InsufficientQuota), one
        expected: Counter[Any] = Counter()
        every: list[tuple[LimitSet, str | None]] = []
        for (_, sets, user), one in zip(asked, results, strict=True):
            every += [(limits, user) for limits in sets]
            for hold in one.holds if isinstance(one, Reservation) else ():
                assert not hold.degraded
                for row in range(len(hold.limits.rows)):
                    expected[hold.frame.keys[3 + row]] += units_of(hold.limits, row, demand)
        for till in tills:
            await till.done()
        await check(tills[0], every, expected)
        for (till, _, _), one in zip(asked, results, strict=True):
            if isinstance(one, Reservation):
                till.gate.live.pop(one.call_id)
                till.gate.release(one)
        for till in tills:
            await till.done()
        await check(tills[0], every, Counter())
    assert max(groups) >= 2


async def _over_admission(found: Bookkeeping) -> None:
    """200 calls at once of many teams against a global budget for ten: ten are admitted, and of the others nothing
    stays reserved in their own teams' shards."""
    till = await found.till()
    budget = quota("cost", 10 * CENT, scope="global", name="all")
    own = quota("requests", 1000, scope="team", name="")
    teams = {f"t{at}": SimpleNamespace(name=f"t{at}", limits=(), quotas=(own,)) for at in range(20)}
    snapshot = cast(Snapshot, SimpleNamespace(teams=teams, limits=[LimitRule("all", "global", (), (budget,))]))
    policy = Policy(snapshot, many_shards, till.name)
    demand = Demand(fixed_cost=CENT)
    principals = [Principal(f"k{at}", f"t{at % 20}") for at in range(200)]
    calls = (till.begin(policy.of_caller(who, "fast"), demand, key=who.key, team=who.team) for who in principals)
    results = await asyncio.gather(*calls, return_exceptions=True)
    admitted = [one for one in results if isinstance(one, Reservation)]
    assert len(admitted) == 10
    assert all(isinstance(one, Reservation | GatewayError) for one in results)
    await till.done()
    by_team = Counter(one.holds[0].limits.members[0].owner for one in admitted)
    shards = set()
    for team in teams:
        first = policy.of_caller(Principal("any", team), "fast")[0]
        shards.add(first.names.shard)
        assert (await till.counters(first))[0] == (by_team[team], by_team[team])
    assert len(shards) > 5
    # The team's shard keeps the call's record, the global one's that of what is held there.
    for one in admitted:
        till.end(one, cost=CENT)
    await till.done()


async def _streams(found: Bookkeeping) -> None:
    """Rows of all shards reach the ledger, and no stream keeps any."""
    till = await found.till()
    policy = Policy(cast(Snapshot, SimpleNamespace(teams={}, limits=[])), many_shards, till.name)
    ids = set()
    for at in range(120):
        who = Principal(f"s{at}")
        call = await till.begin(policy.of_caller(who, "fast"), key=who.key)
        till.end(call, 5, 7, key=who.key)
        ids.add(call.call_id)
    await till.done()
    assert len(till.gate.shards) == SHARDS
    rows = await found.rows()
    assert ids <= {call for call, _ in rows}
    for shard in range(SHARDS):
        assert await found.redis.execute("XLEN", usage_key(str(shard))) == 0


async def _lost_shard(found: Bookkeeping) -> None:
    """One node loses everything: what calls hold there is put there again, under whatever set they hold it."""
    till = await found.till()
    budget = quota("cost", 4 * CENT, scope="model", name="lost")
    snapshot = cast(Snapshot, SimpleNamespace(teams={}, limits=[LimitRule("lost", "model", (), (budget,))]))
    policy = Policy(snapshot, many_shards, till.name)
    model: dict[str, Any] = {"requested_model": "rare"}
    shared = policy.of_caller(Principal("a"), "rare")[-1]
    shard = shared.names.shard
    key = next(f"z{at}" for at in range(99) if many_shards(f"key:z{at}") != shard)
    sets = policy.of_caller(Principal(key), "rare")
    calls = [await till.begin(sets, Demand(fixed_cost=CENT), **model) for _ in range(3)]
    frame = shared.frame(None, till.gate.epochs.known(shard) or "", 0.0)
    for name in (shared.names.mark, shared.names.open, shared.names.workers, frame.keys[3]):
        await till.redis.execute("DEL", name)
    async with upkept(till):
        calls.append(await till.begin(sets, Demand(fixed_cost=CENT), **model))
        with pytest.raises(RateLimited):
            await till.begin(sets, Demand(fixed_cost=CENT), **model)
        for one in calls:
            till.end(one, cost=CENT // 2, **model)
        assert await till.counters(shared) == [(2 * CENT, 0)]


@pytest.mark.slow
async def test_cluster(tmp_path: Path) -> None:
    """Random mixes of limits, a budget for all teams, the streams of all shards, and a shard that loses its data."""
    async with cluster(replica=False) as nodes, bookkeeping(nodes.url, tmp_path) as found:
        await _mixes(found)
        await _over_admission(found)
        await _streams(found)
        await _lost_shard(found)


@pytest.mark.slow
async def test_sentinel(tmp_path: Path) -> None:
    """Limits and budgets work through a Sentinel URL, and a failover loses nothing of what was spent."""
    async with watched() as found_servers, bookkeeping(found_servers.url, tmp_path) as found:
        till = await found.till()
        limits = till.sets(LimitSpec("key", "ci", "requests", 100, AGES, 100), quota("cost", 10 * CENT))
        for _ in range(5):
            till.end(await till.begin(limits, Demand(fixed_cost=CENT)), cost=CENT)
        await till.done()
        assert len(await found.rows()) == 5
        found_servers.data[0].kill()

        async def goes_on() -> bool:
            await till.metering.upkeep.tick()
            try:
                call = await till.begin(limits, Demand(fixed_cost=CENT))
            except GatewayError:
                return False
            till.gate.release(call)
            return not call.degraded

        await eventually(goes_on, seconds=30)
        results = [till.begin(limits, Demand(fixed_cost=CENT)) for _ in range(20)]
        found_calls = await asyncio.gather(*results, return_exceptions=True)
        assert sum(isinstance(one, Reservation) for one in found_calls) == 5
