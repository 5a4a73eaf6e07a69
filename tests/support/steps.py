"""What a scripted upstream does: single steps, and replies made of them."""

from __future__ import annotations

import json
import random
from collections.abc import AsyncIterable, Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .upstream import Received


@dataclass(frozen=True, slots=True)
class Send:
    data: bytes


@dataclass(frozen=True, slots=True)
class Sleep:
    seconds: float


@dataclass(frozen=True, slots=True)
class Close:
    pass


@dataclass(frozen=True, slots=True)
class Reset:
    pass


@dataclass(frozen=True, slots=True)
class Stall:
    pass


@dataclass(frozen=True, slots=True)
class ReadBody:
    pass


Step = Send | Sleep | Close | Reset | Stall | ReadBody
Steps = Iterable[Step] | AsyncIterable[Step]
Script = Steps | Callable[["Received"], Steps]
"""The steps of one answer, or a function from the request to them. A list may be used for many requests."""


def send(data: bytes) -> Step:
    """Write these bytes, waiting while the client does not take them."""
    return Send(data)


def sleep(seconds: float) -> Step:
    """Pause; ends early when the client leaves."""
    return Sleep(seconds)


def close() -> Step:
    """Close the connection in order (FIN, and close_notify under TLS)."""
    return Close()


def reset() -> Step:
    """Break the connection (RST)."""
    return Reset()


def stall() -> Step:
    """Say nothing more until the client leaves."""
    return Stall()


def read_body() -> Step:
    """Read the request's body now; only for upstreams that answer `early`."""
    return ReadBody()


def raw_head(status: int, headers: Iterable[tuple[str, str]] = ()) -> bytes:
    """Status line and headers, closed by the empty line."""
    lines = [f"HTTP/1.1 {status} Scripted", *(f"{name}: {value}" for name, value in headers), "", ""]
    return "\r\n".join(lines).encode()


def raw_reply(status: int, body: bytes, headers: Iterable[tuple[str, str]] = ()) -> bytes:
    """A whole reply with content-length."""
    return raw_head(status, [*headers, ("content-length", str(len(body)))]) + body


def chunked(data: bytes, extension: bytes = b"") -> bytes:
    """One chunk of a chunked body; the last one for `b""`."""
    return b"%x%b\r\n%b\r\n" % (len(data), extension, data)


def status(code: int, body: bytes = b"", headers: Iterable[tuple[str, str]] = ()) -> list[Step]:
    """Answer with this status."""
    return [send(raw_reply(code, body, headers))]


def json_reply(value: Any, code: int = 200, headers: Iterable[tuple[str, str]] = ()) -> list[Step]:
    """Answer with JSON; bytes are sent as they are."""
    body = value if isinstance(value, bytes) else json.dumps(value).encode()
    return status(code, body, [("content-type", "application/json"), *headers])


def sse(
    events: Iterable[Any], *, done: bool = True, pause: float = 0.0, headers: Iterable[tuple[str, str]] = ()
) -> list[Step]:
    """Answer with an event stream, one chunk per event: dicts become `data: {json}`, bytes are sent as they are."""
    fixed = [("content-type", "text/event-stream"), ("transfer-encoding", "chunked"), *headers]
    steps: list[Step] = [send(raw_head(200, fixed))]
    frames = [event if isinstance(event, bytes) else b"data: %b\n\n" % json.dumps(event).encode() for event in events]
    for frame in [*frames, *([b"data: [DONE]\n\n"] if done else [])]:
        if pause:
            steps.append(sleep(pause))
        steps.append(send(chunked(frame)))
    return [*steps, send(chunked(b""))]


def cut(steps: Iterable[Step], after: int, end: Step) -> list[Step]:
    """The first `after` bytes of these steps, then `end`: close(), reset() or stall()."""
    kept: list[Step] = []
    for step in steps:
        if isinstance(step, Send):
            kept.append(send(step.data[:after]))
            after -= len(step.data)
            if after <= 0:
                break
        else:
            kept.append(step)
    return [*kept, end]


def junk(size: int, seed: int) -> list[Step]:
    """Bytes that are not HTTP, then the end of the connection."""
    return [send(random.Random(seed).randbytes(size)), close()]
