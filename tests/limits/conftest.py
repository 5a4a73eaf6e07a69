"""A real server for the tests of this folder, gates on it, and limits to hold calls to."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest

from gateway.errors import RateLimited
from gateway.limits.demand import Demand
from gateway.limits.gate import About, Gate, Reservation
from gateway.limits.limitset import SLOTS, Frame, LimitSet, Member, Names
from gateway.limits.outage import Backing
from gateway.limits.upkeep import Upkeep
from gateway.ports import LimitDecision
from gateway.storage.companions import Lookout
from gateway.storage.embedded import EmbeddedRedis
from gateway.storage.redis import RedisClient, RedisOptions, connect
from gateway.telemetry.base import SilentObserver
from gateway.types import LimitSpec, QuotaSpec
from tests.limits import books
from tests.limits.tills import Till
from tests.support.store import own_store
from tests.support.waiting import eventually

PATIENT = RedisOptions(timeout=10.0, connect_timeout=10.0)
"""For tests in which the server's speed is not the question."""
IMPATIENT = RedisOptions(timeout=0.2)
"""For tests in which the server fails; slow enough for a busy machine."""
WORKER = "here:1:1:test"

_names = itertools.count(1)


class Decisions(SilentObserver):
    """Keeps what the limits decided."""

    def __init__(self) -> None:
        self.found: list[LimitDecision] = []

    def limits_decided(self, decisions: Sequence[LimitDecision]) -> None:
        self.found += decisions

    def words(self) -> list[str]:
        return [decision.decision for decision in self.found]

    def told(self) -> list[tuple[str, str, str]]:
        return [(one.scope, one.kind, one.decision) for one in self.found]


class LedgerOf:
    """A ledger that knows what a test says; `away`: it cannot be reached."""

    def __init__(self, used: int = 0) -> None:
        self.spent = used
        self.away = False
        self.asked: list[Any] = []
        self.held: dict[str, list[Any]] = {}
        self.charged: dict[str, list[Any]] = {}

    async def used(self, windows: Sequence[Any]) -> list[int]:
        self._reach()
        self.asked += windows
        return [self.spent for _ in windows]

    async def hold(self, call_id: str, needs: Sequence[Any]) -> int:
        self._reach()
        for at, (*_, amount, need) in enumerate(needs):
            taken = sum(held[at][6] for held in self.held.values() if len(held) > at)
            if self.spent + taken + need > amount:
                return at
        self.held[call_id] = list(needs)
        return -1

    def charge(self, call_id: str, needs: Sequence[Any]) -> None:
        self.charged[call_id] = list(needs)
        if self.held.pop(call_id, None) is not None and needs:
            self.spent += needs[0][6]

    def _reach(self) -> None:
        if self.away:
            raise ConnectionError("away")


class JournalOf:
    """Keeps what a journal is given."""

    def __init__(self) -> None:
        self.events: list[bytes] = []
        self.withdrawn: list[bytes] = []

    def append(self, events: list[bytes]) -> None:
        self.events += events

    def withdraw(self, event: bytes) -> None:
        self.withdrawn.append(event)

    async def flush(self) -> None:
        """Nothing waits."""


def fresh(word: str = "t") -> str:
    """A name no other test uses on the shared server."""
    return f"{word}{next(_names)}"


def rate(kind: str, count: int, period: float = 60.0, *, burst: int = 0, scope: str = "key", **more: Any) -> LimitSpec:
    """`count` per `period` seconds, as the configuration compiles it."""
    capacity = burst or count
    return LimitSpec(scope, "n", kind, capacity, period * capacity / count, count, **more)


def slots(count: int, *, scope: str = "key", **more: Any) -> LimitSpec:
    return LimitSpec(scope, "n", "concurrency", count, 0.0, count, **more)


def quota(kind: str, amount: int, *, scope: str = "key", period: str = "total", **more: Any) -> QuotaSpec:
    return QuotaSpec(scope, "n", kind, period, amount, **more)


def limit_set(
    *specs: LimitSpec | QuotaSpec, name: str = "", shard: str = "0", worker: str = WORKER, per_user: bool = False
) -> LimitSet:
    """These limits with counters of their own, or those of `name`."""
    owner = name or fresh()
    return LimitSet.of([Member(spec, owner, per_user) for spec in specs], Names(shard, worker))


