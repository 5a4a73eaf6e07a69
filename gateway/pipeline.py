"""The journey of a call, top to bottom: authenticate → plan → admit → forward → settle → record."""

from __future__ import annotations

import itertools
import os
from collections.abc import Mapping
from typing import Protocol

import msgspec

from gateway.auth.keys import authenticate, authorise, credential_of
from gateway.errors import Draining, GatewayError, Overloaded
from gateway.limits.gate import Gate, Reservation
from gateway.ports import Clock, Observer
from gateway.registry.snapshot import Snapshot
from gateway.types import Call, Plan, Principal, Receipt, Service, TokenSource, Usage
from gateway.upstream.forward import Answer, Forwarder, Progress
from gateway.usage import estimate
from gateway.usage.cost import nano_usd

_GENERATES = (Service.CHAT, Service.COMPLETIONS, Service.RESPONSES)


class PlannerOf(Protocol):
    """Plans calls for the snapshot it was made of."""

    snapshot: Snapshot

    def plan(self, call: Call, principal: Principal) -> Plan: ...


class Exchange(msgspec.Struct, eq=False):
    """One call on its way: what is known of it so far. The pipeline fills it, the HTTP room sends from it."""

    request_id: str
    started: float
    principal: Principal
    planner: PlannerOf
    """Pinned when the call arrives: a reload does not touch calls under way."""
    call: Call | None = None
    plan: Plan | None = None
    reservation: Reservation | None = None
    progress: Progress = msgspec.field(default_factory=Progress)
    answer: Answer | None = None
    first_byte: float | None = None
    """When the first byte of the answer was ready, on the pipeline's clock."""
    overhead: float | None = None
    """Seconds up to then that were not spent waiting for providers."""
    closed: bool = False

    def ready(self, now: float) -> None:
        """The first byte of the answer is here: what was not spent waiting for providers was ours."""
        self.first_byte = now
        self.overhead = max(0.0, now - self.started - self.progress.waited)

    @property
    def revision(self) -> str:
        """The revision of the configuration that this call is served under."""
        return self.planner.snapshot.revision


class CallIds:
    """Unique ids for calls: a random prefix per process and a count."""

    def __init__(self) -> None:
        self._prefix = os.urandom(8).hex()
        self._count = itertools.count(1)

    def __call__(self) -> str:
        return f"{self._prefix}-{next(self._count):x}"


class Pipeline:
    """Serves calls with the planner that is current when they arrive. One per worker."""

    def __init__(
        self, planner: PlannerOf, gate: Gate, forwarder: Forwarder, observer: Observer, clock: Clock, max_in_flight: int
    ) -> None:
        self.planner = planner
        self.anonymous = False
        """Whether calls without a key are served while no key is configured: on a loopback address only."""
        self.draining = False
        self.in_flight = 0
        self.clock = clock
        self.call_ids = CallIds()
        self._gate = gate
        self._forwarder = forwarder
        self._observer = observer
        self._max_in_flight = max_in_flight

    def use(self, planner: PlannerOf) -> None:
        """Serve calls that arrive from now on with another snapshot."""
        self.planner = planner

    @property
    def open_mode(self) -> bool:
        """Whether callers need no key at the moment."""
        return self.anonymous and not self.planner.snapshot.virtual_keys

    def open(self, request_id: str, headers: Mapping[bytes, bytes], started: float) -> Exchange:
        """Take a request in before anything of its body is read: is there room, and who calls?

        Raises Draining, Overloaded, InvalidApiKey. What is opened must be closed.
        """
        if self.draining:
            raise Draining(retry_after=1.0)
        if self.in_flight >= self._max_in_flight:
            raise Overloaded(retry_after=1.0)
        planner = self.planner
        principal = authenticate(planner.snapshot, credential_of(headers), open_mode=self.open_mode)
        self.in_flight += 1
        self._observer.call_started()
        return Exchange(request_id, started, principal, planner)

    async def serve(self, exchange: Exchange, call: Call) -> Answer:
        """Plan, admit and forward. Raises GatewayError; whatever happens, `close` the exchange afterwards."""
        exchange.call = call
        authorise(exchange.principal, call.model)
        exchange.plan = plan = exchange.planner.plan(call, exchange.principal)
        exchange.reservation = await self._gate.reserve(
            call.id,
            self._gate.limits_of(exchange.principal),
            estimate.reserved_tokens(call.input_tokens, call.max_tokens, call.choices),
        )
        answer = await self._forwarder.forward(call, plan, exchange.progress)
        exchange.answer = answer
        exchange.ready(self.clock())
        return answer

    def close(self, exchange: Exchange, status: int, error: GatewayError | None = None) -> None:
        """Settle and record. Only the first call counts."""
        if exchange.closed:
            return
        exchange.closed = True
        self.in_flight -= 1
        answer, progress = exchange.answer, exchange.progress
        usage, source = _usage(exchange, error)
        if exchange.reservation is not None:
            self._gate.settle(exchange.reservation, usage.total if usage is not None else 0)
        if answer is not None:
            self._forwarder.committed_attempt_ended(progress, _outcome(error))
        call = exchange.call
        self._observer.call_finished(
            # By position, in the order of the fields: naming twenty of them costs more than filling them.
            Receipt(
                call,
                exchange.request_id,
                "" if call is None else call.service,
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
                usage,
                source,
                None if exchange.first_byte is None else exchange.first_byte - exchange.started,
                exchange.overhead,
                _cost(progress, usage),
            )
        )

    def refused(self, request_id: str, error: GatewayError, started: float) -> None:
        """Record a request that never became an exchange: no valid key, no place, no such path."""
        self._observer.call_started()
        self._observer.call_finished(
            Receipt(None, request_id, "", error.public_status, error.reason, self.clock() - started)
        )


def _cost(progress: Progress, usage: Usage | None) -> int | None:
    """Nano-dollars; None where there is no usage, or no price: unknown is not zero."""
    if usage is None or progress.deployment is None or progress.deployment.price is None:
        return None
    return nano_usd(usage, progress.deployment.price)


def _outcome(error: GatewayError | None) -> str:
    return "ok" if error is None else getattr(error, "outcome", error.reason)


def _usage(exchange: Exchange, error: GatewayError | None) -> tuple[Usage | None, TokenSource | None]:
    """What the call used, and how that is known; nothing when no provider may charge for it."""
    call, answer = exchange.call, exchange.answer
    if call is None or not exchange.progress.sent:
        return None, None
    if answer is None:
        # Sent, and then the client left: the provider may still charge for reading it.
        return Usage(call.input_tokens), TokenSource.PARTIAL
    relay = answer.relay
    counted = answer.usage if relay is None else relay.usage
    if counted is not None:
        return counted, TokenSource.PROVIDER
    if relay is None:
        body = len(answer.body or b"")
        return estimate.whole(call.input_tokens, body, generates=call.service in _GENERATES), TokenSource.ESTIMATED
    return estimate.partial(call.input_tokens, *relay.relayed), (
        TokenSource.ESTIMATED if error is None else TokenSource.PARTIAL
    )
