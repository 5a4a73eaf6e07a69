"""What the next call like this one would meet: access, routing, the caller's limits, and those of each deployment.

The same decisions as `pipeline.py` takes, in the same order, on the same facts; but nothing is reserved, counted, sent
or changed. What happens between the explanation and the call, and what providers answer, nobody can foresee.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from gateway.admission import Admission, demand_of_attempt, full_by, user_hash
from gateway.auth.keys import authorise
from gateway.errors import DeploymentsFull, GatewayError
from gateway.limits.demand import Demand
from gateway.limits.limitset import LimitSet, traits_of
from gateway.limits.peek import Peek
from gateway.limits.policy import Policy
from gateway.limits.refusals import Downgrade
from gateway.routing.explain import Passed, Routed, explain_route
from gateway.routing.planner import Foresight, Planner
from gateway.storage.errors import StoreUnavailable
from gateway.types import Call, Deployment, Plan, Principal, Skipped, Surface


class Explanation(msgspec.Struct, eq=False):
    """What would become of a call, and why. Without candidates there is a refusal."""

    routed: Routed
    """Of the model that would serve: after a downgrade that is another one than the call's."""
    candidates: tuple[Deployment, ...] = ()
    """In the order in which they would be tried."""
    left_out: tuple[Skipped, ...] = ()
    refusal: GatewayError | None = None
    downgraded_to: str | None = None
    """The model that a quota switches to."""
    notes: tuple[str, ...] = ()
    """What could not be looked at, and which candidates are asked in other words than the client's."""

    @property
    def passed(self) -> tuple[Passed, ...]:
        """The routes that do not match."""
        return self.routed.passed


