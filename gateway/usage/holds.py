"""Quotas decided by the ledger alone, while Redis is away: what it has booked, and what calls under way hold of the
rest. One process decides for all workers of a host, so that no two calls are given the same money.

Several hosts on one database do not see each other's holds: together they may exceed an amount by what the others hold
or have not yet booked (a second or two of their spending); never by more than (hosts - 1) times what was left.
"""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import msgspec

from gateway.ports import Clock
from gateway.singleflight import SingleFlight
from gateway.types import LedgerRow, LedgerState
from gateway.usage.hold_journal import HoldJournal

KEEP_SECONDS = 120.0
"""How long a finished call counts if the ledger never gets its row; and one whose worker has gone."""
LONGEST_SECONDS = 7200.0
"""After that an unfinished call is forgotten: no call lives so long."""
REMEMBERED = 20_000
FRESH_SECONDS = 1.0
"""How long a sum of the ledger is believed: another host may have booked since."""


class Window(NamedTuple):
    """What a quota counts: use of one kind by one owner within a time, in Unix microseconds."""

    scope: str
    name: str
    kind: str
    start_us: int
    end_us: int


class Need(NamedTuple):
    """A window, the amount that may be used in it, and what a call may use of that at most."""

    scope: str
    name: str
    kind: str
    start_us: int
    end_us: int
    amount: int
    need: int

    @property
    def window(self) -> Window:
        return Window(*self[:5])


class Hold(msgspec.Struct):
    """One call's claim on its windows, or a part of it."""

    call_id: str
    """With a suffix behind `#` for what the call holds beyond its first set."""
    owner: str
    """The worker that made it."""
    claims: list[tuple[Window, int]]
    made: float
    """Wall-clock seconds."""
    until: float
    """When it ends by itself."""
    done: bool = False


@dataclass(slots=True)
class _Sum:
    """What the ledger has booked in a window, and when it was asked."""

    value: int
    at: float


Used = Callable[[str, str, str, int, int], Awaitable[int]]


