"""Limits and quotas that are decided together, compiled once into what every call needs of them: the script's rows,
keys, decisions, headers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from math import inf
from typing import NamedTuple

from gateway.limits.periods import FOREVER, Period, period_of
from gateway.ports import LimitDecision
from gateway.types import LimitSpec, QuotaSpec

RATE, SLOTS, QUOTA, THROTTLE = 1, 2, 3, 4
MEASURES = {"requests": 1, "tokens": 2, "cost": 3}
ADMITTED, BUSY, EXHAUSTED, RESERVED, UNSEEDED = 1, 0, 2, 3, 4
"""The script's verdicts."""
STATE = 4
"""Where the two numbers of the first row stand in the script's reply."""
MAX_FRAMES = 10_000
"""Frames of users that are kept, of all sets together: every set of every key sees every user."""
MAX_HEARD = 1000
"""Users of one set whose latest reply is kept."""
HARD = ("reject", "downgrade")
HeaderPairs = list[tuple[bytes, bytes]]


class Names(NamedTuple):
    """What one shard's keys are called: all of them share a hash tag, so that one script touches one slot."""

    shard: str
    worker: str

    @property
    def open(self) -> str:
        """The hash of this worker's calls under way."""
        return f"{self.open_prefix}{self.worker}"

    @property
    def open_prefix(self) -> str:
        """What the names of all workers' hashes begin with."""
        return f"gw:{{{self.shard}}}:open:"

    @property
    def events(self) -> str:
        """The stream of usage events."""
        return f"gw:{{{self.shard}}}:usage"

    @property
    def reaped(self) -> str:
        """The hash of calls that were booked for a worker that seemed dead."""
        return f"gw:{{{self.shard}}}:reaped"

    @property
    def workers(self) -> str:
        """The heartbeats."""
        return f"gw:{{{self.shard}}}:workers"

    @property
    def mark(self) -> str:
        """The mark by which a store that lost its data is known."""
        return f"gw:{{{self.shard}}}:life"


class Member(NamedTuple):
    """A limit or quota of one owner. `per_user`: each user has counters of their own."""

    spec: LimitSpec | QuotaSpec
    owner: str
    """The whole name of its counters' owner."""
    per_user: bool = False
    whose: str | None = None
    """Who that is in the ledger, where it is not the whole name."""


@dataclass(slots=True, eq=False)
class Frame:
    """The keys of a set for one user, as long as no period ends."""

    keys: tuple[str, ...]
    until: float
    """Unix seconds."""
    periods: tuple[Period | None, ...]
    """Of each row that is a quota."""
    epoch: str = ""
    """The life of the store that quota counters are named after."""
    compared: bool = False
    """The ledger was asked whether its counters keep up, or will be."""


@dataclass(frozen=True, slots=True)
class _Shown:
    """A rate limit as headers show it."""

    at: int
    """Where its remaining and reset stand in the script's reply."""
    capacity: int
    limit: tuple[bytes, bytes]
    remaining: bytes
    reset: bytes

    def headers(self, reply: Sequence[float]) -> HeaderPairs:
        """What the reply says of it."""
        at = self.at
        return [self.limit, (self.remaining, b"%d" % reply[at]), (self.reset, go_duration(reply[at + 1]))]


@dataclass(frozen=True, slots=True, eq=False)
class Shape:
    """What a set is apart from whose it is: keys with the same limits share it."""

    rows: tuple[tuple[float, ...], ...]
    """As the script takes them; a quota that throttles has a second row."""
    slots: tuple[int, ...]
    """Where the script's reply says how many slots are free; slots are held for as long as the call lives."""
    quotas: tuple[int, ...]
    """The rows that are quotas."""
    largest: float
    """Tokens that one call may need at most: the smallest bucket's size."""
    owner_at: tuple[int, ...]
    """The member that each row belongs to."""
    admitted: tuple[LimitDecision, ...]
    degraded: tuple[LimitDecision, ...]
    shown: tuple[tuple[_Shown, ...], ...]
    thresholds: tuple[float, ...]
    """Of each row that is a quota: from where on callers are warned."""
    money: bool
    """Some quota counts money."""
    hard_cost: bool
    """A budget refuses what it cannot pay for, and so what has no known price."""
    hard: bool
    """Some quota bounds the output that is granted."""
    hard_tokens: bool
    """A quota refuses what may use more tokens than it has left."""


