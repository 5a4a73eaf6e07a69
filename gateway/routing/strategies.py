"""In which order a rule's targets are tried: pure functions over targets and a source of chance, found by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from random import Random
from types import MappingProxyType

from gateway.registry.snapshot import Target

Strategy = Callable[[Sequence[Target], Random], Sequence[Target]]


def priority(targets: Sequence[Target], _: Random) -> Sequence[Target]:
    """As written."""
    return targets


def weighted(targets: Sequence[Target], chance: Random) -> Sequence[Target]:
    """First by weight at random, then the others likewise: a draw without replacement. Weight 0 comes last.

    Keys u^(1/w) sorted downward give exactly that (Efraimidis and Spirakis, 2006).
    """
    if len(targets) == 1:
        return targets

    def rank(target: Target) -> float:
        return chance.random() ** (1.0 / target.weight) if target.weight > 0 else -1.0

    return sorted(targets, key=rank, reverse=True)


STRATEGIES: Mapping[str, Strategy] = MappingProxyType({"priority": priority, "weighted": weighted})


def order(strategy: str, targets: Sequence[Target], chance: Random) -> Sequence[Target]:
    """The targets in the order to try; a strategy without an entry of its own keeps the written order."""
    return STRATEGIES.get(strategy, priority)(targets, chance)
