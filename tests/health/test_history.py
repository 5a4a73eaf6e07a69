"""Probes, states and incidents on both kinds of database."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import func, insert, select, update

from gateway.health.events import Event, Failures, Recovered
from gateway.health.history import STATES_KEPT, History
from gateway.health.incidents import CLOSE_AFTER, SECOND
from gateway.health.layout import Layout
from gateway.health.reports import checks, incident_list, last_checks, states
from gateway.ports import DeploymentChanged, ProbeResult
from gateway.storage.sql.health_tables import health_checks
from tests.registry.support import load_text

if TYPE_CHECKING:
    from pathlib import Path

    from gateway.storage.sql.database import Database

CONFIG = """
providers:
  p: {type: openai_compatible, base_url: 'https://p.example/v1', models: [a, b]}
  q: {type: openai_compatible, base_url: 'https://q.example/v1', models: [c]}
  open: {type: openai_compatible, base_url: 'https://o.example/v1'}
routes:
  - {name: both, match: {model: x}, targets: [{provider: p, model: a}, {provider: q, model: c}]}
  - {name: other, match: {model: y}, targets: [{provider: p, model: b}]}
"""


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    return Layout(load_text(tmp_path, CONFIG).snapshot)


def probe(at: float, outcome: str = "5xx", provider: str = "p", deployment: str | None = None) -> ProbeResult:
    return ProbeResult(provider, deployment, outcome, at, 0.25)


def out(at: float, deployment: str = "p/a", state: str = "out", cause: str = "breaker") -> DeploymentChanged:
    return DeploymentChanged(deployment, state, cause, at)


class Books:
    """A history, and entries with ids of their own."""

    def __init__(self, database: Database, layout: Layout) -> None:
        self.history = History(database)
        self._layout = layout
        self._entry = 0

    async def tell(self, *events: Event) -> list[str]:
        """Record these as one entry; the providers whose incidents it opens."""
        self._entry += 1
        opened = await self.history.record([(f"{self._entry}-0", events)], self._layout)
        assert all(change.event == "opened" for change in opened)
        return [change.provider for change in opened]


@pytest.fixture
def books(database: Database, layout: Layout) -> Books:
    return Books(database, layout)


async def test_the_life_of_an_incident(books: Books, database: Database, layout: Layout) -> None:
    """It opens with the second probe that fails, takes up what fails meanwhile, names deployments and routes, and ends
    a minute after everything is well."""
    assert await books.tell(probe(1, "ok"), probe(10, "connect_refused")) == []
    assert await books.tell(probe(20, "connect_refused")) == ["p"]
    assert await books.tell(Failures("p/a", "5xx", 4, 11, 25), out(26), probe(30, "ok", "q")) == []
    [row] = await incident_list(database, only_open=True)
    assert (row.provider, row.cause, row.failures) == ("p", "connect_refused", 6)
    assert (row.first_failure, row.last_failure, row.closed_at) == (10 * SECOND, 26 * SECOND, None)
    assert (row.deployments, row.routes) == (["p/a", "p/b"], ["both", "other"])
    await books.tell(probe(40, "ok"), Recovered("p/a", 41))
    assert await books.history.settle(41 * SECOND + CLOSE_AFTER - 1, layout) == ([], ["p"])
    [closed], going_on = await books.history.settle(41 * SECOND + CLOSE_AFTER, layout)
    assert (closed.event, closed.id, closed.closed_at, going_on) == ("closed", row.id, 41.0, [])
    assert closed.routes == ("both", "other")
    assert await books.history.settle(10**15, layout) == ([], [])
    assert await incident_list(database, only_open=True) == []
    assert await books.tell(out(1000)) == ["p"]
    newest, oldest = await incident_list(database)
    assert (newest.closed_at, newest.deployments, newest.routes) == (None, ["p/a"], ["both"])
    assert (oldest.id, oldest.closed_at) == (row.id, 41 * SECOND)
    assert [found.id for found in await incident_list(database, provider="p", since=50 * SECOND)] == [newest.id]
    assert await incident_list(database, provider="q") == []


async def test_providers_have_incidents_of_their_own(books: Books, database: Database, layout: Layout) -> None:
    """Two providers that fail are two incidents; one that nobody configured any more is over."""
    assert await books.tell(out(1), out(2, "q/c"), out(3, "gone/m"), out(4, "open/anything")) == [
        "p",
        "q",
        "gone",
        "open",
    ]
    closed, going_on = await books.history.settle(5 * SECOND, layout)
    assert (closed, sorted(going_on)) == ([], ["gone", "open", "p", "q"])
    closed, going_on = await books.history.settle(5 * SECOND + CLOSE_AFTER, layout)
    assert [change.provider for change in closed] == ["gone"]
    assert len(await incident_list(database, only_open=True)) == 3


async def test_what_comes_twice_is_kept_once(books: Books, database: Database) -> None:
    """A probe that is told again, as after a crash, is the same probe, and opens nothing."""
    for _ in range(3):
        books._entry = 0
        assert await books.tell(probe(10)) == []
    assert len(await checks(database)) == 1


async def test_the_last_word(books: Books, database: Database) -> None:
    """Of each provider and deployment the newest probe is known; of each deployment its state, since when it is so,
    however often it is told."""
    await books.tell(probe(1, "ok"), probe(2), probe(3, "ok", deployment="p/a"), probe(1, "ok", "q"))
    found = [(check.provider, check.deployment, check.outcome, check.at) for check in await last_checks(database)]
    assert sorted(found, key=str) == sorted(
        [("p", None, "5xx", 2 * SECOND), ("p", "p/a", "ok", 3 * SECOND), ("q", None, "ok", SECOND)], key=str
    )
    assert [check.at for check in await checks(database, "p", since=2 * SECOND)] == [3 * SECOND, 2 * SECOND]
    assert [check.at for check in await checks(database, limit=1)] == [3 * SECOND]
    await books.tell(out(10), out(12), out(11, state="healthy", cause=""), out(5, "p/b", "degraded", "ttfb_timeout"))
    told = {s.deployment: (s.state, s.cause, s.since, s.heard) for s in await states(database)}
    assert told == {
        "p/a": ("out", "breaker", 10 * SECOND, 12 * SECOND),
        "p/b": ("degraded", "ttfb_timeout", 5 * SECOND, 5 * SECOND),
    }


async def test_what_is_old_is_forgotten(books: Books, database: Database, layout: Layout) -> None:
    """Probes and incidents go after their time, open incidents never, states when nobody has confirmed them."""
    await books.tell(probe(10), probe(20), probe(100, "ok"), out(30, "q/c"))
    await books.history.settle(161 * SECOND, layout)
    await books.history.prune(101 * SECOND, 30 * SECOND + STATES_KEPT + 1)
    assert await checks(database) == []
    assert [row.provider for row in await incident_list(database)] == ["q"]
    assert await states(database) == []


async def test_two_bookkeepers_open_one(database: Database, layout: Layout) -> None:
    """Reports of the same trouble that two processes book at once make one incident."""
    histories = [History(database) for _ in range(4)]
    opened = await asyncio.gather(
        *(history.record([(f"{n}-0", [out(10.0 + n)])], layout) for n, history in enumerate(histories))
    )
    assert sum(map(len, opened)) == 1
    assert len(await incident_list(database)) == 1


async def test_closing_is_told_once(books: Books, database: Database, layout: Layout) -> None:
    """Of several processes that look at the same time one closes an incident."""
    await books.tell(out(1), out(2, state="healthy", cause=""))
    looks = (History(database).settle(2 * SECOND + CLOSE_AFTER, layout) for _ in range(4))
    assert sum(len(closed) for closed, _ in await asyncio.gather(*looks)) == 1


@pytest.mark.parametrize("count", [2000])
async def test_many_probes(database: Database, count: int) -> None:
    """The report of the newest probes reads no more than it shows."""
    rows = [
        {"event": str(n), "provider": f"p{n % 7}", "deployment": None, "at": n, "outcome": "ok", "seconds": 0.1}
        for n in range(count)
    ]
    async with database.begin() as connection:
        await connection.execute(insert(health_checks), rows)
        await connection.execute(update(health_checks).where(health_checks.c.event == "0").values(outcome="5xx"))
        assert await connection.scalar(select(func.count()).select_from(health_checks)) == count
    assert len(await last_checks(database)) == 7
    assert len(await checks(database)) == 1000