class Explainer:
    """Explains calls. Without a `peek`, limits are not looked at."""

    def __init__(self, admission: Admission, peek: Peek | None) -> None:
        self._admission = admission
        self._peek = peek

    async def explain(self, planner: Planner, policy: Policy, call: Call, principal: Principal) -> Explanation:
        """What would become of this call of this caller now."""
        found = await self._explained(planner, policy, call, principal)
        for surface in Surface:
            others = [one.id for one in found.candidates if planner.asked(call, one) is surface]
            if others:
                _noted(found, f"asked by another API, {surface}, and translated: {', '.join(others)}")
        return found

    async def _explained(self, planner: Planner, policy: Policy, call: Call, principal: Principal) -> Explanation:
        ahead = planner.foresight()
        found = self._routed(planner, call, principal, ahead)
        if found.routed.plan is None or found.refusal is not None:
            return found
        if self._peek is None:
            return _noted(found, "limits and budgets were not looked at: their store is not there")
        try:
            await self._bounded(found, (planner, policy, ahead), (call, principal))
        except StoreUnavailable:
            _noted(found, "limits and budgets were not looked at: their store does not answer")
        if self._peek.assumed:
            _noted(found, "a quota without a counter was taken for unused: the ledger cannot be asked")
        return found

    def _routed(self, planner: Planner, call: Call, principal: Principal, ahead: Foresight) -> Explanation:
        routed = explain_route(planner, call, principal, ahead)
        found = Explanation(routed, left_out=routed.left_out, refusal=routed.refusal)
        if routed.plan is not None:
            found.candidates = routed.plan.targets
        try:
            authorise(principal, call.model, call.service)
        except GatewayError as refusal:
            found.refusal = refusal
            _nobody(found, "access: the key may not use this")
        return found

    async def _bounded(
        self, found: Explanation, by: tuple[Planner, Policy, Foresight], asked: tuple[Call, Principal]
    ) -> None:
        """Hold the call against the limits of its caller, then against those of each deployment."""
        (planner, policy, ahead), (call, principal) = by, asked
        user = None if call.user is None else user_hash(principal.team, principal.key, call.user)
        sets = policy.of_caller(principal, call.model, user=call.user is not None)
        try:
            demand = await self._admitted(found, call, sets, user)
        except Downgrade as downgrade:
            sets = tuple(limits.relaxed() for limits in sets)
            found.downgraded_to = downgrade.model
            other = msgspec.structs.replace(call, model=downgrade.model)
            found.routed = explain_route(planner, other, principal, ahead)
            found.left_out, found.refusal = found.routed.left_out, found.routed.refusal
            found.candidates = () if found.routed.plan is None else found.routed.plan.targets
            if found.refusal is not None:
                return
            try:
                demand = await self._admitted(found, call, sets, user)
            except Downgrade as again:
                found.refusal, demand = again.refusal, None
        if demand is None:
            assert found.refusal is not None
            _nobody(found, _caller_bound(found.refusal))
        else:
            await self._attempts(found, call, policy, demand)

    async def _admitted(
        self, found: Explanation, call: Call, sets: Sequence[LimitSet], user: str | None
    ) -> Demand | None:
        """What the call may need; None where its caller's limits refuse it. Raises Downgrade."""
        plan, traits = found.routed.plan, traits_of(sets)
        assert plan is not None
        assert self._peek is not None
        try:
            if traits.hard_cost:
                plan = await self._admission.priced(plan)
                _left(found, plan)
            demand = self._admission.demand(call, plan, traits)
        except GatewayError as refusal:
            found.refusal = refusal
            return None
        for limits in sets:
            error = await self._peek.refusal(limits, demand, user)
            if isinstance(error, Downgrade):
                raise error
            if error is not None:
                found.refusal = error
                return None
        return demand

    async def _attempts(self, found: Explanation, call: Call, policy: Policy, demand: Demand) -> None:
        """Leave out deployments that are at their own limits."""
        full: list[tuple[Deployment, DeploymentsFull]] = []
        for deployment in found.candidates:
            error = await self._full(call, deployment, policy.of_deployment(deployment), demand)
            if error is not None:
                full.append((deployment, error))
        out = [deployment for deployment, _ in full]
        found.candidates = tuple(one for one in found.candidates if one not in out)
        found.left_out = (*(Skipped(one.id, _why(error)) for one, error in full), *found.left_out)
        if not found.candidates:
            waits = [error.retry_after for _, error in full if error.retry_after is not None]
            last = full[-1][1].final
            found.refusal = last if not waits and last is not None else DeploymentsFull(retry_after=min(waits))

    async def _full(
        self, call: Call, deployment: Deployment, sets: Sequence[LimitSet], demand: Demand
    ) -> DeploymentsFull | None:
        """Why this deployment would not take the call."""
        if not sets:
            return None
        assert self._peek is not None
        traits = traits_of(sets)
        try:
            own = demand_of_attempt(call, deployment, demand, traits, self._admission.accounts)
        except DeploymentsFull as error:
            return error
        for limits in sets:
            refusal = await self._peek.refusal(limits, own, None)
            if refusal is not None:
                return full_by(refusal.refusal if isinstance(refusal, Downgrade) else refusal)
        return None


def _left(found: Explanation, plan: Plan) -> None:
    """Only these are left; why others are not stands in the plan."""
    named = {one.deployment for one in found.left_out}
    found.candidates = plan.targets
    found.left_out = (*(one for one in plan.skipped if one.deployment not in named), *found.left_out)


def _nobody(found: Explanation, reason: str) -> None:
    """Every candidate is left out for this."""
    found.left_out = (*(Skipped(one.id, reason) for one in found.candidates), *found.left_out)
    found.candidates = ()


def _caller_bound(refusal: GatewayError) -> str:
    """What of the caller's own stands in the way."""
    if refusal.public_code == "unpriced_model":
        return "price: not known, and a budget is to be kept"
    if refusal.public_code == "insufficient_quota":
        return "budget: the caller's quota does not allow this"
    return "limit: the caller's own binds"


def _why(error: DeploymentsFull) -> str:
    if error.final is None:
        return f"limit: full for {error.retry_after or 0.0:.1f} s more"
    if error.final.public_code == "insufficient_quota":
        return "budget: its own quota is used up"
    if error.final.public_code == "unpriced_model":
        return "price: not known, and its provider has a budget to keep"
    return "limit: this request alone is larger than it allows"


def _noted(found: Explanation, note: str) -> Explanation:
    found.notes = (*found.notes, note)
    return found
