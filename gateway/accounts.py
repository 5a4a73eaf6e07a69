"""From what happened to a call to the rows of the ledger, and to what is charged. No I/O."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

import msgspec

from gateway.errors import GatewayError, UpstreamError
from gateway.exchange import Exchange
from gateway.limits.demand import Used
from gateway.limits.gate import About
from gateway.providers.wire.usage import MOST
from gateway.types import Call, Deployment, LedgerRow, LedgerState, Price, Service, TokenSource, Usage
from gateway.upstream.foresight import Foresight
from gateway.upstream.progress import Answer
from gateway.upstream.relay import Relay
from gateway.upstream.retry import Failure
from gateway.usage import estimate
from gateway.usage.calibration import Calibration
from gateway.usage.cost import nano_usd
from gateway.usage.units import as_sold, units_of, units_sent

PriceOf = Callable[[Deployment], Price | None]
LookUp = Callable[[Sequence[Deployment]], Awaitable[None]]
GENERATES = (Service.CHAT, Service.COMPLETIONS, Service.RESPONSES)
_READING = (*GENERATES, Service.EMBEDDINGS)
AT_OUR_COST = frozenset(
    {"ttfb_timeout", "bad_json", "bad_sse", "empty", "bad_response", "stall", "truncated", "too_large", "hedged"}
)
"""Outcomes of attempts that a provider may charge for although nobody got an answer: booked as the gateway's cost."""
_BY_UNITS = frozenset({Service.IMAGES, Service.SPEECH, Service.TRANSCRIPTION, Service.RERANK})
CRASHED = "worker_crash"
# Looked up in the enumeration each time, a member costs as much as filling ten fields.
SETTLED, RELEASED, ABANDONED = LedgerState.SETTLED, LedgerState.RELEASED, LedgerState.ABANDONED
PROVIDER, ESTIMATED, PARTIAL = TokenSource.PROVIDER, TokenSource.ESTIMATED, TokenSource.PARTIAL
_encode = msgspec.msgpack.Encoder().encode


class Bill(msgspec.Struct, frozen=True, gc=False):
    """What one call comes to."""

    usage: Usage | None
    source: TokenSource | None
    cost: int | None
    """Nano-USD; None where there is no usage, or no price: unknown is not zero."""

    @property
    def used(self) -> Used:
        """As limits and quotas count it: what the ledger charges nobody for is no request, or a counter that is
        rebuilt from there would say something else."""
        return Used(requests=0) if self.usage is None else Used(self.usage.total, self.cost or 0)


NOTHING_USED = Bill(None, None, None)


