"""Strategies that look at nothing but the configuration: as written, and by chance."""

from __future__ import annotations

from collections.abc import Sequence

from gateway.registry.snapshot import Target
from gateway.routing.facts import Facts


def priority(targets: Sequence[Target], facts: Facts) -> Sequence[Target]:
    """As written."""
    del facts
    return targets


def weighted(targets: Sequence[Target], facts: Facts) -> Sequence[Target]:
    """First by weight at random, then the others likewise: a draw without replacement. Weight 0 comes last.

    Keys u^(1/w) sorted downward give exactly that (Efraimidis and Spirakis, 2006).
    """
    if len(targets) == 1:
        return targets
    random = facts.chance.random

    def rank(target: Target) -> float:
        return random() ** (1.0 / target.weight) if target.weight > 0 else -1.0

    return sorted(targets, key=rank, reverse=True)
