"""Admission on a real server: all or none, exact counts, the limit that binds, what the caller is told."""

from __future__ import annotations

import asyncio
import random

import pytest

from gateway.errors import InsufficientQuota, RateLimited, RequestExceedsLimit
from gateway.limits import limitset
from gateway.limits.demand import Demand, Used
from gateway.limits.gate import Gate, Reservation
from gateway.limits.policy import Policy, one_shard
from gateway.registry.snapshot import Snapshot, Team
from gateway.storage.redis import RedisClient
from gateway.types import LimitRule, Principal
from tests.limits.conftest import (
    WORKER,
    Decisions,
    LedgerOf,
    MakeGate,
    about,
    admitted,
    ahead,
    attempt,
    counter,
    event,
    events,
    fresh,
    held,
    limit_set,
    need,
    quota,
    rate,
    records,
    refused,
    slots,
    state,
    take,
)

YEAR = 86400.0 * 365


async def test_nothing_to_decide(gate: Gate, redis: RedisClient) -> None:
    """A call without limits waits for nobody, and leaves its record and its event all the same."""
    limits = limit_set(worker=fresh("worker"))
    reservation = await take(gate, limits)
    assert reservation.headers == []
    await gate.close()
    assert reservation.call_id.encode() in await records(redis, limits)
    gate.settle(reservation, Used(5), event("e"))
    await gate.close()
    assert await records(redis, limits) == {}
    assert event("e") in await events(redis, limits)
    assert gate.live == {}


async def test_no_sets_hold_nothing(gate: Gate) -> None:
    """Without any set there is nothing to settle."""
    reservation = Reservation("a")
    await gate.reserve(reservation, [], need(5))
    assert (reservation.holds, gate.live) == ([], {})


@pytest.mark.parametrize("kind", ["requests", "concurrency", "tokens"])
async def test_all_or_none(gate: Gate, redis: RedisClient, kind: str) -> None:
    """Whichever limit refuses, the others keep everything they had."""
    room = {"requests": 1000, "tokens": 1000, "concurrency": 1000, kind: 5 if kind != "tokens" else 50}
    limits = limit_set(
        rate("requests", room["requests"], YEAR),
        rate("tokens", room["tokens"], YEAR),
        slots(room["concurrency"]),
    )
    found = await attempt(gate, limits, 20, tokens=10)
    assert len(admitted(found)) == 5
    assert {error.limit for error in refused(found)} == {f"key:{kind}"}
    assert await state(redis, limits) == [5, 50, 5]


@pytest.mark.parametrize("count", [*range(1, 40), 97, 119, 240, 499])
async def test_exactly_the_count(gate: Gate, count: int) -> None:
    """A full bucket gives exactly its count to calls that come at once, whatever rounding its interval needs."""
    limits = limit_set(rate("requests", count, YEAR))
    assert len(admitted(await attempt(gate, limits, count + 5))) == count


async def test_five_hundred_at_once(make_gate: MakeGate) -> None:
    """500 calls over five gates against a limit of ten: ten are admitted."""
    name = fresh()
    gates = [make_gate() for _ in range(5)]
    limits = [limit_set(rate("requests", 10, YEAR, scope="team"), name=name, worker=f"w{at}") for at in range(5)]
    found = await asyncio.gather(*(attempt(gate, own, 100) for gate, own in zip(gates, limits, strict=True)))
    assert len(admitted([one for part in found for one in part])) == 10


# ---- which one binds -------------------------------------------------------------------------------------------------


async def test_the_binding_limit_is_the_longest_wait(gate: Gate) -> None:
    """Of several limits that refuse, the one that takes longest is named, with its wait and its words."""
    limits = limit_set(rate("requests", 2, 1.0), rate("requests", 2, 60.0, scope="team"))
    (error,) = refused(await attempt(gate, limits, 3))
    assert error.limit == "team:requests"
    assert error.retry_after is not None
    assert 29 < error.retry_after <= 30
    assert "this team allows 2 requests per minute" in error.public_message


