"""The whole gateway in this process: a real server in a thread, a real embedded store, and raw clients for it."""

from __future__ import annotations

import asyncio
import atexit
import functools
import json
import shutil
import socket
import tempfile
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, Self

import uvicorn

from gateway.app import Boot, Worker
from gateway.auth.keyring import Keyring
from gateway.health.hints import OUT
from gateway.http.drain import Drain
from gateway.http.lifetime import Server
from gateway.http.server import Protocol
from gateway.settings import Settings
from gateway.storage.embedded import EmbeddedRedis
from gateway.storage.redis import RedisOptions, connect

PATIENCE = 10.0
"""Seconds after which a wait for anything fails."""


def until(condition: Callable[[], object], what: str = "the condition", seconds: float = PATIENCE) -> None:
    """Poll until it holds. Raises AssertionError when it does not in time."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"{what} did not come about"
        time.sleep(0.005)


@functools.cache
def store_url() -> str:
    """A server of this test process's own; ends with it."""
    directory = tempfile.mkdtemp(prefix="gw-")
    server = EmbeddedRedis(Path(directory))
    server.start()
    with ThreadPoolExecutor(1) as elsewhere:  # our caller may have a loop that runs
        elsewhere.submit(lambda: asyncio.run(_mirror_no_keys(server.url))).result(PATIENCE)

    def end() -> None:
        server.stop()
        shutil.rmtree(directory, ignore_errors=True)

    atexit.register(end)
    return server.url


async def _mirror_no_keys(url: str) -> None:
    """What the bookkeeper does while no key was made at run time: workers may then say that a key is unknown."""
    client = connect(url, RedisOptions(timeout=PATIENCE))
    await Keyring(client).replace({}, 0, force=True)
    await client.close()


def _forget_deployments() -> None:
    """What gateways of earlier tests told of deployments: others have the same names."""
    url = store_url()  # here: a server ends with the thread that started it
    with ThreadPoolExecutor(1) as elsewhere:
        elsewhere.submit(lambda: asyncio.run(_delete(url, OUT))).result(PATIENCE)


async def _delete(url: str, key: str) -> None:
    client = connect(url, RedisOptions(timeout=PATIENCE))
    await client.execute("DEL", key)
    await client.close()


def unique(word: str) -> str:
    """A name that no other test uses: counters in the shared store are kept by name."""
    return f"{word}-{uuid.uuid4().hex[:12]}"


@dataclass(slots=True)
class Watch:
    """A clock that a test turns."""

    now: float = 0.0

    def __call__(self) -> float:
        return self.now


@dataclass(slots=True)
class Gateway:
    """A running gateway."""

    port: int
    worker: Worker
    config: Path
    log_file: Path
    server: Server
    watch: Watch
    """What the server goes by when it ends."""

    @property
    def pipeline(self) -> Any:
        """The worker's pipeline, to look into."""
        return self.worker._pipeline

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """The loop that serves."""
        return self.worker._tasks[-1].get_loop()

    @property
    def gate(self) -> Any:
        """The worker's gate, to look into."""
        metering = self.worker._metering
        assert metering is not None
        return metering.gate

    def idle(self) -> bool:
        """Whether no request is under way."""
        return bool(self.pipeline.in_flight == 0)

    def lines(self) -> list[dict[str, Any]]:
        """The access log so far, without a line that is just being written."""
        whole, _, _ = self.log_file.read_bytes().rpartition(b"\n")
        return [json.loads(line) for line in whole.splitlines()]

    def line(self, request_id: str) -> dict[str, Any]:
        """The access log's line of one request; waits for it."""
        found: list[dict[str, Any]] = []

        def there() -> bool:
            found[:] = [line for line in self.lines() if line["request_id"] == request_id]
            return bool(found)

        until(there, f"the log line of {request_id}")
        assert len(found) == 1, f"one request, {len(found)} lines"
        return found[0]

    def log_with(self, reply: Reply) -> bytes:
        """The access log, waited for until the line of this reply's request is in it."""
        self.line(reply.header("x-request-id") or "")
        return self.log_file.read_bytes()

    def client(self) -> Client:
        """A new connection."""
        return Client(self.port)

    def post(self, path: str, body: Any, headers: Headers = ()) -> Reply:
        """One request on a connection of its own; anything but bytes is sent as JSON."""
        with self.client() as client:
            client.post(path, body, headers)
            return client.reply()

    def chat(self, model: str, headers: Headers = (), **fields: Any) -> Reply:
        """One chat completion."""
        return self.post("/v1/chat/completions", chat_body(model, **fields), headers)

    def get(self, path: str, headers: Headers = ()) -> Reply:
        """One GET."""
        with self.client() as client:
            client.send("GET", path, b"", headers)
            return client.reply()

    def metric(self, start: str) -> float:
        """The sum of the metric lines that begin so."""
        text = self.get("/metrics").body.decode()
        return sum(float(line.rpartition(" ")[2]) for line in text.splitlines() if line.startswith(start))


