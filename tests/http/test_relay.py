"""What workers pass on to the administrator, and what they say when it is not there."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Iterator
from contextlib import contextmanager
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import uvicorn

from gateway.addresses import Network
from gateway.administrator import listen
from gateway.http.cycle import Cycle
from gateway.http.private import is_administration
from gateway.http.relay import MOST_BYTES, AdminRelay
from gateway.http.server import Protocol
from gateway.upstream.engines.httptools_engine import HttptoolsEngine
from tests.http.test_asgi import whole
from tests.support.app import Client, until
from tests.support.scripted_server import serving

JSON = [(b"content-type", b"application/json")]


class Worker:
    """Passes everything on."""

    def __init__(self, socket: Path, *, loopback: bool = True, proxies: tuple[Network, ...] = ()) -> None:
        self._engine = HttptoolsEngine()
        self._relay = AdminRelay(lambda: self._engine, socket, loopback=loopback, proxies=proxies)
        self._loop: asyncio.AbstractEventLoop | None = None

    def close(self) -> None:
        if self._loop is not None:
            asyncio.run_coroutine_threadsafe(self._engine.close(), self._loop).result(10)

    def serve(self, cycle: Cycle, addresses: tuple[Any, Any]) -> Awaitable[None]:
        self._loop = asyncio.get_running_loop()
        return self._relay.serve(cycle, addresses)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        raise NotImplementedError


@contextmanager
def administering(path: Path, app: Any) -> Iterator[None]:
    """This application on a unix socket."""
    listener = listen(path)
    server = uvicorn.Server(uvicorn.Config(app, log_config=None, lifespan="off", timeout_graceful_shutdown=1))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    try:
        until(lambda: server.started)
        yield
    finally:
        server.should_exit = True
        thread.join(10)
        listener.close()


@contextmanager
def passing_on(path: Path, **more: Any) -> Iterator[Client]:
    """A connection to a worker."""
    worker = Worker(path, **more)
    with serving(worker, http=Protocol) as port:
        try:
            with Client(port) as client:
                yield client
        finally:
            worker.close()


def test_paths() -> None:
    """The control plane is below `/api` and `/console`, and nowhere else."""
    assert all(map(is_administration, ("/api", "/api/", "/api/admin/keys", "/console", "/console/x")))
    assert not any(map(is_administration, ("/", "/apis", "/v1/api/x", "/providers/api/v1", "/consoles", "/metrics")))


def test_byte_for_byte(tmp_path: Path) -> None:
    """Method, path, query, headers and body arrive as they were sent; status, headers and body come back so."""
    seen: dict[str, Any] = {}

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.update(scope, body=await whole(receive))
        headers = [*JSON, (b"etag", b'"7"'), (b"set-cookie", b"a=1"), (b"set-cookie", b"b=2")]
        await send({"type": "http.response.start", "status": 201, "headers": headers})
        for part in (b'{"a":', b"1}"):
            await send({"type": "http.response.body", "body": part, "more_body": True})
        await send({"type": "http.response.body"})

    body = b"x" * 300_000
    with administering(tmp_path / "s", app), passing_on(tmp_path / "s") as client:
        client.send("PATCH", "/api/a%20b/%2Fc?d=e&f=", body, [("if-match", '"6"'), ("cookie", "s=1"), ("host", "gw:1")])
        reply = client.reply()
    assert (reply.status, reply.body, reply.header("etag")) == (201, b'{"a":1}', '"7"')
    assert [value for name, value in reply.headers if name == "set-cookie"] == ["a=1", "b=2"]
    assert (seen["method"], seen["raw_path"], seen["query_string"]) == ("PATCH", b"/api/a%20b/%2Fc", b"d=e&f=")
    assert seen["body"] == body
    headers = dict(seen["headers"])
    assert (headers[b"if-match"], headers[b"cookie"], headers[b"host"]) == (b'"6"', b"s=1", b"gw:1")


def test_what_cannot_be_forged(tmp_path: Path) -> None:
    """The peer's address and the listener's kind are what the worker knows, whatever the client says."""
    seen: list[dict[bytes, bytes]] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        assert len([name for name, _ in scope["headers"] if name.startswith(b"x-gateway-")]) == 2
        seen.append(dict(scope["headers"]))
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body"})

    forged = [("X-Gateway-Peer", "203.0.113.9"), ("x-gateway-listener", "loopback")]
    for loopback, word in ((True, b"loopback"), (False, b"network")):
        with administering(tmp_path / "s", app), passing_on(tmp_path / "s", loopback=loopback) as client:
            client.send("GET", "/api/x", b"", forged)
            assert client.reply().status == 204
            client.send("GET", "/api/x", b"", forged)
            assert client.reply().status == 204
        assert seen[-1][b"x-gateway-peer"] == b"127.0.0.1"
        assert seen[-1][b"x-gateway-listener"] == word


def test_a_proxy_of_ours_says_who_its_client_is(tmp_path: Path) -> None:
    """The administrator is told of the client, and gets the header as it came; one that is no proxy of ours stays who
    it is."""
    seen: list[dict[bytes, bytes]] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.append(dict(scope["headers"]))
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body"})

    said = "6.6.6.6, 203.0.113.9"
    for network, address in (("127.0.0.0/8", b"203.0.113.9"), ("10.0.0.0/8", b"127.0.0.1")):
        proxies = (ip_network(network),)
        with administering(tmp_path / "s", app), passing_on(tmp_path / "s", proxies=proxies) as client:
            client.send("GET", "/api/x", b"", [("X-Forwarded-For", said), ("X-Gateway-Peer", "9.9.9.9")])
            assert client.reply().status == 204
        assert (seen[-1][b"x-gateway-peer"], seen[-1][b"x-forwarded-for"]) == (address, said.encode())


def test_nobody_there(tmp_path: Path) -> None:
    """Without an administrator: 503 in the admin API's shape with the time to come back, on a connection that lives."""
    with passing_on(tmp_path / "s") as client:
        for _ in range(2):
            client.send("GET", "/api/admin/keys", b"", [("x-request-id", "mine")])
            reply = client.reply()
            assert (reply.status, reply.header("retry-after"), reply.header("x-request-id")) == (503, "1", "mine")
            body = reply.json
            assert set(body) == {"error", "timestamp", "requestId"}
            assert set(body["error"]) == {"code", "message", "field", "details", "suggestions"}
            assert (body["error"]["code"], body["requestId"]) == ("unavailable", "mine")


