"""Decisions while the store of counters is away, by each limit's `on_store_failure`: by default rates and slots are
`bounded` by a cap of this worker, and quotas are `closed` unless the ledger can decide about them."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from gateway.errors import QuotaUnavailable
from gateway.limits.clock import StoreClock
from gateway.limits.demand import Demand, Used
from gateway.limits.limitset import BUSY, EXHAUSTED, MEASURES, RATE, SLOTS, Frame, LimitSet
from gateway.limits.local import Bucket, LocalLimits
from gateway.limits.reservation import Journal, Part
from gateway.limits.script import CARRY
from gateway.storage.batch import Item
from gateway.storage.redis import RedisClient
from gateway.types import QuotaSpec

TOLD_SECONDS = 1.5
"""Seconds in which every worker notices that the store is away: three times what passes between two looks at it."""
Question = tuple[str, str, str, int, int]
"""Scope, owner, kind, and from when to when (Unix µs)."""


Need = tuple[str, str, str, int, int, int, int]
"""A question, an amount and a need."""
Refused = tuple[int, int, int]
"""A verdict, the row that binds, from 1, and the wait in microseconds."""
UNBOUNDED = 1 << 62
"""The amount of a quota that only counts."""


class LedgerLine(Protocol):
    """What the ledger answers; raises an OSError when it cannot be reached."""

    async def used(self, windows: Sequence[Question]) -> list[int]:
        """What each owner used in that time, everything included that was settled before the question."""
        ...

    async def hold(self, call_id: str, needs: Sequence[Need]) -> int:
        """Hold all needs, or tell the first (from 0) that does not fit into its amount; -1 when they are held."""
        ...

    def charge(self, call_id: str, needs: Sequence[Need]) -> None:
        """What was really used of each need that was held. Does not raise, does not wait."""
        ...


class NoLedger:
    """No ledger to ask."""

    async def used(self, windows: Sequence[Question]) -> list[int]:
        """Raises ConnectionError."""
        raise ConnectionError(f"no ledger for {len(windows)} questions")

    async def hold(self, call_id: str, needs: Sequence[Need]) -> int:
        """Raises ConnectionError."""
        raise ConnectionError(f"no ledger for {len(needs)} needs of {call_id}")

    def charge(self, call_id: str, needs: Sequence[Need]) -> None:
        """Nothing."""


@dataclass(frozen=True, slots=True)
class Backing:
    """What stands behind the store while it is away or slow."""

    workers: int = 1
    """Among how many processes a local cap is shared."""
    ledger: LedgerLine = field(default_factory=NoLedger)
    journal: Journal | None = None
    patient: RedisClient | None = None
    """A client of the same store that waits longer: a quota is asked there again before the store is taken for away,
    for what others reserve in it the ledger cannot know."""


ALONE = Backing()
"""Nothing: one process, no ledger, no journal."""


def question(limits: LimitSet, frame: Frame, row: int, user: str | None) -> Question:
    """What to ask the ledger about the quota in this row: whose use, of what, in which time."""
    member = limits.members[limits.shape.owner_at[row]]
    period = frame.periods[row]
    assert period is not None
    # A rule's counters are named after the rule and its member; the ledger knows the member.
    owner = member.owner if member.whose is None else member.whose
    if member.per_user:
        owner = user or ""
    return member.spec.scope, owner, member.spec.kind, int(period.start * 1e6), int(period.end * 1e6)


class Outage:
    """Admits calls without the store."""

    def __init__(self, local: LocalLimits, ledger: LedgerLine) -> None:
        self._local = local
        self._ledger = ledger
        self._held: dict[str, list[Need]] = {}

    async def admit(
        self, limits: LimitSet, frame: Frame, call_id: str, demand: Demand, user: str | None
    ) -> list[float]:
        """A reply as the script gives it, refusals too. Raises QuotaUnavailable for what is closed."""
        if any(
            limits.spec_of(at).on_store_failure == "closed"
            for at, row in enumerate(limits.rows)
            if row[0] in (RATE, SLOTS)
        ):
            raise QuotaUnavailable(retry_after=5.0)
        keys = frame.keys
        reply = self._local.reserve(limits, keys, call_id, demand.tokens, limits.heard(user))
        if not reply[0]:
            return reply
        reply[3] = demand.most
        held = [at for at in limits.quotas if limits.spec_of(at).on_store_failure != "open"]
        if held:
            refused: Refused | None = None
            try:
                refused = await self._hold(limits, frame, held, (call_id, demand, user))
            except BaseException:  # it is refused, or its client left: nothing stays held
                self._local.settle(limits, keys, call_id, -demand.tokens, -1)
                raise
            if refused is not None:
                self._local.settle(limits, keys, call_id, -demand.tokens, -1)
                reply[:3] = refused
        return reply

    async def _hold(
        self, limits: LimitSet, frame: Frame, rows: Sequence[int], what: tuple[str, Demand, str | None]
    ) -> Refused | None:
        """What refuses the call, if something does."""
        call_id, demand, user = what
        amounts = demand.amounts(demand.most)
        needs: list[Need] = []
        for at in rows:
            spec = limits.spec_of(at)
            assert isinstance(spec, QuotaSpec)
            amount = spec.amount if limits.rows[at][3] or limits.throttles(at) else UNBOUNDED
            needs.append((*question(limits, frame, at, user), amount, amounts[MEASURES[spec.kind] - 1]))
        throttled: list[int] = []
        try:
            while (binding := await self._ledger.hold(call_id, needs)) >= 0:
                at = rows[binding]
                if limits.rows[at][3]:
                    return EXHAUSTED, at + 1, 0
                # Used up, and from here on a rate: its row follows.
                throttled.append(at + 1)
                needs[binding] = (*needs[binding][:5], UNBOUNDED, needs[binding][6])
        except OSError:
            if any(limits.spec_of(at).on_store_failure == "closed" for at in rows):
                raise QuotaUnavailable(retry_after=5.0) from None
            return None
        if throttled and (found := self._local.throttle(limits, frame.keys, throttled, limits.heard(user))) is not None:
            self._ledger.charge(call_id, ())
            return BUSY, found[0] + 1, found[1]
        self._held[call_id] = needs
        return None

    def tell(self, call_id: str, shard: str, user: str | None, parts: Sequence[Part]) -> None:
        """The shard's store admitted this call before it went away: these amounts count until the ledger has booked it.
        Without any parts it does not count any more."""
        needs: list[Need] = []
        for limits, frame, amounts in parts:
            for at in limits.quotas:
                kind = limits.spec_of(at).kind
                needs.append((*question(limits, frame, at, user), 0, amounts[MEASURES[kind] - 1]))
        self._ledger.charge(f"{call_id}#of:{shard}", needs)

    def settle(self, limits: LimitSet, frame: Frame, call_id: str, more_tokens: int, more_requests: int = 0) -> None:
        """Free what is held locally."""
        self._local.settle(limits, frame.keys, call_id, more_tokens, more_requests)

    @property
    def owing(self) -> bool:
        """Something was taken of rates that the store does not know of."""
        return self._local.owing

    def carries(self, clock: StoreClock) -> Iterator[tuple[Item, Bucket]]:
        """For the script: what was taken of rates while the store was away, in the store's time. It may be sent again:
        its last key says whether it was applied, for as long as that matters."""
        for bucket in self._local.owed():
            name = f"carry:{bucket.name}"
            moments = (int(clock.at(bucket.base) * 1e6), int(clock.at(bucket.upto) * 1e6))
            keys = (*bucket.heads, bucket.key, f"{bucket.key}:{name}")
            yield Item(keys, (bucket.row,), (CARRY, name, *moments, self._local.share)), bucket

    def carried(self, bucket: Bucket, answer: asyncio.Future[object]) -> None:
        """The store has answered, or cannot be reached."""
        self._local.answered(bucket, applied=not answer.cancelled() and answer.exception() is None)

    def done(self, call_id: str, used: Used) -> None:
        """Tell the ledger's holds what was really used."""
        needs = self._held.pop(call_id, None)
        if needs:
            self._ledger.charge(call_id, [(*need[:6], used.amounts[MEASURES[need[2]] - 1]) for need in needs])
