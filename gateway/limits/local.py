"""The caps of one worker while the shared store is away: the same arithmetic as the script, on limit ÷ workers, in
memory."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from gateway.limits.limitset import QUOTA, RATE, SLOTS
from gateway.ports import Clock

if TYPE_CHECKING:
    from gateway.limits.limitset import LimitSet

MAX_KEYS = 50_000
ROUNDING = 0.01
"""Units of a bucket, as in the script."""
MICRO = 1e-6


class LocalLimits:
    """GCRA buckets and slot sets in memory. Replies have the shape of the script's; quotas are not decided here."""

    def __init__(self, clock: Clock, workers: int) -> None:
        self._clock = clock
        self._workers = max(1, workers)
        self._tat: dict[str, float] = {}
        self._slots: dict[str, set[str]] = {}

    def reserve(self, limits: LimitSet, keys: Sequence[str], call_id: str, tokens: int) -> list[float]:
        """All bounded limits or none; those that are open are passed over. `keys` are those of the rows."""
        now = self._clock()
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
                reply += self._move(keys[at], row, _units(row, tokens) if not binding else 0, now)
        return reply

    def settle(
        self, limits: LimitSet, keys: Sequence[str], call_id: str, more_tokens: int, more_requests: int = 0
    ) -> None:
        """As the script's settle."""
        now = self._clock()
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
                    self._remember(key, max(self._tat.get(key, 0.0), now) + more * self._interval(row))

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

    def _move(self, key: str, row: Sequence[float], cost: int, now: float) -> list[float]:
        tat, interval = max(self._tat.get(key, 0.0), now), self._interval(row)
        if cost:
            tat += cost * interval
            self._remember(key, tat)
        left = self._capacity(row) - (tat - now) / interval
        return [max(0, math.floor(left + ROUNDING)), math.ceil((tat - now) / MICRO)]

    def _needed(self, row: Sequence[float], key: str, tokens: int, now: float) -> float:
        if row[0] == SLOTS:
            return 1.0 if len(self._slots.get(key, ())) >= self._capacity(row) else 0.0
        interval = self._interval(row)
        tat = max(self._tat.get(key, 0.0), now)
        return max(0.0, tat + self._cost(row, tokens) * interval - now - (self._capacity(row) + ROUNDING) * interval)

    def _cost(self, row: Sequence[float], tokens: int) -> int:
        # A call may be larger than a worker's share of the bucket: then a full one admits it, and the debt is paid off.
        return min(_units(row, tokens), self._capacity(row))

    def _capacity(self, row: Sequence[float]) -> int:
        return max(1, int(row[1]) // self._workers)

    def _interval(self, row: Sequence[float]) -> float:
        return row[2] * MICRO * self._workers

    def _remember(self, key: str, tat: float) -> None:
        if len(self._tat) >= MAX_KEYS and key not in self._tat:
            now = self._clock()
            self._tat = {k: t for k, t in self._tat.items() if t > now}
        self._tat[key] = tat


def _units(row: Sequence[float], tokens: int) -> int:
    return tokens if row[3] == 2 else 1
