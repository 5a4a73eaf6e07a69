"""The board of a worker: which deployments calls may go to, by what became of earlier ones.

A deployment leaves rotation for three reasons: its breaker opened (it fails), it cools down (it said 429), or it is
parked (it refuses our credentials). Once the time is over, one call tries it, and another one where that takes long; a
cooldown simply ends.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from random import Random

import msgspec

from gateway.errors import (
    GatewayError,
    ProviderAuthFailed,
    UpstreamConflict,
    UpstreamError,
    UpstreamRateLimited,
    UpstreamRejected,
    UpstreamTlsFailed,
)
from gateway.health.breaker import JITTER
from gateway.health.budget import SPAN
from gateway.health.record import BREAKER, COOLDOWN, PARKED, Record, State, blend, identity_of
from gateway.ports import Clock, DeploymentChanged, Observer, ProbeResult, Ticket
from gateway.telemetry.base import SilentObserver
from gateway.types import Deployment

PARK_SECONDS = 60.0
"""Times how often it was parked in a row."""
MOST_PARKED = 300.0
BARE_COOLDOWN = 5.0
HINT_SECONDS = 30.0
"""What another worker says is believed so long; then a call of our own finds out."""
DOUBT_SECONDS = 30.0
PROBE_SECONDS = 5.0
"""For how long a failed probe keeps calls away."""
TRIAL_SECONDS = 5.0
"""After which another call may try what one is trying already: a good answer may take long."""
HEADROOM_SECONDS = 60.0
"""How long what a provider says of its rate limits is believed: most are by the minute."""
MOST_RECORDS = 4096
"""Deployments that are known; where clients invent models, the oldest are forgotten."""
_NOBODY_THERE = frozenset({"connect_refused", "dns", "connect_timeout", "tls"})
_ALIVE = (UpstreamRejected, UpstreamConflict, UpstreamRateLimited)
"""Refusals that only a provider that works can utter."""


class Hint(msgspec.Struct, array_like=True):
    """What one worker tells the others of a deployment."""

    deployment: str
    out_for: str
    """Empty: it is back."""
    seconds: float
    cause: str
    worker: str = ""


class Board(SilentObserver):
    """Implements `gateway.ports.Health`, and observes probes. `tell` passes on what this worker found out by itself."""

    def __init__(self, observer: Observer, clock: Clock, chance: Random) -> None:
        self.observer = observer
        """Who hears of every change of state."""
        self._clock = clock
        self._chance = chance
        self._records: dict[str, Record] = {}
        self._out: set[Record] = set()
        self.tell: Callable[[Hint], None] = _nobody

    def __repr__(self) -> str:
        out = ", ".join(f"{record.deployment}: {record.out_for}" for record in self._out)
        return f"<Board of {len(self._records)}, out: {out or 'none'}>"

    def of(self, deployment: Deployment) -> Record:
        """See `gateway.ports.Conditions`."""
        record = self._records.get(deployment.id)
        return record if record is not None else self._make(deployment)

    def keep(self, deployments: Iterable[Deployment]) -> None:
        """These are configured now. One with other credentials, or elsewhere, begins anew; others that nobody uses are
        forgotten."""
        kept = {deployment.id: deployment for deployment in deployments}
        for name in [name for name, record in self._records.items() if name not in kept and not record.in_flight]:
            self._out.discard(self._records.pop(name))
        for deployment in kept.values():
            record = self.of(deployment)
            record.configured = True
            identity = identity_of(deployment.provider)
            if record.identity != identity:
                if record.out_until:
                    self._back(record, "reconfigured")
                record.reset()
            _configure(record, deployment)
            if not record.guarded and record.out_for in (BREAKER, PARKED):
                self._back(record, "reconfigured")

    def state_of(self, deployment: str) -> State:
        """As it was told last."""
        record = self._records.get(deployment)
        return State.HEALTHY if record is None else record.state

    def forget(self) -> None:
        """Everything is as new."""
        for record in self._records.values():
            record.reset()
            self._tell(record, State.HEALTHY, "forgotten")
        self._out.clear()

    # ---- attempts

    def usable(self, deployment: Deployment) -> bool:
        """See `gateway.ports.Health`."""
        record = self.of(deployment)
        return not record.out_until or self._clock() >= record.out_until

    def affords(self, deployment: Deployment) -> bool:
        """See `gateway.ports.Health`. An upstream without a failure in the last ten seconds takes every call that
        another one lost."""
        record, now = self.of(deployment), self._clock()
        return now - record.failed_at > SPAN or record.budget.leaves(now)

    def enter(self, deployment: Deployment, *, again: bool = False, waited: bool = False) -> Ticket | None:
        """See `gateway.ports.Health`."""
        record = self._records.get(deployment.id) or self._make(deployment)
        now = self._clock()
        trial = False
        if record.out_until:
            if record.out_for == COOLDOWN:
                if now < record.out_until and not waited:
                    return None
                if now >= record.out_until:
                    self._back(record, "expired")
            elif now < record.out_until:
                return None
            else:
                trial = record.on_trial = True
                record.out_until = now + TRIAL_SECONDS
                self._tell(record, State.DEGRADED, "retry")
        record.in_flight += 1
        record.budget.count(now, again=again)
        ticket = Ticket(record, now, trial)
        if trial:
            record.trying.append(ticket)
        return ticket

    def answered(self, ticket: Ticket, ttft: float | None, headroom: float | None) -> None:
        """See `gateway.ports.Health`."""
        record, now = ticket.condition, self._clock()
        assert isinstance(record, Record)
        if ttft is not None:
            record.ttft, record.ttft_at = blend(record.ttft, ttft, now - record.ttft_at), now
        else:
            seconds = now - ticket.began
            record.duration, record.duration_at = blend(record.duration, seconds, now - record.duration_at), now
        if headroom is not None:
            record.headroom, record.headroom_until = headroom, now + HEADROOM_SECONDS
        if ticket.trial:
            self._passed(ticket)
        ticket.ended = record.breaker.succeeded()

    def leave(self, ticket: Ticket, error: GatewayError | None, *, counts: bool = True) -> None:
        """See `gateway.ports.Health`."""
        record = ticket.condition
        assert isinstance(record, Record)
        record.in_flight -= 1
        if error is None:
            record.well_at = self._clock()
            record.refused = 0
            if ticket.trial:
                self._passed(ticket)
        elif counts and isinstance(error, UpstreamError):
            self._failed(record, ticket, error)
        if ticket.trial and ticket in record.trying:
            record.trying.remove(ticket)
            if not record.trying:  # nobody told anything: the next call tries
                record.on_trial = False
                record.out_until = min(record.out_until, self._clock())

    def _failed(self, record: Record, ticket: Ticket, error: UpstreamError) -> None:
        now = self._clock()
        if ticket.trial and isinstance(error, _ALIVE):
            self._passed(ticket)
        if isinstance(error, UpstreamRateLimited):
            self._cool(record, error)
        elif isinstance(error, ProviderAuthFailed):
            record.failed_at = now
            if record.guarded:
                self._refused(record, ticket, error)
        elif error.counts_against_health:
            record.failed_at = now
            if record.guarded:
                self._count(record, ticket, error)

    def _count(self, record: Record, ticket: Ticket, error: UpstreamError) -> None:
        now, breaker = self._clock(), record.breaker
        if ticket in record.trying:
            self._take_out(record, BREAKER, breaker.opened(now, self._chance), error.outcome)
            return
        if record.out_for in (BREAKER, PARKED) or (ticket.began < breaker.closed_at and not ticket.trial):
            return  # it began before that: it tells nothing new
        # Where every answer begins and none ends, beginnings are no comfort.
        ended = 0 if ticket.ended and record.well_at >= ticket.began else ticket.ended
        seconds = breaker.failed(now, self._chance, at_once=isinstance(error, UpstreamTlsFailed), ended=ended)
        if seconds is not None:
            self._take_out(record, BREAKER, seconds, error.outcome)

    def _refused(self, record: Record, ticket: Ticket, error: UpstreamError) -> None:
        record.refused += 1
        parked = record.out_for == PARKED and ticket not in record.trying
        # Several keys are used in turn: one that is refused says nothing of the others.
        if not parked and record.refused >= record.credentials:
            seconds = record.breaker.opened(self._clock(), self._chance, PARK_SECONDS, MOST_PARKED)
            self._take_out(record, PARKED, seconds, error.outcome)

    def _cool(self, record: Record, error: UpstreamRateLimited) -> None:
        seconds = BARE_COOLDOWN if error.retry_after is None else error.retry_after
        if error.bare:
            seconds *= self._chance.uniform(1.0 - JITTER, 1.0 + JITTER)
        if record.out_for not in (BREAKER, PARKED) and self._clock() + seconds > record.out_until:
            self._take_out(record, COOLDOWN, seconds, error.outcome)

    # ---- in and out of rotation

    def _take_out(
        self, record: Record, word: str, seconds: float, cause: str, *, told: bool = False, probe: str | None = None
    ) -> None:
        """`told`: another worker says so. `probe`: what a probe was of, where no call says so."""
        hinted = told or probe is not None
        record.out_until = self._clock() + seconds
        record.out_for, record.cause = word, cause
        record.hinted, record.told, record.probe = hinted, told, probe
        record.end_trials()
        self._out.add(record)
        state = State.DEGRADED if word == COOLDOWN else State.OUT
        self._tell(record, state, cause, seconds)
        if not hinted:
            self.tell(Hint(record.deployment, word, seconds, cause))

    def _back(self, record: Record, cause: str, *, told: bool = False) -> None:
        record.out_until, record.out_for, record.hinted = 0.0, "", False
        record.told, record.probe = told, None
        record.end_trials()
        self._out.discard(record)
        self._tell(record, State.HEALTHY, cause)
        if not told and cause != "expired":
            self.tell(Hint(record.deployment, "", 0.0, cause))

    def _passed(self, ticket: Ticket) -> None:
        """A trial got an answer. What becomes of that counts; other trials tell nothing new."""
        record, now = ticket.condition, self._clock()
        assert isinstance(record, Record)
        if ticket not in record.trying:
            return
        record.trying.remove(ticket)
        if record.hinted:
            record.doubted_until = now + DOUBT_SECONDS
        record.refused = 0
        record.breaker.closed(now)
        self._back(record, "recovered")

    def _tell(self, record: Record, state: State, cause: str, seconds: float = 0.0) -> None:
        parked = record.out_for == PARKED and state is State.OUT
        if state is record.state and not (state is State.OUT and seconds):
            return
        record.state = state
        blamed = record.refused if parked else record.breaker.blamed
        self.observer.deployment_changed(
            DeploymentChanged(
                record.deployment,
                str(state),
                cause,
                time.time(),
                seconds,
                parked,
                record.told,
                record.probe is not None,
                blamed if state is State.OUT and not record.hinted else 0,
            )
        )

    def tick(self) -> None:
        """Once a second: what may be tried again is no longer out."""
        now = self._clock()
        for record in [record for record in self._out if record.out_until <= now]:
            if record.out_for == COOLDOWN:
                self._back(record, "expired")
            elif not record.on_trial:
                self._tell(record, State.DEGRADED, "retry")

    # ---- what other workers found out

    def hear(self, hint: Hint) -> None:
        """Believe it for a while, unless the last such hint proved wrong; what we found out ourselves stands."""
        record, now = self._records.get(hint.deployment), self._clock()
        if record is None:
            return
        if not hint.out_for:
            self._heard_back(record, now)
        elif self._believes(record, hint):
            seconds = min(hint.seconds, HINT_SECONDS)
            self._take_out(record, hint.out_for, seconds, hint.cause, told=True)

    def _believes(self, record: Record, hint: Hint) -> bool:
        doubted = record.out_until or self._clock() < record.doubted_until or hint.seconds <= 0
        return not doubted and (record.guarded or hint.out_for == COOLDOWN)

    def _heard_back(self, record: Record, now: float) -> None:
        if record.hinted:
            self._back(record, "recovered", told=True)
        elif record.out_until > now and record.out_for != COOLDOWN:
            record.out_until = now  # ours to find out, and now is the time
            self._tell(record, State.DEGRADED, "retry")

    def probe_finished(self, result: ProbeResult) -> None:
        """A probe is a hint as well: a bad one takes out until a call or a probe has tried, a good one brings back what
        only such a probe took out, and lets a call try at once what calls took out. What a provider says of its list of
        models is no word against any one of them, unless nobody answers at all."""
        seconds = PROBE_SECONDS if result.failed else 0.0
        if result.failed and result.deployment is None and result.outcome not in _NOBODY_THERE:
            return
        names = [result.deployment] if result.deployment is not None else self._of_provider(result.provider)
        for name in names:
            record = self._records.get(name)
            if record is None:
                continue
            if result.failed:
                hint = Hint(name, BREAKER, seconds, result.outcome)
                if self._believes(record, hint):
                    of = result.deployment or ""
                    self._take_out(record, BREAKER, seconds, result.outcome, told=result.heard, probe=of)
                    if not result.heard:  # for workers that come later, and who asks what is out
                        self.tell(hint)
            elif record.probe in ("", result.deployment or ""):
                self._back(record, "recovered", told=result.heard)
            elif record.out_for == BREAKER:
                record.out_until = min(record.out_until, self._clock())

    def _of_provider(self, name: str) -> list[str]:
        return [deployment for deployment in self._records if deployment.partition("/")[0] == name]

    def _make(self, deployment: Deployment) -> Record:
        if len(self._records) >= MOST_RECORDS:
            # Not those that are configured: who reads a condition may have kept it.
            idle = next((name for name, one in self._records.items() if not one.configured and not one.in_flight), None)
            if idle is not None:
                self._out.discard(self._records.pop(idle))
        record = Record(deployment.id)
        _configure(record, deployment)
        self._records[deployment.id] = record
        return record


def _configure(record: Record, deployment: Deployment) -> None:
    provider = deployment.provider
    record.identity, record.guarded = identity_of(provider), provider.breaker
    record.credentials = max(1, len(provider.api_keys) + len(provider.spare_keys))


def _nobody(hint: Hint) -> None:
    del hint
