"""Health: what is known of deployments."""

from __future__ import annotations

from typing import Protocol

import msgspec

from gateway.errors import GatewayError
from gateway.types import (
    Condition,
    Deployment,
)


class Conditions(Protocol):
    """How each deployment is doing, as far as this worker knows."""

    def of(self, deployment: Deployment) -> Condition:
        """Always the same object while the process lives, changed in place."""
        ...


class Ticket(msgspec.Struct, eq=False):
    """One attempt that was let in, as long as it runs."""

    condition: Condition
    began: float
    """Monotonic seconds."""
    trial: bool = False
    """It finds out whether the deployment is well again, or did."""
    ended: int | None = None
    """Failures in a row that its answer ended, which go on if it breaks off; None: it has no answer."""


class Health(Conditions, Protocol):
    """Who keeps the conditions: lets attempts in, and hears what becomes of each."""

    def usable(self, deployment: Deployment) -> bool:
        """Whether an attempt would be let in now."""
        ...

    def affords(self, deployment: Deployment) -> bool:
        """Whether the retry budget leaves another second try at this deployment."""
        ...

    def enter(self, deployment: Deployment, *, again: bool = False, waited: bool = False) -> Ticket | None:
        """Let an attempt in, or not (None). `again`: it is not its call's first; `waited`: it waited out a rate limit.

        Where the deployment may be tried, but is not known to be well, this claims the trial: for some seconds no other
        call may. Each ticket is handed back by `leave`.
        """
        ...

    def answered(self, ticket: Ticket, ttft: float | None, headroom: float | None) -> None:
        """The answer of an attempt began: seconds to its first byte (of streams), and what rate limits leave."""
        ...

    def leave(self, ticket: Ticket, error: GatewayError | None, *, counts: bool = True) -> None:
        """The attempt is over. `counts`: unless the call's own deadline, not the provider, ended it."""
        ...
