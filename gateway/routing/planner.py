"""From a call and a principal to a plan. Pure but for a memo: the same question to the same snapshot is answered
once."""

from __future__ import annotations

from collections.abc import Mapping
from random import Random

from gateway.errors import InvalidRequest, NoUpstream
from gateway.ports import Dialect
from gateway.registry.snapshot import Snapshot, Target
from gateway.routing.rules import Rule, resolve
from gateway.routing.strategies import order
from gateway.types import Call, Plan, Principal, Skipped

MEMO_SIZE = 4096


class Planner:
    """Plans calls for one snapshot."""

    def __init__(self, snapshot: Snapshot, dialects: Mapping[str, Dialect], chance: Random) -> None:
        self.snapshot = snapshot
        self._dialects = dialects
        self._chance = chance
        self._header_names = tuple(sorted({name.encode() for route in snapshot.routes for name in route.match.headers}))
        self._memo: dict[object, tuple[Rule, tuple[Target, ...], Plan]] = {}

    def plan(self, call: Call, principal: Principal) -> Plan:
        """The deployments to try, in order, and why others are left out.

        Raises ModelNotFound, NoUpstream when every target is left out, InvalidRequest when none can do this kind of
        work.
        """
        headers = tuple(call.headers.get(name) for name in self._header_names) if self._header_names else None
        question = (call.model, call.service, call.stream, call.pinned, principal, headers)
        known = self._memo.get(question)
        if known is None:
            known = self._answer(call, principal)
            if len(self._memo) >= MEMO_SIZE:
                self._memo.clear()
            self._memo[question] = known
        rule, usable, plan = known
        if len(usable) == 1 or rule.strategy == "priority":
            return plan
        return self._plan(rule, tuple(order(rule.strategy, usable, self._chance)), plan.skipped)

    def _answer(self, call: Call, principal: Principal) -> tuple[Rule, tuple[Target, ...], Plan]:
        rule = resolve(self.snapshot, call, principal)
        usable, skipped = self._usable(rule, call)
        if not usable:
            if skipped:
                raise InvalidRequest(
                    f"The model does not serve {call.service}. `GET /v1/models` lists what is configured.",
                    param="model",
                )
            raise NoUpstream(f"Every provider of this model is inactive (route `{rule.route}`).")
        return rule, usable, self._plan(rule, usable, skipped)

    def _usable(self, rule: Rule, call: Call) -> tuple[tuple[Target, ...], tuple[Skipped, ...]]:
        usable: list[Target] = []
        skipped: list[Skipped] = []
        for target in rule.targets:
            dialect = self._dialects.get(target.deployment.provider.type)
            if dialect is None or call.service not in dialect.services:
                skipped.append(Skipped(target.deployment.id, f"service: its provider does not serve {call.service}"))
            else:
                usable.append(target)
        return tuple(usable), tuple(skipped)

    def _plan(self, rule: Rule, targets: tuple[Target, ...], skipped: tuple[Skipped, ...]) -> Plan:
        return Plan(
            route=rule.route,
            targets=tuple(target.deployment for target in targets),
            revision=self.snapshot.revision,
            max_attempts=rule.max_attempts,
            fallback_on=rule.fallback_on,
            skipped=skipped,
            max_output_tokens=rule.max_output_tokens,
        )
