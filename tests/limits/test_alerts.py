"""Alerts about quotas: once for each owner, period and level, whoever notices."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable
from dataclasses import replace

import pytest

from gateway.limits.alerts import QuotaAlerts
from gateway.limits.periods import period_of
from gateway.ports import QuotaAlert
from gateway.storage.embedded import EmbeddedRedis
from gateway.storage.redis import RedisClient, RedisOptions, connect
from gateway.types import QuotaSpec

from .conftest import fresh

Worker = Callable[..., QuotaAlerts]
END = period_of("month", "UTC", time.time()).end
"""When this month ends, with which such a quota is renewed."""


@pytest.fixture
def told() -> list[QuotaAlert]:
    return []


@pytest.fixture
async def worker(redis: RedisClient, told: list[QuotaAlert]) -> AsyncIterator[Worker]:
    """Makes workers on the shared server; all tell the same list."""
    made: list[QuotaAlerts] = []

    def make(wall: Callable[[], float] = time.time) -> QuotaAlerts:
        made.append(QuotaAlerts(redis, told.append, wall))
        return made[-1]

    yield make
    for one in made:
        await one.close()


def quota(**changes: object) -> QuotaSpec:
    base = QuotaSpec("team", fresh(), "cost", "month", 1000, soft=0.8)
    return replace(base, **changes)  # type: ignore[arg-type]


async def test_each_level_is_told_once(worker: Worker, told: list[QuotaAlert]) -> None:
    """Nothing below the threshold; then one alert for it and one at the end, from all workers together."""
    workers, spec = [worker(), worker(), worker()], quota()
    for used in (0, 10, 799, 800, 801, 900, 999, 1000, 1000, 5000):
        for one in workers:
            one.quota_used(spec, spec.name, used, 0, END)
        for one in workers:
            await one.close()
    assert [(alert.level, alert.used) for alert in told] == [("soft", 800), ("exceeded", 1000)]
    first = told[0]
    assert (first.scope, first.quota, first.owner, first.kind) == ("team", spec.name, spec.name, "cost")
    assert (first.period, first.amount, first.share, first.action) == ("month", 1000, 0.8, "reject")


async def test_a_jump_tells_the_end_alone(worker: Worker, told: list[QuotaAlert]) -> None:
    """Who goes past both marks at once hears of the second only."""
    one, spec = worker(), quota()
    for used in (100, 1200, 850):
        one.quota_used(spec, spec.name, used, 0, END)
        await one.close()
    assert [alert.level for alert in told] == ["exceeded"]


async def test_without_a_threshold(worker: Worker, told: list[QuotaAlert]) -> None:
    """A quota without `soft` is told when it is used up."""
    one, spec = worker(), quota(soft=None)
    for used in (999, 1000):
        one.quota_used(spec, spec.name, used, 0, END)
        await one.close()
    assert [alert.level for alert in told] == ["exceeded"]


async def test_a_refusal_is_the_end(worker: Worker, told: list[QuotaAlert]) -> None:
    """A hard quota that refuses a call near its end is used up; far from it, that call was too large."""
    one, spec = worker(), quota()
    one.quota_exhausted(spec, spec.name, 300, 0, END)
    await one.close()
    assert told == []
    one.quota_exhausted(spec, spec.name, 950, 0, END)
    one.quota_exhausted(spec, spec.name, 960, 0, END)
    await one.close()
    assert [(alert.level, alert.share) for alert in told] == [("exceeded", 0.95)]


async def test_every_period_and_owner_by_itself(worker: Worker, told: list[QuotaAlert]) -> None:
    """The next period is told anew, and so is every owner; a raised amount is another quota."""
    now = time.time()
    today = period_of("day", "UTC", now).end
    one, spec = worker(), quota(period="day")
    for _ in range(2):
        one.quota_used(spec, spec.name, 900, 0, today)
        one.quota_used(spec, f"{spec.name}:other", 900, 0, today)
    tomorrow = today + 86_400
    one.quota_used(spec, spec.name, 900, 0, tomorrow)
    one.quota_used(replace(spec, amount=1100), spec.name, 900, 0, tomorrow)
    # The same after a reload, which makes every quota anew.
    one.quota_used(replace(spec), spec.name, 900, 0, tomorrow)
    await one.close()
    assert len(told) == 4
    assert [alert.owner for alert in told].count("other") == 1
    assert len({alert.period_start for alert in told}) == 2


@pytest.mark.parametrize("ahead", [-20.0, 0.0, 20.0])
async def test_a_period_ends_by_the_clock_that_it_is_counted_by(
    worker: Worker, told: list[QuotaAlert], ahead: float
) -> None:
    """A worker whose clock is seconds off tells of the period that was used up, and of the next one, too."""
    end = period_of("day", "UTC", time.time()).end
    now = [end - 10.0 + ahead]
    one, other, spec = worker(lambda: now[0]), worker(lambda: now[0] - ahead), quota(period="day")
    one.quota_used(spec, spec.name, 1000, 0, end)
    await one.close()
    other.quota_used(spec, spec.name, 1001, 0, end)
    now[0] += 15.0
    one.quota_used(spec, spec.name, 1000, 0, end + 86_400)
    one.quota_used(spec, spec.name, 1002, 0, end)  # of a call that began before
    await one.close()
    assert [(alert.period_start, alert.used) for alert in told] == [(end - 86_400, 1000), (end, 1000)]


async def test_users_are_not_named(worker: Worker, told: list[QuotaAlert]) -> None:
    """Each user is told of once, and none by name."""
    one, spec = worker(), quota(scope="user", name="each-user")
    team = fresh()
    for user in ("hash-1", "hash-2", "hash-1"):
        one.quota_used(spec, f"each-user:team:{team}/{user}", 1000, 0, END)
    await one.close()
    assert [(alert.quota, alert.owner) for alert in told] == [("each-user", None)] * 2
    assert "hash-" not in repr(told)


async def test_without_the_store_every_worker_tells_once(own_server: EmbeddedRedis, told: list[QuotaAlert]) -> None:
    """Better twice than never; and who told already does not again when the store is back."""
    client = connect(own_server.url, RedisOptions(timeout=1.0))
    workers, spec = [QuotaAlerts(client, told.append) for _ in range(2)], quota()
    own_server.stop()
    for _ in range(3):
        for one in workers:
            one.quota_used(spec, spec.name, 1000, 0, END)
            await one.close()
    assert len(told) == 2
    own_server.start()
    for one in workers:
        one.quota_used(spec, spec.name, 1001, 0, END)
        await one.close()
    assert len(told) == 2
    await client.close()
