"""From a call and a principal to a plan. Pure but for a memo: the same question to the same snapshot is answered
once; what changes from moment to moment is decided after it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import inf
from random import Random

from gateway.errors import GatewayError, InvalidRequest, NoUpstream
from gateway.ports import Dialect
from gateway.registry.snapshot import Route, Snapshot
from gateway.routing.asks import Asks
from gateway.routing.deciding import Known, Present, at_route, decide, plan_of, present, smallest_window
from gateway.routing.facts import Facts, Senses, Turns
from gateway.routing.fitness import nothing_can
from gateway.routing.index import Index
from gateway.routing.rules import context_of, resolve
from gateway.routing.sieve import Sieve, Sifted
from gateway.routing.strategies import PRIORITY
from gateway.types import Call, Deployment, Plan, Principal, Surface

MEMO_SIZE = 4096
BLIND = Senses()


@dataclass(slots=True)
class Foresight:
    """A copy of what plans depend on besides the facts, so that asking does not change what comes."""

    chance: Random
    turns: dict[str, Turns]


class Planner:
    """Plans calls for one snapshot. `senses` say what is so at the moment."""

    def __init__(
        self, snapshot: Snapshot, dialects: Mapping[str, Dialect], chance: Random, senses: Senses = BLIND
    ) -> None:
        self.snapshot = snapshot
        self.index = Index(snapshot.routes)
        self._asks = Asks(snapshot)
        self._sieve = Sieve(snapshot, dialects)
        self._senses = senses
        self._chance = chance
        self._memo: dict[object, Known] = {}
        self._turns: dict[str, Turns] = {}

    @property
    def infers(self) -> bool:
        """Whether anything goes by what a request asks for: then `Call.needs` has to be there."""
        return self._asks.needs

    def plan(self, call: Call, principal: Principal) -> Plan:
        """The deployments to try, in order, and why others are left out.

        Raises ModelNotFound; NoUpstream when every target is inactive or out, UpstreamRateLimited when each is out for
        that; InvalidRequest, MissingCapability or ContextTooLong when none can do this.
        """
        asks = self._asks
        more = asks.of(call, principal) if asks.more else None
        question = (call.model, call.service, call.stream, call.pinned, call.needs, more)
        known = self._memo.get(question)
        if known is None:
            known = self.known(self.rule(call, principal), call)
            if len(self._memo) >= MEMO_SIZE:
                self._memo.clear()
            self._memo[question] = known
        if known.settled and (known.window == inf or context_of(call) <= known.window):
            for condition in known.conditions if known.watch is None else known.now():
                if condition.out_until or condition.on_trial:
                    break
            else:
                return known.plan
        return decide(known, self._facts(call, known.rule, self._chance, self._turns))

    # ---- its steps, for who wants to know why

    def rule(self, call: Call, principal: Principal) -> Route:
        """What the call falls under. Raises ModelNotFound."""
        model = self.snapshot.aliases.get(call.model, call.model)
        return resolve(self.snapshot, call, principal, self.index.candidates(call, principal, model))

    def sift(self, rule: Route, call: Call) -> Sifted:
        """Which targets can do this at all, and why the others cannot."""
        return self._sieve.sift(rule, call)

    def asked(self, call: Call, deployment: Deployment) -> Surface | None:
        """The surface by which the call is put to a deployment that has not the client's own; else None."""
        return self._sieve.speakers.asked(call, deployment)

    def known(self, rule: Route, call: Call) -> Known:
        """What this kind of call comes to. Raises as `plan` does, apart from what depends on the moment."""
        sifted = self.sift(rule, call)
        targets = sifted.targets
        if not targets:
            raise at_route(_nobody(rule, sifted, call, self._sieve.services(rule)), rule, sifted.skipped)
        if rule.fallbacks:
            rule = replace(rule, fallbacks=self._sieve.fallbacks(rule, call))
        conditions = tuple(self._senses.conditions.of(target.deployment) for target in targets)
        configured = all(target.deployment.id in self.snapshot.deployments for target in targets)
        watch = None if configured else self._senses.conditions
        plan = plan_of(rule, targets, self.snapshot.revision, sifted.skipped)
        settled = rule.strategy == PRIORITY or len(targets) == 1
        return Known(rule, targets, plan, conditions, smallest_window(targets, call), settled, watch)

    def present(self, known: Known, call: Call) -> Present:
        """Who can take the call at this moment."""
        return present(known, call, self._senses.clock)

    def foresight(self) -> Foresight:
        """What the next plans depend on, to try out."""
        chance = Random()  # noqa: S311 - a copy of the one in use
        chance.setstate(self._chance.getstate())
        return Foresight(chance, {route: dict(turns) for route, turns in self._turns.items()})

    def foresee(self, known: Known, call: Call, ahead: Foresight) -> Plan:
        """The plan that the next such call gets; nothing but `ahead` changes by it. Raises as `plan` does."""
        return decide(known, self._facts(call, known.rule, ahead.chance, ahead.turns))

    def _facts(self, call: Call, rule: Route, chance: Random, turns_of: dict[str, Turns]) -> Facts:
        turns = turns_of.get(rule.name)
        if turns is None:
            turns = turns_of[rule.name] = {}
        return Facts(call, rule.name, self._senses, chance, turns, rule.sticky_on)


def _nobody(rule: Route, sifted: Sifted, call: Call, served: Sequence[str]) -> GatewayError:
    """Why a rule without a target for this call refuses it."""
    if sifted.able:
        return nothing_can(sifted.able, call.needs)
    if rule.targets:
        return InvalidRequest(
            f"The model does not serve {call.service}; its providers serve {', '.join(served) or 'nothing'}."
            " Use another model: `GET /v1/models` lists what is configured.",
            param="model",
        )
    return NoUpstream(f"Every provider of this model is inactive (route `{rule.name}`).")
