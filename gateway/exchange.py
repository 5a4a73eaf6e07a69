"""One call on its way, as far as it has come: the stages of the pipeline fill it, and the HTTP room sends from it."""

from __future__ import annotations

import itertools
import os
from typing import Protocol

import msgspec

from gateway.limits.gate import Reservation
from gateway.limits.policy import Policy
from gateway.registry.snapshot import Snapshot
from gateway.types import Call, Plan, Principal
from gateway.upstream.forward import Answer, Progress


class PlannerOf(Protocol):
    """Plans calls for the snapshot it was made of."""

    snapshot: Snapshot

    @property
    def infers(self) -> bool:
        """Whether `Call.needs` has to be there."""
        ...

    def plan(self, call: Call, principal: Principal) -> Plan: ...


class Exchange(msgspec.Struct, eq=False):
    """One call on its way: what is known of it so far. The pipeline fills it, the HTTP room sends from it."""

    request_id: str
    started: float
    principal: Principal
    planner: PlannerOf
    """Pinned when the call arrives: a reload does not touch calls under way."""
    policy: Policy
    call: Call | None = None
    plan: Plan | None = None
    user: str | None = None
    """The hash of the end user that the client named."""
    reservation: Reservation | None = None
    progress: Progress = msgspec.field(default_factory=Progress)
    answer: Answer | None = None
    first_byte: float | None = None
    """When the first byte of the answer was ready, on the pipeline's clock."""
    overhead: float | None = None
    """Seconds up to then that were not spent waiting for providers."""
    own_holds: int = 0
    """How many of the reservation's holds are the call's, not an attempt's."""
    counting: bool = False
    """Only the tokens of its input are asked for."""
    closed: bool = False
    read_on: bool = False
    """Its client has left, and its answer is read to the end: it is closed then."""
    started_us: int = 0
    """Unix microseconds of the call's arrival, by the store's clock; 0 until a row needed it."""

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
