"""The journey of a call, top to bottom: authenticate → plan → admit → forward → settle → record."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from math import inf
from typing import Protocol

import msgspec

from gateway.admission import Admission
from gateway.auth.keys import ANONYMOUS, authorise, credential_of, holder, missing_credential
from gateway.errors import (
    AuthUnavailable,
    ClientGone,
    Draining,
    GatewayError,
    LedgerUnavailable,
    NoUpstream,
    Overloaded,
    RateLimited,
    UpstreamError,
    UpstreamRejected,
    let_go,
)
from gateway.exchange import CallIds, Exchange, PlannerOf
from gateway.limits.policy import Policy
from gateway.ports import Clock, Observer
from gateway.registry.snapshot import Snapshot
from gateway.types import Call, Deployment, Plan, Price, Principal, Receipt, Skipped
from gateway.upstream.forward import Answer, Forwarder

MAX_ALLOWED = 10_000
COUNTING = "count_tokens"
"""What calls that only ask for a count are in metrics and in the log."""
_NOWHERE = frozenset({404, 405})
"""How servers answer that have the API, and nothing in it that counts."""

__all__ = ["Exchange", "KeyStore", "Pipeline", "PlannerOf"]


class KeyStore(Protocol):
    """Where run-time keys are known."""

    configured: bool | None
    """Whether any exists; None while that is not known."""

    def known(self, snapshot: Snapshot, credential: bytes) -> Principal | None:
        """Who holds this credential, as far as that can be told without I/O. Raises KeyExpired."""
        ...

    async def find(self, snapshot: Snapshot, credential: bytes) -> Principal:
        """Who holds this credential. Raises InvalidApiKey, AuthUnavailable."""
        ...


class Ready(Protocol):
    """Whether what is spent can be recorded."""

    @property
    def healthy(self) -> bool: ...


class Pipeline:
    """Serves calls with the planner and the policy that are current when they arrive. One per worker."""

    def __init__(
        self,
        served: tuple[PlannerOf, Policy],
        admission: Admission,
        forwarder: Forwarder,
        observer: Observer,
        clock: Clock,
        max_in_flight: int,
    ) -> None:
        self.planner, self._policy = served
        self.anonymous = False
        """Whether calls without a key are served while no key is configured: on a loopback address only."""
        self.draining = False
        self.in_flight = 0
        self.clock = clock
        self.call_ids = CallIds()
        self.keys: KeyStore | None = None
        self.journal: Ready | None = None
        self._gate = admission.gate
        self._accounts = admission.accounts
        self._admission = admission
        self._forwarder = forwarder
        self._observer = observer
        self._max_in_flight = max_in_flight
        self._least_held = inf
        self._allowed: set[tuple[Principal, str, str]] = set()

    def use(self, planner: PlannerOf, policy: Policy) -> None:
        """Serve calls that arrive from now on with another snapshot."""
        self.planner, self._policy = planner, policy

    @property
    def open_mode(self) -> bool:
        """Whether callers need no key at the moment."""
        if not self.anonymous or self.planner.snapshot.virtual_keys:
            return False
        return self.keys is None or self.keys.configured is False

    def identify(self, headers: Mapping[bytes, bytes]) -> Principal | None:
        """Who calls, as far as that can be told at once; None: `find_out`. Raises InvalidApiKey."""
        credential = credential_of(headers)
        if self.open_mode:
            return ANONYMOUS
        if credential is None:
            if self.anonymous and self.keys is not None and self.keys.configured is None:
                raise AuthUnavailable(retry_after=1.0)
            raise missing_credential()
        snapshot = self.planner.snapshot
        if self.keys is not None:
            return self.keys.known(snapshot, credential)
        return holder(snapshot, credential)

    async def find_out(self, headers: Mapping[bytes, bytes]) -> Principal:
        """Who calls, asking the store of keys. Raises InvalidApiKey, AuthUnavailable."""
        credential = credential_of(headers)
        assert credential is not None
        assert self.keys is not None
        return await self.keys.find(self.planner.snapshot, credential)

    def open(self, request_id: str, principal: Principal, started: float) -> Exchange:
        """Take a request in before anything of its body is read: is there room?

        Raises Draining, Overloaded, LedgerUnavailable. What is opened must be closed.
        """
        if self.draining:
            raise Draining(retry_after=1.0)
        if self.in_flight >= self._max_in_flight:
            raise Overloaded(retry_after=1.0)
        if self.journal is not None and not self.journal.healthy:
            raise LedgerUnavailable(retry_after=5.0)
        self.in_flight += 1
        self._observer.call_started()
        return Exchange(request_id, started, principal, self.planner, self._policy)

    async def serve(self, exchange: Exchange, call: Call) -> Answer:
        """Plan, admit and forward. Raises GatewayError; whatever happens, `close` the exchange afterwards."""
        exchange.call = call
        self._authorise(exchange.principal, call)
        exchange.plan = plan = exchange.planner.plan(call, exchange.principal)
        await self._admission.admit(exchange, call, plan)
        attempts = self._admission.attempts(exchange)
        answer = await self._forwarder.forward(call, exchange.plan, exchange.progress, attempts)
        exchange.answer = answer
        exchange.ready(self.clock())
        if exchange.overhead is not None and exchange.overhead < self._least_held:
            self._least_held = exchange.overhead
        return answer

    async def count(self, exchange: Exchange, call: Call) -> tuple[Answer | None, int]:
        """How many tokens the input of a request has: the answer of a provider that counts them, or else our estimate.

        By limits it is a request, by quotas nothing: no tokens are made, nothing is charged. Raises as `serve` does;
        `close` the exchange afterwards.
        """
        exchange.counting = True
        exchange.call = asked = msgspec.structs.replace(call, raw=b"", input_tokens=0, max_tokens=0)
        self._authorise(exchange.principal, asked)
        exchange.plan = plan = exchange.planner.plan(asked, exchange.principal)
        await self._admission.admit(exchange, asked, plan)
        first = exchange.plan.targets[0]
        expected = self._accounts.expected_input(first, call.input_tokens)
        if not self._forwarder.counts(first):
            return None, expected
        targets = tuple(target for target in exchange.plan.targets if self._forwarder.counts(target))
        plan = dataclasses.replace(exchange.plan, targets=targets, fallbacks={})
        try:
            attempts = self._admission.attempts(exchange)
            exchange.answer = await self._forwarder.forward(call, plan, exchange.progress, attempts)
        except UpstreamRejected as error:
            if error.public_status not in _NOWHERE:
                raise
            return None, expected
        except (UpstreamError, NoUpstream, RateLimited):
            return None, expected
        exchange.ready(self.clock())
        return exchange.answer, expected

    def price_of(self, deployment: Deployment) -> Price | None:
        """What a call to it costs, as far as that is known."""
        return self._accounts.price_of(deployment)

    def held_up(self) -> float:
        """The least that the gateway itself held up a call since this was last asked, in seconds; 0 when there was
        none."""
        least, self._least_held = self._least_held, inf
        return least if least < inf else 0.0

    def _authorise(self, principal: Principal, call: Call) -> None:
        """Raises ModelAccessDenied. What was allowed once is remembered: lists are matched pattern by pattern."""
        if principal.models is None and principal.services is None:
            return
        question = (principal, call.model, call.service)
        if question not in self._allowed:
            authorise(principal, call.model, call.service)
            if len(self._allowed) >= MAX_ALLOWED:
                self._allowed.clear()
            self._allowed.add(question)

    def read_on(self, exchange: Exchange) -> bool:
        """The client has left: whether its answer is read to the end nevertheless; the exchange is closed then."""

        def done(answer: Answer | None) -> None:
            exchange.answer = answer
            self.close(exchange, 499, ClientGone())

        exchange.read_on = self._forwarder.read_on(exchange.progress, exchange.answer, done)
        return exchange.read_on

    def close(self, exchange: Exchange, status: int, error: GatewayError | None = None) -> None:
        """Settle and record. Only the first call counts."""
        if exchange.closed:
            return
        exchange.closed = True
        self.in_flight -= 1
        progress = exchange.progress
        if progress.orphan is not None and exchange.answer is None:
            exchange.answer = self._forwarder.give_up(progress)
        answer = exchange.answer
        bill = self._accounts.bill(exchange, error)
        if exchange.reservation is not None:
            event = self._accounts.final(exchange, bill, status, error)
            self._gate.settle(exchange.reservation, bill.used, event)
        if answer is not None:
            if error is None and bill.usage is not None:
                self._admission.learn(exchange, bill.usage.output_tokens)
            self._forwarder.committed_attempt_ended(progress, error)
        if error is not None and error.route is not None:
            left_out = tuple(Skipped(*one) for one in error.left_out)
            exchange.plan = Plan(error.route, (), exchange.revision, skipped=left_out)
        call = exchange.call
        self._observer.call_finished(
            # By position, in the order of the fields: naming twenty of them costs more than filling them.
            Receipt(
                call,
                exchange.request_id,
                "" if call is None else COUNTING if exchange.counting else call.service,
                status,
                "ok" if error is None else error.reason,
                self.clock() - exchange.started,
                "" if call is None else call.model,
                exchange.principal.key,
                exchange.principal.team,
                None if exchange.plan is None else exchange.plan.route,
                progress.deployment,
                exchange.revision,
                progress.attempts,
                call is not None and call.stream,
                bill.usage,
                bill.source,
                None if exchange.first_byte is None else exchange.first_byte - exchange.started,
                exchange.overhead,
                bill.cost,
                () if exchange.plan is None else exchange.plan.skipped,
            )
        )
        if error is not None or progress.failures:
            let_go(error)
            for failure in progress.failures:
                let_go(failure.error)

    def refused(self, request_id: str, error: GatewayError, started: float, status: int | None = None) -> None:
        """Record a request that never became an exchange: no valid key, no place, no such path. `status` is what the
        client got, where that is another than the error's."""
        self._observer.call_started()
        self._observer.call_finished(
            Receipt(None, request_id, "", status or error.public_status, error.reason, self.clock() - started)
        )
