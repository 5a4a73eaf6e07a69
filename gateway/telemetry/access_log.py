"""The access log: one JSON line per request, without prompts and without secrets."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import msgspec
import orjson

from gateway.errors.taxonomy import standard_type
from gateway.ports import Secrets
from gateway.telemetry.base import SilentObserver
from gateway.telemetry.redaction import Redactor
from gateway.telemetry.writer import LineWriter
from gateway.types import Receipt, Skipped

_OPTIONS = orjson.OPT_APPEND_NEWLINE | orjson.OPT_UTC_Z
_LONGEST = 256
"""Characters of what a client may choose."""
_MOST_CALLERS = 20_000
"""As many as keys are cached."""
_MOST_KINDS = 4096
_MOST_SKIPPED = 8
"""Deployments that one line names."""


class AccessLog(SilentObserver):
    """Writes to a file descriptor, by default standard output. Make it in the worker, after the fork; `close`
    flushes."""

    def __init__(self, secrets: Secrets, *, fd: int = 1, limit: int = 20_000) -> None:
        self.writer = LineWriter(fd, limit=limit, on_dropped=_dropped)
        self._redact = Redactor(secrets)
        self._callers: dict[tuple[object, ...], bytes] = {}
        self._kinds: dict[tuple[object, ...], bytes] = {}

    def call_finished(self, receipt: Receipt) -> None:
        """Queue the line of one request."""
        # What calls of one caller, or of one kind, share is encoded and redacted once: it is half of the line. Each
        # revision may know more secrets.
        who = (receipt.key, receipt.team, receipt.revision)
        caller = self._callers.get(who)
        if caller is None:
            caller = _kept(self._callers, who, _MOST_CALLERS, self._redact(b"," + orjson.dumps(_caller(receipt))[1:-1]))
        about = (
            receipt.deployment, receipt.route, receipt.service,
            receipt.requested_model, receipt.revision, receipt.stream,
        )  # fmt: skip
        kind = self._kinds.get(about)
        if kind is None:
            kind = _kept(self._kinds, about, _MOST_KINDS, self._redact(b"," + orjson.dumps(_kind(receipt))[1:] + b"\n"))
        own = _encode(_own(receipt))[:-1]
        if receipt.call is None or receipt.request_id[4:] != receipt.call.id:
            # Of what is left only a request id that is not ours is the client's choice.
            own = self._redact(own)
        self.writer.write(own + caller + kind)

    def close(self, timeout: float = 2.0) -> bool:
        """Write what is queued, for at most `timeout` seconds; whether all of it was."""
        return self.writer.close(timeout)


def line(receipt: Receipt) -> dict[str, Any]:
    """The fields of one line; what is not known is null. Durations in milliseconds."""
    return {**msgspec.structs.asdict(_own(receipt)), **_caller(receipt), **_kind(receipt)}


class _Own(msgspec.Struct, gc=False):
    """What differs between calls of one kind."""

    ts: datetime
    level: str
    event: str
    request_id: str
    call_id: str | None
    status: int
    reason: str
    error_type: str | None
    attempts: int
    skipped: list[str] | None
    input_tokens: int | None
    output_tokens: int | None
    token_source: str | None
    cost_nano_usd: int | None
    ttft_ms: float | None
    duration_ms: float
    overhead_ms: float | None


_encode = msgspec.json.Encoder().encode


def _own(receipt: Receipt) -> _Own:
    usage, call, status = receipt.usage, receipt.call, receipt.status
    ttft, overhead = receipt.ttft, receipt.overhead
    return _Own(
        datetime.now(UTC),
        "info" if status < 400 else _level(status),
        "request",
        receipt.request_id[:_LONGEST],
        None if call is None else call.id,
        status,
        receipt.reason,
        standard_type(receipt.reason),
        receipt.attempts,
        _skipped(receipt.skipped) if receipt.skipped else None,
        None if usage is None else usage.input_tokens,
        None if usage is None else usage.output_tokens,
        receipt.token_source,
        receipt.cost_nano_usd,
        None if ttft is None else int(ttft * 1e6) / 1e3,
        int(receipt.seconds * 1e6) / 1e3,
        None if overhead is None else int(overhead * 1e6) / 1e3,
    )


def _skipped(skipped: tuple[Skipped, ...]) -> list[str]:
    """The first of them, each with the word for why."""
    return [f"{one.deployment}: {one.reason.partition(':')[0]}"[:_LONGEST] for one in skipped[:_MOST_SKIPPED]]


def _kept(parts: dict[tuple[object, ...], bytes], about: tuple[object, ...], most: int, part: bytes) -> bytes:
    if len(parts) >= most:
        parts.clear()
    parts[about] = part
    return part


def _caller(receipt: Receipt) -> dict[str, Any]:
    return {"key": receipt.key, "team": receipt.team}


def _kind(receipt: Receipt) -> dict[str, Any]:
    deployment = receipt.deployment
    return {
        "route": receipt.route,
        "service": receipt.service,
        "provider": None if deployment is None else deployment.provider.name,
        "model": None if deployment is None else deployment.model,
        "requested_model": receipt.requested_model[:_LONGEST],
        "stream": receipt.stream,
        "revision": receipt.revision,
    }


def _level(status: int) -> str:
    return "error" if status >= 500 else "warning"


def _dropped(count: int) -> bytes:
    fact = {"ts": datetime.now(UTC), "level": "warning", "event": "access_log_dropped", "lines": count}
    return orjson.dumps(fact, option=_OPTIONS)
