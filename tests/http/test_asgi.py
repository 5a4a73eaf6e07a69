"""ASGI applications on our connections: what they get, and what their mistakes do to their clients."""

from __future__ import annotations

import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from gateway.http import asgi
from gateway.http.cycle import Cycle
from gateway.http.server import Protocol
from tests.support.app import Client, until
from tests.support.scripted_server import serving

App = Callable[[Any, Any, Any], Awaitable[None]]
PLAIN = [(b"content-type", b"text/plain")]


class Served:
    """An application as the server wants it."""

    def __init__(self, app: App) -> None:
        self._app = app

    def serve(self, cycle: Cycle, addresses: tuple[Any, Any]) -> Awaitable[None]:
        return asgi.serve(self._app, cycle, addresses)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        raise NotImplementedError


@contextmanager
def client_of(app: App) -> Iterator[Client]:
    """A connection to a server of this application."""
    with serving(Served(app), http=Protocol) as port, Client(port) as client:
        yield client


async def whole(receive: Any) -> bytes:
    """The body of a request."""
    body = b""
    while True:
        message = await receive()
        assert message["type"] == "http.request"
        body += bytes(message["body"])
        if not message["more_body"]:
            return body


def test_an_application_gets_what_was_sent() -> None:
    """The scope of the request, its body in parts; its answer in parts is one body."""
    seen: dict[str, Any] = {}

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.update(scope, body=await whole(receive))
        await send({"type": "http.response.start", "status": 201, "headers": PLAIN})
        for part in (b"one", b"", b"two"):
            await send({"type": "http.response.body", "body": part, "more_body": True})
        await send({"type": "http.response.body"})

    with client_of(app) as client:
        client.send("POST", "/a%20b/c?d=e", b"x" * 300_000, [("x-own", "1")])
        reply = client.reply()
        assert (reply.status, reply.body, reply.header("content-type")) == (201, b"onetwo", "text/plain")
        assert reply.complete
    assert (seen["method"], seen["path"], seen["raw_path"], seen["query_string"]) == (
        "POST", "/a b/c", b"/a%20b/c", b"d=e",
    )  # fmt: skip
    assert seen["body"] == b"x" * 300_000
    assert (b"x-own", b"1") in seen["headers"]
    assert seen["client"][0] == seen["server"][0] == "127.0.0.1"


def test_an_application_hears_that_its_client_left() -> None:
    """After the body comes the word that nobody is there any more."""
    left = threading.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await whole(receive)
        await send({"type": "http.response.start", "status": 200, "headers": PLAIN})
        await send({"type": "http.response.body", "body": b"a", "more_body": True})
        if (await receive())["type"] == "http.disconnect":
            left.set()

    with client_of(app) as client:
        client.send("GET", "/", b"")
        assert client.head().status == 200
        assert not left.is_set()
        client.socket.close()
        until(left.is_set, "the word")


async def _raises(scope: Any, receive: Any, send: Any) -> None:
    raise ValueError("a mistake")


async def _says_nothing(scope: Any, receive: Any, send: Any) -> None:
    await whole(receive)


async def _skips_the_head(scope: Any, receive: Any, send: Any) -> None:
    await send({"type": "http.response.body", "body": b"x"})


async def _breaks_a_header(scope: Any, receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": [(b"x", b"a\r\ninjected: b")]})


@pytest.mark.parametrize("app", [_raises, _says_nothing, _skips_the_head, _breaks_a_header])
def test_a_mistake_before_the_answer_is_a_500(app: App) -> None:
    """The client hears of it, in words that tell nothing, and the connection is not used again."""
    with client_of(app) as client:
        client.send("GET", "/", b"")
        reply = client.reply()
        assert (reply.status, reply.body) == (500, b"Internal Server Error")
        assert client.ended()


@pytest.mark.parametrize("size", [b"5", b"1"])
def test_a_length_that_is_not_kept_breaks_off(size: bytes) -> None:
    """A body shorter or longer than announced ends its connection: the next answer could not be told from it."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", size)]})
        await send({"type": "http.response.body", "body": b"abc"})

    with client_of(app) as client:
        client.send("GET", "/", b"")
        assert client.head().status == 200
        while client._more():
            pass
        assert client._read == b"abc"
