"""A pipeline with a real gate and a real store between a real planner and a scripted forwarder."""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from random import Random
from typing import Any

from gateway.accounts import Accounts
from gateway.admission import Admission
from gateway.errors import (
    GatewayError,
    UpstreamError,
)
from gateway.exchange import Exchange
from gateway.limits.demand import Demand, Used
from gateway.limits.gate import Gate, Reservation
from gateway.limits.outage import Backing, NoLedger
from gateway.limits.policy import Policy, one_shard
from gateway.pipeline import Pipeline
from gateway.providers import discover
from gateway.registry.snapshot import Snapshot, VirtualKey
from gateway.routing.planner import Planner
from gateway.storage.redis import RedisClient, RedisOptions, connect
from gateway.telemetry.base import SilentObserver
from gateway.types import (
    Attempt,
    Call,
    Deployment,
    LedgerRow,
    LimitSpec,
    Price,
    Principal,
    Provider,
    QuotaSpec,
    Receipt,
    Service,
    Usage,
)
from gateway.upstream.foresight import Foresight
from gateway.upstream.forward import Answer, Progress
from gateway.upstream.retry import Failure
from gateway.usage.events import decode_entry

from .app import store_url, unique

PROVIDER = Provider("p", "mock", "http://127.0.0.1")
DEPLOYMENT = Deployment("p/m", PROVIDER, "m", price=Price(2.0, 8.0), max_output_tokens=2000)
SMALL = Deployment("p/small", PROVIDER, "small")


@dataclass
class Told(SilentObserver):
    """What the pipeline told."""

    started: int = 0
    receipts: list[Receipt] = field(default_factory=list)
    attempts: list[Attempt] = field(default_factory=list)

    def call_started(self) -> None:
        self.started += 1

    def call_finished(self, receipt: Receipt) -> None:
        self.receipts.append(receipt)

    def attempt_finished(self, attempt: Attempt) -> None:
        self.attempts.append(attempt)


class FakeRelay:
    """A committed stream as the pipeline reads it."""

    def __init__(self, usage: Usage | None, relayed: tuple[int, int]) -> None:
        self.usage = usage
        self.known_input: Usage | None = None
        self.service_tier = ""
        self.relayed = relayed


class FakeForwarder:
    """Answers or raises as a test says; `outcomes` are those of committed attempts."""

    def __init__(self) -> None:
        self.result: Any = None
        self.failures: list[UpstreamError] = []
        """Attempts that fail before the one that counts."""
        self.requests = 1
        """Into how many each attempt is split."""
        self.calls: list[Call] = []
        self.outcomes: list[str] = []

    async def forward(self, call: Call, plan: Any, progress: Progress, attempts: Any) -> Answer:
        target = plan.targets[0]
        self.calls.append(call)
        for failure in self.failures:
            if attempts.limited(target):
                await attempts.begin(target)
            progress.attempts += 1
            attempts.failed(Failure(target, failure, self.requests), 0.25, progress.attempts)
        if attempts.limited(target):
            await attempts.begin(target)
        progress.attempts += 1
        progress.number, progress.requests = progress.attempts, self.requests
        progress.deployment = target
        progress.sent = True
        if isinstance(self.result, GatewayError):
            progress.sent = False
            raise self.result
        if self.result is asyncio.CancelledError:
            await asyncio.Event().wait()
        assert isinstance(self.result, Answer)
        return self.result

    def committed_attempt_ended(self, progress: Progress, error: GatewayError | None) -> None:
        self.outcomes.append("ok" if error is None else getattr(error, "outcome", error.reason))


