"""Requests of the control plane, passed on to the administrator's socket and its answers back, byte for byte.

A worker does no more than that: what administration costs is another process's time.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson

from gateway.errors import BodyTooLarge, ClientGone, GatewayError, SlowUpload, UpstreamError
from gateway.http.cycle import Cycle
from gateway.http.private import LISTENER, LOOPBACK, NETWORK, PEER, PRIVATE
from gateway.ports import Deadlines, Endpoint, Engine, RequestHead, UpstreamRequest, UpstreamResponse
from gateway.types import Headers

MOST_AT_ONCE = 64
"""Requests of one worker that the administrator works on at once; more wait for their turn."""
MOST_BYTES = 8 * 1024 * 1024
DEADLINES = Deadlines(connect=1.0, first_byte=120.0, idle=120.0)
RETRY_SECONDS = 1
_HOP_BY_HOP = frozenset(
    {b"connection", b"keep-alive", b"proxy-connection", b"transfer-encoding", b"te", b"trailer", b"upgrade", b"expect"}
)
_NOT_PASSED_ON = _HOP_BY_HOP | PRIVATE | {b"content-length"}
_JSON = (b"content-type", b"application/json")


class AdminRelay:
    """One worker's way to the administrator."""

    def __init__(self, engine: Callable[[], Engine], socket: Path, *, loopback: bool) -> None:
        """`loopback`: this gateway listens on a loopback address."""
        self._engine = engine
        self._endpoint = Endpoint("administrator", 80, tls=False, path=str(socket), max_connections=MOST_AT_ONCE)
        self._listener = (LISTENER, LOOPBACK if loopback else NETWORK)

    async def serve(self, cycle: Cycle, addresses: tuple[Any, Any]) -> None:
        """Answer one request. A client that leaves ends what is done for it."""
        task = asyncio.ensure_future(self._exchange(cycle, addresses[1]))
        cycle.on_gone = task.cancel
        try:
            await task
        except asyncio.CancelledError:
            if not cycle.gone:
                task.cancel()
                raise
        finally:
            cycle.on_gone = None

    async def _exchange(self, cycle: Cycle, peer: Any) -> None:
        try:
            body = await _whole(cycle)
            request = UpstreamRequest(self._head(cycle, peer), (body,) if body else ())
            response = await self._engine().send(request, DEADLINES)
        except ClientGone:
            return
        except (BodyTooLarge, SlowUpload) as error:
            cycle.keep_alive = False
            _refuse(cycle, error.public_status, error)
            return
        except (UpstreamError, ValueError):
            _unavailable(cycle)
            return
        try:
            await _answer(cycle, response)
        except UpstreamError:
            cycle.break_off()  # the client is told by the end of the connection: its answer has begun
        finally:
            response.abort()

    def _head(self, cycle: Cycle, peer: Any) -> RequestHead:
        _, raw_path, query = cycle.target
        passed = [(name, value) for name, value in cycle.pairs if name not in _NOT_PASSED_ON]
        address = peer[0] if isinstance(peer, tuple) else ""
        own = ((PEER, str(address).encode()), self._listener)
        target = raw_path + b"?" + query if query else raw_path
        return RequestHead(self._endpoint, cycle.method.encode(), target, (*passed, *own))


async def _whole(cycle: Cycle) -> bytes:
    """Raises BodyTooLarge, ClientGone."""
    parts, size = [], 0
    while part := await cycle.piece():
        size += len(part)
        if size > MOST_BYTES:
            raise BodyTooLarge
        parts.append(part)
    return b"".join(parts)


async def _answer(cycle: Cycle, response: UpstreamResponse) -> None:
    """Raises UpstreamError when it breaks off."""
    first = await response.chunk()
    headers: Headers = [(name, value) for name, value in response.headers if name not in _HOP_BY_HOP]
    cycle.begin(response.status, headers)
    while first:
        if cycle.paused:
            await cycle.drain()
        cycle.push(first)
        first = await response.chunk()
    cycle.end()


def _unavailable(cycle: Cycle) -> None:
    message = "The control plane is not available at the moment. Calls of models are served."
    body = _body(cycle, "administration_unavailable", message, ["Try again in a moment."])
    cycle.reply(503, (_JSON, (b"retry-after", b"%d" % RETRY_SECONDS), *_request_id(cycle)), body)


def _refuse(cycle: Cycle, status: int, error: GatewayError) -> None:
    body = _body(cycle, error.public_code or "invalid_request", error.public_message, [])
    cycle.reply(status, (_JSON, *_request_id(cycle)), body)


def _request_id(cycle: Cycle) -> Headers:
    given = cycle.headers.get(b"x-request-id", b"")
    return ((b"x-request-id", given),) if given.isalnum() and len(given) <= 128 else ()


def _body(cycle: Cycle, code: str, message: str, suggestions: list[str]) -> bytes:
    """The admin API's error, as the administrator words it."""
    now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    error = {"code": code, "message": message, "field": None, "details": None, "suggestions": suggestions}
    request_id = next((value.decode() for _, value in _request_id(cycle)), None)
    return orjson.dumps({"error": error, "timestamp": now, "requestId": request_id})