def need(tokens: int = 0, *, output: int = 0, fixed: int = 0, price: int = 0, most: int | None = None) -> Demand:
    """What a call of so many tokens asks; `output` of them, at least."""
    return Demand(tokens, tokens - output, fixed, price, output, output if most is None else most)


def about(name: str, charged: tuple[int, int, int] = (1, 0, 0)) -> About:
    """A record: what is booked if the worker dies."""
    return event(name), charged


def event(name: str) -> bytes:
    """Bytes as the ledger's events are: msgpack."""
    return msgspec.msgpack.encode([name])


async def take(
    gate: Gate,
    limits: LimitSet,
    tokens: int = 0,
    *,
    name: str = "",
    demand: Demand | None = None,
    user: str | None = None,
) -> Reservation:
    """One call's reservation, with a record as every call has one."""
    reservation = Reservation(name or fresh("c"), user)
    await gate.reserve(reservation, [limits], demand or need(tokens), about(reservation.call_id))
    return reservation


async def attempt(gate: Gate, limits: LimitSet, count: int, tokens: int = 0) -> list[Reservation | RateLimited]:
    """`count` reservations at once: what each became."""
    calls = (take(gate, limits, tokens) for _ in range(count))
    found = await asyncio.gather(*calls, return_exceptions=True)
    assert all(isinstance(one, Reservation | RateLimited) for one in found), found
    return found  # type: ignore[return-value]


def admitted(found: Sequence[Any]) -> list[Reservation]:
    return [one for one in found if isinstance(one, Reservation)]


def refused(found: Sequence[Any]) -> list[RateLimited]:
    return [one for one in found if isinstance(one, RateLimited)]


def frame_of(limits: LimitSet, epoch: str = "") -> Frame:
    return limits.frame(None, epoch, time.time())


def key_of(limits: LimitSet, at: int) -> str:
    """The key of a row."""
    return frame_of(limits).keys[3 + at]


async def held(redis: RedisClient, limits: LimitSet, at: int) -> int:
    """How many slots the limit in this row has given out."""
    return int(await redis.execute("ZCARD", key_of(limits, at)))


async def ahead(redis: RedisClient, limits: LimitSet, at: int) -> float:
    """How many units the bucket in this row has given out and not yet refilled."""
    seconds, micros = await redis.execute("TIME")
    tat = float(await redis.execute("GET", key_of(limits, at)) or 0)
    return max(0.0, tat - int(seconds) * 1e6 - int(micros)) / limits.rows[at][2]


async def counter(gate: Gate, redis: RedisClient, limits: LimitSet, at: int) -> tuple[int, int] | None:
    """What the quota in this row has used, reservations included, and what of that is reserved; None: no counter."""
    epoch = gate.epochs.current(limits.names.shard) or await gate.epochs.ask(limits.names.shard)
    used, reserved = await redis.execute("HMGET", frame_of(limits, epoch).keys[3 + at], "u", "r")
    return None if used is None else (int(used), int(reserved))


async def records(redis: RedisClient, limits: LimitSet) -> dict[bytes, bytes]:
    """The records of this worker's calls under way."""
    flat = await redis.execute("HGETALL", limits.names.open)
    return dict(zip(flat[::2], flat[1::2], strict=True))


async def events(redis: RedisClient, limits: LimitSet) -> list[bytes]:
    """Every event in the stream of this shard."""
    found = await redis.execute("XRANGE", limits.names.events, "-", "+")
    packed = (one for _, fields in found for one in msgspec.msgpack.decode(fields[1], type=list[msgspec.Raw]))
    return [_content(bytes(one)) for one in packed]


def _content(packed: bytes) -> bytes:
    """An event as the gate writes it, or a byte string without its head."""
    if packed[0] in (*range(0x90, 0xA0), 0xDC, 0xDD):
        return packed
    return packed[{0xC4: 2, 0xC5: 3, 0xC6: 5, 0xD9: 2, 0xDA: 3, 0xDB: 5}.get(packed[0], 1) :]


async def state(redis: RedisClient, limits: LimitSet) -> list[Any]:
    """Everything that is held of these limits, a row at a time; of rates in whole units."""
    found: list[Any] = []
    for at, row in enumerate(limits.rows):
        found.append(await held(redis, limits, at) if row[0] == SLOTS else round(await ahead(redis, limits, at)))
    return found