async def test_a_quota_that_is_used_up_outranks_a_rate(gate: Gate, redis: RedisClient) -> None:
    """Waiting for the rate would not help: the caller is told of the quota, and is not to come back."""
    limits = limit_set(rate("requests", 1, 60.0), quota("requests", 1))
    reservation = await take(gate, limits)
    gate.settle(reservation, Used())
    with pytest.raises(InsufficientQuota) as error:
        await take(gate, limits)
    assert "quota of 1 requests in total" in error.value.public_message
    assert not error.value.retryable
    assert await counter(gate, redis, limits, 1) == (1, 0)


async def test_what_calls_under_way_reserve_is_worth_a_wait(gate: Gate) -> None:
    """A quota that is only reserved may be free again in a moment: 429 with a wait, not `insufficient_quota`."""
    limits = limit_set(quota("tokens", 100))
    reservation = await take(gate, limits, 100)
    with pytest.raises(RateLimited) as error:
        await take(gate, limits, 100)
    assert (error.value.limit, error.value.retry_after) == ("key:tokens", 1.0)
    gate.settle(reservation, Used(0, requests=0))
    assert (await take(gate, limits, 100)).output == 0


async def test_what_is_reserved_is_not_worth_less_than_a_rates_wait(gate: Gate) -> None:
    """Where a rate binds, too, and for longer, the client is told that: back in a second it would only be refused."""
    limits = limit_set(rate("requests", 1, YEAR), quota("tokens", 100))
    await take(gate, limits, 100)
    with pytest.raises(RateLimited) as error:
        await take(gate, limits, 100)
    assert error.value.limit == "key:tokens"
    assert error.value.retry_after is not None
    assert error.value.retry_after > YEAR / 2


SCOPES = ["key", "team", "user", "model", "global"]


def policy_of(name: str, tight: str, **only: tuple[str, ...]) -> tuple[Policy, Principal]:
    """A key in a team, with rules for users, models and all calls; `tight` is the scope with room for two calls."""

    def limits(scope: str) -> tuple[object, ...]:
        return (rate("requests", 2 if scope == tight else 50, YEAR, scope=scope), slots(90, scope=scope))

    rules = tuple(
        LimitRule(f"{name}-{scope}", scope, limits(scope), only=only.get(scope, ()))  # type: ignore[arg-type]
        for scope in ("user", "model", "global")
    )
    snapshot = Snapshot("r", teams={name: Team(name, limits=limits("team"))}, limits=rules)  # type: ignore[arg-type]
    principal = Principal(name, team=name, limits=limits("key"))  # type: ignore[arg-type]
    return Policy(snapshot, one_shard, WORKER), principal


@pytest.mark.parametrize("tight", SCOPES)
async def test_scopes_are_decided_in_one_step(gate: Gate, redis: RedisClient, tight: str) -> None:
    """Key, team, user, model and all calls at once: the one without room is named, the others lose nothing."""
    policy, principal = policy_of(fresh(), tight)
    (limits,) = policy.of_caller(principal, "gpt")
    assert [member.spec.scope for member in limits.members] == [scope for scope in SCOPES for _ in range(2)]
    found = await asyncio.gather(*(take(gate, limits, user="u1") for _ in range(5)), return_exceptions=True)
    assert len(admitted(found)) == 2
    assert {error.limit for error in refused(found)} == {f"{tight}:requests"}
    keys = limits.frame("u1", "", 0.0).keys[3:]
    assert [int(await redis.execute("ZCARD", key)) for key in keys[1::2]] == [2] * 5
    assert len({await redis.execute("GET", key) is not None for key in keys[::2]}) == 1


async def test_who_shares_what(gate: Gate) -> None:
    """Users of a team apart from each other, two models apart, other keys only under the team's and the common ones."""
    policy, principal = policy_of(fresh(), "user")
    (limits,) = policy.of_caller(principal, "gpt")
    for user in ("u1", "u2", "u1", "u2"):
        await take(gate, limits, user=user)
    with pytest.raises(RateLimited, match="this user"):
        await take(gate, limits, user="u1")
    policy, principal = policy_of(fresh(), "model", model=("gpt*",))
    for model, room in (("gpt", 2), ("gpt-4", 2), ("other", 5)):
        (limits,) = policy.of_caller(principal, model)
        found = await asyncio.gather(*(take(gate, limits, user="u") for _ in range(5)), return_exceptions=True)
        assert len(admitted(found)) == room, model


