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
        """The deployment's condition: one object for as long as the process lives, changed in place."""
        ...


class Ticket(msgspec.Struct, eq=False):
    """An attempt under way that `Health.enter` has let in."""

    condition: Condition
    began: float
    """Monotonic seconds."""
    trial: bool = False
    """The attempt is a trial: it shows whether the deployment is well again."""
    ended: int | None = None
    """The failures in a row that stood when its answer began, and count again if that breaks off; None: no answer
    yet."""


class Health(Conditions, Protocol):
    """Keeps the conditions: decides which attempts may be made, and is told the outcome of each."""

    def usable(self, deployment: Deployment) -> bool:
        """Whether an attempt would be let in now."""
        ...

    def affords(self, deployment: Deployment) -> bool:
        """Whether the retry budget leaves another second try at this deployment."""
        ...

    def enter(self, deployment: Deployment, *, again: bool = False, waited: bool = False) -> Ticket | None:
        """A ticket if the attempt may be made, else None. `again`: not the first of its call; `waited`: it waited out a
        rate limit.

        Where the deployment may be tried, but is not known to be well, this claims the trial: for some seconds no other
        call may. Each ticket is handed back by `leave`.
        """
        ...

    def answered(self, ticket: Ticket, ttft: float | None, headroom: float | None) -> None:
        """The answer of an attempt is here whole, or a stream began. `ttft`: seconds to the first byte, of streams;
        `headroom`: the share that the provider's rate limits leave."""
        ...

    def leave(self, ticket: Ticket, error: GatewayError | None, *, counts: bool = True) -> None:
        """The attempt is over. `counts` is false if the call's own deadline ended it, which is not the provider's
        fault."""
        ...
