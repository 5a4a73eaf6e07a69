"""The scripted provider on a real socket, in a thread of its own."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import uvicorn

from gateway.http.mock_server import MockApp, create_mock_app
from tests.support.waiting import until


@dataclass(frozen=True, slots=True)
class ScriptedServer:
    """A running server; `url` ends in `/v1`."""

    app: MockApp
    port: int

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"


@contextmanager
def scripted_server(http: str = "auto") -> Iterator[ScriptedServer]:
    """Serve on an ephemeral loopback port until the block ends; `http` is uvicorn's name of a protocol."""
    app = create_mock_app()
    with serving(app, http=http) as port:
        yield ScriptedServer(app, port)


@contextmanager
def serving(app: Any, *, http: Any = "auto") -> Iterator[int]:
    """Serve any application; gives the port. `http` is uvicorn's name of a protocol, or a class."""
    config = uvicorn.Config(
        app, log_config=None, http=http, access_log=False, proxy_headers=False, timeout_graceful_shutdown=1
    )
    server = uvicorn.Server(config)
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(128)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
        thread.start()
        try:
            until(lambda: server.started)
            yield listener.getsockname()[1]
        finally:
            server.should_exit = True
            thread.join(10)
