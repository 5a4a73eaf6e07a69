"""Requests of the control plane, passed on to the administrator's socket and its answers back, byte for byte.

A worker does no more than that: what administration costs is another process's time.
"""

from __future__ import annotations

import asyncio
import re
import secrets
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import orjson

from gateway.addresses import Network
from gateway.errors import BodyTooLarge, ClientGone, GatewayError, SlowUpload, UpstreamError
from gateway.http.cycle import Cycle
from gateway.http.forwarding import client_of
from gateway.http.private import LISTENER, LOOPBACK, NETWORK, PEER, PRIVATE
from gateway.ports import Deadlines, Endpoint, Engine, RequestHead, UpstreamRequest, UpstreamResponse
from gateway.types import Headers

MOST_AT_ONCE = 64
"""Requests of one worker that the administrator works on at once; more wait for their turn."""
MOST_BYTES = 8 * 1024 * 1024
DEADLINES = Deadlines(connect=1.0, first_byte=120.0, idle=120.0)
UPLOAD_SECONDS = 30.0
RETRY_SECONDS = 1
_HOP_BY_HOP = frozenset(
    {b"connection", b"keep-alive", b"proxy-connection", b"transfer-encoding", b"te", b"trailer", b"upgrade", b"expect"}
)
_NOT_PASSED_ON = _HOP_BY_HOP | PRIVATE | {b"content-length"}
_NOT_PASSED_BACK = _HOP_BY_HOP | {b"date", b"server"}
_SANE_ID = re.compile(rb"[A-Za-z0-9][A-Za-z0-9._:\-]{0,127}")
_CODES: Mapping[type[GatewayError], str] = {BodyTooLarge: "request_too_large", SlowUpload: "request_timeout"}


class AdminRelay:
    """One worker's way to the administrator."""

    def __init__(
        self, engine: Callable[[], Engine], socket: Path, *, loopback: bool, proxies: tuple[Network, ...] = ()
    ) -> None:
        """`loopback`: this gateway listens on a loopback address. `proxies`: those that may say who their client is."""
        self._engine = engine
        self._endpoint = Endpoint("administrator", 80, tls=False, path=str(socket), max_connections=MOST_AT_ONCE)
        self._proxies = proxies
        self._listener = (LISTENER, LOOPBACK if loopback else NETWORK)

    async def serve(self, cycle: Cycle, addresses: tuple[Any, Any]) -> None:
        """Answer one request. A client that leaves ends what is done for it."""
        task = asyncio.ensure_future(self._exchange(cycle, addresses[1]))
        cycle.on_gone = lambda: _end(task)
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
            _refuse(cycle, error.public_status, _CODES[type(error)], error.public_message, [])
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
        address = client_of(str(peer[0]) if isinstance(peer, tuple) else "", cycle.pairs, self._proxies)
        own = ((PEER, address.encode()), self._listener)
        target = raw_path + b"?" + query if query else raw_path
        return RequestHead(self._endpoint, cycle.method.encode(), target, (*passed, *own))


def _end(task: asyncio.Future[None]) -> None:
    task.cancel()


async def _whole(cycle: Cycle) -> bytes:
    """Raises BodyTooLarge, SlowUpload, ClientGone."""
    parts, size = [], 0
    try:
        async with asyncio.timeout(UPLOAD_SECONDS):
            while part := await cycle.piece():
                size += len(part)
                if size > MOST_BYTES:
                    raise BodyTooLarge
                parts.append(part)
    except TimeoutError:
        raise SlowUpload from None
    return b"".join(parts)


async def _answer(cycle: Cycle, response: UpstreamResponse) -> None:
    """Raises UpstreamError when it breaks off."""
    first = await response.chunk()
    headers: Headers = [(name, value) for name, value in response.headers if name not in _NOT_PASSED_BACK]
    cycle.begin(response.status, headers)
    while first:
        if cycle.paused:
            await cycle.drain()
        cycle.push(first)
        first = await response.chunk()
    cycle.end()


def _unavailable(cycle: Cycle) -> None:
    message = "The control plane is not available at the moment. Calls of models are served."
    _refuse(cycle, 503, "unavailable", message, ["Try again in a moment."])


def _refuse(cycle: Cycle, status: int, code: str, message: str, suggestions: list[str]) -> None:
    """The admin API's error, as the administrator words it."""
    given = cycle.headers.get(b"x-request-id", b"")
    request_id = given.decode() if _SANE_ID.fullmatch(given) else f"adm-{secrets.token_hex(12)}"
    now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    error = {"code": code, "message": message, "field": None, "details": None, "suggestions": suggestions}
    headers = [(b"content-type", b"application/json"), (b"x-request-id", request_id.encode())]
    if status == 503:
        headers.append((b"retry-after", b"%d" % RETRY_SECONDS))
    cycle.reply(status, headers, orjson.dumps({"error": error, "timestamp": now, "requestId": request_id}))