@lru_cache(maxsize=4096)
def _shape(specs: tuple[LimitSpec | QuotaSpec, ...]) -> Shape:
    """Of specs without their owners' names."""
    numbered = [(at, row) for at, spec in enumerate(specs) for row in _rows(spec)]
    rows = tuple(row for _, row in numbered)
    words = tuple((spec.scope, spec.kind) for spec in specs)
    budgets = [spec for spec in specs if isinstance(spec, QuotaSpec) and spec.kind == "cost"]
    buckets = [spec.capacity for spec in specs if isinstance(spec, LimitSpec) and spec.kind == "tokens"]
    return Shape(
        rows=rows,
        slots=tuple(STATE + 2 * at for at, row in enumerate(rows) if row[0] == SLOTS),
        quotas=tuple(at for at, row in enumerate(rows) if row[0] == QUOTA),
        largest=min(buckets, default=inf),
        owner_at=tuple(at for at, _ in numbered),
        admitted=decided(words, "admitted"),
        degraded=decided(words, "degraded"),
        shown=_shown(specs, numbered),
        thresholds=tuple(_threshold(specs[at]) for at, _ in numbered),
        money=bool(budgets),
        hard_cost=any(budget.unpriced == "refuse" for budget in budgets),
        hard=any(row[0] == QUOTA and row[2] != MEASURES["requests"] and row[3] for row in rows),
        hard_tokens=any(row[0] == QUOTA and row[2] == MEASURES["tokens"] and row[3] for row in rows),
    )