@dataclass(slots=True, eq=False)
class Holds:
    """Every method but `hold` is synchronous: decisions are made in one step of the event loop."""

    used: Used
    journal: HoldJournal[Hold]
    clock: Clock = time.time
    """Wall-clock seconds: holds outlive the process."""
    _holds: dict[str, Hold] = field(default_factory=dict)
    _parts: dict[str, dict[str, None]] = field(default_factory=dict)
    """The names of a call's holds, by its plain id, which is all that its rows know."""
    _taken: dict[Window, int] = field(default_factory=dict)
    """The sum of all claims by window."""
    _sums: dict[Window, _Sum] = field(default_factory=dict)
    _asking: SingleFlight[Window, None] = field(default_factory=SingleFlight)
    _version: int = 0
    """Grows with every batch that is booked: a sum that was asked for before is worth nothing."""
    _deciding: dict[str, bool] = field(default_factory=dict)
    """Calls whose decision waits for sums; False once their worker has given up."""
    _booked: dict[str, None] = field(default_factory=dict)
    """The calls that were booked last: word that one of them is over may come after its row."""

    def restore(self) -> None:
        """Take up what a predecessor left in the journal; the workers must join within a while to keep theirs. Raises
        OSError."""
        for hold in self.journal.read():
            self._put(hold)
            self.leave(hold.owner)
        self.expire()

    def __len__(self) -> int:
        return len(self._holds)

    async def hold(self, owner: str, call_id: str, needs: Sequence[Need]) -> int:
        """Admit a call if every amount allows it: -1, else the index of the first that does not. A call that has a
        hold keeps it. Raises what the ledger raises."""
        if call_id in self._holds:
            return -1
        self._deciding[call_id] = True
        try:
            while missing := self._unknown(needs):
                await asyncio.gather(*map(self._ask, missing))
            if call_id in self._holds or not self._deciding[call_id]:
                return -1
            return self._decide(owner, call_id, needs)
        finally:
            self._deciding.pop(call_id, None)

    def done(self, call_id: str, needs: Sequence[Need]) -> None:
        """The call is over and used `needs`: that counts until the ledger has its row. Without any it is as if the
        call had never been. It need not have a hold: what Redis admitted before it went away counts from here on."""
        if call_id in self._deciding:
            self._deciding[call_id] = False
        before = self._pop(call_id)
        claims = [claim for claim in _claims(needs) if claim[1] > 0]
        if claims and _plain(call_id) not in self._booked:
            now = self.clock()
            self._put(Hold(call_id, before.owner if before else "", claims, now, now + KEEP_SECONDS, done=True))
            self.journal.put(self._holds[call_id])
        elif before is not None:
            self.journal.drop(call_id, empty=not self._holds)

    def booked(self, rows: Sequence[LedgerRow]) -> None:
        """These rows are in the ledger: calls that are over no longer count here, and what was asked is outdated.

        A call has one row that is charged, and that ends all of its holds that are done. One that is booked in case
        its worker dies ends none: the call may run, and use more than that says."""
        self._version += 1
        self._sums.clear()
        for row in rows:
            if row.state is not LedgerState.SETTLED:
                continue
            self._booked[row.call_id] = None
            for name in list(self._parts.get(row.call_id, ())):
                if self._holds[name].done:
                    self._pop(name)
                    self.journal.drop(name, empty=not self._holds)
        for call_id in list(itertools.islice(self._booked, max(0, len(self._booked) - REMEMBERED))):
            del self._booked[call_id]

    def join(self, owner: str, calls: Sequence[str]) -> None:
        """A worker is (again) here, and has these calls under way: what else it held is over."""
        under_way = frozenset(calls)
        for hold in [hold for hold in self._holds.values() if hold.owner == owner and not hold.done]:
            if hold.call_id in under_way:
                hold.until = self.clock() + LONGEST_SECONDS
            else:
                self._pop(hold.call_id)
                self.journal.drop(hold.call_id, empty=not self._holds)

    def leave(self, owner: str) -> None:
        """A worker's connection is gone: its calls count a while longer, in case it comes back."""
        until = self.clock() + KEEP_SECONDS
        for hold in self._holds.values():
            if hold.owner == owner:
                hold.until = min(hold.until, until)

    def expire(self) -> None:
        """End what is overdue, and forget old sums."""
        now = self.clock()
        for hold in [hold for hold in self._holds.values() if not now < hold.until <= now + 2 * LONGEST_SECONDS]:
            self._pop(hold.call_id)
            self.journal.drop(hold.call_id, empty=not self._holds)
        self._sums = {window: found for window, found in self._sums.items() if self._is_fresh(found)}

    def claimed(self, window: Window) -> int:
        """What calls hold of it, or used and is not booked yet."""
        return self._taken.get(window, 0)

    # ---- deciding ----

    def _decide(self, owner: str, call_id: str, needs: Sequence[Need]) -> int:
        for index, need in enumerate(needs):
            window = need.window
            if self._sums[window].value + self._taken.get(window, 0) + need.need > need.amount:
                return index
        now = self.clock()
        hold = Hold(call_id, owner, _claims(needs), now, now + LONGEST_SECONDS)
        self.journal.put(hold)
        self._put(hold)
        return -1

    def _unknown(self, needs: Sequence[Need]) -> list[Window]:
        """The windows whose sums must be asked for."""
        windows = {need.window for need in needs}
        return [window for window in windows if not self._is_fresh(self._sums.get(window))]

    def _is_fresh(self, found: _Sum | None) -> bool:
        return found is not None and 0 <= self.clock() - found.at < FRESH_SECONDS

    async def _ask(self, window: Window) -> None:
        """One question at a time for each window, whoever waits."""
        await self._asking.do(window, lambda: self._look_up(window))

    async def _look_up(self, window: Window) -> None:
        version = self._version
        value = await self.used(*window)
        if version == self._version:
            self._sums[window] = _Sum(value, self.clock())

    # ---- claims ----

    def _put(self, hold: Hold) -> None:
        self._pop(hold.call_id)
        self._holds[hold.call_id] = hold
        self._parts.setdefault(_plain(hold.call_id), {})[hold.call_id] = None
        for window, amount in hold.claims:
            self._taken[window] = self._taken.get(window, 0) + amount

    def _pop(self, call_id: str) -> Hold | None:
        hold = self._holds.pop(call_id, None)
        if hold is None:
            return None
        parts = self._parts[_plain(call_id)]
        del parts[call_id]
        if not parts:
            del self._parts[_plain(call_id)]
        for window, amount in hold.claims:
            left = self._taken[window] - amount
            if left:
                self._taken[window] = left
            else:
                del self._taken[window]
        return hold


def _claims(needs: Sequence[Need]) -> list[tuple[Window, int]]:
    """What a call takes of each window. Quotas that differ in their amounts alone have one: it is taken of it once."""
    found: dict[Window, int] = {}
    for need in needs:
        found[need.window] = max(need.need, found.get(need.window, 0))
    return [*found.items()]


def _plain(name: str) -> str:
    """The id of the call that this is a part of."""
    return name.partition("#")[0]
