"""A principal's limits, compiled once into what every call needs of them: keys, script arguments, decisions,
headers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import inf
from typing import Any

from gateway.ports import LimitDecision
from gateway.types import LimitSpec

RATE, SLOTS = 1, 2
HeaderPairs = list[tuple[bytes, bytes]]


@dataclass(frozen=True, slots=True)
class _Shown:
    """A rate limit as headers show it."""

    at: int
    """Where its remaining and reset stand in the script's answer."""
    capacity: int
    limit: tuple[bytes, bytes]
    remaining: bytes
    reset: bytes


@dataclass(frozen=True, slots=True, eq=False)
class LimitSet:
    """Limits that are reserved together. The script's numbers for limit i stand at 2i (remaining) and 2i+1 (reset,
    µs)."""

    specs: tuple[LimitSpec, ...]
    keys: tuple[str, ...]
    slots: bool
    """Some of them are held for as long as the call lives."""
    microseconds: tuple[float, ...]
    """Per unit, for rates; 0 for slots."""
    largest: float
    """Tokens that one call may need at most: the smallest bucket's size."""
    _rows: tuple[list[float], ...]
    _token_rows: tuple[int, ...]
    _slot_rows: tuple[list[float], ...]
    _admitted: tuple[LimitDecision, ...]
    _degraded: tuple[LimitDecision, ...]
    _shown: tuple[tuple[_Shown, ...], ...]

    @classmethod
    def of(cls, specs: Sequence[LimitSpec]) -> LimitSet:
        """Keys of one scope and name share a hash tag, so that one script touches one slot."""
        rates = tuple(0.0 if spec.kind == "concurrency" else spec.period * 1e6 / spec.capacity for spec in specs)
        rows = tuple(_row(at, spec, rate) for at, (spec, rate) in enumerate(zip(specs, rates, strict=True), 1))
        return cls(
            specs=tuple(specs),
            keys=tuple(f"gw:{{{spec.scope}:{spec.name}}}:{spec.kind}" for spec in specs),
            slots=any(spec.kind == "concurrency" for spec in specs),
            microseconds=rates,
            largest=min((spec.capacity for spec in specs if spec.kind == "tokens"), default=inf),
            _rows=rows,
            _token_rows=tuple(at for at, spec in enumerate(specs) if spec.kind == "tokens"),
            _slot_rows=tuple(row for row in rows if row[0] == SLOTS),
            _admitted=_decided(tuple((spec.scope, spec.kind) for spec in specs), "admitted"),
            _degraded=_decided(tuple((spec.scope, spec.kind) for spec in specs), "degraded"),
            _shown=tuple(shown for kind in ("requests", "tokens") if (shown := tuple(_headers_of(specs, kind)))),
        )

    def args(self, tokens: int) -> list[list[float]]:
        """The limits as the script takes them, for a call of `tokens` tokens."""
        rows = list(self._rows)
        for at in self._token_rows:
            rows[at] = [*rows[at][:4], tokens]
        return rows

    def changes(self, tokens: int) -> list[list[float]]:
        """The limits as `settle` takes them: `tokens` more (or, negative, fewer) than were reserved."""
        rows = list(self._slot_rows)
        if tokens:
            rows += [[*self._rows[at][:4], tokens] for at in self._token_rows]
        return rows

    def full(self, state: Sequence[float]) -> bool:
        """Whether the last slot of one of them was taken."""
        return any(state[2 * (int(row[1]) - 1)] <= 0 for row in self._slot_rows)

    def decisions(self, reply: Sequence[float], *, degraded: bool) -> tuple[LimitDecision, ...]:
        """What each limit said: all admitted, or the binding one refused."""
        if reply[0]:
            return self._degraded if degraded else self._admitted
        spec = self.specs[int(reply[1]) - 1]
        return _decided(((spec.scope, spec.kind),), "refused")

    def headers(self, state: Sequence[float]) -> HeaderPairs:
        """`x-ratelimit-*` of the limit that leaves the smallest share, for requests and for tokens."""
        headers: HeaderPairs = []
        for candidates in self._shown:
            shown = candidates[0]
            if len(candidates) > 1:
                shown = min(candidates, key=lambda one: state[one.at] / one.capacity)
            headers += (
                shown.limit,
                (shown.remaining, b"%d" % state[shown.at]),
                (shown.reset, go_duration(state[shown.at + 1])),
            )
        return headers


@lru_cache(maxsize=4096)
def _decided(limits: tuple[tuple[str, str], ...], word: str) -> tuple[LimitDecision, ...]:
    """The same decisions for every set with the same scopes and kinds."""
    return tuple(LimitDecision(scope, kind, word) for scope, kind in limits)


def give_back(rows: Sequence[Sequence[Any]]) -> list[Sequence[Any]]:
    """The changes that undo a reservation made with these arguments."""
    return [row if row[0] == SLOTS else [*row[:4], -row[4]] for row in rows]


def _row(at: int, spec: LimitSpec, rate: float) -> list[float]:
    return [SLOTS, at, spec.capacity] if spec.kind == "concurrency" else [RATE, at, spec.capacity, rate, 1]


def _headers_of(specs: Sequence[LimitSpec], kind: str) -> Iterator[_Shown]:
    name = kind.encode()
    for at, spec in enumerate(specs):
        if spec.kind == kind:
            limit = (b"x-ratelimit-limit-" + name, b"%d" % spec.count)
            yield _Shown(2 * at, spec.capacity, limit, b"x-ratelimit-remaining-" + name, b"x-ratelimit-reset-" + name)


def go_duration(microseconds: float) -> bytes:
    """As Go prints durations, and so OpenAI's reset headers: `12ms`, `1.5s`, `6m0s`, `1h0m0s`; rounded up."""
    milliseconds = int(-(-microseconds // 1000))
    if milliseconds <= 0:
        return b"0s"
    if milliseconds < 1000:
        return b"%dms" % milliseconds
    if milliseconds < 60_000:
        return b"%gs" % (milliseconds / 1000)
    hours, rest = divmod(-(-milliseconds // 1000), 3600)
    minutes, rest = divmod(rest, 60)
    return b"%dh%dm%ds" % (hours, minutes, rest) if hours else b"%dm%ds" % (minutes, rest)