def _server() -> Iterator[EmbeddedRedis]:
    with own_store() as server:
        yield server


@pytest.fixture(scope="session")
def shared_server() -> Iterator[EmbeddedRedis]:
    """One server for every test of this worker; tests keep to names of their own."""
    yield from _server()


@pytest.fixture
def own_server() -> Iterator[EmbeddedRedis]:
    """A server of this test's own, to be paused and killed."""
    yield from _server()


@pytest.fixture
async def redis(shared_server: EmbeddedRedis) -> AsyncIterator[RedisClient]:
    client = connect(shared_server.url, PATIENT)
    yield client
    await client.close()


@pytest.fixture
def decisions() -> Decisions:
    return Decisions()


@pytest.fixture
def ledger() -> LedgerOf:
    return LedgerOf()


@pytest.fixture
def journal() -> JournalOf:
    return JournalOf()


MakeGate = Callable[..., Gate]


@pytest.fixture
async def make_gate(
    redis: RedisClient, decisions: Decisions, ledger: LedgerOf, journal: JournalOf
) -> AsyncIterator[MakeGate]:
    """Gates on the shared server, or on another client."""
    made: list[Gate] = []

    def make(**changes: Any) -> Gate:
        given: dict[str, Any] = {"redis": redis, "observer": decisions, "clock": time.monotonic}
        behind: dict[str, Any] = {"ledger": ledger, "journal": journal}
        for name in ("workers", "ledger", "journal", "patient"):
            if name in changes:
                behind[name] = changes.pop(name)
        made.append(Gate(**{**given, **changes}, backing=Backing(**behind)))
        return made[-1]

    yield make
    for gate in made:
        await gate.close()


@pytest.fixture
async def gate(make_gate: MakeGate) -> Gate:
    return make_gate()


class Outside:
    """Workers on a server that will fail, as impatient as they are, and someone patient who looks at it."""

    def __init__(self, url: str, ledger: LedgerOf, journal: JournalOf, decisions: Decisions) -> None:
        self.url = url
        self.observer = connect(url, PATIENT)
        self._given = (ledger, journal, decisions)
        self.gates: list[Gate] = []
        self.clients: list[RedisClient] = []
        self.upkeep: list[Upkeep] = []

    def gate(
        self,
        workers: int,
        clock: Callable[[], float] = time.monotonic,
        *,
        url: str | None = None,
        lookout: Lookout | None = None,
    ) -> Gate:
        """One worker's, with its upkeep; `url`: the way by which it reaches the store, `lookout`: to other workers."""
        ledger, journal, decisions = self._given
        client = connect(url or self.url, replace(IMPATIENT, lookout=lookout))
        gate = Gate(client, decisions, clock, Backing(workers, ledger, journal))
        self.clients.append(client)
        self.gates.append(gate)
        self.upkeep.append(Upkeep(gate, client, WORKER, clock))
        return gate

    async def back(self) -> None:
        """Wait until every worker works with the store again, and has said everything that it had to repeat."""

        async def well() -> bool:
            for upkeep in self.upkeep:
                await upkeep.tick()
            for gate in self.gates:
                await gate.close()
            return all(client.available for client in self.clients) and not any(
                gate.unsent or gate.dirty or gate.owing for gate in self.gates
            )

        await eventually(well)

    async def end(self, gate: Gate) -> None:
        """This worker ends, whatever it could not say."""
        at = self.gates.index(gate)
        await self.gates.pop(at).close()
        await self.clients.pop(at).close()
        del self.upkeep[at]

    async def close(self) -> None:
        for gate in self.gates:
            await gate.close()
        for client in [*self.clients, self.observer]:
            await client.close()


@pytest.fixture
async def outside(
    own_server: EmbeddedRedis, ledger: LedgerOf, journal: JournalOf, decisions: Decisions
) -> AsyncIterator[Outside]:
    found = Outside(own_server.url, ledger, journal, decisions)
    yield found
    await found.close()


@pytest.fixture
async def found(tmp_path: Path) -> AsyncIterator[books.Bookkeeping]:
    """A bookkeeper, its ledger and a store of their own."""
    with books.store() as server:
        async with books.bookkeeping(server.url, tmp_path) as made:
            yield made


@pytest.fixture
async def till(found: books.Bookkeeping) -> Till:
    """A gate there."""
    return await found.till()
