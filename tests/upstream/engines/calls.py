"""Short ways to say what is sent in these tests."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import TYPE_CHECKING

from gateway.ports import Deadlines, Endpoint, RequestHead, UpstreamRequest

if TYPE_CHECKING:
    from gateway.ports import Engine
    from gateway.types import Body, Headers
    from tests.support.upstream import ScriptedUpstream

LIMIT = 64 << 20


def soon(
    *,
    connect: float = 8.0,
    first_byte: float = 8.0,
    idle: float = 8.0,
    total: float | None = None,
    pool: float | None = None,
) -> Deadlines:
    """Deadlines that no passing test meets unless it sets one."""
    at = None if total is None else asyncio.get_running_loop().time() + total
    return Deadlines(connect=connect, first_byte=first_byte, idle=idle, at=at, pool=pool)


def endpoint(up: ScriptedUpstream, *, max_connections: int = 64) -> Endpoint:
    return Endpoint("127.0.0.1", up.port, tls=False, max_connections=max_connections, private_network=True)


def post(
    to: ScriptedUpstream | Endpoint,
    body: Sequence[bytes] | Body = (b"{}",),
    extra: Headers = (),
    *,
    method: bytes = b"POST",
) -> UpstreamRequest:
    where = to if isinstance(to, Endpoint) else endpoint(to)
    headers = ((b"host", b"provider.test"), (b"accept-encoding", b"identity"))
    return UpstreamRequest(RequestHead(where, method, b"/v1/chat?x=1", headers), body, extra)


async def fetch(engine: Engine, request: UpstreamRequest, deadlines: Deadlines | None = None) -> tuple[int, bytes]:
    response = await engine.send(request, deadlines or soon())
    return response.status, await response.read(LIMIT)


class Arriving:
    """A request body that is still arriving: `gate` holds back everything after the first part until it is set."""

    def __init__(self, parts: Sequence[bytes], *, size: int | None = None, gate: asyncio.Event | None = None) -> None:
        self._parts = parts
        self._size = size
        self._gate = gate
        self.error: Exception | None = None
        """Raised instead of the end."""
        self.sent = 0
        """Parts that were asked for, over all streams."""

    @property
    def size(self) -> int | None:
        return self._size

    def parts(self) -> Sequence[bytes] | None:
        return None

    async def stream(self) -> AsyncIterator[bytes]:
        for number, part in enumerate(self._parts):
            if number and self._gate is not None:
                await self._gate.wait()
            self.sent += 1
            yield part
        if self.error is not None:
            raise self.error

    def renamed(self, model: str) -> Arriving:
        return self