class LimitSet:
    """Limits and quotas of one shard that are reserved together. Row i has two numbers in the script's reply, at
    `STATE + 2i`: of a rate what remains and when it is full (µs), of slots how many are free, of a quota what is used
    and what of that is only reserved."""

    __slots__ = (
        "_frame_now", "_heard", "_relaxed", "hard", "hard_cost", "largest", "members", "money", "names", "per_user",
        "quotas", "rows", "shape", "slots", "thresholds",
    )  # fmt: skip

    def __init__(self, members: tuple[Member, ...], names: Names, shape: Shape) -> None:
        self.members = members
        self.names = names
        self.shape = shape
        self.rows, self.quotas, self.slots = shape.rows, shape.quotas, shape.slots
        self.largest, self.thresholds = shape.largest, shape.thresholds
        self.money, self.hard, self.hard_cost = shape.money, shape.hard, shape.hard_cost
        self.per_user = any(member.per_user for member in members)
        self._relaxed: LimitSet | None = None
        self._frame_now: Frame | None = None
        self._heard: dict[str | None, tuple[Sequence[float], float]] = {}

    def __repr__(self) -> str:
        return f"<LimitSet shard={self.names.shard} {[(m.spec.scope, m.spec.kind, m.owner) for m in self.members]}>"

    @property
    def admitted(self) -> tuple[LimitDecision, ...]:
        """What to tell observers when all of them admit."""
        return self.shape.admitted

    @property
    def degraded(self) -> tuple[LimitDecision, ...]:
        """The same, when that was decided without the store."""
        return self.shape.degraded

    @property
    def shown(self) -> tuple[tuple[_Shown, ...], ...]:
        """The rates that headers show."""
        return self.shape.shown

    @classmethod
    def of(cls, members: Sequence[Member], names: Names) -> LimitSet:
        """Compile them."""
        specs = tuple(replace(member.spec, name="") for member in members)
        return cls(tuple(members), names, _shape(specs))

    def relaxed(self) -> LimitSet:
        """The same, where quotas that switch to another model have done so: they only count."""
        if self._relaxed is None:
            members = [
                member._replace(spec=replace(member.spec, action="alert"))
                if isinstance(member.spec, QuotaSpec) and member.spec.action == "downgrade"
                else member
                for member in self.members
            ]
            self._relaxed = LimitSet.of(members, self.names)
        return self._relaxed

    def spec_of(self, row: int) -> LimitSpec | QuotaSpec:
        """What stands behind a row."""
        return self.members[self.shape.owner_at[row]].spec

    def throttles(self, row: int) -> bool:
        """Whether the quota in this row leaves a rate, which stands in the next one."""
        return self.rows[row + 1 : row + 2] != () and self.rows[row + 1][0] == THROTTLE

    def owner_of(self, row: int, user: str | None) -> str:
        """Whose counter stands in a row."""
        member = self.members[self.shape.owner_at[row]]
        return f"{member.owner}/{user}" if member.per_user else member.owner

    def frame(self, user: str | None, epoch: str, now: float) -> Frame:
        """The keys for this user (the hash of who), in this life of the store, at `now` (Unix seconds)."""
        if not self.per_user:
            found = self._frame_now
            if found is None or found.epoch != epoch or now >= found.until:
                found = self._frame_now = self._frame(None, epoch, now)
            return found
        found = _frames.get((self, user, epoch))
        if found is None or now >= found.until:
            if len(_frames) >= MAX_FRAMES:
                _frames.clear()
            found = _frames[self, user, epoch] = self._frame(user, epoch, now)
        return found

    def hear(self, user: str | None, reply: Sequence[float], at: float) -> None:
        """The store's latest reply about this user, and when it came (monotonic seconds)."""
        heard = self._heard
        if not self.per_user:
            user = None
        elif len(heard) >= MAX_HEARD and user not in heard:
            heard.clear()
        heard[user] = (reply, at)

    def heard(self, user: str | None) -> tuple[Sequence[float], float] | None:
        """What the store said last."""
        return self._heard.get(user if self.per_user else None)

    def moved(self, frame: Frame, user: str | None, epoch: str) -> Frame:
        """The same keys, of the same periods, in another life of the store."""
        within = max((period.start for period in frame.periods if period is not None), default=0.0)
        return self._frame(user if self.per_user else None, epoch, within)

    def _frame(self, user: str | None, epoch: str, now: float) -> Frame:
        names = self.names
        keys: list[str] = [*_heads(names)]
        periods: list[Period | None] = []
        twins: dict[str, int] = {}
        for at, row in enumerate(self.rows):
            spec = self.spec_of(at)
            base = f"gw:{{{names.shard}}}:{spec.scope}:{self.owner_of(at, user)}:{spec.kind}"
            period = None
            if row[0] == QUOTA and isinstance(spec, QuotaSpec):
                period = period_of(spec.period, spec.zone, now)
                # The epoch is part of the name: what a store that lost its last moments still has is not believed.
                base = f"{base}:{spec.period}@{int(period.start)}:{epoch}"
            elif row[0] == THROTTLE:
                base = f"{base}:throttle"
            elif row[0] == RATE and isinstance(spec, LimitSpec):
                # What a bucket that fills in a day has given out must not lock callers out of one that fills in a
                # minute, once the limit is written anew.
                base = f"{base}/{spec.period:g}s"
            # One owner may have several quotas of a kind and period, each with an amount of its own. They are counted
            # among themselves: a team's second one has the same name for every key, whatever that key's own limits.
            twin = twins[base] = twins.get(base, -1) + 1
            keys.append(f"{base}#{twin}" if twin else base)
            periods.append(period)
        until = min((period.end for period in periods if period is not None), default=FOREVER)
        return Frame(tuple(keys), until, tuple(periods) if self.quotas else (None,) * len(periods), epoch)

    def full(self, reply: Sequence[float]) -> bool:
        """Whether somebody may wait for what this call holds: the last slot, or what is left of a quota."""
        for at in self.slots:
            if reply[at] <= 0:
                return True
        return bool(self.quotas) and any(2 * reply[STATE + 2 * at] > self.rows[at][1] for at in self.quotas)

    def refused(self, row: int) -> tuple[LimitDecision, ...]:
        """What to tell observers of the limit that binds."""
        spec = self.spec_of(row)
        return decided(((spec.scope, spec.kind),), "refused")

    def headers(self, reply: Sequence[float]) -> HeaderPairs:
        """`x-ratelimit-*` of the limit that leaves the smallest share, for requests and for tokens."""
        headers: HeaderPairs = []
        for candidates in self.shape.shown:
            if candidates:
                shown = candidates[0]
                if len(candidates) > 1:
                    shown = min(candidates, key=lambda one: reply[one.at] / one.capacity)
                headers += shown.headers(reply)
        return headers


