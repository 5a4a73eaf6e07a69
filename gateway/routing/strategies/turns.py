"""Taking turns: smooth weighted round robin, as nginx does it.

https://github.com/phusion/nginx/commit/27e94984486058d73157038f7950a0a36ecc6e35
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import gcd
from random import Random

from gateway.registry.snapshot import Target
from gateway.routing.facts import Facts, Turns

MOST_STEPS = 256
"""How far into its cycle a worker begins at most."""


def round_robin(targets: Sequence[Target], facts: Facts) -> Sequence[Target]:
    """Each in its turn, as often as its weight says, never bunched; then those whose turns are next. Weight 0 comes
    last."""
    if not facts.turns:
        facts.turns.update(start(targets, facts.chance))
    ordered, moved = turn(targets, facts.turns)
    facts.turns.update(moved)
    return ordered


def turn(targets: Sequence[Target], turns: Mapping[str, float]) -> tuple[Sequence[Target], Turns]:
    """The order of one turn, and how far each turn has come after it.

    Every turn comes nearer by its target's weight; the nearest is taken and falls back by the weights of all. Over one
    cycle each target is taken exactly as often as its weight says.
    """
    total = sum(target.weight for target in targets)
    if total == 0:
        return targets, {}
    moved = {target.deployment.id: turns.get(target.deployment.id, 0.0) + target.weight for target in targets}
    ordered = sorted(targets, key=lambda target: (target.weight > 0, moved[target.deployment.id]), reverse=True)
    moved[ordered[0].deployment.id] -= total
    return ordered, moved


def start(targets: Sequence[Target], chance: Random) -> Turns:
    """Somewhere in the cycle: workers that begin together do not all begin with the same target."""
    weights = [target.weight for target in targets]
    cycle = sum(weights) // max(1, gcd(*weights))
    turns: Turns = {target.deployment.id: 0.0 for target in targets}
    for _ in range(chance.randrange(max(1, min(cycle, MOST_STEPS)))):
        turns.update(turn(targets, turns)[1])
    return turns
