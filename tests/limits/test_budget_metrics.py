"""What a scrape says of budgets, by a real gate on a real store."""

from __future__ import annotations

from dataclasses import replace
from math import inf

import pytest
from prometheus_client.parser import text_string_to_metric_families

from gateway.errors import InsufficientQuota
from gateway.limits.demand import Used
from gateway.limits.gate import Gate
from gateway.limits.limitset import LimitSet, Member, Names
from gateway.limits.upkeep import BUDGET_SECONDS, Upkeep
from gateway.storage.redis import RedisClient, connect
from gateway.telemetry.budgets import MOST, Budgets
from gateway.telemetry.families import BUDGET, BUDGET_REMAINING
from gateway.telemetry.metrics import Metrics
from gateway.telemetry.tallies import Tallies
from gateway.types import QuotaSpec

from .conftest import IMPATIENT, WORKER, LedgerOf, MakeGate, fresh, need, take

USD = 1_000_000_000


def budget(team: str, usd: float, period: str = "month", **more: str) -> QuotaSpec:
    return replace(QuotaSpec("team", team, "cost", period, int(usd * USD)), **more)  # type: ignore[arg-type]


def of(*specs: QuotaSpec) -> LimitSet:
    return LimitSet.of([Member(spec, spec.name) for spec in specs], Names("0", WORKER))


def scraped(metrics: Metrics, family: str = "gateway_budget_remaining_usd") -> dict[tuple[str, str, str], float]:
    """A family's series, by scope, period and amount."""
    return {
        (sample.labels["scope"], sample.labels["period"], sample.labels["amount"]): round(sample.value, 6)
        for found in text_string_to_metric_families(metrics.render().decode())
        for sample in found.samples
        if sample.name == family
    }


async def spend(gate: Gate, limits: LimitSet, *, most: float, spent: float) -> None:
    """One call from its reservation to its end."""
    reservation = await take(gate, limits, demand=need(fixed=int(most * USD)))
    gate.settle(reservation, Used(0, int(spent * USD)))


