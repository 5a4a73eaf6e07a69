"""The address check of outgoing connections: resolve once, look at every address, connect to one that was looked at.

It runs when a connection is made and at no other time: pooled connections are what they were. Nothing can change
between the check and the connect, since the name is not resolved again.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from ipaddress import ip_address
from itertools import chain, zip_longest
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from gateway.addresses import literal, permitted
from gateway.errors import UpstreamAddressForbidden
from gateway.upstream.engines.failures import BROKEN, OURS

if TYPE_CHECKING:
    from gateway.ports import Endpoint

_T = TypeVar("_T")

Resolver = Callable[[str, int], Awaitable[Sequence[str]]]
"""The addresses of a host, best first. Raises socket.gaierror, and UnicodeError for what cannot be a name."""

NEXT_AFTER = 0.25
"""Seconds until the next address is tried beside one that has not accepted (RFC 8305, section 5)."""
HANDSHAKE_SECONDS = 1.0
"""The same from when one has accepted: a handshake takes several round trips, and a slow server's are not doubled."""


async def checked(endpoint: Endpoint, resolver: Resolver) -> Sequence[str]:
    """Where to connect, best first. Raises UpstreamAddressForbidden unless every address is permitted, and what the
    resolver raises."""
    host = endpoint.pinned_ip or endpoint.host
    addresses = [host.strip("[]")] if literal(host) is not None else await resolver(host, endpoint.port)
    if not addresses:
        raise socket.gaierror(socket.EAI_NONAME, "no address")
    private, networks = endpoint.private_network, endpoint.networks
    if not all(permitted(ip_address(address), private=private, networks=networks) for address in addresses):
        raise UpstreamAddressForbidden
    return addresses


Connect = Callable[[str, Callable[[], None]], Coroutine[Any, Any, _T]]
"""Connects to an address; calls the function when TCP stands and more is to come. Cleans up when it fails or is
cancelled."""


async def first_to_answer(addresses: Sequence[str], connect: Connect[_T], drop: Callable[[_T], None]) -> _T:
    """The first connection that stands, as RFC 8305 has it: families take turns, and the next address is tried as soon
    as one fails, or beside those that have not answered for a while. Others that stand too are given to `drop`.

    Raises what the last address to fail raised, and at once what no other address would mend.
    """
    if len(addresses) == 1:
        return await connect(addresses[0], _nothing)
    return await _Race(connect, drop).run(deque(interleaved(addresses)))


def interleaved(addresses: Sequence[str]) -> list[str]:
    """In their order, but with the families of IP taking turns; the first one's begins (RFC 8305, section 4)."""
    first = [address for address in addresses if (":" in address) == (":" in addresses[0])]
    second = [address for address in addresses if (":" in address) != (":" in addresses[0])]
    return [address for address in chain(*zip_longest(first, second)) if address is not None]


def _nothing() -> None:
    pass


class _Race(Generic[_T]):
    """Attempts at several addresses, side by side."""

    def __init__(self, connect: Connect[_T], drop: Callable[[_T], None]) -> None:
        self._connect = connect
        self._drop = drop
        self._loop = asyncio.get_running_loop()
        self._tasks: set[asyncio.Task[_T]] = set()
        self._next_at = 0.0

    async def run(self, addresses: deque[str]) -> _T:
        """See `first_to_answer`."""
        first: asyncio.Task[_T] | None = None
        try:
            first = await self._first(addresses)
            return first.result()
        finally:
            for task in self._tasks:
                if task is not first:
                    task.cancel()
                    task.add_done_callback(self._late)

    async def _first(self, addresses: deque[str]) -> asyncio.Task[_T]:
        while True:
            if addresses and self._loop.time() >= self._next_at:
                self._next_at = self._loop.time() + NEXT_AFTER
                self._tasks.add(self._loop.create_task(self._connect(addresses.popleft(), self._accepted)))
            wait = max(0.0, self._next_at - self._loop.time()) if addresses else None
            done, _ = await asyncio.wait(self._tasks, timeout=wait, return_when=asyncio.FIRST_COMPLETED)
            failed = {task for task in done if task.cancelled() or task.exception() is not None}
            if done - failed:
                return (done - failed).pop()
            for task in failed:
                if not addresses and len(self._tasks) == 1:
                    return task
                self._failed(task)

    def _failed(self, task: asyncio.Task[_T]) -> None:
        """The next address's turn, if it can do better. Raises its failure otherwise."""
        self._tasks.discard(task)
        error = task.exception()
        if error is not None and not _is_of_the_address(error):
            raise error
        self._next_at = 0.0

    def _accepted(self) -> None:
        self._next_at = max(self._next_at, self._loop.time() + HANDSHAKE_SECONDS)

    def _late(self, task: asyncio.Task[_T]) -> None:
        if not task.cancelled() and task.exception() is None:
            self._drop(task.result())


def _is_of_the_address(error: BaseException) -> bool:
    """Whether another address may do better: systems have many words for a way that is closed. A certificate is the
    name's, and descriptors are ours."""
    if isinstance(error, ssl.SSLError):
        return isinstance(error, BROKEN)
    return isinstance(error, OSError) and error.errno not in OURS
