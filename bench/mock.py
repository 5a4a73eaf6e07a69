"""The upstreams nginx cannot play: one that thinks, one that paces its events, one that holds big bodies.

A raw asyncio protocol, because it shares its core with the load generator: `python -m bench.mock MODE PORT`.
"""

import asyncio
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import uvloop

from bench import payloads

THINK_SECONDS = 0.060
HOLD_SECONDS = 10.0
PACE_SECONDS = 0.010
MAX_HEAD = 65_536


def answer(body: bytes, content_type: bytes = b"application/json") -> bytes:
    """A complete HTTP/1.1 answer with 200."""
    head = b"HTTP/1.1 200 OK\r\ncontent-type: %b\r\ncontent-length: %d\r\n\r\n"
    return head % (content_type, len(body)) + body


STREAM_HEAD = (
    b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n"
    b"cache-control: no-cache\r\ntransfer-encoding: chunked\r\n\r\n"
)
STREAM_END = b"%x\r\n%b\r\n0\r\n\r\n" % (len(payloads.DONE), payloads.DONE)


def paced_chunks() -> list[bytes]:
    """The events of a paced stream, one HTTP chunk each."""
    return [b"%x\r\n%b\r\n" % (len(event), event) for event in payloads.stream_events()]


@dataclass(slots=True)
class Tally:
    """Chat requests that wait for their answer now, and the most there ever were."""

    in_flight: int = 0
    peak: int = 0

    def enter(self) -> None:
        """One more waits."""
        self.in_flight += 1
        self.peak = max(self.peak, self.in_flight)


class Upstream(asyncio.Protocol):
    """One connection: reads requests (content-length or chunked, bodies dropped as they come), answers in its mode."""

    def __init__(self, mode: str, tally: Tally, chunks: Sequence[bytes]) -> None:
        self.mode = mode
        self.tally = tally
        self.chunks = chunks
        self.reply = answer(payloads.reply())
        self.loop = asyncio.get_running_loop()
        self.transport: asyncio.Transport | None = None
        self.head = b""
        self.left: int | None = None  # body bytes still to come; -1: chunked; None: between requests
        self.tail = b""
        self.last = False  # the client asked for no further request on this connection

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)  # uvloop's does not inherit from it

    def connection_lost(self, _exc: Exception | None) -> None:
        self.transport = None

    def data_received(self, data: bytes) -> None:
        if self.left is None:
            self.head += data
            end = self.head.find(b"\r\n\r\n")
            if end < 0:
                if len(self.head) > MAX_HEAD and self.transport is not None:
                    self.transport.abort()
                return
            data = self.head[end + 4 :]
            self.head = self.head[:end]
            self.left = body_length(self.head)
        self._body(data)

    def _body(self, data: bytes) -> None:
        if self.left == -1:
            self.tail = (self.tail + data)[-5:]
            complete = self.tail == b"0\r\n\r\n"
        else:
            self.left = max(0, (self.left or 0) - len(data))
            complete = self.left == 0
        if complete:
            self.last = b"\r\nconnection: close" in self.head.lower()
            target, self.head, self.tail, self.left = self.head.split(b" ", 2), b"", b"", None
            self._respond(target[0], target[1])

    def _respond(self, method: bytes, target: bytes) -> None:
        if method != b"POST":
            stats = {"in_flight": self.tally.in_flight, "peak": self.tally.peak} if target == b"/stats" else {}
            self._write(answer(json.dumps(stats).encode()))
            return
        self.tally.enter()
        if self.mode == "pace":
            self._write(STREAM_HEAD)
            self.loop.call_later(PACE_SECONDS, self._event, 0)
        else:
            self.loop.call_later(HOLD_SECONDS if self.mode == "hold" else THINK_SECONDS, self._finish, self.reply)

    def _event(self, index: int) -> None:
        if index == len(self.chunks):
            self._finish(STREAM_END)
            return
        self._write(self.chunks[index])
        self.loop.call_later(PACE_SECONDS, self._event, index + 1)

    def _finish(self, data: bytes) -> None:
        self.tally.in_flight -= 1
        self._write(data)
        if self.last and self.transport is not None:
            self.transport.close()

    def _write(self, data: bytes) -> None:
        if self.transport is not None:
            self.transport.write(data)


def body_length(head: bytes) -> int:
    """Bytes of the body this head announces; -1 for a chunked one."""
    for line in head.lower().split(b"\r\n")[1:]:
        name, _, value = line.partition(b":")
        if name == b"content-length":
            return int(value)
        if name == b"transfer-encoding" and b"chunked" in value:
            return -1
    return 0


async def serve(mode: str, port: int) -> None:
    """Serve until the process is ended."""
    tally, chunks = Tally(), paced_chunks()
    server = await asyncio.get_running_loop().create_server(
        lambda: Upstream(mode, tally, chunks), "127.0.0.1", port, backlog=4096
    )
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(serve(sys.argv[1], int(sys.argv[2])))