async def test_a_teams_quotas_are_the_same_for_every_key(gate: Gate) -> None:
    """A team may have two quotas of one kind and period, one that warns and one that ends it: what a key's own limits
    are changes nothing in whose counters these are."""
    name = fresh()
    warns, ends = quota("requests", 1, scope="team", action="alert"), quota("requests", 3, scope="team")
    policy = Policy(Snapshot("r", teams={name: Team(name, (), (warns, ends))}), one_shard, WORKER)
    plain, limited = (
        Principal(fresh(), team=name),
        Principal(fresh(), team=name, limits=(slots(9), rate("requests", 9))),
    )
    for principal in (plain, limited, plain):
        await take(gate, policy.of_caller(principal, "m")[0])
    for principal in (plain, limited):
        with pytest.raises(RateLimited):
            await take(gate, policy.of_caller(principal, "m")[0])


async def test_users_are_not_remembered_without_bound() -> None:
    """The names of users' counters are kept for some thousands of them, however many keys and users there are."""
    for number in range(30):
        limits = limit_set(rate("requests", 9, scope="user"), per_user=True)
        for user in range(1000):
            limits.frame(f"{number}-{user}", "", 0.0)
    assert len(limitset._frames) <= limitset.MAX_FRAMES


async def test_calls_that_name_no_user_share_no_users_limit(gate: Gate) -> None:
    """A rule for each user says nothing about calls without one."""
    policy, principal = policy_of(fresh(), "user")
    limits = policy.of_caller(principal, "gpt", user=False)
    for _ in range(5):
        await take(gate, limits[0])


# ---- what the caller is told -----------------------------------------------------------------------------------------


async def test_burst_is_the_bucket_and_count_the_speed(gate: Gate) -> None:
    """The bucket holds `burst`, refills at `count` per period, and both headers and text show what was configured."""
    limits = limit_set(rate("requests", 600, 60.0, burst=5))
    found = await attempt(gate, limits, 6)
    assert len(admitted(found)) == 5
    (error,) = refused(found)
    assert error.retry_after is not None
    assert 0.05 < error.retry_after <= 0.1
    assert "600 requests per minute" in error.public_message
    headers = dict(error.headers)
    assert headers[b"x-ratelimit-limit-requests"] == b"600"
    assert headers[b"x-ratelimit-remaining-requests"] == b"0"
    reset = headers[b"x-ratelimit-reset-requests"]
    assert reset.endswith(b"ms")
    assert 450 <= int(reset[:-2]) <= 500


@pytest.mark.parametrize("kind", ["requests", "tokens"])
async def test_a_limit_that_is_written_anew(gate: Gate, kind: str) -> None:
    """What a day's bucket gave out does not lock a minute's; a larger or smaller one of the same period goes on."""
    name = fresh()
    daily = limit_set(rate(kind, 4, 86400.0), name=name)
    assert len(admitted(await attempt(gate, daily, 9, 1))) == 4
    assert len(admitted(await attempt(gate, limit_set(rate(kind, 100), name=name), 9, 1))) == 9
    larger = limit_set(rate(kind, 8, 86400.0), name=name)
    (found, *_) = refused(await attempt(gate, larger, 1, 1))
    assert 0 < (found.retry_after or 0) <= 86400 / 8


async def test_headers_of_the_tightest(gate: Gate) -> None:
    """Headers show the limit with the smallest share left, for requests and tokens apart."""
    limits = limit_set(
        rate("requests", 10, 86400.0),
        rate("requests", 3, 86400.0, scope="team"),
        rate("tokens", 100, 86400.0),
        slots(4),
    )
    reservation = await take(gate, limits, 25)
    assert reservation.headers == [
        (b"x-ratelimit-limit-requests", b"3"),
        (b"x-ratelimit-remaining-requests", b"2"),
        (b"x-ratelimit-reset-requests", b"8h0m0s"),
        (b"x-ratelimit-limit-tokens", b"100"),
        (b"x-ratelimit-remaining-tokens", b"75"),
        (b"x-ratelimit-reset-tokens", b"6h0m0s"),
    ]