class Accounts:
    """Makes rows. `wall` turns the pipeline's clock into Unix seconds."""

    def __init__(
        self, price_of: PriceOf, foresight: Foresight, wall: Callable[[float], float], clock: Callable[[], float]
    ) -> None:
        self.price_of = price_of
        self.foresight = foresight
        self.look_up: LookUp | None = None
        """Waits for prices that are not known yet."""
        self._calibration = Calibration()
        self._wall = wall
        self._clock = clock

    def about(self, exchange: Exchange, deployment: Deployment, number: int) -> About:
        """What is booked and charged if this worker dies while the call's attempt `number` runs."""
        call = exchange.call
        assert call is not None
        relay = exchange.answer.relay if exchange.answer is not None else None
        counted = None if exchange.answer is None else _counted(call, exchange.answer)
        usage = counted or self._so_far(deployment, call, relay)
        if call.inputs > 1:
            usage = msgspec.structs.replace(usage, requests=self.foresight.requests(call, deployment))
        price = self.price_of(deployment)
        cost = None if price is None else nano_usd(usage, price)
        row = self._row(exchange, deployment, number)
        row.input_tokens, row.output_tokens, row.units = usage.input_tokens, usage.output_tokens, usage.units
        row.upstream_requests, row.service_tier = usage.requests, usage.service_tier
        if relay is not None:
            row.cached_input_tokens, row.cache_write_tokens = usage.cached_input_tokens, usage.cache_write_tokens
            row.reasoning_tokens = usage.reasoning_tokens
            row.audio_input_tokens, row.audio_output_tokens = usage.audio_input_tokens, usage.audio_output_tokens
            row.cache_write_1h_tokens, row.searches = usage.cache_write_1h_tokens, usage.searches
        if price is not None:
            row.cost_nano_usd, row.price_version = cost, price.version
        return _encode((row,)), (1, usage.input_tokens + usage.output_tokens, cost or 0)

    def expected_input(self, deployment: Deployment, tokens: int) -> int:
        """An estimate of input tokens, by what this deployment's provider told of others."""
        return self._calibration.corrected(deployment.id, Usage(tokens)).input_tokens

    def failed(self, exchange: Exchange, failure: Failure, number: int, seconds: float) -> bytes:
        """The row of an attempt that did not commit: not charged to the key."""
        row, error = self._row(exchange, failure.deployment, number), failure.error
        row.state, row.status, row.reason = RELEASED, error.public_status, error.outcome
        row.duration_ms, row.upstream_requests = seconds * 1e3, failure.requests
        price = self.price_of(failure.deployment)
        assert exchange.call is not None
        if error.outcome in AT_OUR_COST:
            usage = msgspec.structs.replace(_sent(exchange.call), requests=failure.requests)
            row.input_tokens, row.units = usage.input_tokens, usage.units
            row.cost_nano_usd = None if price is None else nano_usd(usage, price)
        else:
            row.token_source = PROVIDER
            row.cost_nano_usd = 0
        row.price_version = None if price is None else price.version
        return _encode((row,))

    def bill(self, exchange: Exchange, error: GatewayError | None) -> Bill:
        """What the call used, how that is known, and what it costs; nothing when no provider may charge for it."""
        usage, source = _usage(exchange, error)
        deployment = exchange.progress.deployment
        if usage is None or deployment is None:
            return NOTHING_USED
        call = exchange.call
        assert call is not None
        price = self.price_of(deployment)
        if not sold_by_units(call):
            usage = self._calibrated(exchange, deployment, (usage, source), error)
        elif price is not None and (sold := as_sold(usage, call.service, price, call.input_tokens)) is not usage:
            usage, source = sold, ESTIMATED
        if exchange.progress.requests != 1:
            usage = msgspec.structs.replace(usage, requests=exchange.progress.requests)
        return Bill(usage, source, None if price is None else nano_usd(usage, price))

    def _so_far(self, deployment: Deployment, call: Call, relay: Relay | None) -> Usage:
        """What a call under way has used that nobody counted."""
        if sold_by_units(call):
            return _sent(call)
        return self._estimated(deployment, _partly(call, relay), relay)

    def _calibrated(
        self,
        exchange: Exchange,
        deployment: Deployment,
        found: tuple[Usage, TokenSource | None],
        error: GatewayError | None,
    ) -> Usage:
        """What the provider told, of which estimates learn; or the estimate, by what it told of others."""
        usage, source = found
        call, answer = exchange.call, exchange.answer
        assert call is not None
        if source != PROVIDER:
            relay = None if answer is None else answer.relay
            corrected = self._estimated(deployment, usage, relay)
            whole = answer is not None and relay is None
            # A whole body weighs more for each token than a stream's text does, from which was learnt.
            return Usage(corrected.input_tokens, usage.output_tokens) if whole else corrected
        if error is None and answer is not None and self._calibration.wanted(deployment.id):
            self._calibration.learn(deployment.id, _partly(call, answer.relay), usage)
        return usage

    def _estimated(self, deployment: Deployment, guess: Usage, relay: Relay | None) -> Usage:
        """What nobody counted as its provider would probably count it; the input as it did, where it has told of that
        first."""
        corrected = self._calibration.corrected(deployment.id, guess)
        known = None if relay is None else relay.known_input
        if known is None or not 0 < known.input_tokens < MOST:
            tier = "" if relay is None else relay.service_tier
            return msgspec.structs.replace(corrected, service_tier=tier) if tier else corrected
        # What it says of the output meanwhile is not all of it.
        return msgspec.structs.replace(
            known, output_tokens=corrected.output_tokens, reasoning_tokens=0, audio_output_tokens=0
        )

    def final(self, exchange: Exchange, bill: Bill, status: int, error: GatewayError | None) -> bytes | None:
        """The row of the attempt that answered, or whose answer the client did not wait for; None if there is none."""
        deployment, usage = exchange.progress.deployment, bill.usage
        if usage is None or deployment is None:
            return None
        call, plan, principal, provider = exchange.call, exchange.plan, exchange.principal, deployment.provider
        assert call is not None
        assert plan is not None
        price = self.price_of(deployment) if bill.cost is not None else None
        first = exchange.first_byte
        # By position, in the order of the fields: naming them costs more than filling them.
        row = LedgerRow(
            call.id, exchange.progress.number, exchange.request_id, SETTLED, self._arrival(exchange),
            principal.key, principal.team, exchange.user, plan.route, call.service, call.model,
            provider.name, deployment.id, deployment.model, call.stream,
            status, "ok" if error is None else _label(error),
            usage.input_tokens, usage.output_tokens, usage.cached_input_tokens, usage.cache_write_tokens,
            usage.reasoning_tokens, usage.audio_input_tokens, usage.audio_output_tokens, usage.units,
            bill.source or ESTIMATED, bill.cost, None if price is None else price.version,
            None if first is None else (first - exchange.started) * 1e3, (self._clock() - exchange.started) * 1e3,
            plan.revision, provider.type, usage.cache_write_1h_tokens, usage.requests, usage.service_tier,
            usage.searches,
        )  # fmt: skip
        return _encode((row,))

    def _arrival(self, exchange: Exchange) -> int:
        if not exchange.started_us:
            # Once: every row of an attempt must say the same, and what we know of the store's clock moves.
            exchange.started_us = int(self._wall(exchange.started) * 1e6)
        return exchange.started_us

    def _row(self, exchange: Exchange, deployment: Deployment, number: int) -> LedgerRow:
        """By position, in the order of the fields: naming them costs more than filling them."""
        call, plan, principal = exchange.call, exchange.plan, exchange.principal
        assert call is not None
        assert plan is not None
        provider = deployment.provider
        row = LedgerRow(
            call.id, number, exchange.request_id, ABANDONED, self._arrival(exchange),
            principal.key, principal.team, exchange.user, plan.route, call.service, call.model,
            provider.name, deployment.id, deployment.model, call.stream, 500, CRASHED,
        )  # fmt: skip
        row.token_source = PARTIAL
        row.config_revision = plan.revision
        row.provider_type = provider.type
        return row


