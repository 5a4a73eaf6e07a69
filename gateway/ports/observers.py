"""Facts, and who hears them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import msgspec

from gateway.errors import GatewayError, UpstreamError
from gateway.types import (
    Attempt,
    Deployment,
    QuotaSpec,
    Receipt,
)


@dataclass(frozen=True, slots=True, eq=False)
class LimitDecision:
    """A fact: a limit admitted or refused a call. Equal decisions are one object, so that observers can count them by
    identity."""

    scope: str
    kind: str
    decision: str
    """`admitted`, `refused` or `degraded`."""


@dataclass(frozen=True, slots=True)
class QuotaAlert:
    """A fact: a quota reached its soft threshold, or is used up. Told once for its owner, period and level."""

    level: str
    """`soft` or `exceeded`."""
    scope: str
    quota: str
    """The name of the rule, the key or the team that has it."""
    owner: str | None
    """Whose use it is; None for users, who are not named."""
    kind: str
    period: str
    period_start: float
    """Unix seconds."""
    amount: int
    """As a QuotaSpec's."""
    used: int
    """What calls under way have reserved is included."""
    action: str
    """What happens from now on, or at the end of the quota."""

    @property
    def share(self) -> float:
        """The used share of the amount (1.0 is all of it), to three decimals."""
        return round(self.used / self.amount, 3)


class DeploymentChanged(msgspec.Struct, frozen=True, tag="changed"):
    """A fact: the state that this worker sees a deployment in has changed. Told once per change."""

    deployment: str
    """Its id."""
    state: str
    """`healthy`, `degraded` or `out`."""
    cause: str
    """Why: the outcome of the failure table that led to it, else `breaker`, `cooldown`, `parked`; empty when it is
    healthy."""
    at: float
    """Unix seconds."""
    seconds: float = 0.0
    """How long it stays so at least; 0: nobody knows."""
    parked: bool = False
    """An operator has to do something: the provider refuses our credentials."""
    told: bool = False
    """Another worker found it out."""
    probed: bool = False
    """A single probe did, no call."""
    failures: int = 0
    """Attempts of this worker that failed and took it out; 0 where none did."""


class ProbeResult(msgspec.Struct, frozen=True, tag="probe"):
    """A fact: a provider was asked how it is."""

    provider: str
    deployment: str | None
    """The deployment that was called; None when the provider was asked for its models, which says nothing about any one
    of them."""
    outcome: str
    """`ok`, `no_list` (it answers, and has no list of models), or the outcome of the failure table."""
    at: float
    """Unix seconds of its end."""
    seconds: float
    """How long it took."""
    heard: bool = False
    """Another worker did it, and told."""

    @property
    def failed(self) -> bool:
        """Calls would fail too, as far as a probe can tell. A provider that refuses us for our rate, refuses what a
        probe asks, or has no list of models, is well."""
        return self.outcome not in _WELL


_WELL = frozenset({"ok", "no_list", "429", "409", "4xx", "pool_timeout", "no_sockets"})
"""Outcomes that say nothing against a provider, as `counts_against_health` has it."""


@dataclass(frozen=True, slots=True)
class IncidentChanged:
    """A fact: an incident began, or is over. Told once by all gateways that share a database."""

    event: str
    """`opened` or `closed`."""
    id: str
    provider: str
    cause: str
    """The outcome of the failure table, or the deployment's cause, that was found first."""
    first_failure: float
    """Unix seconds, as the others."""
    last_failure: float
    failures: int
    deployments: tuple[str, ...]
    """Those affected."""
    routes: tuple[str, ...]
    """Those with a target among them."""
    closed_at: float | None = None


class Observer(Protocol):
    """Hears what happened. Must not raise, block or change anything."""

    def call_started(self) -> None: ...

    def call_finished(self, receipt: Receipt) -> None: ...

    def attempt_finished(self, attempt: Attempt) -> None: ...

    def fell_back(self, source: Deployment, target: Deployment, error: UpstreamError) -> None: ...

    def limits_decided(self, decisions: tuple[LimitDecision, ...]) -> None:
        """The decision of each limit that binds one call."""
        ...

    def quota_used(self, quota: QuotaSpec, owner: str, used: int, held: int, until: float) -> None:
        """A call was admitted under this quota; `used` is what its period has used and reserved, in its kind's unit,
        and `held` what of that is only reserved. The period ends at `until` (Unix seconds)."""
        ...

    def quota_seen(self, quota: QuotaSpec, owner: str, used: int, held: int, until: float) -> None:
        """The same, without a call: what a budget's period has used by now."""
        ...

    def quota_exhausted(self, quota: QuotaSpec, owner: str, used: int, held: int, until: float) -> None:
        """A call was refused, or sent to another model, because of this quota."""
        ...

    def quota_alerted(self, alert: QuotaAlert) -> None:
        """A quota reached a level that operators are told of."""
        ...

    def redis_called(self, seconds: float, error: str | None) -> None: ...

    def redis_changed(self, available: bool, reason: str) -> None:
        """The store fell sick, or is well again; `reason` is the label of the trouble."""
        ...

    def loop_lagged(self, seconds: float) -> None:
        """A timer fired this many seconds late, because the event loop was busy; told many times a second."""
        ...

    def call_shed(self, status: int) -> None:
        """A request was refused unread with this status, because this worker has more to do than it can."""
        ...

    def request_malformed(self) -> None:
        """What came is not HTTP, or breaks its rules: it was answered 400 and never became a request."""
        ...

    def overload_changed(self, overloaded: bool, work: float | None, refused: int) -> None:
        """This worker begins to refuse requests because it is overloaded, or stops to, having refused `refused` of
        them. `work`: the seconds of work that stand ready; None when a rush of requests came before that was
        measured."""
        ...

    def config_loaded(self, revision: str, error: str | None, warnings: Sequence[str] = ()) -> None:
        """The configuration was loaded: `error` is None when the revision is now served, else a text for people.
        `warnings` are those that the one before did not have."""
        ...

    def deployment_changed(self, change: DeploymentChanged) -> None:
        """A deployment left the rotation, came back, or does worse than it should."""
        ...

    def probe_finished(self, result: ProbeResult) -> None:
        """A probe is over, this worker's or (`heard`) another one's: a hint about calls to come."""
        ...

    def incident_changed(self, change: IncidentChanged) -> None:
        """An incident was opened or closed, which operators are told of."""
        ...

    def failed(self, error: GatewayError | Exception, request_id: str) -> None:
        """An unexpected error, whose traceback belongs in the log; `request_id` is empty outside of requests."""
        ...