async def test_headers_of_the_tightest_over_all_sets(gate: Gate) -> None:
    """Limits that are decided in several steps still make one header of each name; a provider's own are not shown."""
    own = limit_set(rate("requests", 10, 86400.0), rate("tokens", 100, 86400.0))
    common = limit_set(rate("requests", 4, 86400.0, scope="global"))
    reservation = Reservation(fresh("c"))
    await gate.reserve(reservation, [own, common], need(10), about("a"))
    provider = limit_set(rate("requests", 2, 86400.0, scope="provider"))
    await gate.reserve(reservation, [provider], need(10))
    assert reservation.headers == [
        (b"x-ratelimit-limit-requests", b"4"),
        (b"x-ratelimit-remaining-requests", b"3"),
        (b"x-ratelimit-reset-requests", b"6h0m0s"),
        (b"x-ratelimit-limit-tokens", b"100"),
        (b"x-ratelimit-remaining-tokens", b"90"),
        (b"x-ratelimit-reset-tokens", b"2h24m0s"),
    ]


async def test_a_later_set_that_refuses_gives_the_earlier_back(gate: Gate, redis: RedisClient) -> None:
    """Sets of several shards are decided one after the other: what a later one refuses, the earlier ones give back."""
    first = limit_set(rate("requests", 10, YEAR), rate("tokens", 100, YEAR), slots(5), quota("tokens", 500))
    second = limit_set(slots(0, scope="global"))
    for _ in range(3):
        with pytest.raises(RateLimited) as error:
            await gate.reserve(Reservation(fresh("c")), [first, second], need(20), about("a"))
        assert error.value.limit == "global:concurrency"
    await gate.close()
    assert [await ahead(redis, first, 0), await ahead(redis, first, 1), await held(redis, first, 2)] == [0, 0, 0]
    assert await counter(gate, redis, first, 3) == (0, 0)
    assert gate.live == {}


async def test_larger_than_the_bucket(gate: Gate, decisions: Decisions) -> None:
    """A call larger than a whole bucket is told so at once and holds nothing; one that fits exactly passes."""
    limits = limit_set(rate("tokens", 100, YEAR))
    with pytest.raises(RequestExceedsLimit, match="about 101 tokens, more than the key's limit of 100"):
        await take(gate, limits, 101)
    assert decisions.found == []
    assert (await take(gate, limits, 100)).holds


async def test_decisions_are_told(gate: Gate, decisions: Decisions) -> None:
    """Every limit of an admitted call is heard of, and of a refused call the binding one."""
    limits = limit_set(rate("requests", 1, YEAR), slots(5))
    await attempt(gate, limits, 1)
    await attempt(gate, limits, 1)
    assert decisions.told() == [
        ("key", "requests", "admitted"),
        ("key", "concurrency", "admitted"),
        ("key", "requests", "refused"),
    ]


# ---- grants ----------------------------------------------------------------------------------------------------------


async def test_an_open_end_is_granted_a_share(gate: Gate, redis: RedisClient, ledger: LedgerOf) -> None:
    """A call that does not say how much it wants gets at most an eighth of what is left, and that is what is held."""
    ledger.spent = 200
    limits = limit_set(quota("tokens", 1000))
    demand = Demand(30, 20, 0, 0, 10, 4096)
    first = await take(gate, limits, demand=demand)
    assert first.output == (800 - 20) // 8
    assert await counter(gate, redis, limits, 0) == (200 + 20 + 97, 117)
    chance = random.Random(3)
    running = [first]
    total = 200
    for _ in range(200):
        try:
            running.append(await take(gate, limits, demand=demand))
        except (RateLimited, InsufficientQuota):
            if not running:
                break
            call = running.pop(chance.randrange(len(running)))
            used = 20 + chance.randrange((call.output or 0) + 1)
            total += used
            gate.settle(call, Used(used))
    assert total <= 1000
    assert total > 1000 - 8 * 30


async def test_a_budget_pays_for_input_and_output(gate: Gate, redis: RedisClient) -> None:
    """Money is held for the dearest way the call may go, and settled with what it cost."""
    limits = limit_set(quota("cost", 1_000_000))
    reservation = await take(gate, limits, demand=Demand(60, 10, 100_000, 2_000, 50, 50))
    assert await counter(gate, redis, limits, 0) == (200_000, 200_000)
    gate.settle(reservation, Used(60, 123_456))
    await gate.close()
    assert await counter(gate, redis, limits, 0) == (123_456, 0)
    with pytest.raises(InsufficientQuota):
        await take(gate, limits, demand=Demand(60, 10, 100_000, 20_000, 50, 50))
