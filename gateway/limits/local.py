"""The caps of one worker while the shared store is away: the same arithmetic as the script, on limit ÷ workers, in
memory.

A bucket here begins where the store's stood when it was heard last, and what is taken from it is carried over to the
store when that is back: an outage, or a hundred in a row, never hands out a fresh bucket.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from gateway.limits.limitset import QUOTA, RATE, SLOTS, STATE
from gateway.ports import Clock

if TYPE_CHECKING:
    from gateway.limits.limitset import LimitSet

MAX_KEYS = 50_000
AHEAD = 3
"""Keys of a set before those of its rows."""
ROUNDING = 0.01
"""Units of a bucket, as in the script."""
MICRO = 1e-6


Heard = tuple[Sequence[float], float]
"""The store's latest reply about a set, and when it came (monotonic seconds)."""


class Bucket:
    """A worker's share of a rate. Times are monotonic seconds.

    A share refills as much slower as it is smaller, so that a bucket of the store and the shares of it are full again
    at the same moment: what the store said of it is taken over as it is.
    """

    __slots__ = ("base", "heads", "heard", "key", "name", "row", "tat", "telling", "upto")

    def __init__(self, key: str, row: Sequence[float], heads: Sequence[str]) -> None:
        self.key = key
        self.row = row
        self.heads = heads
        self.tat = 0.0
        """When it will be full again."""
        self.base = 0.0
        """When it would be, but for what this worker took that the store does not know of."""
        self.heard = float("-inf")
        """When the store said so."""
        self.upto = 0.0
        """What was taken between `base` and this the store was told of."""
        self.name = ""
        """Under this name, until it has acknowledged that: it may be told twice."""
        self.telling = False
        """That is on its way."""

    def hear(self, ahead: float, at: float, now: float) -> None:
        """The store's bucket was `ahead` seconds from full at a moment: what was taken here since comes on top."""
        if at > self.heard:
            shift = max(now, at + ahead) - max(self.base, now)
            self.base = max(self.base, now) + shift
            self.tat = max(self.tat, now) + shift
            self.upto = max(self.upto, now) + shift
            self.heard = at

    def tell(self, now: float, name: str) -> bool:
        """Whether there is something to tell the store; under `name`, unless it may have heard that under another."""
        if self.telling:
            return False
        if not self.name:
            if max(self.tat, now) == max(self.base, now):
                return False
            self.name, self.upto = name, self.tat
        self.telling = True
        return True

    def answered(self, *, applied: bool) -> None:
        """What the store was told counts there from here on, or has to be said again."""
        self.telling = False
        if applied:
            self.name, self.base = "", self.upto


