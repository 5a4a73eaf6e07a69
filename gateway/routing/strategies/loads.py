"""Strategies that look at how deployments are doing: how fast, how busy, how much of their rate limits is left.

Who always takes the best sends everybody there at once. So two are drawn by weight, and the better of them is taken
(Mitzenmacher: The power of two choices in randomized load balancing, 2001); and what calls are under way counts.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import inf

from gateway.registry.snapshot import Target
from gateway.routing.facts import Facts
from gateway.routing.strategies.draws import weighted

EXPLORE = 0.02
"""The share of calls that take the drawn one unseen: what was slow once is measured again."""
Score = tuple[float, float]
"""Smaller is better."""


def least_latency(targets: Sequence[Target], facts: Facts) -> Sequence[Target]:
    """The faster of two: the time to the first byte for streams, of the whole answer for others, times the calls that
    are under way already (Finagle's peak EWMA). Of what was never measured, one call at a time finds out."""
    drawn = weighted(targets, facts)
    if len(drawn) > 1 and facts.chance.random() < EXPLORE:
        return drawn

    def score(target: Target) -> Score:
        condition = facts.condition(target.deployment)
        streamed, whole = condition.ttft, condition.duration
        seconds = streamed if facts.call.stream else whole
        if seconds is None:
            seconds = whole if facts.call.stream else streamed
        if seconds is None:
            return (inf if condition.in_flight else 0.0, condition.in_flight)
        return seconds * (condition.in_flight + 1), condition.in_flight

    return better_of_two(drawn, score)


def least_busy(targets: Sequence[Target], facts: Facts) -> Sequence[Target]:
    """By calls under way for each unit of weight; chance decides between equals. Weight 0 comes last."""

    def load(target: Target) -> float:
        in_flight = facts.condition(target.deployment).in_flight
        return (in_flight + 1) / target.weight if target.weight else inf

    return sorted(weighted(targets, facts), key=load)


def usage_based(targets: Sequence[Target], facts: Facts) -> Sequence[Target]:
    """The one of two with more left of its rate limits: by the provider's own headers and by our own limits, whichever
    says less. What is not known counts as unused. Of what was told too long ago, one call at a time finds out: who had
    little left would have no calls, and so no headers, ever after."""
    drawn = weighted(targets, facts)
    now = facts.senses.clock()

    def score(target: Target) -> Score:
        condition = facts.condition(target.deployment)
        old = condition.headroom_until <= now and not condition.in_flight
        told = (None if old else condition.headroom, facts.senses.headroom_of(target.deployment))
        return -min((share for share in told if share is not None), default=1.0), condition.in_flight

    return better_of_two(drawn, score)


def better_of_two(drawn: Sequence[Target], score: Callable[[Target], Score]) -> Sequence[Target]:
    """Of those drawn, the better of the first two, then all others from the best down. Weight 0 is not drawn."""
    if len(drawn) == 1:
        return drawn
    scores = {target.deployment.id: score(target) for target in drawn}

    def rank(target: Target) -> tuple[bool, Score]:
        return target.weight == 0, scores[target.deployment.id]

    first = min(drawn[:2], key=rank)
    return [first, *sorted((target for target in drawn if target is not first), key=rank)]
