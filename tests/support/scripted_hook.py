"""A webhook's receiver on loopback, in a thread."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Event = tuple[dict[str, Any], dict[str, str], bytes]


class Hook:
    """What was posted: the JSON, the headers, the body."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.events: list[Event] = []

    def got(self, event: str) -> Event | None:
        """The last one of this kind."""
        return next((one for one in reversed(self.events) if one[0]["event"] == event), None)


@contextmanager
def hook_server() -> Iterator[Hook]:
    """Takes every POST, until the block ends."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            headers = {name.lower(): value for name, value in self.headers.items()}
            hook.events.append((json.loads(body), headers, body))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            """Nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    hook = Hook(f"http://127.0.0.1:{server.server_port}/hook")
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield hook
    finally:
        server.shutdown()
        server.server_close()
        thread.join(10)