class LocalLimits:
    """GCRA buckets and slot sets in memory. Replies have the shape of the script's; quotas are not decided here."""

    def __init__(self, clock: Clock, workers: int) -> None:
        self._clock = clock
        self._workers = max(1, workers)
        self._buckets: dict[str, Bucket] = {}
        self._slots: dict[str, set[str]] = {}
        self._name = os.urandom(6).hex()
        self._told = 0
        self.owing = False
        """Something was taken here that the store does not know of."""

    def reserve(
        self, limits: LimitSet, keys: Sequence[str], call_id: str, tokens: int, heard: Heard | None = None
    ) -> list[float]:
        """All bounded limits or none; those that are open are passed over. `keys` are the set's, heads and rows."""
        now = self._clock()
        heads, keys = keys[:AHEAD], keys[AHEAD:]
        if heard is not None:
            self._hear(limits, heads, keys, heard, now)
        binding, wait = 0, MICRO  # who waited as told is not sent away for what rounding left
        for at, row in enumerate(limits.rows):
            needed = self._needed(row, keys[at], tokens, now) if self._holds(limits, at) else 0.0
            if needed > wait:
                binding, wait = at + 1, needed
        reply: list[float] = [0 if binding else 1, binding, math.ceil(wait / MICRO) if binding else 0, 0]
        for at, row in enumerate(limits.rows):
            if not self._holds(limits, at):
                reply += [row[1], 0] if row[0] != QUOTA else [0, 0]
            elif row[0] == SLOTS:
                reply += [self._hold(keys[at], row, call_id, admitted=not binding), 0]
            else:
                bucket = self._bucket(keys[at], row, heads)
                reply += self._move(bucket, _units(row, tokens) if not binding else 0, now)
        return reply

    def throttle(
        self, limits: LimitSet, keys: Sequence[str], rows: Sequence[int], heard: Heard | None
    ) -> tuple[int, int] | None:
        """Take a request of each of these rows, which are the rates of used-up quotas, or of none: then the row that
        binds and the wait in microseconds."""
        now = self._clock()
        heads, keys = keys[:AHEAD], keys[AHEAD:]
        buckets = [self._bucket(keys[at], limits.rows[at], heads) for at in rows]
        for at, bucket in zip(rows, buckets, strict=True):
            if heard is not None:
                bucket.hear(heard[0][STATE + 2 * at + 1] * MICRO, heard[1], now)
            if (needed := self._needed(bucket.row, bucket.key, 1, now)) > MICRO:
                return at, math.ceil(needed / MICRO)
        for bucket in buckets:
            self._move(bucket, 1, now)
        return None

    def _hear(self, limits: LimitSet, heads: Sequence[str], keys: Sequence[str], heard: Heard, now: float) -> None:
        """Begin where the store's buckets stood."""
        reply, when = heard
        for at, row in enumerate(limits.rows):
            if row[0] == RATE and self._holds(limits, at):
                self._bucket(keys[at], row, heads).hear(reply[STATE + 2 * at + 1] * MICRO, when, now)

    def settle(
        self, limits: LimitSet, keys: Sequence[str], call_id: str, more_tokens: int, more_requests: int = 0
    ) -> None:
        """As the script's settle."""
        now = self._clock()
        heads, keys = keys[:AHEAD], keys[AHEAD:]
        for at, row in enumerate(limits.rows):
            key = keys[at]
            if row[0] == SLOTS:
                held = self._slots.get(key)
                if held is not None:
                    held.discard(call_id)
                    if not held:
                        del self._slots[key]
            elif row[0] == RATE and self._holds(limits, at):
                more = more_tokens if row[3] == 2 else more_requests
                if more:
                    bucket = self._bucket(key, row, heads)
                    bucket.tat = max(bucket.tat, now) + more * self._interval(row)
                    self.owing = True

    def owed(self) -> Iterator[Bucket]:
        """Those of which the store has to be told; each is to be `answered`."""
        self.owing = False
        now = self._clock()
        for bucket in list(self._buckets.values()):
            if bucket.tell(now, f"{self._name}:{self._told:x}"):
                self._told += 1
                yield bucket

    def answered(self, bucket: Bucket, *, applied: bool) -> None:
        """The store has applied what it was told of this bucket, or perhaps not."""
        bucket.answered(applied=applied)
        self.owing |= not applied or bucket.tat != bucket.base

    @property
    def share(self) -> float:
        """What one unit taken here is of the store's."""
        return 1 / self._workers

    def _holds(self, limits: LimitSet, at: int) -> bool:
        return limits.rows[at][0] in (RATE, SLOTS) and limits.spec_of(at).on_store_failure == "bounded"

    def _hold(self, key: str, row: Sequence[float], call_id: str, *, admitted: bool) -> int:
        held = self._slots.setdefault(key, set())
        if admitted:
            held.add(call_id)
        free = max(0, self._capacity(row) - len(held))
        if not held:
            del self._slots[key]
        return free

    def _move(self, bucket: Bucket, cost: int, now: float) -> list[float]:
        tat, interval = max(bucket.tat, now), self._interval(bucket.row)
        if cost:
            bucket.tat = tat = tat + cost * interval
            self.owing = True
        left = self._capacity(bucket.row) - (tat - now) / interval
        return [max(0, math.floor(left + ROUNDING)), math.ceil((tat - now) / MICRO)]

    def _needed(self, row: Sequence[float], key: str, tokens: int, now: float) -> float:
        if row[0] == SLOTS:
            return 1.0 if len(self._slots.get(key, ())) >= self._capacity(row) else 0.0
        interval = self._interval(row)
        bucket = self._buckets.get(key)
        tat = now if bucket is None else max(bucket.tat, now)
        return max(0.0, tat + self._cost(row, tokens) * interval - now - (self._capacity(row) + ROUNDING) * interval)

    def _cost(self, row: Sequence[float], tokens: int) -> int:
        # A call may be larger than a worker's share of the bucket: then a full one admits it, and the debt is paid off.
        return min(_units(row, tokens), self._capacity(row))

    def _capacity(self, row: Sequence[float]) -> int:
        return max(1, int(row[1]) // self._workers)

    def _interval(self, row: Sequence[float]) -> float:
        return row[2] * MICRO * self._workers

    def _bucket(self, key: str, row: Sequence[float], heads: Sequence[str]) -> Bucket:
        found = self._buckets.get(key)
        if found is None or found.row is not row:
            if len(self._buckets) >= MAX_KEYS:
                now = self._clock()
                self._buckets = {name: one for name, one in self._buckets.items() if max(one.tat, one.base) > now}
            if found is None:
                found = self._buckets[key] = Bucket(key, row, heads)
            found.row = row  # the limit may have been changed meanwhile: what was taken of it is not forgotten
        return found


def _units(row: Sequence[float], tokens: int) -> int:
    return tokens if row[0] == RATE and row[3] == 2 else 1
