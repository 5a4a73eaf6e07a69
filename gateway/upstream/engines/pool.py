"""Which connection a request gets. Pure bookkeeping: who opens, closes and waits is decided here and done elsewhere."""

from __future__ import annotations

from collections import OrderedDict, deque
from typing import Generic, Protocol, TypeVar

C = TypeVar("C")
C_contra = TypeVar("C_contra", contravariant=True)


class Waiter(Protocol[C_contra]):
    """A request in the queue: `asyncio.Future[C | None]`. None hands it a reserved slot instead of a connection."""

    def done(self) -> bool: ...

    def set_result(self, result: C_contra | None, /) -> None: ...


class Pool(Generic[C]):
    """The connections to one endpoint: at most `limit`, newest idle one first, waiting requests in their order.

    Idle connections and waiting requests never exist together: whatever becomes free goes to who waited longest.
    """

    __slots__ = ("_idle", "_members", "_opening", "_waiting", "limit", "name")

    def __init__(self, name: str, limit: int) -> None:
        self.name = name
        self.limit = max(1, limit)
        self._idle: deque[C] = deque()
        self._members: set[C] = set()
        self._opening = 0
        self._waiting: OrderedDict[Waiter[C], None] = OrderedDict()

    def __repr__(self) -> str:
        return f"<{self.name} idle={self.idle} busy={self.busy} opening={self._opening} waiting={self.waiting}>"

    @property
    def idle(self) -> int:
        return len(self._idle)

    @property
    def busy(self) -> int:
        return len(self._members) - len(self._idle)

    @property
    def waiting(self) -> int:
        return len(self._waiting)

    @property
    def unused(self) -> bool:
        """Nothing is open, nothing is being opened, nobody waits: the pool may be forgotten."""
        return not (self._members or self._opening or self._waiting)

    def take(self) -> C | None:
        """The idle connection that was used last, now busy; None when there is none."""
        return self._idle.pop() if self._idle else None

    def reserve(self) -> bool:
        """Claim the right to open one more connection; False at the limit. `opened` or `unreserve` must follow."""
        if len(self._members) + self._opening >= self.limit:
            return False
        self._opening += 1
        return True

    def opened(self, connection: C) -> None:
        """A reserved slot became a connection, busy from the start."""
        self._opening -= 1
        self._members.add(connection)

    def unreserve(self) -> None:
        """A reserved slot was not used; the next in the queue gets it."""
        self._opening -= 1
        self._offer_slots()

    def give_back(self, connection: C) -> None:
        """A clean connection is free: to who waited longest, else idle. One that was dropped before is ignored."""
        if connection not in self._members:
            return
        waiter = self._next_waiter() if self._waiting else None
        if waiter is None:
            self._idle.append(connection)
        else:
            waiter.set_result(connection)

    def drop(self, connection: C) -> None:
        """A connection is closed, busy or idle; its slot is free. May be repeated."""
        if connection not in self._members:
            return
        self._members.discard(connection)
        if connection in self._idle:
            self._idle.remove(connection)
        self._offer_slots()

    def members(self) -> list[C]:
        """Every open connection."""
        return list(self._members)

    def enqueue(self, waiter: Waiter[C], *, first: bool = False) -> None:
        """Wait at the end of the queue, or at its front for a request that was served a dead connection."""
        self._waiting[waiter] = None
        if first:
            self._waiting.move_to_end(waiter, last=False)

    def leave(self, waiter: Waiter[C]) -> None:
        """Stop waiting. Harmless for one that was served."""
        self._waiting.pop(waiter, None)

    def _next_waiter(self) -> Waiter[C] | None:
        while self._waiting:
            waiter, _ = self._waiting.popitem(last=False)
            if not waiter.done():
                return waiter
        return None

    def _offer_slots(self) -> None:
        while self._waiting and len(self._members) + self._opening < self.limit:
            waiter = self._next_waiter()
            if waiter is None:
                return
            self._opening += 1
            waiter.set_result(None)
