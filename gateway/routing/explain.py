"""Why a call goes where it goes: the routes it passed, the one it fell under, the order, and who was left out. Pure,
and without effect on what comes next: the plan is the one that the next such call gets."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from gateway.errors import GatewayError
from gateway.registry.snapshot import Route, Snapshot
from gateway.routing.planner import Foresight, Planner
from gateway.routing.rules import mismatches
from gateway.types import Call, Plan, Principal, Skipped


class Passed(msgspec.Struct, frozen=True):
    """A route that stands before the one that was taken."""

    route: str
    conditions: tuple[str, ...]
    """Those of its `match` that do not hold."""


class Routed(msgspec.Struct, eq=False):
    """What routing says to a call. There is a plan or a refusal."""

    model: str
    """What the name that was asked for means, aliases resolved."""
    passed: tuple[Passed, ...] = ()
    rule: Route | None = None
    plan: Plan | None = None
    refusal: GatewayError | None = None
    left_out: tuple[Skipped, ...] = ()
    """Everyone else, with the reason."""


def explain_route(planner: Planner, call: Call, principal: Principal, ahead: Foresight) -> Routed:
    """What the planner would do with this call now, and why; `ahead` is where it stands."""
    snapshot = planner.snapshot
    model = call.model if call.pinned is not None else snapshot.aliases.get(call.model, call.model)
    routed = Routed(model)
    skipped: tuple[Skipped, ...] = ()
    try:
        routed.rule = planner.rule(call, principal)
        skipped = planner.sift(routed.rule, call).skipped
        known = planner.known(routed.rule, call)
        skipped = planner.present(known, call).skipped
        routed.plan = planner.foresee(known, call, ahead)
    except GatewayError as refusal:
        routed.refusal = refusal
    if call.pinned is None:
        routed.passed = tuple(_passed(snapshot, routed.rule, call, principal, model))
    routed.left_out = (*skipped, *_elsewhere(snapshot, routed, skipped))
    return routed


def _passed(snapshot: Snapshot, rule: Route | None, call: Call, principal: Principal, model: str) -> Iterator[Passed]:
    for route in snapshot.routes:
        if route is rule:
            return
        yield Passed(route.name, mismatches(route.match, call, principal, model))


def _elsewhere(snapshot: Snapshot, routed: Routed, skipped: tuple[Skipped, ...]) -> Iterator[Skipped]:
    """Every deployment that the rule does not lead to."""
    named = {one.deployment for one in skipped}
    if routed.plan is not None:
        named |= {target.id for target in routed.plan.targets}
    if routed.rule is None:
        reason = "rule: no rule is for this request"
    else:
        reason = f"rule: `{routed.rule.name}` does not lead there"
    yield from (Skipped(name, reason) for name in snapshot.deployments if name not in named)
