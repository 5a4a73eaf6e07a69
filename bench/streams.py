"""Clients wrk cannot play: many paced streams whose events are counted, and many big bodies in flight at once.

Run as a program of its own, on the load generator's core: `python -m bench.streams JOB.json`; prints one JSON object.
"""

import asyncio
import json
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, cast
from urllib.parse import urlsplit

import uvloop

from bench import payloads

EVENT = b"data: "
END = b"0\r\n\r\n"
BATCH = 50  # big bodies begun at once


@dataclass(slots=True)
class Counts:
    """What the clients saw."""

    finished: int = 0
    events: int = 0
    errors: int = 0
    notes: list[str] = field(default_factory=list)

    def fail(self, note: str) -> None:
        """Count an error and keep the first few texts."""
        self.errors += 1
        if len(self.notes) < 3:
            self.notes.append(note)


class EventCounter:
    """Counts SSE events in a chunked body whose pieces may be cut anywhere between two chunks or inside a token."""

    def __init__(self) -> None:
        self.events = 0
        self.done = False
        self.complete = False
        self._carry = b""
        self._end = b""

    def feed(self, data: bytes) -> None:
        """Take the next bytes of the connection, head and chunk frames included."""
        window = self._carry + data
        self.events += window.count(EVENT)
        self._carry = window[-(len(EVENT) - 1) :]
        self._end = (self._end + data)[-64:]
        self.done = self.done or b"data: [DONE]" in window or b"data: [DONE]" in self._end
        self.complete = self.done and self._end.endswith(END)


def raw_request(url: str, headers: Mapping[str, str], body: bytes) -> bytes:
    """One HTTP/1.1 POST as bytes."""
    parts = urlsplit(url)
    fields = {"host": parts.netloc, "content-type": "application/json", **headers, "content-length": str(len(body))}
    lines = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    return f"POST {parts.path} HTTP/1.1\r\n{lines}\r\n".encode() + body


class StreamClient(asyncio.Protocol):
    """One connection that asks for stream after stream until the time is over, then calls `gone`."""

    def __init__(self, request: bytes, counts: Counts, until: float, gone: Callable[[], None]) -> None:
        self.request = request
        self.counts = counts
        self.until = until
        self.gone = gone
        self.counter = EventCounter()
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)  # uvloop's does not inherit from it
        self.transport.write(self.request)

    def data_received(self, data: bytes) -> None:
        self.counter.feed(data)
        if self.counter.complete:
            self.counts.finished += 1
            self.counts.events += self.counter.events - 1  # [DONE] is no event
            self.counter = EventCounter()
            assert self.transport is not None
            if time.monotonic() < self.until:
                self.transport.write(self.request)
            else:
                self.transport.close()
        elif self.counter.events == 0 and b"HTTP/1.1 200" not in data[:64] and data.startswith(b"HTTP/1.1"):
            self.counts.fail(data[:200].decode(errors="replace"))
            assert self.transport is not None
            self.transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        if self.counter.events:
            self.counts.fail(f"a stream was cut after {self.counter.events} events: {exc}")
        self.gone()


async def paced(job: Mapping[str, Any]) -> Counts:
    """Keep `connections` streams open for `seconds`; every stream that began is read to its end."""
    counts, loop = Counts(), asyncio.get_running_loop()
    parts = urlsplit(job["url"])
    request = raw_request(job["url"], job["headers"], payloads.request(stream=True))
    until = time.monotonic() + job["seconds"]
    ends = []
    for _ in range(job["connections"]):
        end: asyncio.Future[None] = loop.create_future()
        ends.append(end)
        done = _setter(end)
        await loop.create_connection(
            lambda done=done: StreamClient(request, counts, until, done),  # type: ignore[misc]
            parts.hostname,
            parts.port,
        )
        await asyncio.sleep(0.002)  # so that the streams do not march in step
    await asyncio.wait(ends, timeout=job["seconds"] + 30)
    return counts


def _setter(end: asyncio.Future[None]) -> Callable[[], None]:
    return lambda: None if end.done() else end.set_result(None)


async def big(job: Mapping[str, Any]) -> Counts:
    """Send `connections` big bodies, so that all wait for their answers together."""
    counts = Counts()
    request = raw_request(job["url"], {**job["headers"], "connection": "close"}, payloads.request(size=job["size"]))
    tasks = []
    for index in range(job["connections"]):
        tasks.append(asyncio.create_task(_one_body(job["url"], request, counts)))
        if index % BATCH == BATCH - 1:
            await asyncio.sleep(0.02)
    await asyncio.wait(tasks, timeout=60)
    return counts


async def _one_body(url: str, request: bytes, counts: Counts) -> None:
    parts = urlsplit(url)
    try:
        reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
        writer.write(request)
        await writer.drain()
        reply = await asyncio.wait_for(reader.read(), 50)
        writer.close()
    except OSError as error:
        counts.fail(str(error))
        return
    if reply.startswith(b"HTTP/1.1 200"):
        counts.finished += 1
    else:
        counts.fail(reply[:200].decode(errors="replace"))


JOBS = {"paced": paced, "big": big}


def main() -> None:
    """Do the job the file describes."""
    job = json.loads(Path(sys.argv[1]).read_text())
    print(json.dumps(asdict(uvloop.run(JOBS[job["kind"]](job)))))


if __name__ == "__main__":
    main()