def _label(error: GatewayError) -> str:
    return error.outcome if isinstance(error, UpstreamError) else error.reason


def _usage(exchange: Exchange, error: GatewayError | None) -> tuple[Usage | None, TokenSource | None]:
    call, answer = exchange.call, exchange.answer
    if call is None or not exchange.progress.sent:
        return None, None
    if answer is None:
        # Sent, and then the client left: the provider may still charge for reading it.
        return _sent(call), PARTIAL
    relay = answer.relay
    counted = _counted(call, answer)
    if counted is not None and not sold_by_units(call):
        return counted, PROVIDER
    units = units_of(call, answer.body, counted)
    if counted is not None or units.amount:
        usage = msgspec.structs.replace(counted or Usage(), units=units.amount)
        return usage, PROVIDER if units.counted else ESTIMATED
    if relay is None:
        body = len(answer.body or b"")
        return estimate.whole(call.input_tokens, body, generates=call.service in GENERATES), ESTIMATED
    return _partly(call, relay), (ESTIMATED if error is None else PARTIAL)


def _counted(call: Call, answer: Answer) -> Usage | None:
    """What the provider told of the call; None where it did not, or tells what cannot be: that it answered without
    having read anything, or more than any call has."""
    counted = answer.usage if answer.relay is None else answer.relay.usage
    if counted is None:
        return None
    if counted.input_tokens <= 0 and call.input_tokens and call.service in _READING:
        return None
    if max(counted.input_tokens, counted.output_tokens, counted.units, counted.searches) >= MOST:
        return None
    return counted


def _sent(call: Call) -> Usage:
    """What a call uses by being read."""
    return Usage(call.input_tokens, units=units_sent(call)) if sold_by_units(call) else Usage(call.input_tokens)


def _partly(call: Call, relay: Relay | None) -> Usage:
    """What the call used as far as it has come, by what can be seen of it."""
    return Usage(call.input_tokens) if relay is None else estimate.partial(call.input_tokens, *relay.relayed)


def sold_by_units(call: Call) -> bool:
    """Whether something else than tokens may be what the call is sold by."""
    return call.service in _BY_UNITS
