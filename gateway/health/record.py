"""What one worker keeps of one deployment, beyond what others read of it."""

from __future__ import annotations

from enum import StrEnum
from math import exp

import msgspec

from gateway.health.breaker import Breaker
from gateway.health.budget import Budget
from gateway.ports import Ticket
from gateway.types import Condition, Provider

BREAKER, COOLDOWN, PARKED = "breaker", "cooldown", "parked"
"""Values of `Condition.out_for`."""
SMOOTHING = 0.2
"""The weight of the newest in a decaying mean, at least."""
MEMORY_SECONDS = 10.0
"""In which what was measured before loses two thirds of its weight, as in Finagle's peak EWMA."""


class State(StrEnum):
    """Of a `DeploymentChanged`."""

    HEALTHY = "healthy"
    DEGRADED = "degraded"
    OUT = "out"


class Record(Condition, eq=False):
    """A condition with what it is made of."""

    breaker: Breaker = msgspec.field(default_factory=Breaker)
    budget: Budget = msgspec.field(default_factory=Budget)
    failed_at: float = float("-inf")
    """Monotonic seconds of the last failure of any kind."""
    configured: bool = False
    """The configuration names it; no client invented it."""
    guarded: bool = True
    """Failures may take it out of rotation."""
    credentials: int = 1
    """How many keys its provider uses in turn."""
    well_at: float = float("-inf")
    """Monotonic seconds of the last answer that came to its end."""
    ttft_at: float = float("-inf")
    """Monotonic seconds of what `ttft` heard last."""
    duration_at: float = float("-inf")
    """The same of `duration`."""
    refused: int = 0
    """Refusals of our credentials in a row."""
    trying: list[Ticket] = []
    """The trials under way; `on_trial` says whether there are any."""
    cause: str = ""
    """The outcome that took it out of rotation."""
    hinted: bool = False
    """It is out because another worker, or a probe, said so."""
    probe: str | None = None
    """It is out because a probe said so, and nothing else: the deployment that was called, or empty: the provider's
    list of models."""
    told: bool = False
    """Another worker found out what its state is."""
    doubted_until: float = float("-inf")
    """Monotonic seconds until which such hints are not believed: the last one was refuted."""
    state: State = State.HEALTHY
    """As it was told last."""
    identity: int = 0
    """A hash of what was configured: with other credentials, or elsewhere, it begins anew."""

    def end_trials(self) -> None:
        """Somebody found out: those that still run are calls like any other."""
        for ticket in self.trying:
            ticket.trial = False
        self.trying.clear()
        self.on_trial = False

    def reset(self) -> None:
        """As new, but for what is under way."""
        fresh = Record(self.deployment)
        for name in self.__struct_fields__:
            if name not in ("deployment", "in_flight", "state", "identity", "configured", "guarded", "credentials"):
                setattr(self, name, getattr(fresh, name))


def blend(known: float | None, newest: float, age: float) -> float:
    """The mean with one more measurement, `age` seconds after the last one: who is measured rarely, since others are
    faster, was measured long ago, and is soon known anew."""
    if known is None:
        return newest
    # Below it the second would be less: 1 - e^-x < x.
    weight = SMOOTHING if age < SMOOTHING * MEMORY_SECONDS else max(SMOOTHING, 1.0 - exp(-age / MEMORY_SECONDS))
    return known + weight * (newest - known)


def identity_of(provider: Provider) -> int:
    """Of what decides whether a provider takes our calls; a number, since some of it is secret."""
    options = tuple(sorted((name, repr(value)) for name, value in provider.options.items()))
    return hash((provider.type, provider.base_url, provider.api_keys, provider.headers, options, provider.ca_file))