Headers = Iterator[tuple[str, str]] | tuple[tuple[str, str], ...] | list[tuple[str, str]]


def chat_body(model: str, **fields: Any) -> dict[str, Any]:
    """A small chat request."""
    return {"model": model, "messages": [{"role": "user", "content": "hi"}], **fields}


@contextmanager
def running(config: str, boots: Mapping[str, Any] = MappingProxyType({}), **settings: Any) -> Iterator[Gateway]:
    """A gateway with this configuration until the block ends; `settings` are fields of `Settings`, `boots` of
    `Boot`."""
    directory = Path(tempfile.mkdtemp(prefix="gw-app-"))
    file = directory / "gateway.yaml"
    file.write_text(config)
    log_file = directory / "access.log"
    _forget_deployments()
    with socket.socket() as listener, log_file.open("wb") as log:
        listener.bind(("127.0.0.1", 0))
        listener.listen(256)
        boot = Boot(
            settings=Settings(data_dir=directory, **{"health_check_interval": 0, **settings}),
            config=file,
            loopback=True,
            access_log_fd=log.fileno(),
            **{"redis_url": store_url(), **boots},
        )
        worker = Worker(boot)
        watch = Watch()
        given = boot.settings
        server = Server(
            uvicorn.Config(
                worker,
                http=Protocol,
                loop="uvloop",
                ws="none",
                lifespan="on",
                interface="asgi3",
                access_log=False,
                log_config=None,
                server_header=False,
                proxy_headers=False,
                timeout_graceful_shutdown=1,
            ),
            worker,
            Drain(given.drain_grace_seconds, given.drain_seconds),
            watch,
        )
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
        thread.start()
        try:
            until(lambda: server.started or not thread.is_alive(), "the start")
            assert server.started, "the gateway did not start"
            yield Gateway(listener.getsockname()[1], worker, file, log_file, server, watch)
        finally:
            server.should_exit = True
            thread.join(PATIENCE)
    shutil.rmtree(directory, ignore_errors=True)


@dataclass(slots=True)
class Reply:
    """An answer as it came."""

    status: int
    headers: list[tuple[str, str]]
    head: bytes
    body: bytes = b""
    complete: bool = False
    """Its framing ended as it should."""
    chunks: list[bytes] = field(default_factory=list)
    """Of a chunked body."""

    def header(self, name: str) -> str | None:
        """The first value of this header."""
        return next((value for key, value in self.headers if key == name), None)

    @property
    def json(self) -> Any:
        """The body, decoded."""
        return json.loads(self.body)

    @property
    def error(self) -> dict[str, Any]:
        """The error object; fails unless it has exactly OpenAI's four fields."""
        data = self.json
        assert list(data) == ["error"], data
        assert sorted(data["error"]) == ["code", "message", "param", "type"], data
        found: dict[str, Any] = data["error"]
        assert isinstance(found["message"], str)
        assert found["message"]
        assert isinstance(found["type"], str)
        return found

    @property
    def events(self) -> list[Any]:
        """The data of every event, decoded; `[DONE]` as it stands."""
        return events_of(self.body)


