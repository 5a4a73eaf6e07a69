"""By the price of this very request."""

from __future__ import annotations

from collections.abc import Sequence
from math import inf

from gateway.registry.snapshot import Target
from gateway.routing.facts import Facts
from gateway.routing.strategies.draws import weighted


def cost_optimized(targets: Sequence[Target], facts: Facts) -> Sequence[Target]:
    """The cheapest first, for its estimated input and the output that it allows or that calls like it have had. What
    has no known price is not free: it comes last. Weights decide between equals; weight 0 is for when all others
    fail."""

    def cost(target: Target) -> tuple[bool, float]:
        known = facts.senses.cost_of(facts.call, facts.route, target.deployment)
        return target.weight == 0, inf if known is None else known

    return sorted(weighted(targets, facts), key=cost)
