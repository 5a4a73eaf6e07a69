"""The wire: what engines move."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import msgspec

from gateway.addresses import Network
from gateway.types import (
    Body,
    Headers,
)

UNBOUNDED = sys.maxsize
"""As many connections as there are calls, which are bounded."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where connections go and what keeps them apart in a pool; equal endpoints share connections."""

    host: str
    port: int
    tls: bool
    ca_file: str | None = None
    """A PEM bundle to trust instead of the system's; verification itself cannot be switched off."""
    pinned_ip: str | None = None
    """Connect here while SNI and Host keep the name. Checked as an address that the name resolves to is."""
    private_network: bool = False
    """It may be on this machine or in a private network. Metadata services it may not reach even then."""
    max_connections: int = UNBOUNDED
    networks: tuple[Network, ...] = ()
    """Private networks that it may be in although `private_network` is off."""
    bound_by: str = ""
    """The provider whose own bound `max_connections` is: providers with equal bounds at one address share no pool."""
    path: str | None = None
    """A unix socket of our own to connect to, instead of everything above."""


@dataclass(slots=True, eq=False)
class RequestHead:
    """The part of a request that repeats between calls. Made once per deployment and path, kept by its maker."""

    endpoint: Endpoint
    method: bytes
    target: bytes
    """Path and query."""
    headers: tuple[tuple[bytes, bytes], ...]
    """Lower-case names; with `host`, without `content-length`, `transfer-encoding`, `connection`."""
    wire: bytes = b""
    """An engine's own cache of the serialised head."""


class UpstreamRequest(msgspec.Struct, eq=False):
    """One request to one provider. `extra` headers are those that differ between calls."""

    head: RequestHead
    body: Sequence[bytes] | Body
    """Parts that are all here (sent with content-length), or a body that is still arriving (chunked unless its size is
    known)."""
    extra: Headers = ()


class Deadlines(msgspec.Struct, gc=False):
    """When to give up, in seconds from the call of `send`; `at` is the absolute loop time that bounds everything."""

    connect: float = 5.0
    first_byte: float = 60.0
    idle: float = 120.0
    at: float | None = None
    pool: float | None = None
    """The wait for a free connection when the pool is at its bound; None: as `first_byte`."""


class UpstreamResponse(Protocol):
    """An answer whose head has arrived. Exactly one of: read it to the end, or `abort` it."""

    status: int
    headers: Headers
    """Lower-case names, bounded in size; 1xx heads are swallowed."""

    async def read(self, limit: int) -> bytes:
        """The whole body. Raises UpstreamTooLarge, UpstreamTruncated, UpstreamStalled, UpstreamTimeout."""
        ...

    async def chunk(self) -> bytes:
        """Whatever has arrived, at least one byte; `b""` after a complete end. Raises as `read` does."""
        ...

    def abort(self) -> None:
        """Drop the answer and its connection, unless it is already complete. May be called at any time, any number of
        times."""
        ...


@runtime_checkable
class TappedResponse(Protocol):
    """An answer that can also be read without awaiting: `tap` says when there is something to `take`."""

    def take(self) -> bytes | None:
        """As `chunk`, but None where that would wait. Raises as `chunk` does."""
        ...

    def tap(self, changed: Callable[[], None] | None) -> None:
        """Call `changed` on every change, instead of waking whoever waits in `chunk`; None ends that."""
        ...


class ByteSink(Protocol):
    """A client that bytes can be written to without awaiting."""

    on_resume: Callable[[], None] | None
    """Called when it takes bytes again."""

    @property
    def paused(self) -> bool:
        """The client has not taken what was written: write nothing more until `on_resume`."""
        ...

    def push(self, data: bytes) -> None:
        """Part of a body, at least one byte. Without effect once the client has left."""
        ...


class Engine(Protocol):
    """An HTTP client with a connection pool. Raises the `Upstream…` errors of `gateway.errors`, and nothing else."""

    async def send(self, request: UpstreamRequest, deadlines: Deadlines) -> UpstreamResponse:
        """Send and wait for the head of the final answer.

        Raises UpstreamUnreachable, UpstreamDnsFailed, UpstreamAddressForbidden, UpstreamConnectTimeout,
        UpstreamTlsFailed, UpstreamPoolExhausted, UpstreamNoSocket,
        UpstreamTimeout, UpstreamDisconnected, UpstreamBadResponse. Cancelling it never returns a used connection to the
        pool.
        """
        ...

    async def close(self) -> None:
        """Close every connection; answers still open break off."""
        ...
