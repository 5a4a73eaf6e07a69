"""The admin API on its unix socket: there from the first moment, with an application as soon as there is one."""

from __future__ import annotations

import asyncio
import secrets
import socket
from collections.abc import Awaitable, Callable, Iterator, MutableMapping
from contextlib import contextmanager
from typing import Any

import uvicorn

from gateway.http.admin.problems import Away, answer

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]


class AdminServer:
    """uvicorn on a socket that is bound already."""

    def __init__(self, listener: socket.socket, keep_alive: int, patience: int) -> None:
        """`keep_alive`: seconds that idle connections stay open; `patience`: that open answers have at the end."""
        config = uvicorn.Config(
            self._answer,
            http="httptools",
            loop="none",
            ws="none",
            lifespan="off",
            interface="asgi3",
            access_log=False,
            log_config=None,
            server_header=False,
            proxy_headers=False,
            timeout_keep_alive=keep_alive,
            timeout_graceful_shutdown=patience,
        )
        self._server = _Server(config)
        self._listener = listener
        self._app: App | None = None
        self._running: asyncio.Task[None] | None = None

    def serve(self, app: App) -> None:
        """From now on this one answers."""
        self._app = app

    async def run(self) -> None:
        """Until `close`."""
        self._running = asyncio.ensure_future(self._server.serve(sockets=[self._listener]))
        await asyncio.shield(self._running)

    async def close(self) -> None:
        """Let open answers end, for a moment."""
        self._server.should_exit = True
        if self._running is not None:
            await asyncio.gather(self._running, return_exceptions=True)
        self._listener.close()

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        app = _starting if self._app is None else self._app
        await app(scope, receive, send)


class _Server(uvicorn.Server):
    """One whose process takes its signals itself."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """None."""
        yield


async def _starting(scope: Scope, receive: Receive, send: Send) -> None:
    problem = Away(
        "The control plane is starting, or its database is away.",
        suggestions=["Try again in a moment."],
        headers={"retry-after": "1"},
    )
    await answer(problem, f"adm-{secrets.token_hex(12)}")(scope, receive, send)
