"""The rows of the failure table that concern upstreams: what is done to a call, and what has to come of it."""

from __future__ import annotations

import gzip
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from tests.support.rig import COMPLETION, USAGE_CHUNK, chunk
from tests.support.steps import Script, close, cut, json_reply, raw_head, reset, send, sse, stall, status

HTML = [("content-type", "text/html")]
EVENTS = [("content-type", "text/event-stream"), ("transfer-encoding", "chunked")]
JSON_HEAD = raw_head(200, [("content-type", "application/json"), ("content-length", "400")])
BEGUN = sse([chunk("one"), chunk(" two")], done=False)[:-1]
"""A stream that has begun and is not over."""


def answer(stream: bool) -> Script:
    """What a provider that is well sends."""
    return sse([chunk("fine"), chunk(finish="stop"), USAGE_CHUNK]) if stream else json_reply(COMPLETION)


@dataclass(frozen=True, slots=True)
class Fault:
    """One row."""

    script: Script = ()
    """What the upstream does."""
    at: str = "near"
    """Which provider it befalls: `near`, or one of those that cannot be reached."""
    streamed: Script | None = None
    """What it does to a stream, where that is something else."""
    only: str = ""
    """`whole` or `stream`, where there is no other form."""
    status: int = 502
    code: str | None = "upstream_error"
    outcome: str = "5xx"
    reason: str = ""
    """Of the call's metric, where it is not the code."""
    retry_after: int | None = None
    should_retry: bool = False
    failover: bool = True
    """Another deployment is tried."""
    estimated: bool = False
    """The provider may charge for the input: booked, at the gateway's cost."""
    committed: bool = False
    """The answer had begun: the client reads a frame in its stream."""
    repeats: int = 2
    """Further tries at the same deployment, where it may be tried twice again."""
    out: str = ""
    """Why the deployment leaves rotation at once."""
    fields: Mapping[str, Any] = field(default_factory=dict)


def error(status_code: int, **fields: Any) -> Script:
    """A refusal in OpenAI's shape."""
    return json_reply({"error": {"message": "Scripted.", "type": "invalid_request_error", **fields}}, status_code)


def rejected(code: int) -> Fault:
    """The client's own mistake."""
    return Fault(
        error(code, param="messages", code="odd"),
        status=code,
        code="odd",
        outcome="4xx",
        reason="upstream_rejected",
        failover=False,
        repeats=0,
    )


def overloaded(code: int) -> Fault:
    """503 and 529."""
    return Fault(
        status(code, b"", [("retry-after", "7")]),
        status=503,
        code="upstream_overloaded",
        retry_after=7,
        should_retry=True,
    )


UNREACHABLE = Fault(code="upstream_unreachable")
TIMEOUT = Fault(status=504, code="upstream_timeout", outcome="ttfb_timeout", estimated=True, repeats=0)
BAD = Fault(code="bad_upstream_response", outcome="bad_json", estimated=True, repeats=1)
AUTH = Fault(code="provider_auth", outcome="provider_auth", repeats=0, out="parked")
LIMITED = Fault(
    status=429, code="upstream_rate_limited", outcome="429", should_retry=True, repeats=0, out="cooldown"
)  # fmt: skip
BROKEN = Fault(only="stream", committed=True, failover=False, repeats=0)

