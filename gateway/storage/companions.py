"""What the processes of one machine tell each other about a store: where one finds it away, all do without it.

Counters that some processes use while others count by themselves would hand out more than their limit. The word is
passed in memory that the processes share by being forked from one parent, for the store cannot pass it.
"""

from __future__ import annotations

import mmap
import time
import zlib
from collections.abc import Callable
from typing import Final

from gateway.storage.errors import Reason

STALE_SECONDS = 5.0
"""How long a word counts that is not said again. A process that is killed or stopped says no more, and must not keep
the others away for ever; one that probes says it again sooner."""
WORDS = 32
"""Of how many stores one process can tell at once: the nodes of a Cluster, and as many shards of quotas. Of more it
does not tell."""
_REASONS: Final[tuple[Reason, ...]] = ("down", "slow", "readonly", "oom", "loading", "error")
_FIELDS = 3
"""Of a word: which store, why, and until when it counts, in seconds of the clock that all processes of a machine
share."""
_SIZE = WORDS * _FIELDS


class Companions:
    """The memory. Make it before the fork."""

    def __init__(self, places: int) -> None:
        """`places`: how many processes there will be at once."""
        self._places = places
        self._memory = mmap.mmap(-1, 8 * places * (1 + _SIZE))

    def __repr__(self) -> str:
        return f"<Companions places={self._places}>"

    def lookout(self, place: int, clock: Callable[[], float] = time.monotonic) -> Lookout:
        """For the process in this place, from 0, of which there is one at a time: what its predecessor said is
        forgotten."""
        return Lookout(memoryview(self._memory).cast("d"), place, self._places, clock)


class Lookout:
    """One process's eyes and mouth. Nobody else writes in its place, so there is nothing to lock."""

    __slots__ = ("_cells", "_clock", "_ends", "_others", "_own", "_place", "_told")

    def __init__(self, cells: memoryview[float], place: int, places: int, clock: Callable[[], float]) -> None:
        self._cells = cells
        self._clock = clock
        self._place = place
        self._ends = cells[:places]
        """When the last word of each place ends to count: mostly all that has to be looked at."""
        self._own = places + place * _SIZE
        self._others = [(at, places + at * _SIZE) for at in range(places) if at != place]
        """Of each other place its number, and where its words begin."""
        self._told: list[str | None] = [None] * WORDS
        self._ends[place] = 0.0
        for at in range(self._own, self._own + _SIZE):
            cells[at] = 0.0

    def __repr__(self) -> str:
        return f"<Lookout place={self._place} away={[store for store in self._told if store]}>"

    def tell(self, store: str, reason: Reason) -> None:
        """We find this store away: so shall the others, until `well`, or for STALE_SECONDS."""
        if store not in self._told:
            if None not in self._told:
                return
            self._told[self._told.index(None)] = store
        at = self._own + self._told.index(store) * _FIELDS
        until = self._clock() + STALE_SECONDS
        self._cells[at], self._cells[at + 1] = _digest(store), float(_REASONS.index(reason))
        self._cells[at + 2] = self._ends[self._place] = until

    def well(self, store: str) -> None:
        """We use it again."""
        if store in self._told:
            word = self._told.index(store)
            self._told[word] = None
            self._cells[self._own + word * _FIELDS + 2] = 0.0
            self._ends[self._place] = max(self._cells[at + 2] for at in range(self._own, self._own + _SIZE, _FIELDS))

    def heard(self, store: str) -> Reason | None:
        """Why another process finds it away, if one does."""
        now = self._clock()
        if max(self._ends) <= now:
            return None
        cells, wanted = self._cells, _digest(store)
        for place, start in self._others:
            if self._ends[place] > now:
                for at in range(start, start + _SIZE, _FIELDS):
                    if cells[at + 2] > now and cells[at] == wanted:
                        return _REASONS[int(cells[at + 1])]
        return None


def _digest(store: str) -> float:
    """The same in every process."""
    return float(zlib.crc32(store.encode()))