def test_too_much(tmp_path: Path) -> None:
    """A body beyond all bounds is refused while it is read, and the administrator hears nothing of it."""
    called = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        called.append(scope["path"])

    with administering(tmp_path / "s", app), passing_on(tmp_path / "s") as client:
        client.send("POST", "/api/x", b"x" * (MOST_BYTES + 1))
        reply = client.reply()
        assert (reply.status, reply.json["error"]["code"]) == (413, "request_too_large")
    assert called == []


def test_a_client_that_leaves(tmp_path: Path) -> None:
    """Who leaves ends what is done for it: the administrator sees the connection close."""
    gone = threading.Event()
    begun = threading.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await whole(receive)
        begun.set()
        assert (await receive())["type"] == "http.disconnect"
        gone.set()

    with administering(tmp_path / "s", app):
        with passing_on(tmp_path / "s") as client:
            client.send("GET", "/api/x", b"")
            assert begun.wait(10)
        assert gone.wait(10)


def test_an_answer_that_breaks_off(tmp_path: Path) -> None:
    """An answer that its maker cannot finish is cut off visibly, not ended as if it were whole."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await whole(receive)
        await send({"type": "http.response.start", "status": 200, "headers": JSON})
        await send({"type": "http.response.body", "body": b'{"a":', "more_body": True})
        raise ConnectionAbortedError

    with administering(tmp_path / "s", app), passing_on(tmp_path / "s") as client:
        client.send("GET", "/api/x", b"")
        reply = client.reply()
        assert (reply.status, reply.complete) == (200, False)
