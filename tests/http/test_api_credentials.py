"""Several credentials of one provider: used in turn; one that is refused is left out, and no call fails of it."""

from __future__ import annotations

import json
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from tests.support.app import running
from tests.support.rig import COMPLETION

CONFIG = """
version: 1
providers:
  p: {{type: openai_compatible, base_url: "{url}", api_key: [first, second, third], models: [m]}}
"""


class Provider:
    """Accepts some keys and counts all of them."""

    def __init__(self) -> None:
        self.accepted = {"first", "second", "third"}
        self.asked: Counter[str] = Counter()
        self.status = 401

    @contextmanager
    def serving(self) -> Iterator[str]:
        """Its base URL."""
        provider = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                self.rfile.read(int(self.headers["content-length"]))
                key = self.headers["authorization"].removeprefix("Bearer ")
                provider.asked[key] += 1
                good = key in provider.accepted
                body = json.dumps(COMPLETION if good else {"error": {"message": "no", "type": "x"}}).encode()
                self.send_response(200 if good else provider.status)
                self.send_header("content-type", "application/json")
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}/v1"
        finally:
            server.shutdown()
            server.server_close()
            thread.join(10)


@pytest.mark.parametrize("status", [401, 403])
def test_one_that_is_refused(status: int) -> None:
    """Of three keys one is refused: its call goes on with the next one, and it is not used again for a while; with all
    of them refused the client hears of the gateway's access, not of its own."""
    provider = Provider()
    provider.status = status
    with provider.serving() as url, running(CONFIG.format(url=url)) as gateway:
        assert {gateway.chat("p/m").status for _ in range(6)} == {200}
        assert provider.asked == {"first": 2, "second": 2, "third": 2}
        provider.accepted.discard("second")
        provider.asked.clear()
        replies = [gateway.chat("p/m") for _ in range(12)]
        assert {reply.status for reply in replies} == {200}
        assert provider.asked["second"] == 1
        assert [reply.header("x-gateway-attempts") for reply in replies].count("2") == 1
        told = gateway.worker._worker_control.refused()
        assert [(one.provider, one.credential) for one in told] == [("p", "api_key[1]")]
        provider.accepted.clear()
        reply = gateway.chat("p/m")
        assert (reply.status, reply.error["code"]) == (502, "provider_auth")