def events_of(body: bytes) -> list[Any]:
    """The data of every event of a stream."""
    data = [
        line.removeprefix(b"data: ")
        for frame in body.split(b"\n\n")
        for line in frame.split(b"\n")
        if line.startswith(b"data: ")
    ]
    return [text.decode() if text == b"[DONE]" else json.loads(text) for text in data]


class Client:
    """One connection, written and read by hand."""

    def __init__(self, port: int, *, receive_buffer: int | None = None) -> None:
        self.socket = socket.socket()
        if receive_buffer is not None:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.socket.settimeout(PATIENCE)
        self.socket.connect(("127.0.0.1", port))
        self._read = b""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def send(self, method: str, path: str, body: bytes, headers: Headers = (), *, length: int | None = None) -> None:
        """Write a request; `length` declares another content-length than the body's."""
        given = dict(headers)
        pairs = {"host": "127.0.0.1", **given}
        if "transfer-encoding" not in pairs and (body or method == "POST" or length is not None):
            pairs.setdefault("content-length", str(len(body) if length is None else length))
        lines = [f"{method} {path} HTTP/1.1", *(f"{name}: {value}" for name, value in pairs.items())]
        self.socket.sendall("\r\n".join([*lines, "", ""]).encode() + body)

    def post(self, path: str, body: Any, headers: Headers = ()) -> None:
        """Write a POST; anything but bytes is sent as JSON."""
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send("POST", path, raw, [("content-type", "application/json"), *headers])

    def write(self, data: bytes) -> None:
        """Write raw bytes."""
        self.socket.sendall(data)

    # ---- reading

    def _more(self) -> bool:
        try:
            data = self.socket.recv(65536)
        except ConnectionError:
            data = b""
        self._read += data
        return bool(data)

    def _line(self) -> bytes | None:
        while b"\r\n" not in self._read:
            if not self._more():
                return None
        line, _, self._read = self._read.partition(b"\r\n")
        return line

    def head(self) -> Reply:
        """The head of an answer."""
        while b"\r\n\r\n" not in self._read:
            assert self._more(), f"the connection ended before the head: {self._read!r}"
        head, _, self._read = self._read.partition(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        pairs = [line.split(":", 1) for line in lines]
        return Reply(int(first.split(" ")[1]), [(name.lower(), value.strip()) for name, value in pairs], head)

    def chunk(self, reply: Reply) -> bytes | None:
        """The next chunk of a chunked answer; `b""` at its end, None when it breaks off."""
        line = self._line()
        if line is None:
            return None
        size = int(line, 16)
        while len(self._read) < size + 2:
            if not self._more():
                return None
        data, self._read = self._read[:size], self._read[size + 2 :]
        reply.body += data
        if data:
            reply.chunks.append(data)
        else:
            reply.complete = True
        return data

    def read_until(self, reply: Reply, text: bytes) -> None:
        """Read chunks until the body holds this."""
        while text not in reply.body:
            assert self.chunk(reply), f"{text!r} did not come: {reply.body!r}"

    def rest(self, reply: Reply) -> Reply:
        """The body to its end."""
        if reply.header("transfer-encoding") == "chunked":
            while self.chunk(reply):
                pass
            return reply
        size = int(reply.header("content-length") or 0)
        while len(self._read) < size and self._more():
            pass
        reply.body, self._read = self._read[:size], self._read[size:]
        reply.complete = len(reply.body) == size
        return reply

    def reply(self) -> Reply:
        """A whole answer."""
        return self.rest(self.head())

    def ended(self) -> bool:
        """Whether the server closes the connection without another byte."""
        return not self._read and not self._more()