@dataclass
class Bench:
    """A pipeline with a real gate between a real planner and a scripted forwarder."""

    pipeline: Pipeline
    gate: Gate
    forwarder: FakeForwarder
    told: Told
    principal: Principal
    redis: RedisClient
    worker: str

    def entered(self) -> Exchange:
        """A call that has come in."""
        principal = self.pipeline.identify({b"x-api-key": SECRET})
        assert principal is self.principal
        return self.pipeline.open("r", principal, self.pipeline.clock())

    async def rows(self) -> list[LedgerRow]:
        """The rows that were booked in the store, in their order."""
        await self.gate.close()
        entries = await self.redis.execute("XRANGE", "gw:{0}:usage", "-", "+")
        found = [row for _, fields in entries for row in decode_entry(fields[1])[0]]
        return [row for row in found if row.key == self.principal.key]

    async def records(self) -> int:
        """How many calls under way the store knows."""
        await self.gate.close()
        return int(await self.redis.execute("HLEN", f"gw:{{0}}:open:{self.worker}"))

    @property
    def policy(self) -> Policy:
        return self.pipeline._policy

    async def tokens_left(self) -> int:
        """What the key's bucket holds."""
        reservation = Reservation(unique("probe"))
        sets = self.policy.of_caller(self.principal, "m", user=False)
        await self.gate.reserve(reservation, sets, Demand(), (False, (0, 0, 0)))
        self.gate.settle(reservation, Used())
        return int(next(v for n, v in reservation.headers if n == b"x-ratelimit-remaining-tokens"))


SECRET = b"pipeline-test-secret-0123456789abcdef"


def call(model: str = "m", **fields: Any) -> Call:
    """A call of 100 estimated input tokens that allows 900 of output."""
    given = {"input_tokens": 100, "max_tokens": 900, "service": Service.CHAT, **fields}
    return Call(id=unique("call"), request_id="r", path="/x", model=model, raw=b"{}", started=0.0, **given)


@asynccontextmanager
async def bench_of(*quotas: QuotaSpec) -> AsyncIterator[Bench]:
    """A key in a team with a bucket of 10,000 tokens, three slots, and these quotas."""
    name = unique("pipeline")
    limits = (
        LimitSpec("key", name, "tokens", 10_000, period=86400.0 * 365, count=10_000),
        LimitSpec("key", name, "concurrency", 3),
    )
    principal = Principal(name, team="red", models=("m", "none", "small"), limits=limits, quotas=quotas)
    digest = hashlib.sha256(SECRET).digest()
    snapshot = Snapshot(
        "rev-1",
        providers={"p": PROVIDER},
        deployments={"p/m": DEPLOYMENT, "p/small": SMALL},
        models={"m": (DEPLOYMENT,), "small": (SMALL,)},
        keys={digest: principal},
        virtual_keys={name: VirtualKey(name, digest, principal)},
    )
    told, forwarder, worker = Told(), FakeForwarder(), unique("worker")
    redis = connect(store_url(), RedisOptions(timeout=10.0, connect_timeout=10.0))
    clock = time.monotonic
    gate = Gate(redis, told, clock, Backing(ledger=Ledger()))
    served = Planner(snapshot, discover(), Random(1)), Policy(snapshot, one_shard, worker)
    accounts = Accounts(lambda one: one.price, Foresight(discover()), gate.store_clock.at, clock)
    pipeline = Pipeline(served, Admission(gate, accounts), forwarder, told, clock, 2)  # type: ignore[arg-type]
    yield Bench(pipeline, gate, forwarder, told, principal, redis, worker)
    await gate.close()
    await redis.close()


class Ledger(NoLedger):
    """Nothing was ever used."""

    async def used(self, windows: Sequence[Any]) -> list[int]:
        return [0] * len(windows)


def whole(usage: Usage | None, body: bytes = b"x" * 400) -> Answer:
    """A complete answer."""
    return Answer(DEPLOYMENT, b"application/json", body=body, usage=usage)


def streaming(usage: Usage | None, relayed: tuple[int, int]) -> Answer:
    """A stream under way."""
    relay: Any = FakeRelay(usage, relayed)
    return Answer(DEPLOYMENT, b"text/event-stream", relay=relay)


async def settled(bench: Bench, wanted: int) -> None:
    """Until the bucket holds this."""
    async with asyncio.timeout(10):
        while await bench.tokens_left() != wanted:  # noqa: ASYNC110 - the store tells nobody when it has settled
            await asyncio.sleep(0.005)