FAULTS: Mapping[str, Fault] = {
    "connect_refused": replace(UNREACHABLE, at="refused", outcome="connect_refused"),
    "dns": replace(UNREACHABLE, at="nameless", outcome="dns"),
    "connect_timeout": Fault(at="silent", status=504, code="upstream_timeout", outcome="connect_timeout"),
    "tls": Fault(at="untrusted", code="upstream_tls", outcome="tls", repeats=0, out="breaker"),
    "ttfb_timeout": replace(TIMEOUT, script=[stall()]),
    "ttfb_timeout after interim": replace(TIMEOUT, script=[send(b"HTTP/1.1 100 Continue\r\n\r\n"), stall()]),
    "disconnected by close": Fault([close()], code="upstream_disconnected", outcome="disconnected"),
    "disconnected by reset": Fault([reset()], code="upstream_disconnected", outcome="disconnected"),
    "stall in a whole answer": Fault(
        [send(JSON_HEAD), stall()], only="whole", status=504, code="upstream_timeout", outcome="stall",
        estimated=True, repeats=0,
    ),
    "stall before an event": Fault(
        [send(raw_head(200, EVENTS)), stall()], only="stream", status=504, code="upstream_timeout", outcome="stall",
        estimated=True, repeats=0,
    ),
    "truncated whole answer": Fault(
        cut(json_reply(COMPLETION), 150, close()), only="whole", code="upstream_disconnected", outcome="truncated",
        estimated=True,
    ),
    "stall": replace(BROKEN, script=[*BEGUN, stall()], code="upstream_timeout", outcome="stall"),
    "truncated by close": replace(BROKEN, script=[*BEGUN, close()], code="upstream_disconnected", outcome="truncated"),
    "truncated by reset": replace(BROKEN, script=[*BEGUN, reset()], code="upstream_disconnected", outcome="truncated"),
    "truncated in order": replace(
        BROKEN, script=sse([chunk("one")], done=False), code="upstream_disconnected", outcome="truncated"
    ),
    "bad_sse at first": replace(
        BAD, only="stream", script=sse([b"data: {nonsense}\n\n", chunk("x")]), outcome="bad_sse", repeats=1
    ),
    "bad_sse": replace(
        BROKEN, script=[*BEGUN, *sse([b"data: {nonsense}\n\n"])[1:]], code="bad_upstream_response", outcome="bad_sse"
    ),
    "bad_sse too large": replace(
        BROKEN,
        script=[*BEGUN, *sse([b"data: {" + b" " * (1 << 20) + b"}"])[1:]],
        code="bad_upstream_response",
        outcome="bad_sse",
    ),
    "sse_error at first": Fault(sse([{"error": {"message": "x", "type": "server_error"}}]), only="stream"),
    "sse_error": replace(BROKEN, script=[*BEGUN, *sse([{"error": {"message": "x", "type": "server_error"}}])[1:]]),
    "sse_error overloaded": replace(
        BROKEN,
        script=[*BEGUN, *sse([{"error": {"message": "x", "type": "overloaded_error"}}])[1:]],
        code="upstream_overloaded",
    ),
    "error in a 200": Fault(json_reply({"error": {"message": "x", "type": "server_error"}})),
    "bad_json": replace(BAD, script=json_reply(b'{"id":')),
    "bad_json page": replace(BAD, script=status(200, b"<html></html>", HTML)),
    "empty": replace(BAD, script=status(200), outcome="empty"),
    "empty stream": replace(BAD, only="stream", script=sse([], done=False), outcome="empty"),
    **{str(code): rejected(code) for code in (400, 404, 413, 422)},
    "context_window": Fault(
        error(400, code="context_length_exceeded"), status=400, code="context_length_exceeded",
        outcome="context_window", reason="context_window", failover=False, repeats=0,
    ),
    "content_filter": Fault(
        error(400, code="content_filter"), status=400, code="content_filter", outcome="content_filter",
        reason="content_filter", failover=False, repeats=0,
    ),
    **{f"provider_auth {code}": replace(AUTH, script=error(code)) for code in (401, 402, 403)},
    "insufficient_quota": replace(AUTH, script=error(429, code="insufficient_quota")),
    "408": Fault(status(408), status=504, code="upstream_timeout", outcome="408", repeats=0),
    "409": Fault(status(409), status=409, code="upstream_conflict", outcome="409", repeats=1),
    "429 with a wait": replace(LIMITED, script=status(429, b"", [("retry-after", "30")]), retry_after=30),
    "429 encoded": replace(
        LIMITED,
        script=status(429, gzip.compress(b"{}"), [("content-encoding", "gzip"), ("retry-after", "30")]),
        retry_after=30,
    ),
    "429 bare": replace(LIMITED, script=status(429), retry_after=5),
    **{str(code): Fault(status(code)) for code in (500, 502, 424)},
    **{str(code): overloaded(code) for code in (503, 529)},
    "504": Fault(status(504), status=504, code="upstream_timeout", outcome="ttfb_timeout", estimated=True, repeats=0),
    "500 and no end of words": Fault(status(500, b"x" * 300_000)),
    "503 broken off": replace(
        overloaded(503), script=cut(status(503, b"x" * 4000, [("retry-after", "7")]), 500, close())
    ),
    "429 and silence": replace(
        LIMITED, script=cut(status(429, b"x" * 4000, [("retry-after", "30")]), 500, stall()), retry_after=30
    ),
    "401 and no end of words": replace(AUTH, script=status(401, b"x" * 300_000)),
    "422 and no end of words": replace(rejected(422), script=error(422, filler="x" * 300_000), code=None),
    "redirect": replace(
        BAD, script=status(307, b"", [("location", "http://127.0.0.1:9/")]), outcome="redirect", estimated=False
    ),
    "too_large": Fault(
        [send(raw_head(200, [("content-type", "application/json"), ("content-length", str(40 << 20))])), stall()],
        only="whole", code="bad_upstream_response", outcome="too_large", failover=False, estimated=True, repeats=0,
    ),
}  # fmt: skip

CASES = [
    (name, stream)
    for name, fault in FAULTS.items()
    for stream in (False, True)
    if fault.only != ("whole" if stream else "stream")
]


def script_of(fault: Fault, stream: bool) -> Script:
    """What the upstream does to this form of the call."""
    return fault.streamed if stream and fault.streamed is not None else fault.script


Check = Callable[..., None]
