"""`gateway mock`: the scripted provider on a socket, as raw ASGI, with its bill at `/mock/bill`."""

from __future__ import annotations

import asyncio
import socket
import struct
import sys
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import asdict
from typing import Any, TypeAlias
from urllib.parse import parse_qs

import orjson
import uvicorn

from gateway.errors import OperatorError
from gateway.providers.scripted import (
    Bill,
    Cut,
    End,
    Entry,
    Head,
    Request,
    Scenario,
    Send,
    Stall,
    Wait,
    request_of,
    respond,
)

Message: TypeAlias = MutableMapping[str, Any]
ASGIReceive: TypeAlias = Callable[[], Awaitable[Message]]
ASGISend: TypeAlias = Callable[[Message], Awaitable[None]]
_LAST_SEEN = 100


class _Gone(Exception):
    """The client left."""


class MockApp:
    """The scripted provider as an ASGI application; `bill` is what it charged."""

    def __init__(self, bill: Bill | None = None) -> None:
        self.bill = Bill() if bill is None else bill

    async def __call__(self, scope: Message, receive: ASGIReceive, send: ASGISend) -> None:
        if scope["type"] == "lifespan":
            await _lifespan(receive, send)
        elif scope["type"] == "http":
            await self._serve(scope, receive, send)

    async def _serve(self, scope: Message, receive: ASGIReceive, send: ASGISend) -> None:
        body = await _read(receive)
        if body is None:
            return
        if scope["path"].startswith("/mock/"):
            await self._control(scope, send)
            return
        target = scope.get("raw_path", scope["path"].encode()).decode("latin-1")
        request = request_of(scope["method"], target, scope["headers"], body)
        await _Performance(self.bill, request, receive, send).play()

    async def _control(self, scope: Message, send: ASGISend) -> None:
        what = (scope["method"], scope["path"])
        if what == ("GET", "/mock/bill"):
            await _answer(send, 200, self.bill.as_json())
        elif what == ("DELETE", "/mock/bill"):
            self.bill.reset()
            await _answer(send, 200, self.bill.as_json())
        elif what == ("GET", "/mock/requests"):
            await _answer(send, 200, {"requests": self._seen(scope.get("query_string", b""))})
        else:
            await _answer(send, 404, {"error": {"message": "Unknown.", "type": "invalid_request_error", "code": None}})

    def _seen(self, query: bytes) -> list[dict[str, Any]]:
        last = parse_qs(query.decode("latin-1")).get("last", [""])[0]
        number = int(last) if last.isdecimal() else _LAST_SEEN
        return [asdict(seen) for seen in list(self.bill.seen)[-number:]] if number else []


def create_mock_app(bill: Bill | None = None) -> MockApp:
    """The application of `gateway mock`, with a bill of its own unless one is given."""
    return MockApp(bill)


class _Performance:
    """One scenario on one connection."""

    def __init__(self, bill: Bill, request: Request, receive: ASGIReceive, send: ASGISend) -> None:
        self._scenario: Scenario = respond(request)
        self._entry: Entry = bill.open(request, self._scenario)
        self._receive, self._send = receive, send

    async def play(self) -> None:
        """Play to the end, or until the client leaves; the row is booked before the client can see the end."""
        gone = asyncio.ensure_future(_left(self._receive))
        try:
            await self._perform(gone)
        except _Gone:
            pass
        finally:
            self._entry.close("cancelled")
            gone.cancel()

    async def _perform(self, gone: asyncio.Future[None]) -> None:
        steps = self._scenario.steps
        for step, following in zip(steps, (*steps[1:], None), strict=True):
            if isinstance(step, Wait):
                await asyncio.wait((gone,), timeout=step.seconds)
            elif isinstance(step, Head):
                await self._send(
                    {
                        "type": "http.response.start",
                        "status": self._scenario.status,
                        "headers": list(self._scenario.headers),
                    }
                )
                if isinstance(following, Stall):
                    await self._send({"type": "http.response.body", "body": b"", "more_body": True})
            elif isinstance(step, Send):
                await self._transmit(step, last=isinstance(following, End))
            elif isinstance(step, Stall):
                await gone
            elif isinstance(step, Cut):
                self._entry.close("cut")
                await _break(self._send, gone, reset=step.reset)
                return
            else:
                self._entry.close("completed")
                await self._send({"type": "http.response.body", "body": b"", "more_body": False})
                return
            if gone.done():
                raise _Gone

    async def _transmit(self, step: Send, *, last: bool) -> None:
        self._entry.sent(step.tokens)
        if last:
            # A client that has read content-length bytes, or `[DONE]`, may look at the bill at once.
            self._entry.close("completed")
        await self._send({"type": "http.response.body", "body": step.data, "more_body": True})
        await asyncio.sleep(0)


async def _break(send: ASGISend, gone: asyncio.Future[None], *, reset: bool) -> None:
    """Close the connection under the answer, after what was written. ASGI has no word for it: uvicorn's cycle does."""
    transport = getattr(getattr(send, "__self__", None), "transport", None)
    if transport is None:
        raise ConnectionAbortedError("scripted cut")
    if reset:
        sock = transport.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.close()
    await gone


async def _read(receive: ASGIReceive) -> bytes | None:
    parts: list[bytes] = []
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        parts.append(message.get("body", b""))
        if not message.get("more_body", False):
            return b"".join(parts)


async def _left(receive: ASGIReceive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _answer(send: ASGISend, status: int, value: Any) -> None:
    body = orjson.dumps(value)
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def _lifespan(receive: ASGIReceive, send: ASGISend) -> None:
    while True:
        kind = (await receive())["type"]
        await send({"type": f"{kind}.complete"})
        if kind == "lifespan.shutdown":
            return


def run_mock(host: str = "127.0.0.1", port: int = 9000) -> None:
    """Serve until interrupted. Port 0 takes a free one; the base URL goes to stdout once it listens. Raises
    OperatorError when the address cannot be had."""
    config = uvicorn.Config(create_mock_app(), log_level="warning", access_log=False, timeout_graceful_shutdown=1)
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((host, port))
            listener.listen(2048)
        except OSError as error:
            raise OperatorError(
                f"cannot listen on {host}:{port}: {error.strerror}; choose another with --port, or end what uses it"
            ) from error
        shown = f"[{host}]" if ":" in host else host
        sys.stdout.write(f"Scripted provider on http://{shown}:{listener.getsockname()[1]}/v1\n")
        sys.stdout.flush()
        uvicorn.Server(config).run(sockets=[listener])
