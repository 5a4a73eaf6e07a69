"""From workers' reports in a real stream to incidents, and to those who are told."""

from __future__ import annotations

import asyncio
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest

from gateway.health import by_hand
from gateway.health.events import STREAM, encode
from gateway.health.history import History
from gateway.health.incidents import SECOND
from gateway.health.layout import Layout
from gateway.health.recorder import Recorder, stream_of
from gateway.health.reports import checks, incident_list
from gateway.ports import DeploymentChanged, IncidentChanged, ProbeResult
from gateway.storage.sql.errors import DatabaseUnavailable
from gateway.telemetry.base import SilentObserver
from gateway.telemetry.bookkeeping import BookkeepingMetrics
from tests.health.test_history import CONFIG
from tests.registry.support import load_text
from tests.support.waiting import eventually

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


class Away(History):
    """A history whose database is away for as long as a test says; counts the tries."""

    is_away = True
    tries = 0

    def _look(self) -> None:
        self.tries += 1
        if self.is_away:
            raise DatabaseUnavailable("OperationalError (SQLITE_FULL)")

    async def record(self, *given: Any) -> list[IncidentChanged]:
        self._look()
        return await super().record(*given)

    async def settle(self, *given: Any) -> tuple[list[IncidentChanged], list[str]]:
        self._look()
        return await super().settle(*given)


async def _report(redis: RedisClient, *events: Event) -> None:
    await redis.execute("XADD", STREAM, "*", "e", encode(events))


def _clerk(redis: RedisClient, history: History, tmp_path: Path, told: Told, metrics: BookkeepingMetrics) -> Recorder:
    snapshot = load_text(tmp_path, CONFIG).snapshot
    return Recorder(stream_of(redis, "test"), history, lambda: snapshot, told, metrics, 30 * 86400.0)


@asynccontextmanager
async def _running(recorder: Recorder) -> AsyncIterator[None]:
    task = asyncio.create_task(recorder.run())
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
    recorder = _clerk(redis, History(database), tmp_path, told, metrics)
    async with _running(recorder):
        await redis.execute("XADD", STREAM, "*", "e", bad)
        await _report(redis, ProbeResult("q", None, "ok", NOW, 0.1), OUT)
        await eventually(lambda: told.changes, "an incident")
        [opened] = told.changes
        assert (opened.event, opened.provider, opened.cause, opened.routes) == ("opened", "p", "breaker", ("both",))

        async def taken() -> bool:
            return not await redis.execute("XLEN", STREAM)

        await eventually(taken)
        await recorder.settle()
        assert len(await checks(database)) == 1
        assert _shown(metrics) == {"p": 1.0, "q": 0.0, "open": 0.0}


async def test_reports_wait_for_the_database(
    redis: RedisClient, database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What could not be booked is booked later; what the stream lost with its server begins anew."""
    monkeypatch.setattr("gateway.health.recorder.BACKOFF", 0.02)
    told = Told()
    await _report(redis, OUT)
    async with _running(_clerk(redis, Flaky(database), tmp_path, told, BookkeepingMetrics())):
        await eventually(lambda: told.changes, "the first incident")
        await redis.execute("FLUSHALL")
        await _report(redis, DeploymentChanged("q/c", "out", "breaker", NOW))
        await eventually(lambda: len(told.changes) == 2, "the second incident")
    assert {row.provider for row in await incident_list(database)} == {"p", "q"}


async def test_trouble_is_logged_when_it_begins_and_when_it_is_over(
    redis: RedisClient,
    database: Database,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """However often it is tried meanwhile, and whether or not workers report anything."""
    monkeypatch.setattr("gateway.health.recorder.BACKOFF", 0.02)
    monkeypatch.setattr("gateway.health.recorder.SETTLE_EVERY", 0.02)
    caplog.set_level("INFO", "gateway.health")
    history = Away(database)

    def logged() -> list[tuple[str, str]]:
        return [(record.levelname, record.getMessage()) for record in caplog.records]

    cause = "DatabaseUnavailable: OperationalError (SQLITE_FULL)"
    begun = ("WARNING", f"reports of providers' health wait, and incidents are not looked at: {cause}")
    async with _running(_clerk(redis, history, tmp_path, Told(), BookkeepingMetrics())):
        await eventually(logged, "the line without any report")
        await _report(redis, OUT)
        tried = history.tries
        await eventually(lambda: history.tries > tried + 8, "more tries")
        assert logged() == [begun]
        history.is_away = False
        await eventually(lambda: len(logged()) > 1, "the line that it is over")
        tried = history.tries
        await eventually(lambda: history.tries > tried + 3, "more rounds")
    assert logged() == [begun, ("INFO", "reports of providers' health are booked again")]


async def test_what_people_did_is_told_once(redis: RedisClient, database: Database, tmp_path: Path) -> None:
    """An incident that was opened, and one that was opened and closed before anybody looked: whoever keeps the books
    tells both, in their order, and nobody tells again."""
    layout = Layout(load_text(tmp_path, CONFIG).snapshot)
    await by_hand.open_incident(database, by_hand.Told("q", "maintenance", round(NOW * SECOND)), layout, _nobody)
    short = await by_hand.open_incident(database, by_hand.Told("p", "a drill", round(NOW * SECOND)), layout, _nobody)
    await by_hand.close_incident(database, short.id, round(NOW * SECOND) + 1, _nobody)
    told = Told()
    clerks = [_clerk(redis, History(database), tmp_path, told, BookkeepingMetrics()) for _ in range(2)]
    await asyncio.gather(*(recorder.settle() for recorder in clerks))
    found = sorted((one.provider, one.cause, one.event, one.closed_at is None) for one in told.changes)
    assert found == [
        ("p", "a drill", "closed", False),
        ("p", "a drill", "opened", True),
        ("q", "maintenance", "opened", True),
    ]
    assert [one.event for one in told.changes if one.provider == "p"] == ["opened", "closed"]


async def _nobody(*_: object) -> None:
    """Nothing goes into the audit log."""
