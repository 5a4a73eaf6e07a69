"""Who decides about quotas: the store (Redis), or, while that is away, the ledger.

Neither knows what the other has admitted, so all workers of a machine have to ask the same one. Which one that is, is
settled for each shard, by what the workers find. Each worker has two clients of the store: a fast one for all limits,
and a patient one that is asked again about quotas where the fast one found the store slow.

    the fast client finds it away          the patient client   who decides
    slow, for one worker                   is answered          the store: that worker asks patiently, and the others,
                                                                whose fast clients give it up too, ask patiently as well
    slow, for all                          is answered          the store, which all ask patiently
    slow, for one or for all               fails for one        the ledger: that worker says so, the others follow
    slow, for all                          fails for all        the ledger, until the last one is answered again
    not slow, for one (cut off) or for all is not asked         the ledger, as above

A worker says so before it asks the ledger, and then waits until the others have heard it: they look twice a second, and
before they use what the store has admitted. All of them tell the ledger what they hold in the store, and what ended of
late. When the last word is taken back the store begins a new life, which starts its quotas with what the ledger says.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from math import inf
from typing import Final

from gateway.limits.outage import TOLD_SECONDS, Outage
from gateway.limits.recent import Recent
from gateway.limits.reservation import Part, Reservation
from gateway.ports import Clock
from gateway.storage.companions import STALE_SECONDS, Lookout
from gateway.storage.errors import Reason, StoreUnavailable


class GivenUp(StoreUnavailable):
    """The store is not asked about quotas: the ledger decides about them."""

    def __init__(self) -> None:
        super().__init__("down", "quotas are decided by the ledger meanwhile")


class Handover:
    """One worker's part in settling whether the store or the ledger decides."""

    def __init__(self, outage: Outage, clock: Clock, lookout: Lookout | None) -> None:
        self._outage = outage
        self._clock = clock
        self._lookout: Final = lookout
        self.live: dict[str, Reservation] = {}
        self.recent = Recent()
        """What was settled of late: a store that loses its data loses what nobody has read yet."""
        self.dirty: set[str] = set()
        """Shards whose quotas the ledger may have decided about: the store has to count them anew."""
        self._told: dict[str, float] = {}
        """Shards of which the ledger was told what it may not know, and when."""
        self._told_of: dict[str, set[str]] = {}
        """The calls under way that it was told of."""
        self._since: dict[str, float] = {}
        """Those that the ledger decides about, and since when we know."""
        self._back: dict[str, asyncio.Event] = {}
        """For those who wait meanwhile."""
        self._own: dict[str, Reason] = {}
        """Those of them that we gave up ourselves, and why."""
        self._until: dict[str, float] = {}
        """How long the others hear that, unless we say it again."""

    def __repr__(self) -> str:
        return f"<Handover given_up={sorted(self._own)} by_ledger={sorted(self._since)}>"

    # ---- the way there

    def tell(self, shard: str) -> None:
        """Something went wrong with the shard's store. Tell the ledger what calls under way hold there and what was
        settled of late: the ledger may not have booked it yet, and counts it until it has."""
        if shard not in self._told:
            self._tell(shard)

    def by_ledger(self, shard: str) -> bool:
        """Whether the ledger decides: we have given the store up, or another worker has."""
        if shard in self._own:
            return True
        if self._lookout is None or self._lookout.heard(_word(shard)) is None:
            return False
        if shard not in self._since:
            self._begin(shard)
        return True

    async def complete(self, shard: str, error: StoreUnavailable) -> bool:
        """The store could not decide. Waits until every worker has had the time to notice and to tell the ledger what
        it cannot know, or until the store is back. Returns True if the ledger decides, False if the store is to be
        asked again."""
        if error.reason == "error":
            # About one question only: nobody else need know.
            self.tell(shard)
            await asyncio.sleep(max(0.0, self._told[shard] + TOLD_SECONDS - self._clock()))
            return True
        if not isinstance(error, GivenUp):
            self._say(shard, error.reason)
        before, since = inf, self._since.get(shard)
        while since is not None and since != before:
            with suppress(TimeoutError):
                async with asyncio.timeout(max(0.0, since + TOLD_SECONDS - self._clock())):
                    await self._back[shard].wait()
            before, since = since, self._since.get(shard)
        return since is not None and self.by_ledger(shard)

    def look(self, shard: str) -> None:
        """Repeat what this worker found, or else listen to what others found. Has to be called twice a second, however
        long other duties take."""
        if shard in self._own:
            self._say(shard, self._own[shard])
        else:
            self.by_ledger(shard)

    def _say(self, shard: str, reason: Reason) -> None:
        standing = self._clock() < self._until.get(shard, -inf) or self._heard(shard)
        if shard not in self._since or not standing:
            # Nobody knows of it, or nobody has for a while: others may have gone on with the store.
            self._begin(shard)
        self._own[shard] = reason
        if self._lookout is None:
            self._until[shard] = inf
        else:
            self._until[shard] = self._clock() + STALE_SECONDS
            self._lookout.tell(_word(shard), reason)

    def _begin(self, shard: str) -> None:
        self._since[shard] = self._clock()
        self._back.setdefault(shard, asyncio.Event())
        self.dirty.add(shard)
        self._tell(shard)

    def _heard(self, shard: str) -> bool:
        return self._lookout is not None and self._lookout.heard(_word(shard)) is not None

    def _tell(self, shard: str) -> None:
        self._told[shard] = now = self._clock()
        calls: dict[str, tuple[str | None, list[Part]]] = {}
        for reservation in self.live.values():
            parts = [
                (hold.limits, hold.frame, hold.demand.amounts(hold.output))
                for hold in reservation.holds
                if hold.limits.quotas and not hold.degraded and hold.limits.names.shard == shard
            ]
            if parts:
                calls[reservation.call_id] = reservation.user, parts
        for spent in self.recent.quotas(shard, now):
            _, parts = calls.setdefault(spent.hold.partition("#")[0], (spent.user, []))
            parts.append((spent.limits, spent.frame, spent.amounts))
        for call_id, (user, parts) in calls.items():
            self._outage.tell(call_id, shard, user, parts)
        self._told_of[shard] = calls.keys() & self.live.keys()

    def forget(self, call_id: str) -> None:
        """A call ended without having used anything, so the ledger will get no row of it."""
        for shard, calls in self._told_of.items():
            if call_id in calls:
                calls.discard(call_id)
                self._outage.tell(call_id, shard, None, ())

    # ---- the way back

    def alone(self, shard: str) -> bool:
        """Whether no other worker reports the store as away."""
        return not self._heard(shard)

    def usable(self, shard: str, *, available: bool) -> bool:
        """Whether the store may be asked again once it answers the patient client; `available`: it answers the fast
        one, too."""
        return available or self._own.get(shard, "slow") == "slow"

    def well(self, shard: str) -> None:
        """The store answers this worker. While another worker finds it away, the ledger still decides."""
        if self._own.pop(shard, None) is not None:
            self._until.pop(shard, None)
            if self._lookout is not None:
                self._lookout.well(_word(shard))
        if self.alone(shard):
            self._since.pop(shard, None)
            self._told.pop(shard, None)
            if (back := self._back.pop(shard, None)) is not None:
                back.set()
            for call_id in self._told_of.pop(shard, ()):
                if call_id in self.live:
                    # What its record says counts from here on; of the others there are rows, or will be.
                    self._outage.tell(call_id, shard, None, ())


def _word(shard: str) -> str:
    """The name of a shard's quotas between workers."""
    return f"quotas:{shard}"
