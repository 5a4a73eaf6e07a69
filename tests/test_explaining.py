"""Explanations come true: over random configurations and states, what is explained is what the next call meets."""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from random import Random
from typing import Any

import msgspec
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.accounts import Accounts
from gateway.admission import Admission
from gateway.errors import GatewayError
from gateway.exchange import Exchange
from gateway.explaining import Explainer, Explanation
from gateway.health.board import Board
from gateway.limits.gate import Gate
from gateway.limits.outage import Backing
from gateway.limits.peek import Peek
from gateway.limits.policy import Policy, one_shard
from gateway.pipeline import Pipeline
from gateway.ports import Conditions
from gateway.providers import discover
from gateway.registry.snapshot import Match, Route, Snapshot, Target, VirtualKey
from gateway.routing.facts import Senses
from gateway.routing.planner import Planner
from gateway.routing.strategies import STRATEGIES
from gateway.storage.redis import RedisClient, RedisOptions, connect
from gateway.telemetry.base import SilentObserver
from gateway.types import (
    Call,
    Deployment,
    LimitSpec,
    Price,
    Principal,
    Provider,
    QuotaSpec,
    RateLimit,
    Service,
)
from gateway.upstream.engines import create_engine
from gateway.upstream.foresight import Foresight
from gateway.upstream.forward import Forwarder
from gateway.upstream.send import Sender
from tests.support.app import store_url, unique
from tests.support.pipeline import Ledger

SECRET = b"explaining-test-secret-0123456789abcd"
YEAR = 86400.0 * 365
NEVER = 10**9
NAMES = ("w", "x", "y", "z")


@dataclass
class World:
    """A pipeline with everything real but the providers, which are played in this process."""

    pipeline: Pipeline
    explainer: Explainer
    planner: Planner
    policy: Policy
    redis: RedisClient
    gate: Gate
    open: list[Exchange] = field(default_factory=list)

    async def explained(self, asked: Call, principal: Principal) -> Explanation:
        """What would become of it."""
        return await self.explainer.explain(self.planner, self.policy, asked, principal)

    async def served(self, asked: Call) -> Any:
        """What does become of it, in an explanation's words; the call stays open."""
        pipeline = self.pipeline
        principal = pipeline.identify({b"x-api-key": SECRET})
        assert principal is not None
        exchange = pipeline.open("r", principal, pipeline.clock())
        asked.started = pipeline.clock()
        try:
            answer = await pipeline.serve(exchange, asked)
        except GatewayError as refusal:
            pipeline.close(exchange, refusal.public_status, refusal)
            return _refusal(refusal)
        self.open.append(exchange)
        assert exchange.plan is not None
        return exchange.plan.route, answer.deployment.id

    async def state(self) -> dict[str, Any]:
        """Everything that the store holds."""
        keys = sorted(await self.redis.execute("KEYS", "*"))
        return {key: await self.redis.execute("DUMP", key) for key in keys}


def _refusal(refusal: GatewayError) -> Any:
    """Apart from times, which pass."""
    return type(refusal), refusal.public_code, refusal.public_message.partition(" Try again in")[0]


def _told(found: Explanation) -> Any:
    if found.refusal is not None:
        assert found.candidates == ()
        return _refusal(found.refusal)
    assert found.routed.rule is not None
    return found.routed.rule.name, found.candidates[0].id


@asynccontextmanager
async def world(draw: Random) -> AsyncIterator[World]:
    """Providers with and without limits, keys with and without quotas, routes of every strategy, some of it out."""
    key, team = unique("key"), unique("team")
    deployments = [_deployment(draw, name) for name in NAMES]
    routes = tuple(_route(draw, at, deployments) for at in range(draw.randrange(5)))
    models = {name: (one,) for name, one in zip(NAMES, deployments, strict=True)}
    quotas = tuple(_quota(draw, key) for _ in range(draw.randrange(3)))
    limits = tuple(_limit(draw, "key", key) for _ in range(draw.randrange(2)))
    allowed = ("*",) if draw.random() < 0.8 else ("m", "alias")
    principal = Principal(key, team=team, models=allowed, limits=limits, quotas=quotas)
    digest = hashlib.sha256(SECRET).digest()
    snapshot = Snapshot(
        "rev",
        providers={one.provider.name: one.provider for one in deployments},
        deployments={one.id: one for one in deployments},
        routes=routes,
        models=models,
        keys={digest: principal},
        virtual_keys={key: VirtualKey(key, digest, principal)},
        aliases={"alias": "m"},
    )
    redis, clock, observer = connect(store_url(), RedisOptions(timeout=10.0)), time.monotonic, SilentObserver()
    gate = Gate(redis, observer, clock, Backing(ledger=Ledger()))
    accounts = Accounts(lambda one: one.price, Foresight(discover()), gate.store_clock.at, clock)
    admission, chance, dialects = Admission(gate, accounts), Random(draw.random()), discover()
    board = Board(observer, clock, Random(1))
    for one in deployments:
        _ill(draw, board, one, clock())
    senses = Senses(board, clock, admission.quote, admission.headroom.of)
    planner, policy = Planner(snapshot, dialects, chance, senses), Policy(snapshot, one_shard, unique("worker"))
    engine = create_engine("mock")
    forwarder = Forwarder(Sender(lambda _: engine, dialects, clock), board, observer, clock, Random(1))
    pipeline = Pipeline((planner, policy), admission, forwarder, observer, clock, 100)
    explainer = Explainer(admission, Peek(gate, redis, Ledger()))
    found = World(pipeline, explainer, planner, policy, redis, gate)
    yield found
    for exchange in found.open:
        pipeline.close(exchange, 200)
    await gate.close()
    await redis.close()