def use_of(frame: Frame, reply: Sequence[float], row: int) -> tuple[int, int, float]:
    """Of the quota in this row: what is used, what of that is only reserved, and when its period ends."""
    at, period = STATE + 2 * row, frame.periods[row]
    return int(reply[at]), int(reply[at + 1]), FOREVER if period is None else period.end


_frames: dict[tuple[LimitSet, str | None, str], Frame] = {}


class Traits(NamedTuple):
    """What several sets are together."""

    largest: float
    money: bool
    hard: bool
    hard_cost: bool
    hard_tokens: bool


def traits_of(sets: Sequence[LimitSet]) -> Traits | Shape:
    """The smallest bucket of tokens, and whether any of them counts money, bounds output, must know the price, or must
    know the most tokens."""
    if len(sets) == 1:
        return sets[0].shape
    return Traits(
        min((limits.largest for limits in sets), default=inf),
        any(limits.money for limits in sets),
        any(limits.hard for limits in sets),
        any(limits.hard_cost for limits in sets),
        any(limits.shape.hard_tokens for limits in sets),
    )


def headers_over(decided: Sequence[tuple[LimitSet, Sequence[float]]]) -> HeaderPairs:
    """As `LimitSet.headers`, of several sets together with their replies."""
    headers: HeaderPairs = []
    for kind in range(2):
        found = [(one, reply) for limits, reply in decided for one in limits.shown[kind]]
        if found:
            shown, reply = min(found, key=lambda pair: pair[1][pair[0].at] / pair[0].capacity)
            headers += shown.headers(reply)
    return headers


@lru_cache(maxsize=256)
def _heads(names: Names) -> tuple[str, str, str]:
    """The keys that every set of a shard begins with."""
    return names.open, names.events, names.reaped


@lru_cache(maxsize=4096)
def decided(limits: tuple[tuple[str, str], ...], word: str) -> tuple[LimitDecision, ...]:
    """The same decisions for every set with the same scopes and kinds."""
    return tuple(LimitDecision(scope, kind, word) for scope, kind in limits)


def _threshold(spec: LimitSpec | QuotaSpec) -> float:
    if not isinstance(spec, QuotaSpec):
        return inf
    if spec.soft is not None:
        return spec.soft * spec.amount
    return inf if spec.action == "reject" else spec.amount


def _rows(spec: LimitSpec | QuotaSpec) -> Iterator[tuple[float, ...]]:
    if isinstance(spec, QuotaSpec):
        yield (QUOTA, spec.amount, MEASURES[spec.kind], 1 if spec.action in HARD else 0)
        if spec.action == "throttle" and spec.throttle is not None:
            rate = spec.throttle
            yield (THROTTLE, rate.burst or rate.count, rate.period * 1e6 / rate.count)
    elif spec.kind == "concurrency":
        yield (SLOTS, spec.capacity)
    else:
        yield (RATE, spec.capacity, spec.period * 1e6 / spec.capacity, MEASURES[spec.kind])


def _shown(
    specs: Sequence[LimitSpec | QuotaSpec], numbered: Sequence[tuple[int, tuple[float, ...]]]
) -> tuple[tuple[_Shown, ...], ...]:
    """Of requests, and of tokens."""
    return tuple(tuple(_shown_of(kind, specs, numbered)) for kind in ("requests", "tokens"))


def _shown_of(
    kind: str, specs: Sequence[LimitSpec | QuotaSpec], numbered: Sequence[tuple[int, tuple[float, ...]]]
) -> Iterator[_Shown]:
    name = kind.encode()
    for at, (owner, row) in enumerate(numbered):
        spec = specs[owner]
        # What a provider's or a deployment's own limits leave is no business of callers.
        own = spec.scope not in ("provider", "deployment")
        if own and row[0] == RATE and spec.kind == kind and isinstance(spec, LimitSpec):
            # A burst above the count: what remains is never more than the limit.
            limit = (b"x-ratelimit-limit-" + name, b"%d" % max(spec.count, spec.capacity))
            remaining, reset = b"x-ratelimit-remaining-" + name, b"x-ratelimit-reset-" + name
            yield _Shown(STATE + 2 * at, spec.capacity, limit, remaining, reset)


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
