"""From workers' reports in a real stream to incidents, and to those who are told."""

from __future__ import annotations

import asyncio
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest

from gateway.health.clerk import Clerk, stream_of
from gateway.health.events import STREAM, encode
from gateway.health.history import History
from gateway.health.reports import checks, incident_list
from gateway.ports import DeploymentChanged, IncidentChanged, ProbeResult
from gateway.storage.sql.errors import DatabaseUnavailable
from gateway.telemetry.base import SilentObserver
from gateway.telemetry.bookkeeping import BookkeepingMetrics
from tests.bookkeeping.books import eventually
from tests.health.test_history import CONFIG
from tests.registry.support import load_text
from tests.storage.waiting import until_async

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from gateway.health.events import Event
    from gateway.storage.redis import RedisClient
    from gateway.storage.sql.database import Database

NOW = time.time()
OUT = DeploymentChanged("p/a", "out", "breaker", NOW)


class Told(SilentObserver):
    def __init__(self) -> None:
        self.changes: list[IncidentChanged] = []

    def incident_changed(self, change: IncidentChanged) -> None:
        self.changes.append(change)


class Flaky(History):
    """A history whose database is away at first."""

    failures = 2

    async def record(self, *given: Any) -> list[IncidentChanged]:
        if self.failures:
            self.failures -= 1
            raise DatabaseUnavailable("away")
        return await super().record(*given)


async def _report(redis: RedisClient, *events: Event) -> None:
    await redis.execute("XADD", STREAM, "*", "e", encode(events))


def _clerk(redis: RedisClient, history: History, tmp_path: Path, told: Told, metrics: BookkeepingMetrics) -> Clerk:
    snapshot = load_text(tmp_path, CONFIG).snapshot
    return Clerk(stream_of(redis, "test"), history, lambda: snapshot, told, metrics, 30 * 86400.0)


@asynccontextmanager
async def _running(clerk: Clerk) -> AsyncIterator[None]:
    task = asyncio.create_task(clerk.run())
    yield
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


def _shown(metrics: BookkeepingMetrics) -> dict[str, float]:
    return {labels[0]: value for labels, (value, _) in metrics._incidents.rows.items()}


@pytest.mark.parametrize(
    "bad",
    [b"\xc1 no report", encode([DeploymentChanged("p\0/a", "out", "x", 1e300)])],
    ids=["rubbish", "no database takes it"],
)
async def test_reports_become_incidents(redis: RedisClient, database: Database, tmp_path: Path, bad: bytes) -> None:
    """Reports are booked and taken out of the stream, those that cannot be are dropped; who listens is told; the gauge
    shows which provider has an open incident."""
    told, metrics = Told(), BookkeepingMetrics()
    clerk = _clerk(redis, History(database), tmp_path, told, metrics)
    async with _running(clerk):
        await redis.execute("XADD", STREAM, "*", "e", bad)
        await _report(redis, ProbeResult("q", None, "ok", NOW, 0.1), OUT)
        await eventually(lambda: told.changes, "an incident")
        [opened] = told.changes
        assert (opened.event, opened.provider, opened.cause, opened.routes) == ("opened", "p", "breaker", ("both",))

        async def taken() -> bool:
            return not await redis.execute("XLEN", STREAM)

        await until_async(taken)
        await clerk.settle()
        assert len(await checks(database)) == 1
        assert _shown(metrics) == {"p": 1.0, "q": 0.0, "open": 0.0}


async def test_reports_wait_for_the_database(
    redis: RedisClient, database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What could not be booked is booked later; what the stream lost with its server begins anew."""
    monkeypatch.setattr("gateway.health.clerk.BACKOFF", 0.02)
    told = Told()
    await _report(redis, OUT)
    async with _running(_clerk(redis, Flaky(database), tmp_path, told, BookkeepingMetrics())):
        await eventually(lambda: told.changes, "the first incident")
        await redis.execute("FLUSHALL")
        await _report(redis, DeploymentChanged("q/c", "out", "breaker", NOW))
        await eventually(lambda: len(told.changes) == 2, "the second incident")
    assert {row.provider for row in await incident_list(database)} == {"p", "q"}
