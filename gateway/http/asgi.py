"""ASGI applications on our connections: operations, administration, whatever is not on the hot path."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from gateway.errors import ClientGone
from gateway.http.cycle import Cycle

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]


async def serve(app: App, cycle: Cycle, addresses: tuple[Any, Any]) -> None:
    """Let this application answer the request. `addresses` are the server's and the client's.

    Raises what the application raises, and RuntimeError when it ends without an answer.
    """
    conversation = Conversation(cycle)
    await app(scope_of(cycle, addresses), conversation.receive, conversation.send)
    if not (cycle.over or cycle.gone):
        raise RuntimeError("The application ended without completing its answer.")


def scope_of(cycle: Cycle, addresses: tuple[Any, Any]) -> Scope:
    """The connection scope of ASGI 3.0."""
    server, client = addresses
    path, raw_path, query = cycle.target
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": cycle.version,
        "method": cycle.method,
        "scheme": "http",
        "path": path,
        "raw_path": raw_path,
        "query_string": query,
        "root_path": "",
        "headers": cycle.pairs,
        "server": server,
        "client": client,
        "state": {},
    }


class Conversation:
    """The two callables of one request."""

    __slots__ = ("_cycle", "_ended")

    def __init__(self, cycle: Cycle) -> None:
        self._cycle = cycle
        self._ended = False

    async def receive(self) -> Message:
        """The body in parts, then the word that the client left."""
        cycle = self._cycle
        if self._ended or cycle.over:
            if not cycle.over:
                await cycle.departure()
            return {"type": "http.disconnect"}
        try:
            data = await cycle.piece()
        except ClientGone:
            return {"type": "http.disconnect"}
        self._ended = cycle.whole and not cycle.held
        return {"type": "http.request", "body": data, "more_body": not self._ended}

    async def send(self, message: Message) -> None:
        """Raises RuntimeError for messages out of order."""
        cycle, kind = self._cycle, message["type"]
        if cycle.gone:
            return
        if kind == "http.response.start" and not cycle.begun:
            cycle.begin(message["status"], list(message.get("headers", ())))
        elif kind == "http.response.body" and cycle.begun and not cycle.over:
            if cycle.paused:
                await cycle.drain()
            body = message.get("body", b"")
            if not message.get("more_body", False):
                cycle.end(body)
            elif body:
                cycle.push(body)
        else:
            raise RuntimeError(f"Unexpected ASGI message '{kind}'.")
