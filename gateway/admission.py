"""Admitting a call: what it may need, whether limits and quotas leave that, and the same again for each attempt."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache

import msgspec

from gateway.accounts import GENERATES, Accounts, sold_by_units
from gateway.errors import (
    DeploymentsFull,
    GatewayError,
    InsufficientQuota,
    RateLimited,
    RequestExceedsLimit,
    UnpricedModel,
)
from gateway.exchange import Exchange
from gateway.limits.demand import NOTHING, Demand
from gateway.limits.gate import Gate, Reservation
from gateway.limits.headroom import Headroom
from gateway.limits.limitset import LimitSet, Shape, Traits, traits_of
from gateway.limits.refusals import Downgrade
from gateway.limits.rolling import Rolling
from gateway.ports import Clock
from gateway.types import Call, Deployment, Plan, Skipped, Usage
from gateway.upstream.retry import Failure
from gateway.usage import estimate
from gateway.usage.cost import MOST, bounds, nano_usd
from gateway.usage.units import as_sold, tokens_asked, units_asked

DEFAULT_CEILING = 4096
"""Output tokens for callers under a budget who set no `max_tokens`, where neither route nor model says."""
MOST_OUTPUT = 2**31 - 1
"""Tokens that no call has: what a client asks for times how often is a number without bound, and what it costs
must fit into the store's numbers."""
LONG_NAME = 256
"""Characters of a user's name above which its hash is not remembered: names are as long as clients make them."""

SPENT = "Every deployment of this model has used up its own quota for this period."
UNPRICED = "No price is known for this model, and its provider has a budget to keep. Use another model."


