"""Writes of one turn of the event loop, made together at its end.

Each write to a peer that sleeps wakes it up, which costs the sender more than the write itself. Written back to back, a
turn's messages find most of their peers awake: on loopback that is a sixth of the CPU time of a proxied request.
"""

from __future__ import annotations

import asyncio

from gateway.perloop import PerLoop

MOST = 16
"""The most writes that wait: in a long turn, messages must not wait for the work of all the others."""


class Turn:
    """The writes of one event loop that wait for the end of its turn. A connection keeps a reference to its loop's."""

    __slots__ = ("_loop", "_pending")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._pending: list[tuple[asyncio.WriteTransport, bytes]] = []

    def write(self, transport: asyncio.WriteTransport, data: bytes) -> None:
        """Write at the end of this turn, in the order of the calls. Who closes a transport calls `flush` before."""
        pending = self._pending
        if not pending:
            self._loop.call_soon(self.flush)
        pending.append((transport, data))
        if len(pending) >= MOST:
            self.flush()

    def flush(self) -> None:
        """Write everything now."""
        pending = self._pending
        if not pending:
            return
        self._pending = []
        for transport, data in pending:
            if not transport.is_closing():
                transport.write(data)


_turns = PerLoop(Turn)
turn_of = _turns.of


def flush() -> None:
    """Write everything now that this thread's loop has to write."""
    turn = _turns.here()
    if turn is not None:
        turn.flush()