async def test_each_budget_has_its_own_series(make_gate: MakeGate) -> None:
    """Two budgets of one team stand beside each other with their amounts, whatever tells them apart; those of keys are
    not shown."""
    metrics, team = Metrics(), fresh("team")
    warns, ends = budget(team, 2.5, "day", action="alert"), budget(team, 200, "day")
    key = QuotaSpec("key", fresh(), "cost", "month", USD)
    limits = of(budget(team, 8), warns, ends, key)
    gate = make_gate(observer=metrics)
    await spend(gate, limits, most=1, spent=0.75)
    await take(gate, limits, demand=need(fixed=USD // 10))
    name = f"team:{team}"
    shown = {(name, "month", "8"): 7.25, (name, "day", "2.5"): 1.75, (name, "day", "200"): 199.25}
    assert scraped(metrics) == shown
    assert scraped(metrics, "gateway_budget_usd") == {labels: float(labels[2]) for labels in shown}


async def test_what_is_reserved_is_not_spent_and_a_refusal_tells(make_gate: MakeGate) -> None:
    """A call under way has spent nothing yet; when the budget refuses, the series says what is left of it by then."""
    metrics, team = Metrics(), fresh("team")
    limits, series = of(budget(team, 8)), (f"team:{team}", "month", "8")
    gate = make_gate(observer=metrics)
    reservation = await take(gate, limits, demand=need(fixed=6 * USD))
    assert scraped(metrics) == {series: 8.0}
    gate.settle(reservation, Used(0, int(7.5 * USD)))
    with pytest.raises(InsufficientQuota):
        await take(gate, limits, demand=need(fixed=USD))
    assert scraped(metrics) == {series: 0.5}


async def test_calls_that_ended_and_those_of_others_are_seen(make_gate: MakeGate, redis: RedisClient) -> None:
    """Every few seconds, without another call here: what the last one came to, and what another replica spent."""
    metrics, team, now = Metrics(), fresh("team"), [0.0]
    limits, series = of(budget(team, 8)), (f"team:{team}", "month", "8")
    here, there = make_gate(observer=metrics), make_gate()
    upkeep = Upkeep(here, redis, WORKER, lambda: now[0])
    await spend(here, limits, most=3, spent=2)
    await here.close()
    await upkeep.tick()
    assert scraped(metrics) == {series: 8.0}
    now[0] += BUDGET_SECONDS
    await upkeep.tick()
    assert scraped(metrics) == {series: 6.0}
    await spend(there, limits, most=3, spent=1.5)
    held = await take(there, limits, demand=need(fixed=USD))
    await there.close()
    now[0] += BUDGET_SECONDS
    await upkeep.tick()
    assert scraped(metrics) == {series: 4.5}
    there.release(held)


async def test_another_life_of_the_store_and_another_period_are_not_told(make_gate: MakeGate) -> None:
    """Counters that are not believed any more say nothing, nor do those of a period that is over."""
    metrics, team = Metrics(), fresh("team")
    limits, series = of(budget(team, 8, "minute")), (f"team:{team}", "minute", "8")
    gate = make_gate(observer=metrics)
    await spend(gate, limits, most=3, spent=2)
    await gate.close()
    await gate.spent.look(gate.store_clock() + 120)
    await gate.spent.look(gate.store_clock())
    assert scraped(metrics) in ({series: 8.0}, {})
    shard = fresh("shard")
    limits = LimitSet.of([Member(budget(team, 8), team)], Names(shard, WORKER))
    await spend(gate, limits, most=3, spent=2)
    await gate.close()
    await gate.epochs.rotate(shard)
    await gate.spent.look(gate.store_clock())
    assert scraped(metrics)[f"team:{team}", "month", "8"] == 8.0


async def test_without_the_store_nothing_new_is_known(make_gate: MakeGate, ledger: LedgerOf) -> None:
    """The ledger's yes and no say not how much is left: the series stays as it was."""
    metrics, team = Metrics(), fresh("team")
    limits, series = of(budget(team, 8)), (f"team:{team}", "month", "8")
    gate = make_gate(observer=metrics)
    await spend(gate, limits, most=3, spent=3)
    await take(gate, limits, demand=need(fixed=USD))
    away = connect("unix:///nowhere/redis.sock", IMPATIENT)
    alone = make_gate(redis=away, observer=metrics)
    ledger.spent = 3 * USD
    await take(alone, limits, demand=need(fixed=USD))
    with pytest.raises(InsufficientQuota):
        await take(alone, limits, demand=need(fixed=5 * USD))
    assert scraped(metrics) == {series: 5.0}
    await away.close()


async def test_a_period_that_is_over_is_not_shown() -> None:
    """Its last value is nobody's any more, whether or not anybody calls; the next call begins the next period's."""
    now, tallies, spec = [100.0], Tallies("one"), budget("research", 8)
    budgets = Budgets(tallies, lambda: now[0])
    series = ("team:research", "month", "8")

    def shown() -> list[float]:
        gauges = budgets.current(tallies.copy()).gauges
        return [
            gauges[family.name][series][0] for family in (BUDGET_REMAINING, BUDGET) if series in gauges[family.name]
        ]

    budgets.tell(spec, "research", 7 * USD, 200.0)
    assert shown() == [1.0, 8.0]
    now[0] = 200.0
    assert shown() == []
    budgets.tell(spec, "research", 0, 300.0)
    assert shown() == [8.0, 8.0]


async def test_a_budget_that_is_gone_is_not_shown() -> None:
    """A reload that raises an amount or removes a budget ends its series, also for a call that began before."""
    metrics = Metrics()
    small, large, other = budget("research", 8), budget("research", 80), budget("sales", 5)
    metrics.quota_used(small, "research", 7 * USD, 0, inf)
    metrics.quota_used(other, "sales", 0, 0, inf)
    metrics.keep_budgets([large, other])
    metrics.quota_used(small, "research", 7 * USD, 0, inf)
    assert scraped(metrics) == {("team:sales", "month", "5"): 5.0}
    metrics.quota_used(large, "research", 7 * USD, 0, inf)
    assert scraped(metrics)["team:research", "month", "80"] == 73.0
    metrics.quota_used(replace(large, action="alert"), "research", 8 * USD, 0, inf)
    assert scraped(metrics)["team:research", "month", "80"] == 72.0


async def test_series_are_bounded() -> None:
    """However many budgets there are, so many are shown; the places of those that are over are taken by others."""
    now, tallies = [0.0], Tallies("one")
    budgets = Budgets(tallies, lambda: now[0])
    for at in range(2 * MOST):
        budgets.tell(budget(f"team{at}", 1), f"team{at}", 0, 60.0)
    assert len(budgets.current(tallies.copy()).gauges[BUDGET_REMAINING.name]) == MOST
    now[0] = 61.0
    budgets.tell(budget("late", 1), "late", 0, 120.0)
    assert list(budgets.current(tallies.copy()).gauges[BUDGET_REMAINING.name]) == [("team:late", "month", "1")]
