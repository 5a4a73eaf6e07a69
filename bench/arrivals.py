"""Clients that come whether or not those before them were served: requests at a fixed rate, or so many at a time.

Run as a program of its own, on the load generator's core: `python -m bench.arrivals JOB.json`; prints one JSON object.
"""

import asyncio
import json
import sys
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast
from urllib.parse import urlsplit

import uvloop

from bench import payloads
from bench.streams import raw_request

TICK = 0.002
RAMP = 0.3
"""The share of the time at its start that does not count: streams take a while until the first of them end."""
MOST = 6000
"""Connections at most: an arrival that finds none is counted as lost."""


@dataclass(slots=True)
class Seen:
    """What came of the arrivals until the time was over, in seconds from when each was due."""

    counts_from: float = 0.0
    """What ends before this time is not kept."""
    admitted: list[float] = field(default_factory=list)
    first_bytes: list[float] = field(default_factory=list)
    shed: list[float] = field(default_factory=list)
    others: Counter[str] = field(default_factory=Counter)
    lateness: list[float] = field(default_factory=list)
    """How late this program was with each arrival."""


class Visitor(asyncio.Protocol):
    """One connection with one request at a time."""

    def __init__(self, seen: Seen, free: Callable[["Visitor"], None]) -> None:
        self.seen = seen
        self.free = free
        self.transport: asyncio.Transport | None = None
        self.due = 0.0
        self.busy = False
        self._head = b""
        self._left = -1
        self._tail = b""
        self._status = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)  # uvloop's does not inherit from it

    def ask(self, request: bytes, due: float) -> None:
        """Send one request that was due at this time."""
        assert self.transport is not None
        self.due, self.busy = due, True
        self._head, self._left, self._tail, self._status = b"", -1, b"", b""
        self.transport.write(request)

    def data_received(self, data: bytes) -> None:
        if not self._status:
            self._head += data
            head, end, data = self._head.partition(b"\r\n\r\n")
            if not end:
                return
            self._status = head[9:12]
            now = time.monotonic()
            if self._status == b"200" and now >= self.seen.counts_from:
                self.seen.first_bytes.append(now - self.due)
            _, has_length, rest = head.lower().partition(b"content-length: ")
            self._left = int(rest.partition(b"\r\n")[0]) if has_length else -1
        if self._left >= 0:
            self._left -= len(data)
            whole = self._left <= 0
        else:
            self._tail = (self._tail + data)[-5:]
            whole = self._tail == b"0\r\n\r\n"
        if whole:
            self._done()

    def _done(self) -> None:
        now = time.monotonic()
        seconds = now - self.due
        if now < self.seen.counts_from:
            pass
        elif self._status == b"200":
            self.seen.admitted.append(seconds)
        elif self._status == b"503":
            self.seen.shed.append(seconds)
        else:
            self.seen.others[self._status.decode()] += 1
        self.busy = False
        self.free(self)

    def connection_lost(self, _exc: Exception | None) -> None:
        self.transport = None
        if self.busy:
            self.seen.others["broken"] += 1


class Crowd:
    """The connections: used again when they are free."""

    def __init__(self, job: Mapping[str, Any]) -> None:
        parts = urlsplit(job["url"])
        self._where = (parts.hostname, parts.port)
        self._request = raw_request(job["url"], job["headers"], payloads.request(stream=job["stream"]))
        self._idle: list[Visitor] = []
        self._made = 0
        self._opening: set[asyncio.Task[None]] = set()
        self.seen = Seen()
        self.again: Callable[[Visitor], None] | None = None

    async def open(self, count: int) -> None:
        """Connect so many beforehand."""
        for _ in range(count):
            self._idle.append(await self._connect())

    def arrive(self, due: float) -> None:
        """One request."""
        self.seen.lateness.append(time.monotonic() - due)
        while self._idle:
            visitor = self._idle.pop()
            if visitor.transport is not None:
                visitor.ask(self._request, due)
                return
        if self._made >= MOST:
            self.seen.others["lost"] += 1
            return
        task = asyncio.create_task(self._ask_new(due))
        self._opening.add(task)
        task.add_done_callback(self._opening.discard)

    async def _ask_new(self, due: float) -> None:
        try:
            visitor = await self._connect()
        except OSError:
            self.seen.others["refused"] += 1
            return
        visitor.ask(self._request, due)

    async def _connect(self) -> Visitor:
        self._made += 1
        loop = asyncio.get_running_loop()
        _, visitor = await loop.create_connection(lambda: Visitor(self.seen, self._free), *self._where)
        return visitor

    def _free(self, visitor: Visitor) -> None:
        if self.again is not None:
            self.again(visitor)
        else:
            self._idle.append(visitor)

    def ask(self, visitor: Visitor) -> None:
        """The next request on this connection, now."""
        if visitor.transport is not None:
            visitor.ask(self._request, time.monotonic())


async def open_loop(job: Mapping[str, Any]) -> Seen:
    """`rate` arrivals a second for `seconds`, evenly."""
    crowd = Crowd(job)
    await crowd.open(job.get("open", MOST))
    start = time.monotonic() + 0.1
    crowd.seen.counts_from = start + RAMP * job["seconds"]
    for number in range(int(job["rate"] * job["seconds"])):
        due = start + number / job["rate"]
        while (wait := due - time.monotonic()) > 0:  # noqa: ASYNC110 - it is time that is waited for
            await asyncio.sleep(min(wait, TICK))
        crowd.arrive(due)
        if number % 20 == 19:
            await asyncio.sleep(0)
    return crowd.seen


async def closed_loop(job: Mapping[str, Any]) -> Seen:
    """`connections` that each ask again as soon as they were answered, for `seconds`."""
    crowd = Crowd(job)
    await crowd.open(job["connections"])
    start = time.monotonic()
    crowd.seen.counts_from = start + RAMP * job["seconds"]
    crowd.again = crowd.ask
    for visitor in tuple(crowd._idle):
        crowd.ask(visitor)
        await asyncio.sleep(0.001)
    await asyncio.sleep(max(0.0, start + job["seconds"] - time.monotonic()))
    return crowd.seen


def quantile(values: list[float], share: float) -> float | None:
    """Milliseconds that `share` of all do not exceed."""
    return round(sorted(values)[int(share * (len(values) - 1))] * 1000, 1) if values else None


def summary(seen: Seen, seconds: float) -> dict[str, Any]:
    """The numbers of one run of so many seconds."""
    seconds *= 1 - RAMP
    return {
        "goodput": round(len(seen.admitted) / seconds, 1),
        "shed": round(len(seen.shed) / seconds, 1),
        "others": dict(seen.others),
        **{f"admitted_p{p}_ms": quantile(seen.admitted, p / 100) for p in (50, 99)},
        **{f"first_byte_p{p}_ms": quantile(seen.first_bytes, p / 100) for p in (50, 99)},
        **{f"shed_p{p}_ms": quantile(seen.shed, p / 100) for p in (50, 99)},
        "client_late_p99_ms": quantile(seen.lateness, 0.99),
    }


def main() -> None:
    """Do the job that the file describes."""
    job = json.loads(Path(sys.argv[1]).read_text())
    seen = uvloop.run((open_loop if "rate" in job else closed_loop)(job))
    print(json.dumps({**summary(seen, job["seconds"]), "client_cpu_s": round(time.process_time(), 2)}), flush=True)


if __name__ == "__main__":
    main()
