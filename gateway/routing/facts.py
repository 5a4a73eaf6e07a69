"""What decisions look at besides the call and the configuration."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from random import Random

import msgspec

from gateway.ports import Clock, Conditions
from gateway.types import Call, Condition, Deployment

MOST_UNWATCHED = 10_000
Turns = dict[str, float]
"""Of a route that takes turns: how far each deployment's turn has come, by id."""
CostOf = Callable[[Call, str, Deployment], int | None]
"""What this call of a route (by name) is expected to cost there, in nano-USD; None: the price is not known."""
HeadroomOf = Callable[[Deployment], float | None]
"""The share that is left of the tightest limit of our own; None while nothing is known."""


class Unwatched:
    """Conditions of deployments that nobody watches: all are well, unless somebody writes otherwise."""

    def __init__(self) -> None:
        self._conditions: dict[str, Condition] = {}

    def of(self, deployment: Deployment) -> Condition:
        """Always the same object for one deployment's id."""
        return self.named(deployment.id)

    def named(self, deployment: str) -> Condition:
        """As `of`, by the id."""
        found = self._conditions.get(deployment)
        if found is None:
            if len(self._conditions) >= MOST_UNWATCHED:
                self._conditions.clear()
            found = self._conditions[deployment] = Condition(deployment)
        return found


def _unknown_cost(call: Call, route: str, deployment: Deployment) -> int | None:
    del call, route, deployment
    return None


def _unknown_headroom(deployment: Deployment) -> float | None:
    del deployment
    return None


@dataclass(frozen=True, slots=True)
class Senses:
    """How the planner learns what is so at the moment. Each answers at once, without I/O."""

    conditions: Conditions = field(default_factory=Unwatched)
    clock: Clock = time.monotonic
    """Of the same seconds as `Condition.out_until`."""
    cost_of: CostOf = _unknown_cost
    headroom_of: HeadroomOf = _unknown_headroom


class Facts(msgspec.Struct, eq=False):
    """What a strategy may look at. `chance` and `turns` are all that it may change."""

    call: Call
    route: str
    senses: Senses
    chance: Random
    turns: Turns
    sticky_on: Sequence[str] = ()

    def condition(self, deployment: Deployment) -> Condition:
        """How it is doing."""
        return self.senses.conditions.of(deployment)
