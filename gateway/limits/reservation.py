"""What a call holds of its limits and quotas while it is under way."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

import msgspec

from gateway.limits.demand import Demand
from gateway.limits.limitset import Frame, LimitSet

About = tuple[bytes | bool, tuple[int, int, int]]
"""The event (or False) that is booked if the call's worker dies, and what that charges to quotas."""


class Journal(Protocol):
    """Where events go while the store is away; durable."""

    def append(self, events: list[bytes]) -> None:
        """Keep these; returns at once."""
        ...

    def withdraw(self, event: bytes) -> None:
        """Keep that this, which was appended in case the worker died, did not happen; returns at once."""
        ...

    async def flush(self) -> None:
        """Return when everything appended is on disk."""
        ...


class Hold(msgspec.Struct, eq=False):
    """What a call holds of one set."""

    id: str
    """The call's id, with a suffix for what it holds beyond its first set."""
    limits: LimitSet
    frame: Frame
    demand: Demand
    output: int
    """Output tokens that were granted."""
    reply: Sequence[float] = ()
    degraded: bool = False
    recorded: bool = False
    user: str | None = None


Part = tuple[LimitSet, Frame, tuple[int, int, int]]
"""What a call has of one set's quotas: requests, tokens and nano-USD."""


class Reservation(msgspec.Struct, eq=False):
    """What one call holds until it is settled."""

    call_id: str
    user: str | None = None
    holds: list[Hold] = []
    asked: int = 0
    """How often something was asked for beyond the first set."""
    renewed: float = 0.0
    noted: float = 0.0
    headers: list[tuple[bytes, bytes]] = []
    settled: bool = False
    about: About | None = None
    """What stands in its record."""
    checkpoint: Callable[[], About] | None = None
    """What should stand there by now."""
    journaled: bytes | None = None
    """The event of its record that stands in the journal, where nothing took its place yet."""

    @property
    def output(self) -> int | None:
        """The least that quotas granted of output tokens; None where no quota says."""
        return min((hold.output for hold in self.holds if hold.limits.quotas), default=None)

    @property
    def degraded(self) -> bool:
        """Some of it was decided without the store."""
        return any(hold.degraded for hold in self.holds)
