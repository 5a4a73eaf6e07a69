"""Servers and ledgers for the tests of this folder."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from dataclasses import replace

import pytest

from gateway.bookkeeper import is_bad_row
from gateway.storage.embedded import EmbeddedRedis
from gateway.storage.redis import RedisClient, connect
from gateway.storage.streams import stream_options
from gateway.telemetry.bookkeeping import BookkeepingMetrics
from gateway.usage.booking import Booker
from tests.bookkeeping.books import MemoryLedger
from tests.support.store import own_store


@pytest.fixture
def server() -> Iterator[EmbeddedRedis]:
    """A server of this test's own, to be flushed, paused and killed."""
    with own_store() as server:
        yield server


@pytest.fixture
async def redis(server: EmbeddedRedis) -> AsyncIterator[RedisClient]:
    client = connect(server.url, replace(stream_options(4), timeout=2.0))
    yield client
    await client.close()


@pytest.fixture
def memory() -> MemoryLedger:
    return MemoryLedger()


@pytest.fixture
def metrics() -> BookkeepingMetrics:
    return BookkeepingMetrics()


@pytest.fixture
def booker(memory: MemoryLedger, metrics: BookkeepingMetrics) -> Booker:
    return Booker(memory, metrics, is_bad_row, lambda _: None)
