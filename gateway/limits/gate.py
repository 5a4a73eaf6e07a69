"""The gate: reserve every limit and quota of a call or none, settle with what was really used.

One script decides (`lua/gate.lua`), and keeps a record of every call under way, from which a dead worker's calls are
booked. When its store cannot be reached, `outage.py` decides instead, and the decision says `degraded`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from functools import partial
from typing import Any

from gateway.errors import QuotaUnavailable
from gateway.limits.clock import StoreClock
from gateway.limits.demand import NOTHING, Demand, Used
from gateway.limits.epoch import Epochs
from gateway.limits.handover import GivenUp, Handover
from gateway.limits.limitset import ADMITTED, EXHAUSTED, UNSEEDED, Frame, LimitSet, headers_over, use_of
from gateway.limits.local import LocalLimits
from gateway.limits.outage import ALONE, Backing, Outage
from gateway.limits.records import Records
from gateway.limits.refusals import oversized, quota_warning, refusal
from gateway.limits.reservation import About, Hold, Journal, Reservation
from gateway.limits.script import (
    AGAIN,
    LEASE,
    LEASE_SECONDS,
    NOTE,
    PLAIN,
    RECORDED,
    RENEW,
    RESERVE,
    SETTLE,
    for_lua,
    question_of,
    said_again,
    shard_of,
    text_of,
)
from gateway.limits.seeding import Seeder
from gateway.limits.spent import Spent
from gateway.ports import Clock, Observer
from gateway.storage.batch import Item, ScriptBatcher
from gateway.storage.errors import StoreUnavailable
from gateway.storage.redis import RedisClient, Script
from gateway.types import QuotaSpec

__all__ = ["LEASE_SECONDS", "About", "Gate", "Hold", "Journal", "Reservation"]

Asked = tuple[Demand, About | None]
SEED_TRIES = 6
MAX_UNSENT = 50_000
"""Settlements kept for a store that is away."""


class Gate:
    """Admits calls. Safe for any number of calls at once on one event loop."""

    def __init__(self, redis: RedisClient, observer: Observer, clock: Clock, backing: Backing = ALONE) -> None:
        patient = backing.patient or redis
        self._channels: dict[str, ScriptBatcher] = {}
        self._patient_channels: dict[str, ScriptBatcher] = {}
        self._source = redis.load_script("gateway.limits", "lua/gate.lua")
        self._patient_source = patient.load_script("gateway.limits", "lua/gate.lua") if patient is not redis else None
        self._redis, self._observer, self._clock = redis, observer, clock
        self.store_clock = StoreClock(clock)
        self._outage = Outage(LocalLimits(clock, backing.workers), backing.ledger)
        self._records = Records(backing.journal)
        self.epochs = Epochs(patient, self._store_lost)
        self._seeder = Seeder(
            patient, backing.ledger, lambda shard: None if shard in self.dirty else self.epochs.current(shard)
        )
        self.spent = Spent(redis, observer, self.epochs)
        if patient is not redis:
            redis.on_connect(self.epochs.doubt)
        self.handover = Handover(self._outage, clock, redis.lookout)
        self.handover.recent.in_doubt = self.epochs.in_doubt
        self.live = self.handover.live
        self.dirty = self.handover.dirty
        self.unsent: dict[str, Item] = {}
        """Settlements that did not reach the store, to be repeated."""

    def __repr__(self) -> str:
        return f"<Gate live={len(self.live)} unsent={len(self.unsent)}>"

    def channel(self, shard: str) -> ScriptBatcher:
        """The script's calls of one shard."""
        return self._channels.get(shard) or self._open(self._channels, self._source, shard)

    def _open(self, channels: dict[str, ScriptBatcher], source: Script, shard: str) -> ScriptBatcher:
        heard = self.store_clock.heard
        channels[shard] = ScriptBatcher(source, on_lost=self._lost, on_orphan=self._give_back, on_time=heard)
        return channels[shard]

    # ---- reserve

    async def reserve(
        self, reservation: Reservation, sets: Sequence[LimitSet], demand: Demand, about: About | None = None
    ) -> None:
        """Hold every limit of these sets for the call, or none of them; with `about` the first set keeps its record.

        Raises RateLimited with the time after which a new try is admitted, InsufficientQuota, QuotaUnavailable,
        RequestExceedsLimit when no waiting helps, and Downgrade.
        """
        before, record = len(reservation.holds), about
        if about is not None:
            reservation.about = about
        try:
            for limits in sets:
                if limits.rows:
                    await self._hold(reservation, limits, demand, about)
                elif about is not None:
                    await self._record(reservation, limits, demand, about)
                about = None
            if record is not None and reservation.holds[before].degraded and isinstance(record[0], bytes):
                # No record in the store: if this worker dies, what the journal has is what was done.
                self._records.under_way(reservation, record[0])
                await self._records.written()
        except BaseException:
            # What a later set refuses, the earlier ones give back.
            self.release(reservation, before)
            if not before:
                self.live.pop(reservation.call_id, None)
            raise
        if len(sets) > 1:
            decided = [(hold.limits, hold.reply) for hold in reservation.holds if hold.reply]
            others = [pair for pair in reservation.headers if not pair[0].startswith(b"x-ratelimit-")]
            reservation.headers = headers_over(decided) + others

    def _add(self, reservation: Reservation, hold: Hold) -> None:
        reservation.holds.append(hold)
        if reservation.call_id not in self.live:
            reservation.renewed = reservation.noted = self._clock()
            self.live[reservation.call_id] = reservation

    async def _record(self, reservation: Reservation, limits: LimitSet, demand: Demand, about: About) -> None:
        """Nothing to decide, but nothing is sent to a provider before there is a record of it."""
        frame = limits.frame(None, "", 0.0)
        self._add(reservation, Hold(reservation.call_id, limits, frame, demand, demand.most, recorded=True))
        item = Item(frame.keys, limits.rows, (NOTE, reservation.call_id, for_lua(about), False, (0, 0, 0)))
        try:
            await self.channel(limits.names.shard).submit(item)
        except StoreUnavailable:
            self.epochs.doubt()
            reservation.holds[-1].degraded, reservation.holds[-1].recorded = True, False

    async def _hold(self, reservation: Reservation, limits: LimitSet, demand: Demand, about: About | None) -> None:
        if demand.tokens > limits.largest:
            raise oversized(limits, demand.tokens)
        name, degraded = reservation.call_id, False
        if about is None:
            # A name of its own each time: a late settlement of one attempt must not free what the next one holds.
            reservation.asked += 1
            name = f"{name}#{reservation.asked}"
            if limits.quotas and reservation.about is not None:
                # What it holds must be found if this worker dies; the call itself is booked from its first set.
                about = (False, reservation.about[1])
        try:
            if limits.quotas:
                name, frame, reply = await self._ask_quotas(name, reservation.user, limits, (demand, about))
            else:
                frame = limits.frame(reservation.user, "", 0.0)
                channel = self._channels.get(limits.names.shard) or self.channel(limits.names.shard)
                reply = await self._ask(channel, frame, limits, (name, demand, about))
            limits.hear(reservation.user, reply, self._clock())
            if self._outage.owing:
                self._carry()
        except StoreUnavailable:
            self.epochs.doubt()
            frame = limits.frame(reservation.user, "", self.store_clock())
            reply = await self._outage.admit(limits, frame, name, demand, reservation.user)
            degraded = True
            if limits.quotas:
                self.dirty.add(limits.names.shard)
        if int(reply[0]) != ADMITTED:
            self._refused(reservation.user, limits, None if degraded else frame, reply)
            raise refusal(limits, frame, reply, demand)
        self._observer.limits_decided(limits.degraded if degraded else limits.admitted)
        recorded = about is not None and not degraded
        hold = Hold(
            name, limits, frame, demand, int(reply[3]), reply, degraded, recorded=recorded, user=reservation.user
        )
        self._add(reservation, hold)
        if not degraded and frame.epoch != (self.epochs.known(limits.names.shard) if limits.quotas else ""):
            # The store began a new life while the reply was on its way.
            self._put_again(reservation, hold)
        if reservation.headers:
            reservation.headers += limits.headers(reply)
        else:
            reservation.headers = limits.headers(reply)
        if limits.quotas and not degraded:
            self._tell_quotas(reservation, limits, frame, reply)

    def _refused(self, user: str | None, limits: LimitSet, frame: Frame | None, reply: Sequence[float]) -> None:
        row = int(reply[1]) - 1
        self._observer.limits_decided(limits.refused(row))
        spec = limits.spec_of(row)
        # Without the store (no frame) nobody says how much is used.
        if int(reply[0]) == EXHAUSTED and isinstance(spec, QuotaSpec) and frame is not None:
            self._observer.quota_exhausted(spec, limits.owner_of(row, user), *use_of(frame, reply, row))

    def _tell_quotas(self, reservation: Reservation, limits: LimitSet, frame: Frame, reply: Sequence[float]) -> None:
        for row in limits.quotas:
            spec, use = limits.spec_of(row), use_of(frame, reply, row)
            used, owner = use[0], limits.owner_of(row, reservation.user)
            assert isinstance(spec, QuotaSpec)
            self._observer.quota_used(spec, owner, *use)
            self.spent.remember(spec, owner, limits, frame, row)
            if used >= limits.thresholds[row]:
                reservation.headers += quota_warning(spec, used)
        self._seeder.compare.admitted(limits, frame, reservation.user)

    async def _ask_quotas(
        self, name: str, user: str | None, limits: LimitSet, what: Asked
    ) -> tuple[str, Frame, Sequence[float]]:
        """As `_ask_store`; raises StoreUnavailable only where it is the ledger's turn to decide."""
        shard = limits.names.shard
        for _ in range(SEED_TRIES):
            try:
                return await self._ask_store(name, user, limits, what)
            except StoreUnavailable as error:
                self.epochs.doubt()
                if await self.handover.complete(shard, error):
                    raise
            # The store is back meanwhile. Under another name: what was asked may still be given back.
            name = f"{name}#again"
        raise QuotaUnavailable(retry_after=1.0)

    async def _ask_store(
        self, name: str, user: str | None, limits: LimitSet, what: Asked
    ) -> tuple[str, Frame, Sequence[float]]:
        """The store's decision, and the name under which it was asked for. A store that is slow is asked again about
        quotas, and waited for. Raises StoreUnavailable."""
        shard = limits.names.shard
        try:
            return name, *await self._decide(name, user, limits, what, self.channel(shard))
        except StoreUnavailable as error:
            source = self._patient_source
            if source is None or error.reason != "slow":
                raise
        # Under another name: the first question may still be answered, and is then given back.
        name = f"{name}#again"
        channel = self._patient_channels.get(shard) or self._open(self._patient_channels, source, shard)
        return name, *await self._decide(name, user, limits, what, channel)

    async def _decide(
        self, name: str, user: str | None, limits: LimitSet, what: Asked, channel: ScriptBatcher
    ) -> tuple[Frame, Sequence[float]]:
        """The script's reply that admits or refuses; missing counters are started first. Raises StoreUnavailable."""
        shard = limits.names.shard
        for _ in range(SEED_TRIES):
            if self.handover.by_ledger(shard):
                raise GivenUp
            epoch = await self._epoch(shard)
            frame = limits.frame(user, epoch, self.store_clock())
            reply = await self._ask(channel, frame, limits, (name, *what))
            if reply[0] != UNSEEDED:
                if not await self._same_life(shard, epoch, (frame, limits, (name, *what)), reply):
                    continue
                if self.handover.by_ledger(shard):
                    # The ledger was not told of this one, and may give the same away.
                    self._give_back(question_of(frame, limits, (name, *what)), reply)
                    raise GivenUp
                return frame, reply
            # A counter that is missing may be the first sign of a store that lost everything.
            if await self.epochs.ask(shard) == epoch:
                await self.epochs.complete(shard)
                await self._seeder.seed(limits, frame, user)
        raise QuotaUnavailable(retry_after=1.0)

    async def _ask(
        self, channel: ScriptBatcher, frame: Frame, limits: LimitSet, what: tuple[str, Demand, About | None]
    ) -> Sequence[float]:
        """The script's reply to one question. Raises StoreUnavailable."""
        item = question_of(frame, limits, what)
        away = not self._redis.available
        answer = channel.submit(item)
        try:
            reply: Sequence[float] = await answer
        except asyncio.CancelledError:
            if answer.done() and not answer.cancelled() and answer.exception() is None:
                # Cancelled between the answer's arrival and our waking up: nobody else knows of this reservation.
                self._give_back(item, answer.result())
            raise
        except StoreUnavailable:
            if not away:
                # It may have been done after nobody waited any more.
                self._undo(item, what[1].most, AGAIN if what[2] else PLAIN)
            raise
        return reply

    async def _epoch(self, shard: str) -> str:
        """The store's life in which quotas are counted. Raises StoreUnavailable."""
        if shard in self.dirty:
            await self.refresh(shard)
        return self.epochs.current(shard) or await self.epochs.ask(shard)

    async def refresh(self, shard: str) -> None:
        """Begin a new life where quotas were used while the store was away: only the ledger knows how much. Raises
        StoreUnavailable."""
        await self._records.written()
        await self.epochs.rotate(shard)
        self.dirty.discard(shard)
        self.handover.well(shard)

    async def take_back(self, shard: str) -> None:
        """Ask the store how it is, and use it again if it is well and nobody finds it away. Raises StoreUnavailable."""
        usable = self.handover.usable(shard, available=self._redis.available)
        if usable and shard in self.dirty and self.handover.alone(shard):
            await self.refresh(shard)
        else:
            await self.epochs.ask(shard)
            if usable:
                self.handover.well(shard)

    async def _same_life(
        self, shard: str, epoch: str, asked: tuple[Frame, LimitSet, tuple[str, Demand, About | None]], reply: Any
    ) -> bool:
        """Whether it was this life of the store that replied; else what it reserved is given back."""
        if self.epochs.current(shard) == epoch:
            return True
        same = False
        try:
            same = await self.epochs.ask(shard) == epoch
        finally:
            if not same:
                self._give_back(question_of(*asked), reply)
        return same

    # ---- afterwards

    def note(self, reservation: Reservation, about: About, event: bytes | None = None) -> None:
        """Another record for the call, and an event that is already certain."""
        reservation.about = about
        reservation.noted = self._clock()
        first = reservation.holds[0] if reservation.holds else None
        if first is not None and first.recorded:
            args = (NOTE, first.id, for_lua(about), text_of(event), first.demand.amounts(first.output))
            self._later(first, args, urgent=False)
        elif event is not None:
            self._records.keep([event])
        if event is not None:
            reservation.journaled = None

    def settle(self, reservation: Reservation, used: Used, event: bytes | None = None) -> None:
        """Replace what was reserved by what was `used`, free the slots, and book the event. Only the first call
        counts."""
        if reservation.settled:
            return
        reservation.settled = True
        reservation.checkpoint = None  # it leads back to whom the reservation belongs: a cycle for the collector
        self.live.pop(reservation.call_id, None)
        if event is not None:
            reservation.journaled = None
        for at, hold in enumerate(reservation.holds):
            own = event if at == 0 and hold.recorded else None
            self._settle(hold, used, own, undo=False)
            if own is not None:
                event = None
        if event is not None:
            self._records.keep([event])
        elif reservation.journaled is not None:
            self._records.withdraw(reservation)
        if not used.requests:
            self.handover.forget(reservation.call_id)

    def release(self, reservation: Reservation, down_to: int = 0) -> None:
        """Give back, as if it had never been asked for, what was reserved beyond the first `down_to` holds."""
        while len(reservation.holds) > down_to:
            self._settle(reservation.holds.pop(), NOTHING, None, undo=True)
        if not down_to and reservation.journaled is not None:
            self._records.withdraw(reservation)

    def settle_attempt(self, reservation: Reservation, down_to: int, used: Used) -> None:
        """Settle what an attempt held beyond the call's own holds."""
        while len(reservation.holds) > down_to:
            self._settle(reservation.holds.pop(), used, None, undo=False)

    def _settle(self, hold: Hold, used: Used, event: bytes | None, *, undo: bool) -> None:
        limits, demand = hold.limits, hold.demand
        tokens = (0 if undo else used.tokens) - demand.tokens
        if hold.degraded:
            self._outage.settle(limits, hold.frame, hold.id, tokens, -1 if undo else 0)
            self._outage.done(hold.id, used)
            self._seeder.compare.ended(limits, hold.frame, hold.user)
            return
        if not limits.rows and not hold.recorded:
            return
        reserved, spent = (demand.amounts(hold.output), used.amounts) if limits.quotas else (False, False)
        mode, requests = RECORDED if hold.recorded else PLAIN, -1 if undo else 0
        args = (SETTLE, hold.id, mode, requests, tokens, reserved, spent, text_of(event))
        self._later(hold, args, urgent=bool(limits.rows) and limits.full(hold.reply))
        if event is not None or limits.quotas:
            self.handover.recent.add(self._clock(), hold, event, used)

    def _later(self, hold: Hold, args: tuple[Any, ...], *, urgent: bool) -> None:
        """With the next reservation, as a rule, at no cost of its own; at once if somebody may wait for it."""
        item = Item(hold.frame.keys, hold.limits.rows, args)
        self.channel(hold.limits.names.shard).submit_nowait(item, linger=not urgent)

    def renew(self, reservation: Reservation) -> None:
        """Extend the leases of a call that still runs."""
        reservation.renewed = self._clock()
        for hold in reservation.holds:
            if hold.limits.slots and not hold.degraded:
                self._later(hold, (RENEW, hold.id, LEASE), urgent=True)

    # ---- trouble

    def _give_back(self, item: Item, reply: Any) -> None:
        """A call was cancelled while its reservation was on the way: everything goes back, its request too."""
        if item.args[0] == RESERVE and reply[0] == ADMITTED:
            self._undo(item, int(reply[3]), RECORDED if item.args[5] else PLAIN)

    def _undo(self, item: Item, output: int, mode: int) -> None:
        _, call_id, _, tokens, needs, _ = item.args
        fixed, per_token, taken, *_ = needs or (0, 0, 0)
        reserved = (1, taken + output, fixed + output * per_token)
        future = item.future
        if mode == PLAIN and future is not None and not future.cancelled() and future.exception() is not None:
            # Whether it was done is not known, and there is no record to tell: slots are freed, the rest runs out.
            tokens, requests = 0, 0
        else:
            requests = -1
        args = (SETTLE, call_id, mode, requests, -tokens, reserved, (0, 0, 0), False)
        self.channel(shard_of(item)).submit_nowait(Item(item.keys, item.table, args))

    def _lost(self, item: Item, error: StoreUnavailable) -> None:
        """The store did not take something nobody waits for. Events go to the journal, the rest is repeated."""
        self.epochs.doubt()
        self.handover.tell(shard_of(item))
        again, events, record = said_again(item)
        self._records.keep(events)
        if record is not None and (reservation := self.live.get(item.args[1].partition("#")[0])) is not None:
            # If this worker dies before the store is back, the journal says what was under way.
            self._records.under_way(reservation, record)
        self._repeat_later(again, error)

    def _repeat_later(self, item: Item, error: StoreUnavailable) -> None:
        """The last word about each call. What is not repeated, because it cannot be or is too much, the audit frees."""
        if error.reason != "error" and len(self.unsent) < MAX_UNSENT:
            self.unsent[item.args[1]] = item

    def repeat(self) -> None:
        """Send again what did not reach the store."""
        self._carry()
        unsent, self.unsent = self.unsent, {}
        for item in unsent.values():
            if item.args[0] != NOTE:
                self.channel(shard_of(item)).submit_nowait(item, linger=True)
            elif (reservation := self.live.get(item.args[1].partition("#")[0])) is not None:
                # By what it holds now: counters may have other names since.
                for hold in reservation.holds:
                    if hold.id == item.args[1]:
                        self._put_again(reservation, hold)

    @property
    def owing(self) -> bool:
        """The store has to be told what was taken of its rates while it was away."""
        return self._outage.owing

    def _carry(self) -> None:
        """Tell the store what was taken of its rates while it was away."""
        if self._outage.owing:
            for item, bucket in self._outage.carries(self.store_clock):
                self.channel(shard_of(item)).submit(item).add_done_callback(partial(self._outage.carried, bucket))

    def _store_lost(self, shard: str) -> None:
        """Everything of this shard may be gone: what runs is put there again, and what ended just now."""
        for reservation in list(self.live.values()):
            for hold in reservation.holds:
                if hold.limits.names.shard == shard and not hold.degraded:
                    self._put_again(reservation, hold)
        for limits, frame, event in self.handover.recent.events(shard):
            args = (NOTE, "", False, text_of(event), (0, 0, 0))
            self.channel(shard).submit_nowait(Item(frame.keys, limits.rows, args), linger=True)

    def _put_again(self, reservation: Reservation, hold: Hold) -> None:
        """Its record and its slots, and what it holds of quotas under the names of this life."""
        limits, about = hold.limits, reservation.about
        if limits.quotas:
            epoch = self.epochs.known(limits.names.shard) or ""
            hold.frame = limits.moved(hold.frame, reservation.user, epoch)
        if hold.recorded and about is not None:
            about = about if hold is reservation.holds[0] else (False, about[1])
            self._later(hold, (NOTE, hold.id, for_lua(about), False, hold.demand.amounts(hold.output)), urgent=True)
        if limits.slots:
            self._later(hold, (RENEW, hold.id, LEASE), urgent=True)

    @property
    def shards(self) -> list[str]:
        """Those in use so far."""
        return list(self._channels)

    async def close(self) -> None:
        """Wait until everything settled is on record."""
        await self._seeder.compare.close()
        for channel in (*self._patient_channels.values(), *self._channels.values()):
            await channel.close()
