"""The cap of one worker while the shared store is away: the same arithmetic as the script, on limit ÷ workers, in
memory."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from gateway.ports import Clock

if TYPE_CHECKING:
    from gateway.limits.limitset import LimitSet

MAX_KEYS = 50_000
ROUNDING = 0.01
"""Units of a bucket, as in the script."""


class LocalLimits:
    """GCRA buckets and slot sets in memory. Replies have the shape of the script's."""

    def __init__(self, clock: Clock, workers: int) -> None:
        self._clock = clock
        self._workers = max(1, workers)
        self._tat: dict[str, float] = {}
        self._slots: dict[str, set[str]] = {}

    def reserve(self, limits: LimitSet, call_id: str, tokens: int) -> list[float]:
        """All limits or none: `[admitted, binding limit from 1, wait µs, remaining, reset µs, …]`."""
        now = self._clock()
        binding, wait = 0, 1e-6  # who waited as told is not sent away for what rounding left
        for at in range(len(limits.specs)):
            needed = self._needed(limits, at, tokens, now)
            if needed > wait:
                binding, wait = at + 1, needed
        reply: list[float] = [0 if binding else 1, binding, math.ceil(wait * 1e6) if binding else 0]
        for at, spec in enumerate(limits.specs):
            key = limits.keys[at]
            if spec.kind == "concurrency":
                held = self._slots.setdefault(key, set())
                if not binding:
                    held.add(call_id)
                reply += [max(0, self._capacity(spec.capacity) - len(held)), 0]
                continue
            tat = max(self._tat.get(key, 0.0), now)
            interval = self._interval(limits, at)
            if not binding:
                tat += (tokens if spec.kind == "tokens" else 1) * interval
                self._remember(key, tat)
            left = self._capacity(spec.capacity) - (tat - now) / interval
            reply += [max(0, math.floor(left + ROUNDING)), math.ceil((tat - now) * 1e6)]
        return reply

    def settle(self, limits: LimitSet, call_id: str, more_tokens: int) -> None:
        """As the script's settle."""
        now = self._clock()
        for at, spec in enumerate(limits.specs):
            key = limits.keys[at]
            if spec.kind == "concurrency":
                held = self._slots.get(key)
                if held is not None:
                    held.discard(call_id)
                    if not held:
                        del self._slots[key]
            elif spec.kind == "tokens" and more_tokens:
                self._tat[key] = max(self._tat.get(key, 0.0), now) + more_tokens * self._interval(limits, at)

    def _needed(self, limits: LimitSet, at: int, tokens: int, now: float) -> float:
        spec, key = limits.specs[at], limits.keys[at]
        if spec.kind == "concurrency":
            return 1.0 if len(self._slots.get(key, ())) >= self._capacity(spec.capacity) else 0.0
        interval = self._interval(limits, at)
        tat = max(self._tat.get(key, 0.0), now)
        cost = min(tokens, self._capacity(spec.capacity)) if spec.kind == "tokens" else 1
        return max(0.0, tat + cost * interval - now - (self._capacity(spec.capacity) + ROUNDING) * interval)

    def _capacity(self, capacity: int) -> int:
        return max(1, capacity // self._workers)

    def _interval(self, limits: LimitSet, at: int) -> float:
        return limits.microseconds[at] / 1e6 * self._workers

    def _remember(self, key: str, tat: float) -> None:
        if len(self._tat) >= MAX_KEYS and key not in self._tat:
            now = self._clock()
            self._tat = {k: t for k, t in self._tat.items() if t > now}
        self._tat[key] = tat
