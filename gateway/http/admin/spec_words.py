"""Limits and quotas back in the notation of the configuration file."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable

    from gateway.types import LimitSpec, QuotaSpec

_UNITS = {1.0: "s", 60.0: "min", 3600.0: "h", 86400.0: "day"}
_NANO = 1_000_000_000


def limits_of(specs: Iterable[LimitSpec]) -> dict[str, Any]:
    """By kind: `60/min`, `{"rate": "60/min", "burst": 5}`, or a number of slots."""
    return {spec.kind: _limit(spec) for spec in specs}


def quotas_of(specs: Iterable[QuotaSpec]) -> list[dict[str, Any]]:
    """One mapping for each amount."""
    return [_quota(spec) for spec in specs]


def _limit(spec: LimitSpec) -> Any:
    if spec.kind == "concurrency":
        return spec.count
    period = spec.period * spec.count / spec.capacity
    rate = f"{spec.count}/{_UNITS.get(round(period, 6), f'{period:g}s')}"
    return rate if spec.capacity == spec.count else {"rate": rate, "burst": spec.capacity}


def _quota(spec: QuotaSpec) -> dict[str, Any]:
    amount: float = spec.amount
    found: dict[str, Any] = {
        "period": spec.period,
        spec.kind: amount / _NANO if spec.kind == "cost" else amount,
        "zone": spec.zone,
        "action_on_exceed": {"downgrade": spec.downgrade_to} if spec.action == "downgrade" else spec.action,
    }
    return found if spec.soft is None else found | {"soft": spec.soft}
