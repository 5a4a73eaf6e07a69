"""From a rule and what is so at the moment to a plan: who is left out, and in which order the others are tried.

Pure but for the turns and the source of chance that it is given.
"""

from __future__ import annotations

from math import inf

import msgspec

from gateway.errors import ContextTooLong, GatewayError
from gateway.ports import Clock, Conditions
from gateway.registry.snapshot import Route, Target
from gateway.routing.facts import Facts
from gateway.routing.fitness import counts_context, fitting, has_context, nothing_fits
from gateway.routing.rotation import all_out, split
from gateway.routing.rules import context_of
from gateway.routing.strategies import order
from gateway.types import Call, Condition, Plan, Skipped


class Known(msgspec.Struct, eq=False):
    """What a kind of call comes to, whatever is so at the moment."""

    rule: Route
    targets: tuple[Target, ...]
    """Those that can do this kind of work, at least one."""
    plan: Plan
    """For a call that fits everywhere while all of them are in rotation; its order is that of the file."""
    conditions: tuple[Condition, ...]
    """Of the targets, in their order. They change under us."""
    window: float
    """Tokens of the smallest context window that is declared; infinite where none is, or where none counts."""
    settled: bool
    """The order never changes."""
    watch: Conditions | None = None
    """Where to look the conditions up each time: those of deployments that clients name may be forgotten there."""

    def now(self) -> tuple[Condition, ...]:
        """The conditions at this moment."""
        if self.watch is None:
            return self.conditions
        return tuple(self.watch.of(target.deployment) for target in self.targets)


def smallest_window(targets: tuple[Target, ...], call: Call) -> float:
    """As `Known.window`."""
    if not counts_context(call.service):
        return inf
    return min((target.deployment.context_window or inf for target in targets), default=inf)


class Present(msgspec.Struct, eq=False):
    """Who can take a call at this moment."""

    targets: tuple[Target, ...]
    skipped: tuple[Skipped, ...]
    """Why the others cannot, from the first reason to the last."""
    refusal: GatewayError | None = None
    """What to tell the caller where nobody can."""


def present(known: Known, call: Call, clock: Clock) -> Present:
    """Those whose window the call fits into and that are in rotation."""
    targets, conditions, skipped = known.targets, known.now(), known.plan.skipped
    if context_of(call) > known.window and has_context(call):
        targets, long = fitting(known.targets, call)
        skipped += long
        if not targets:
            return Present((), skipped, nothing_fits(known.targets, call))
        conditions = tuple(c for t, c in zip(known.targets, conditions, strict=True) if t in targets)
    if any(condition.out_until or condition.on_trial for condition in conditions):
        now = clock()
        targets, out = split(targets, conditions, now)
        skipped += out
        if not targets:
            return Present((), skipped, all_out(conditions, now))
    return Present(targets, skipped)


def decide(known: Known, facts: Facts) -> Plan:
    """The plan for one call. Raises ContextTooLong, and NoUpstream or UpstreamRateLimited with the wait when every
    deployment is out."""
    there = present(known, facts.call, facts.senses.clock)
    if there.refusal is not None:
        named = _named(known.rule, there.refusal, facts.call)
        if not named:
            raise at_route(there.refusal, known.rule, there.skipped)
        return plan_of(known.rule, named, known.plan.revision, there.skipped)
    targets = there.targets
    if len(targets) > 1:
        targets = tuple(order(known.rule.strategy, targets, facts))
    return plan_of(known.rule, targets, known.plan.revision, there.skipped)


def at_route(refusal: GatewayError, rule: Route, skipped: tuple[Skipped, ...]) -> GatewayError:
    """The refusal, which says whose it is and who was left out: there is no plan to tell."""
    refusal.route = rule.name
    refusal.left_out = tuple((one.deployment, one.reason) for one in skipped)
    return refusal


def _named(rule: Route, refusal: GatewayError, call: Call) -> tuple[Target, ...]:
    """What the route names for calls that none of its targets can hold."""
    named = rule.fallbacks.get("context_window", ()) if isinstance(refusal, ContextTooLong) else ()
    return fitting(tuple(map(Target, named)), call)[0]


def plan_of(rule: Route, targets: tuple[Target, ...], revision: str, skipped: tuple[Skipped, ...]) -> Plan:
    """A rule's plan over these deployments."""
    return Plan(
        route=rule.name,
        targets=tuple(target.deployment for target in targets),
        revision=revision,
        max_attempts=rule.max_attempts,
        fallback_on=rule.fallback_on,
        skipped=skipped,
        max_output_tokens=rule.max_output_tokens,
        fallbacks=rule.fallbacks,
        hedge=rule.hedge,
    )
