"""The access log: one JSON line per request, without prompts and without secrets."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import orjson

from gateway.ports import Secrets
from gateway.telemetry.base import SilentObserver
from gateway.telemetry.redaction import Redactor
from gateway.telemetry.writer import LineWriter
from gateway.types import Receipt

_OPTIONS = orjson.OPT_APPEND_NEWLINE | orjson.OPT_UTC_Z
_LONGEST = 256
"""Characters of what a client may choose."""


class AccessLog(SilentObserver):
    """Writes to a file descriptor, by default standard output. Make it after the fork; `close` flushes it."""

    def __init__(self, secrets: Secrets, *, fd: int = 1, limit: int = 20_000) -> None:
        self.writer = LineWriter(fd, limit=limit, transform=Redactor(secrets), on_dropped=_dropped)

    def call_finished(self, receipt: Receipt) -> None:
        """Queue the line of one request."""
        self.writer.write(orjson.dumps(line(receipt), option=_OPTIONS))

    def close(self, timeout: float = 2.0) -> bool:
        """Write what is queued, for at most `timeout` seconds; whether all of it was."""
        return self.writer.close(timeout)


def line(receipt: Receipt) -> dict[str, Any]:
    """The fields of one line; what is not known is null. Durations in milliseconds."""
    deployment, usage, call = receipt.deployment, receipt.usage, receipt.call
    return {
        "ts": datetime.now(UTC),
        "level": _level(receipt.status),
        "event": "request",
        "request_id": receipt.request_id[:_LONGEST],
        "call_id": None if call is None else call.id,
        "key": receipt.key,
        "team": receipt.team,
        "route": receipt.route,
        "service": receipt.service,
        "provider": None if deployment is None else deployment.provider.name,
        "model": None if deployment is None else deployment.model,
        "requested_model": receipt.requested_model[:_LONGEST],
        "status": receipt.status,
        "reason": receipt.reason,
        "attempts": receipt.attempts,
        "stream": receipt.stream,
        "input_tokens": None if usage is None else usage.input_tokens,
        "output_tokens": None if usage is None else usage.output_tokens,
        "token_source": receipt.token_source,
        "ttft_ms": _ms(receipt.ttft),
        "duration_ms": _ms(receipt.seconds),
        "overhead_ms": _ms(receipt.overhead),
        "revision": receipt.revision,
    }


def _ms(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds * 1000, 3)


def _level(status: int) -> str:
    if status < 400:
        return "info"
    return "error" if status >= 500 else "warning"


def _dropped(count: int) -> bytes:
    fact = {"ts": datetime.now(UTC), "level": "warning", "event": "access_log_dropped", "lines": count}
    return orjson.dumps(fact, option=_OPTIONS)
