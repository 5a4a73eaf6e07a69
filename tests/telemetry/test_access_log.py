"""The access log: its fields, no secret in it, and no sink that could hold the gateway up."""

from __future__ import annotations

import os
import time
from pathlib import Path

import orjson
import pytest

from gateway.ports import Secrets
from gateway.telemetry.access_log import AccessLog
from gateway.telemetry.writer import LineWriter
from tests.telemetry.facts import receipt

FIELDS = [
    "ts",
    "level",
    "event",
    "request_id",
    "call_id",
    "key",
    "team",
    "route",
    "service",
    "provider",
    "model",
    "requested_model",
    "status",
    "reason",
    "error_type",
    "attempts",
    "skipped",
    "stream",
    "input_tokens",
    "output_tokens",
    "token_source",
    "cost_nano_usd",
    "ttft_ms",
    "duration_ms",
    "overhead_ms",
    "revision",
]


def _lines(path: Path) -> list[dict[str, object]]:
    return [orjson.loads(line) for line in path.read_bytes().splitlines()]


def _log(path: Path, secrets: Secrets | None = None) -> AccessLog:
    return AccessLog(secrets or Secrets(), fd=os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600))


def test_fields(tmp_path: Path) -> None:
    """One line per request with exactly these fields; durations in milliseconds, no prompt."""
    log = _log(tmp_path / "log")
    log.call_finished(receipt())
    log.call_finished(receipt(call=None, deployment=None, usage=None, status=503, reason="overloaded", ttft=None))
    assert log.close()
    served, refused = _lines(tmp_path / "log")
    assert sorted(served) == sorted(FIELDS)
    assert sorted(refused) == sorted(FIELDS)
    assert served | {"ts": 0} == {
        "ts": 0,
        "level": "info",
        "event": "request",
        "request_id": "req-1",
        "call_id": "call-1",
        "key": "ci",
        "team": "research",
        "route": "chat-default",
        "service": "chat",
        "provider": "primary",
        "model": "gpt-4o",
        "requested_model": "gpt-4o",
        "status": 200,
        "reason": "ok",
        "error_type": None,
        "attempts": 2,
        "skipped": None,
        "stream": True,
        "input_tokens": 100,
        "output_tokens": 51,
        "token_source": "provider",
        "cost_nano_usd": receipt().cost_nano_usd,
        "ttft_ms": 500.0,
        "duration_ms": 1500.0,
        "overhead_ms": 0.4,
        "revision": "abc123",
    }
    assert str(served["ts"]).endswith("Z")
    assert refused["level"] == "error"
    assert refused["error_type"] == "resource_exhausted"
    assert refused["provider"] is None
    assert b"prompt" not in (tmp_path / "log").read_bytes()


@pytest.mark.parametrize(
    "secret",
    [
        "known-canary-value",
        'known "quoted" canary',
        "sk-proj-canaryCANARY0123456789",
        "Bearer canary.canary.canary",
        "AIzacanarycanarycanarycanarycanarycanary",
        "AKIACANARYCANARY0123",
        "redis://user:canarypass@host/0",
    ],
)
def test_secrets_never_appear(tmp_path: Path, secret: str) -> None:
    """A secret that a client sends as a model or request id is not in the log, known or only recognisable."""
    log = _log(tmp_path / "log", Secrets({"known-canary-value", 'known "quoted" canary'}))
    log.call_finished(receipt(requested_model=f"m {secret} m", request_id=f"x {secret}"))
    assert log.close()
    text = (tmp_path / "log").read_text()
    assert "canary" not in text.lower()
    assert "[redacted]" in text
    assert _lines(tmp_path / "log")[0]["status"] == 200


def test_secrets_learnt_later(tmp_path: Path) -> None:
    """A value that a reload adds is redacted from then on."""
    secrets = Secrets({"old-secret-value"})
    log = _log(tmp_path / "log", secrets)
    secrets.values.discard("old-secret-value")
    secrets.values.add("new-secret-value")
    log.call_finished(receipt(requested_model="new-secret-value"))
    assert log.close()
    assert "new-secret-value" not in (tmp_path / "log").read_text()


def test_long_names_are_cut(tmp_path: Path) -> None:
    """A client cannot fill the log with a model name."""
    log = _log(tmp_path / "log")
    log.call_finished(receipt(requested_model="m" * 100_000))
    assert log.close()
    assert (tmp_path / "log").stat().st_size < 2000


def test_blocked_sink() -> None:
    """While the sink takes nothing, logging returns at once, drops beyond the bound, and says so afterwards."""
    reader, writer = os.pipe()
    log = AccessLog(Secrets(), fd=writer, limit=500)
    for _ in range(5000):
        log.call_finished(receipt())  # would never return if it waited for the pipe
    assert log.writer.dropped > 0
    assert log.close(timeout=0.05) is False
    text = b""
    deadline = time.monotonic() + 20
    while b"access_log_dropped" not in text:
        assert time.monotonic() < deadline
        text += os.read(reader, 1 << 16)
    lines = [orjson.loads(line) for line in text.splitlines()]
    assert lines[-1]["lines"] == log.writer.dropped
    assert len(lines) - 1 + log.writer.dropped == 5000
    assert log.close(timeout=20)
    os.close(reader)
    os.close(writer)


def test_sink_gone() -> None:
    """A sink that went away costs its lines, counted, and nothing else."""
    reader, writer = os.pipe()
    os.close(reader)
    log = LineWriter(writer)
    log.write(b"x\n")
    assert log.close(timeout=20)
    assert log.dropped == 1
    os.close(writer)


def test_nonblocking_sink() -> None:
    """A descriptor that somebody made non-blocking loses no line."""
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    log = LineWriter(writer)
    line = b"x" * 999 + b"\n"
    for _ in range(300):
        log.write(line)
    got = 0
    while got < 300_000:
        got += len(os.read(reader, 1 << 16))
    assert log.close(timeout=20)
    assert log.dropped == 0
    os.close(reader)
    os.close(writer)
