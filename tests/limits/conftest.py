"""A real server for the tests of this folder, and gates on it."""

from __future__ import annotations

import itertools
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from pathlib import Path

import pytest

from gateway.limits.gate import Gate
from gateway.ports import Clock, LimitDecision
from gateway.storage.embedded import EmbeddedRedis
from gateway.storage.redis import RedisClient, RedisOptions, connect
from gateway.telemetry.base import SilentObserver
from gateway.types import LimitSpec

PATIENT = RedisOptions(timeout=10.0)
"""For tests in which the server's speed is not the question."""

_names = itertools.count(1)


class Decisions(SilentObserver):
    """Keeps what the limits decided."""

    def __init__(self) -> None:
        self.found: list[LimitDecision] = []

    def limits_decided(self, decisions: Sequence[LimitDecision]) -> None:
        self.found += decisions

    def words(self) -> list[str]:
        return [decision.decision for decision in self.found]


def fresh() -> str:
    """A name no other test uses on the shared server."""
    return f"t{next(_names)}"


def rate(kind: str, count: int, period: float = 60.0, *, name: str, burst: int = 0, scope: str = "key") -> LimitSpec:
    """`count` per `period` seconds, as the configuration compiles it."""
    capacity = burst or count
    return LimitSpec(scope, name, kind, capacity, period * capacity / count, count)


def slots(count: int, *, name: str, scope: str = "key") -> LimitSpec:
    return LimitSpec(scope, name, "concurrency", count, 0.0, count)


@pytest.fixture(scope="session")
def shared_server() -> Iterator[EmbeddedRedis]:
    """One server for every test of this worker; tests keep to names of their own."""
    with tempfile.TemporaryDirectory(prefix="gw-") as directory:
        server = EmbeddedRedis(Path(directory))
        server.start()
        try:
            yield server
        finally:
            server.stop()


@pytest.fixture
def own_server() -> Iterator[EmbeddedRedis]:
    """A server of this test's own, to be paused and killed."""
    with tempfile.TemporaryDirectory(prefix="gw-") as directory:
        server = EmbeddedRedis(Path(directory))
        server.start()
        try:
            yield server
        finally:
            server.stop()


@pytest.fixture
async def redis(shared_server: EmbeddedRedis) -> AsyncIterator[RedisClient]:
    client = connect(shared_server.url, PATIENT)
    yield client
    await client.close()


@pytest.fixture
def decisions() -> Decisions:
    return Decisions()


MakeGate = Callable[..., Gate]


@pytest.fixture
async def make_gate(redis: RedisClient, decisions: Decisions) -> AsyncIterator[MakeGate]:
    """Gates on the shared server."""
    made: list[Gate] = []

    def make(clock: Clock = time.monotonic) -> Gate:
        made.append(Gate(redis, decisions, clock))
        return made[-1]

    yield make
    for gate in made:
        await gate.close()


@pytest.fixture
async def gate(make_gate: MakeGate) -> Gate:
    return make_gate()
