"""What was settled of late, as far as a store that loses its last moments has to be told again."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from typing import NamedTuple

from gateway.limits.demand import Used
from gateway.limits.limitset import Frame, LimitSet
from gateway.limits.reservation import Hold

REMEMBERED_SECONDS = 2.0
SLICE_SECONDS = 0.25


class Spent(NamedTuple):
    """What a call used of a set's quotas."""

    hold: str
    """The call's id, perhaps with a suffix."""
    user: str | None
    limits: LimitSet
    frame: Frame
    amounts: tuple[int, int, int]


class _Slice:
    """A quarter of a second. Thousands of calls fall into one: no object is kept for each but what has to be."""

    __slots__ = ("began", "events", "quotas")

    def __init__(self, began: float) -> None:
        self.began = began
        self.events: list[LimitSet | Frame | bytes] = []
        """Of each call three: its set, its keys, its event."""
        self.quotas: list[tuple[float, Spent]] = []
        """Of calls that quotas count: when, and what."""


class Recent:
    """The last two seconds, or a little more. While `in_doubt` says that the store may have lost its last moments
    nothing is forgotten: to hear from it takes as long as it takes."""

    __slots__ = ("_now", "_slices", "_until", "in_doubt")

    def __init__(self) -> None:
        self.in_doubt: Callable[[], bool] = lambda: False
        self._now = _Slice(0.0)
        self._until = 0.0
        self._slices: deque[_Slice] = deque()

    def add(self, now: float, hold: Hold, event: bytes | None, used: Used) -> None:
        """One more hold was settled, perhaps with the call's event; `now` in monotonic seconds."""
        if now >= self._until:
            self._turn(now)
        limits = hold.limits
        if event is not None:
            self._now.events += (limits, hold.frame, event)
        if limits.quotas and used.requests:
            self._now.quotas.append((now, Spent(hold.id, hold.user, limits, hold.frame, used.amounts)))

    def _turn(self, now: float) -> None:
        slices = self._slices
        while not self.in_doubt() and slices and slices[0].began < now - REMEMBERED_SECONDS - SLICE_SECONDS:
            slices.popleft()
        self._now = _Slice(now)
        self._until = now + SLICE_SECONDS
        slices.append(self._now)

    def events(self, shard: str) -> Iterator[tuple[LimitSet, Frame, bytes]]:
        """Those that went to this shard, the oldest first."""
        for one in self._slices:
            parts = iter(one.events)
            for limits, frame, event in zip(parts, parts, parts, strict=True):
                assert isinstance(limits, LimitSet)
                assert isinstance(frame, Frame)
                assert isinstance(event, bytes)
                if limits.names.shard == shard:
                    yield limits, frame, event

    def quotas(self, shard: str, now: float) -> Iterator[Spent]:
        """What was used of this shard's quotas in the last two seconds."""
        for one in self._slices:
            for at, spent in one.quotas:
                if spent.limits.names.shard == shard and at >= now - REMEMBERED_SECONDS:
                    yield spent
