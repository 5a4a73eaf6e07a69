"""In which order a rule's targets are tried: pure functions over targets and facts, found by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

from gateway.registry.snapshot import Target
from gateway.routing.facts import Facts
from gateway.routing.strategies.costs import cost_optimized
from gateway.routing.strategies.draws import priority, weighted
from gateway.routing.strategies.loads import least_busy, least_latency, usage_based
from gateway.routing.strategies.stickiness import sticky
from gateway.routing.strategies.turns import round_robin

Strategy = Callable[[Sequence[Target], Facts], Sequence[Target]]
PRIORITY = "priority"

STRATEGIES: Mapping[str, Strategy] = MappingProxyType(
    {
        PRIORITY: priority,
        "weighted": weighted,
        "round_robin": round_robin,
        "least_latency": least_latency,
        "least_busy": least_busy,
        "cost_optimized": cost_optimized,
        "usage_based": usage_based,
        "sticky": sticky,
    }
)


def order(strategy: str, targets: Sequence[Target], facts: Facts) -> Sequence[Target]:
    """The targets in the order to try."""
    return STRATEGIES[strategy](targets, facts)
