"""How much is left of each deployment's own limits, as this worker heard it last."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from gateway.limits.limitset import QUOTA, RATE, SLOTS, STATE, LimitSet
from gateway.ports import Clock
from gateway.types import Deployment

MOST = 10_000
"""Deployments that are remembered."""
SLOT_SECONDS = 30.0
"""Slots have no schedule: what was heard of them is believed less and less over this time."""


class _Heard(NamedTuple):
    share: float
    at: float
    refill: float
    """Of the whole, per second."""


class Headroom:
    """Told of every reservation of a deployment's limits; asked when a route goes by what is left."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._heard: dict[str, _Heard] = {}

    def told(self, deployment: Deployment, limits: LimitSet, reply: Sequence[float]) -> None:
        """The store's reply to a reservation of this set."""
        shares = [share for at, row in enumerate(limits.rows) if (share := _share(row, reply[STATE + 2 * at]))]
        if shares:
            self._keep(deployment, *min(shares))

    def full(self, deployment: Deployment, seconds: float | None) -> None:
        """Nothing is left, until then."""
        self._keep(deployment, 0.0, 1.0 / seconds if seconds else 0.0)

    def of(self, deployment: Deployment) -> float | None:
        """The share that is left of the tightest limit, refilled since; None while nothing was heard."""
        heard = self._heard.get(deployment.id)
        if heard is None:
            return None
        return min(1.0, heard.share + heard.refill * (self._clock() - heard.at))

    def _keep(self, deployment: Deployment, share: float, refill: float) -> None:
        if len(self._heard) >= MOST:
            self._heard.clear()
        self._heard[deployment.id] = _Heard(share, self._clock(), refill)


def _share(row: Sequence[float], state: float) -> tuple[float, float] | None:
    """What is left of one limit, and how fast it comes back."""
    kind, capacity = row[0], max(1.0, row[1])
    if kind == RATE:
        return state / capacity, 1e6 / (row[2] * capacity)
    if kind == SLOTS:
        return state / capacity, 1.0 / SLOT_SECONDS
    return (max(0.0, 1.0 - state / capacity), 0.0) if kind == QUOTA else None
