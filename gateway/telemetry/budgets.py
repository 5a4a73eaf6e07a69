"""What is left of budgets, as metrics: one series for each budget and period, gone when the period or the budget is."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import NamedTuple

from gateway.telemetry import families
from gateway.telemetry.tallies import Labels, Snapshot, Tallies
from gateway.types import QuotaSpec

MOST = 1000
"""Series at a time; budgets beyond are not shown. A sum of them would be nobody's."""
_UNNAMED = ("key", "user")
"""Scopes whose members are no labels."""

Mark = tuple[str, str, str, int]


class _Shown(NamedTuple):
    quota: QuotaSpec
    """Kept, so that its id stays its own."""
    labels: Labels
    until: float


class Budgets:
    """Told on the event loop; `current` may be asked in any thread."""

    def __init__(self, tallies: Tallies, wall: Callable[[], float] = time.time) -> None:
        self._remaining = tallies.gauge(families.BUDGET_REMAINING)
        self._amount = tallies.gauge(families.BUDGET)
        self._wall = wall
        self._known: frozenset[Mark] | None = None
        self._shown: dict[tuple[int, str], _Shown] = {}
        self._until: dict[Labels, float] = {}
        """When the period ends that each series speaks of; Unix seconds."""

    def tell(self, quota: QuotaSpec, owner: str, spent: int, until: float) -> None:
        """So much (nano-USD) is spent in the period that ends at `until`."""
        if quota.kind != "cost" or quota.scope in _UNNAMED:
            return
        shown = self._shown.get((id(quota), owner))
        if shown is None or shown.until != until:
            shown = self._show(quota, owner, until)
        if shown is not None:
            self._remaining.set(shown.labels, max(0, quota.amount - spent) * 1e-9)

    def _show(self, quota: QuotaSpec, owner: str, until: float) -> _Shown | None:
        if self._known is not None and _mark(quota) not in self._known:
            return None  # a call that began before a reload
        name = owner if quota.scope == owner else f"{quota.scope}:{owner}"
        labels = (name, quota.period, f"{quota.amount / 1e9:.15g}")
        if labels not in self._until and len(self._until) >= MOST:
            self._forget([one for one, end in self._until.items() if end <= self._wall()])
            if len(self._until) >= MOST:
                return None
        if len(self._shown) >= 2 * MOST:
            self._shown.clear()
        self._until[labels] = until
        self._amount.set(labels, quota.amount * 1e-9)
        shown = self._shown[id(quota), owner] = _Shown(quota, labels, until)
        return shown

    def keep(self, quotas: Iterable[QuotaSpec]) -> None:
        """Forget every other budget: a reload removed it, or gave it another amount."""
        self._known = frozenset(map(_mark, quotas))
        gone = [one for one in self._shown.values() if _mark(one.quota) not in self._known]
        self._shown.clear()
        self._forget([one.labels for one in gone])

    def _forget(self, series: Iterable[Labels]) -> None:
        for labels in series:
            self._until.pop(labels, None)
            self._remaining.rows.pop(labels, None)
            self._amount.rows.pop(labels, None)

    def current(self, copied: Snapshot) -> Snapshot:
        """The copy, without the budgets whose period is over: of the next one nobody knows anything yet."""
        now = self._wall()
        for labels in [one for one, end in tuple(self._until.items()) if end <= now]:
            for family in (families.BUDGET_REMAINING, families.BUDGET):
                copied.gauges[family.name].pop(labels, None)
        return copied


def _mark(quota: QuotaSpec) -> Mark:
    """A budget's own; what happens at its end may differ, as it does for calls that were sent to another model."""
    return quota.scope, quota.name, quota.period, quota.amount