class Admission:
    """Admits calls and their attempts."""

    def __init__(self, gate: Gate, accounts: Accounts, clock: Clock = time.monotonic) -> None:
        self.gate = gate
        self.accounts = accounts
        self.headroom = Headroom(clock)
        self._rolling = Rolling()

    def attempts(self, exchange: Exchange) -> Attempts:
        """Who admits and books the attempts of this call."""
        return Attempts(exchange, self.gate, self.accounts, self.headroom)

    def quote(self, call: Call, route: str, deployment: Deployment) -> int | None:
        """Nano-USD that a call of this route is expected to cost there: by the output that it allows, else by what such
        calls have had. None: the price is not known."""
        price = self.accounts.price_of(deployment)
        if price is None:
            return None
        foresight = self.accounts.foresight
        requests, tier = foresight.requests(call, deployment), foresight.tier(call, deployment, price)
        if sold_by_units(call):
            asked = Usage(units=units_asked(call), requests=requests, service_tier=tier)
            return nano_usd(as_sold(asked, call.service, price, call.input_tokens), price)
        output = 0
        if call.service in GENERATES:
            output = self._rolling.expect((route, call.model)) if call.max_tokens is None else call.max_tokens
        output = min(MOST_OUTPUT, output * max(1, call.choices))
        return nano_usd(Usage(call.input_tokens, output, requests=requests, service_tier=tier), price)

    async def admit(self, exchange: Exchange, call: Call, plan: Plan) -> None:
        """Reserve everything that binds the caller; `exchange.plan` is then what to do, perhaps with another model.

        Raises RateLimited, InsufficientQuota, QuotaUnavailable, RequestExceedsLimit, UnpricedModel.
        """
        principal = exchange.principal
        if call.user is not None:
            exchange.user = user_hash(principal.team, principal.key, call.user)
        sets = exchange.policy.of_caller(principal, call.model, user=call.user is not None)
        try:
            await self._reserve(exchange, call, plan, sets)
        except Downgrade as downgrade:
            sets = tuple(limits.relaxed() for limits in sets)
            asked = msgspec.structs.replace(call, model=downgrade.model)
            try:
                await self._reserve(exchange, call, exchange.planner.plan(asked, principal), sets)
            except Downgrade as again:
                raise again.refusal from None

    async def _reserve(self, exchange: Exchange, call: Call, plan: Plan, sets: Sequence[LimitSet]) -> None:
        traits = traits_of(sets)
        if traits.hard_cost:
            plan = await self.priced(plan)
        exchange.plan = plan
        demand = self.demand(call, plan, traits)
        reservation = Reservation(call.id, exchange.user)
        about = self.accounts.about(exchange, plan.targets[0], 1)
        await self.gate.reserve(reservation, sets, demand, about)
        exchange.reservation = reservation
        exchange.own_holds = len(reservation.holds)
        if call.max_tokens is None and demand.most and traits.hard:
            granted = reservation.output
            call.output_cap = max(1, (demand.most if granted is None else granted) // _choices(call, plan))
        if call.stream:
            reservation.checkpoint = lambda: self.accounts.about(
                exchange, exchange.progress.deployment or plan.targets[0], max(1, exchange.progress.number)
            )

    async def priced(self, plan: Plan) -> Plan:
        """Only where the price is known. Raises UnpricedModel."""
        known = self._known(plan)
        if len(known) == len(plan.targets):
            return self._fallbacks_priced(plan) if plan.fallbacks else plan
        if self.accounts.look_up is not None:
            # A model that was named or configured just now: the catalogue is asked once before it counts as unpriced.
            await self.accounts.look_up(plan.targets)
            known = self._known(plan)
        if not known:
            raise UnpricedModel(param="model")
        left_out = tuple(
            Skipped(target.id, "price: not known, and a budget is to be kept")
            for target in plan.targets
            if target not in known
        )
        plan = replace(plan, targets=known, skipped=(*plan.skipped, *left_out))
        return self._fallbacks_priced(plan) if plan.fallbacks else plan

    def _fallbacks_priced(self, plan: Plan) -> Plan:
        """Of what the route names for single failures, too, only where the price is known."""
        priced = {
            word: tuple(target for target in targets if self.accounts.price_of(target) is not None)
            for word, targets in plan.fallbacks.items()
        }
        return replace(plan, fallbacks={word: targets for word, targets in priced.items() if targets})

    def _known(self, plan: Plan) -> tuple[Deployment, ...]:
        return tuple(target for target in plan.targets if self.accounts.price_of(target) is not None)

    def demand(self, call: Call, plan: Plan, traits: Traits | Shape) -> Demand:
        """What a call may need of limits with these traits."""
        choices = _choices(call, plan)
        if call.service not in GENERATES:
            least = most = 0
        elif call.max_tokens is not None:
            least = most = min(MOST_OUTPUT, call.max_tokens * choices)
        else:
            most = min(MOST_OUTPUT, _ceiling(plan) * choices)
            least = min(most, self._rolling.expect((plan.route, call.model)) * choices)
        tokens = _fitting(call, call.input_tokens + least, traits.largest)
        given, fixed, per_output = call.input_tokens, 0, 0
        if traits.money or traits.hard_tokens:
            given, fixed, per_output = _needs(call, plan.reachable, traits, self.accounts)
        return Demand(tokens, given, fixed, per_output, least, most)

    def learn(self, exchange: Exchange, output_tokens: int) -> None:
        """A call of this kind ended with so much output."""
        call, plan = exchange.call, exchange.plan
        if call is not None and plan is not None and call.max_tokens is None and call.service in GENERATES:
            self._rolling.learn((plan.route, call.model), output_tokens // max(1, call.choices))


class Attempts:
    """The attempts of one call, as `forward` tells of them."""

    __slots__ = ("_accounts", "_cap", "_exchange", "_gate", "_headroom")

    def __init__(self, exchange: Exchange, gate: Gate, accounts: Accounts, headroom: Headroom | None = None) -> None:
        self._headroom = headroom
        self._exchange = exchange
        self._gate = gate
        self._accounts = accounts
        self._cap = None if exchange.call is None else exchange.call.output_cap

    def limited(self, deployment: Deployment) -> bool:
        """Whether this attempt has to be asked for."""
        return self._noteworthy(deployment) or bool(self._exchange.policy.of_deployment(deployment))

    def _noteworthy(self, deployment: Deployment) -> bool:
        """It is another attempt than the call's record says."""
        exchange = self._exchange
        assert exchange.plan is not None
        return exchange.progress.attempts > 0 or deployment is not exchange.plan.targets[0]

    async def begin(self, deployment: Deployment) -> None:
        """Reserve what the deployment's own limits hold. Raises DeploymentsFull with the wait, if waiting helps."""
        exchange = self._exchange
        call, reservation = exchange.call, exchange.reservation
        if call is None or reservation is None:
            return
        call.output_cap = self._cap
        sets = exchange.policy.of_deployment(deployment)
        if sets:
            await self._reserve(call, deployment, reservation, sets)
        if self._noteworthy(deployment):
            number = exchange.progress.attempts + 1
            self._gate.note(reservation, self._accounts.about(exchange, deployment, number))

    async def _reserve(
        self, call: Call, deployment: Deployment, reservation: Reservation, sets: Sequence[LimitSet]
    ) -> None:
        demand = reservation.holds[0].demand if reservation.holds else Demand()
        traits = traits_of(sets)
        demand = demand_of_attempt(call, deployment, demand, traits, self._accounts)
        before = len(reservation.holds)
        try:
            await self._gate.reserve(reservation, sets, demand)
        except (RateLimited, InsufficientQuota, RequestExceedsLimit) as refusal:
            if self._headroom is not None:
                self._headroom.full(deployment, refusal.retry_after)
            raise full_by(refusal) from None
        if self._headroom is not None:
            for hold in reservation.holds[before:]:
                self._headroom.told(deployment, hold.limits, hold.reply)
        if call.max_tokens is None and demand.most and traits.hard:
            assert self._exchange.plan is not None
            granted = min(hold.output for hold in reservation.holds[before:] if hold.limits.quotas)
            granted = max(1, granted // _choices(call, self._exchange.plan))
            call.output_cap = granted if self._cap is None else min(granted, self._cap)

    def bound(self, deployment: Deployment) -> bool:
        """Whether this deployment has limits of its own."""
        return bool(self._exchange.policy.of_deployment(deployment))

    def failed(self, failure: Failure, seconds: float, number: int) -> None:
        """An attempt is over without an answer: it is booked, and what it held of the deployment is free."""
        exchange = self._exchange
        reservation = exchange.reservation
        if reservation is None or reservation.about is None:
            return
        event = self._accounts.failed(exchange, failure, number, seconds)
        self._gate.note(reservation, reservation.about, event)
        self._gate.settle_attempt(reservation, exchange.own_holds, NOTHING)


def demand_of_attempt(
    call: Call, deployment: Deployment, demand: Demand, traits: Traits | Shape, accounts: Accounts
) -> Demand:
    """What a call that may need `demand` of its caller's limits may need of a deployment's own. Raises DeploymentsFull
    where that must be known in money, and is not."""
    if traits.hard_cost and accounts.price_of(deployment) is None:
        raise DeploymentsFull(final=UnpricedModel(UNPRICED, param="model"))
    tokens = _fitting(call, demand.tokens, traits.largest)
    given, fixed, per_output = call.input_tokens, 0, 0
    if traits.money or traits.hard_tokens:
        given, fixed, per_output = _needs(call, (deployment,), traits, accounts)
    return Demand(tokens, given, fixed, per_output, demand.least, demand.most)


def full_by(refusal: GatewayError) -> DeploymentsFull:
    """What a refusal by a deployment's own limits means for a call that others may serve."""
    if isinstance(refusal, RateLimited):
        return DeploymentsFull(retry_after=refusal.retry_after, busy=refusal.limit.endswith(":concurrency"))
    # Callers are not told of what the operator spends where.
    final = InsufficientQuota(SPENT) if isinstance(refusal, InsufficientQuota) else RequestExceedsLimit()
    return DeploymentsFull(final=final)


def user_hash(team: str | None, key: str, user: str) -> str:
    """Who an end user is in limits and in the ledger: of a team, or of a key without one; not to be turned back."""
    return _known_hash(team, key, user) if len(user) <= LONG_NAME else _hash(team, key, user)


def _hash(team: str | None, key: str, user: str) -> str:
    tenant = f"team:{team}" if team is not None else f"key:{key}"
    return hashlib.sha256(f"{tenant}\0{user}".encode()).hexdigest()[:32]


_known_hash = lru_cache(maxsize=8192)(_hash)


def _needs(
    call: Call, targets: Sequence[Deployment], traits: Traits | Shape, accounts: Accounts
) -> tuple[int, int, int]:
    """Of quotas with these traits, at whichever of these: the tokens but for the output, what these cost, and what a
    token of output costs; the most of each that quotas may have to refuse."""
    windows = [target.context_window for target in targets if target.context_window is not None]
    given = estimate.input_bound(call.raw, max(windows, default=None)) if call.raw else call.input_tokens
    more, made = tokens_asked(call)
    fixed = per_output = 0
    if traits.money:
        fixed, per_output = _dearest(call, targets, (given + more, made), accounts)
    most = min(MOST_OUTPUT, given + more + made) if traits.hard_tokens else call.input_tokens
    return most, fixed, per_output


def _dearest(call: Call, targets: Sequence[Deployment], tokens: tuple[int, int], accounts: Accounts) -> tuple[int, int]:
    """What the call, with so many tokens of input and output, can cost at most, and one more token of output."""
    given, made = tokens
    units, foresight = units_asked(call), accounts.foresight
    fixed = per_output = 0
    for target in targets:
        price = accounts.price_of(target)
        if price is not None:
            requests, tiers = foresight.requests(call, target), foresight.tiers(call, target, price)
            most = bounds(price, given, units, requests, tiers)
            fixed, per_output = max(fixed, min(MOST, most[0] + made * most[1])), max(per_output, most[1])
    return fixed, per_output


def _fitting(call: Call, tokens: int, largest: float) -> int:
    """What rates of tokens are asked for: an expectation must not make a request too large for a bucket that its real
    need fits into."""
    if call.max_tokens is not None:
        return tokens
    return max(call.input_tokens, int(min(tokens, largest)))


def _choices(call: Call, plan: Plan) -> int:
    """How many answers are made and charged for; a deployment's defaults may ask for more than the caller does."""
    choices = max(1, call.choices)
    for target in plan.targets:
        if target.parameters and isinstance(count := target.parameters.get("n"), int):
            choices = max(choices, count)
    return choices


def _ceiling(plan: Plan) -> int:
    if plan.max_output_tokens is not None:
        return plan.max_output_tokens
    known = [target.max_output_tokens for target in plan.targets if target.max_output_tokens is not None]
    return min(known) if known else DEFAULT_CEILING
