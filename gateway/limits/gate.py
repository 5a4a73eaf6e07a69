"""The gate: reserve every limit of a call or none, settle with what was really used, keep leases alive.

One script decides (`lua/gate.lua`). When its store cannot be reached, rates are held by a local cap instead (limit ÷
workers) and slots by a local count: traffic goes on, bounded, and the decision says `degraded`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import msgspec

from gateway.errors import RateLimited, RequestExceedsLimit
from gateway.limits.limitset import LimitSet, give_back, go_duration
from gateway.limits.local import LocalLimits
from gateway.ports import Clock, Observer
from gateway.storage.batch import Item, ScriptBatcher
from gateway.storage.errors import StoreUnavailable
from gateway.storage.redis import RedisClient
from gateway.types import LimitSpec, Principal

LEASE_SECONDS = 60.0
RENEW_SECONDS = 20.0
MAX_COMPILED = 20_000
_RESERVE, _SETTLE, _RENEW = 1, 2, 3


class Reservation(msgspec.Struct, eq=False):
    """What one call holds until it is settled."""

    call_id: str
    limits: LimitSet
    tokens: int
    state: Sequence[float] = ()
    """remaining, reset (µs) for each limit in turn."""
    renewed: float = 0.0
    degraded: bool = False
    settled: bool = False
    headers: Sequence[tuple[bytes, bytes]] = ()


class Gate:
    """Admits calls. Safe for any number of calls at once on one event loop."""

    def __init__(self, redis: RedisClient, observer: Observer, clock: Clock, workers: int = 1) -> None:
        script = redis.load_script("gateway.limits", "lua/gate.lua")
        self._script = ScriptBatcher(script, on_orphan=self._give_back)
        self._observer = observer
        self._clock = clock
        self._local = LocalLimits(clock, workers)
        self._compiled: dict[Principal, LimitSet] = {}
        self._leases: dict[str, Reservation] = {}

    def limits_of(self, principal: Principal) -> LimitSet:
        """The principal's compiled limits."""
        found = self._compiled.get(principal)
        if found is None:
            if len(self._compiled) >= MAX_COMPILED:
                self._compiled.clear()
            found = self._compiled[principal] = LimitSet.of(principal.limits)
        return found

    async def reserve(self, call_id: str, limits: LimitSet, tokens: int) -> Reservation | None:
        """Hold every limit for a call of `tokens` estimated tokens; None when there is nothing to hold.

        Raises RateLimited with the time after which a new try is admitted, and RequestExceedsLimit when no waiting
        helps.
        """
        if not limits.specs:
            return None
        if tokens > limits.largest:
            _refuse_oversized(limits, tokens)
        reservation = Reservation(call_id, limits, tokens)
        item = Item(limits.keys, [_RESERVE, call_id, LEASE_SECONDS * 1e6, limits.args(tokens)])
        answer = self._script.submit(item)
        try:
            reply = await answer
        except asyncio.CancelledError:
            if answer.done() and not answer.cancelled() and answer.exception() is None:
                # Cancelled between the answer's arrival and our waking up: nobody else knows of this reservation.
                self._give_back(item, answer.result())
            raise
        except StoreUnavailable:
            reply = self._local.reserve(limits, call_id, tokens)
            reservation.degraded = True
        reservation.state = reply[3:]
        self._observer.limits_decided(limits.decisions(reply, degraded=reservation.degraded))
        reservation.headers = limits.headers(reservation.state)
        if not reply[0]:
            if reservation.degraded:
                self._release(limits, call_id)
            spec = limits.specs[int(reply[1]) - 1]
            raise _refusal(spec, reply[2] / 1e6, reservation.headers)
        if limits.slots:
            reservation.renewed = self._clock()
            self._leases[call_id] = reservation
        return reservation

    def settle(self, reservation: Reservation, tokens: int) -> None:
        """Replace the reserved tokens by the `tokens` really used and free the slots. Only the first call counts."""
        if reservation.settled:
            return
        reservation.settled = True
        self._leases.pop(reservation.call_id, None)
        limits = reservation.limits
        if reservation.degraded:
            self._local.settle(limits, reservation.call_id, tokens - reservation.tokens)
            self._release(limits, reservation.call_id)
            return
        changes = limits.changes(tokens - reservation.tokens)
        if changes:
            # With the next reservation, as a rule, at no cost of its own; at once if somebody may need the slot.
            item = Item(limits.keys, [_SETTLE, reservation.call_id, changes])
            self._script.submit_nowait(item, linger=not limits.full(reservation.state))

    def _release(self, limits: LimitSet, call_id: str) -> None:
        """Free slots that the store may have given after nobody waited for its answer any more."""
        if limits.slots:
            self._script.submit_nowait(Item(limits.keys, [_SETTLE, call_id, limits.changes(0)]))

    def renew(self) -> None:
        """Extend the leases of calls that still run. To be called every few seconds."""
        now = self._clock()
        for reservation in self._leases.values():
            if now - reservation.renewed >= RENEW_SECONDS and not reservation.degraded:
                reservation.renewed = now
                limits = reservation.limits
                args = [_RENEW, reservation.call_id, LEASE_SECONDS * 1e6, limits.changes(0)]
                self._script.submit_nowait(Item(limits.keys, args))

    def _give_back(self, item: Item, reply: Any) -> None:
        """A call was cancelled while its reservation was on the way: everything goes back, its request too."""
        operation, call_id, *rest = item.args
        if operation == _RESERVE and reply[0]:
            self._script.submit_nowait(Item(item.keys, [_SETTLE, call_id, give_back(rest[1])]))

    async def close(self) -> None:
        """Wait until everything settled is on record."""
        await self._script.close()

    @property
    def leases(self) -> int:
        """How many calls hold slots at the moment."""
        return len(self._leases)


def _refuse_oversized(limits: LimitSet, tokens: int) -> None:
    for spec in limits.specs:
        if spec.kind == "tokens" and tokens > spec.capacity:
            raise RequestExceedsLimit(
                f"This request needs about {tokens} tokens, more than the {spec.scope}'s limit of {spec.capacity} "
                "holds. Lower max_tokens or shorten the input."
            )


def _refusal(spec: LimitSpec, wait: float, headers: Sequence[tuple[bytes, bytes]]) -> RateLimited:
    what = (
        f"{spec.count} {spec.kind} per {_period(spec.period * spec.count / spec.capacity)}"
        if spec.period
        else f"{spec.capacity} requests at once"
    )
    error = RateLimited(
        f"Rate limit reached: this {spec.scope} allows {what}. Try again in {go_duration(wait * 1e6).decode()}.",
        retry_after=wait,
        limit=f"{spec.scope}:{spec.kind}",
    )
    error.headers = [*headers]
    return error


def _period(seconds: float) -> str:
    return {1.0: "second", 60.0: "minute", 3600.0: "hour", 86400.0: "day"}.get(seconds, f"{seconds:g} s")