def _deployment(draw: Random, name: str) -> Deployment:
    provider = Provider(
        unique(name),
        "mock",
        "http://127.0.0.1",
        requests=RateLimit(draw.randint(1, 3), YEAR) if draw.random() < 0.3 else None,
        concurrency_limit=draw.randint(1, 2) if draw.random() < 0.2 else None,
        tokens=RateLimit(draw.choice([40, 900]), YEAR) if draw.random() < 0.2 else None,
    )
    return Deployment(
        f"{provider.name}/{name}",
        provider,
        name,
        context_window=draw.choice([None, None, 100, 1000]),
        capabilities=draw.choice([frozenset(), frozenset(), frozenset({"tools"}), frozenset({"tools", "vision"})]),
        price=draw.choice([None, Price(1.0, 2.0), Price(3.0, 9.0)]),
    )


def _route(draw: Random, at: int, deployments: list[Deployment]) -> Route:
    found = draw.sample(deployments, draw.randint(0 if draw.random() < 0.1 else 1, len(deployments)))
    match = Match(
        models=draw.choice([("m",), ("m", "other"), ("*",), ("w",)]),
        stream=draw.choice([None, None, True, False]),
        capabilities=draw.choice([frozenset(), frozenset(), frozenset({"tools"})]),
    )
    targets = tuple(Target(one, draw.randint(0, 3)) for one in found)
    return Route(f"r{at}", match, draw.choice(sorted(STRATEGIES)), targets)


def _quota(draw: Random, owner: str) -> QuotaSpec:
    kind = draw.choice(["requests", "tokens", "cost"])
    amount = {"requests": draw.randint(0, 4), "tokens": draw.choice([30, 400]), "cost": draw.choice([10, 4_000_000])}
    action = draw.choice(["reject", "downgrade", "alert"])
    to = draw.choice(NAMES) if action == "downgrade" else None
    return QuotaSpec("key", owner, kind, "total", amount[kind], action=action, downgrade_to=to)


def _limit(draw: Random, scope: str, owner: str) -> LimitSpec:
    if draw.random() < 0.5:
        return LimitSpec(scope, owner, "concurrency", draw.randint(1, 3))
    count = draw.randint(1, 4)
    return LimitSpec(scope, owner, "requests", count, period=YEAR, count=count)


def _ill(draw: Random, board: Conditions, deployment: Deployment, now: float) -> None:
    condition = board.of(deployment)
    condition.in_flight = draw.randrange(5)
    condition.ttft, condition.duration = draw.choice([(None, None), (0.1, 2.0), (1.0, 1.5)])
    condition.headroom = draw.choice([None, 0.2, 0.9])
    if draw.random() < 0.25:
        condition.out_until, condition.out_for = now + NEVER, draw.choice(["breaker", "cooldown", "parked"])


def _call(draw: Random) -> Call:
    body = {"model": "m", "messages": [{"role": "user", "content": "hello"}], "stream": False}
    raw = msgspec.json.encode(body)
    return Call(
        id=unique("call"),
        request_id="r",
        service=Service.CHAT,
        path="/chat/completions",
        model=draw.choice(["m", "m", "alias", "other", "w", "none"]),
        raw=raw,
        started=0.0,
        model_span=(raw.index(b'"m"'), raw.index(b'"m"') + 3),
        input_tokens=draw.choice([10, 90, 250, 3000]),
        max_tokens=draw.choice([None, 20, 200]),
        user=draw.choice([None, "u1"]),
        needs=draw.choice([frozenset(), frozenset(), frozenset({"tools"}), frozenset({"vision"})]),
    )


async def _compare(seed: int, calls: int) -> list[Any]:
    draw = Random(seed)
    outcomes = []
    async with world(draw) as found:
        principal = next(iter(found.planner.snapshot.keys.values()))
        for _ in range(calls):
            asked = _call(draw)
            told = [_told(await found.explained(asked, principal)) for _ in range(2)]
            came = await found.served(asked)
            assert told == [came, came], seed
            outcomes.append(came)
            if found.open and draw.random() < 0.3:
                found.pipeline.close(found.open.pop(), 200)
                await found.gate.close()
    return outcomes


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.integers(0, 10**9))
def test_what_is_explained_comes(seed: int) -> None:
    """Rules, capabilities, windows, conditions, strategies, access, limits, budgets, prices, downgrades: the refusal or
    the deployment that is explained, twice, is what the next call meets."""
    asyncio.run(_compare(seed, 6))


def test_the_random_worlds_hold_every_outcome() -> None:
    """The comparison is about something: most kinds of refusals and several deployments turn up."""
    outcomes = [one for seed in range(45) for one in asyncio.run(_compare(seed, 6))]
    codes = {one[1] for one in outcomes if len(one) == 3}
    assert codes >= {
        "rate_limit_exceeded",
        "insufficient_quota",
        "no_upstream",
        "model_not_found",
        "model_access_denied",
        "capability_not_supported",
        "context_length_exceeded",
    }
    assert len({one[1].partition("/")[2] for one in outcomes if len(one) == 2}) == len(NAMES)


async def test_to_explain_writes_nothing() -> None:
    """Not a counter, not a lease, not a record: the store holds afterwards what it held before."""
    for seed in range(12):
        draw = Random(seed)
        async with world(draw) as found:
            principal = next(iter(found.planner.snapshot.keys.values()))
            await found.served(_call(draw))
            await found.gate.close()
            before = await found.state()
            for _ in range(4):
                await found.explained(_call(draw), principal)
            await found.gate.close()
            assert await found.state() == before
