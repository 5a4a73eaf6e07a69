"""The application log: structlog and the standard library through one renderer, to standard error, redacted."""

from __future__ import annotations

import logging
import sys
import threading
import time
from collections.abc import Callable, Sequence
from math import inf
from typing import TYPE_CHECKING, Any

import orjson
import structlog

from gateway.errors import GatewayError
from gateway.telemetry.base import SilentObserver
from gateway.telemetry.redaction import Redactor
from gateway.telemetry.writer import LineWriter

if TYPE_CHECKING:
    from types import TracebackType

    from gateway.ports import DeploymentChanged, IncidentChanged, QuotaAlert, Secrets

MOST_WARNINGS = 10
"""Of a configuration, in one line of the log."""
_QUIET = ("uvicorn.access", "asyncio", "httpcore", "httpx", "watchfiles.main")
"""Loggers that say too much at `info`, or what the access log says already."""


class _Handler(logging.Handler):
    """Renders, redacts, and writes: at once, or through a writer's thread."""

    def __init__(self, fd: int, redactor: Redactor, *, background: bool) -> None:
        super().__init__()
        self._fd = fd
        self._redact = redactor
        self.writer = LineWriter(fd) if background else None

    def emit(self, record: logging.LogRecord) -> None:
        try:
            data = self._redact(self.format(record).encode(errors="replace") + b"\n")
            if self.writer is not None:
                self.writer.write(data)
            else:
                with open(self._fd, "wb", buffering=0, closefd=False) as sink:
                    sink.write(data)
        except Exception:  # a line that cannot be rendered must not fail the request; the standard library reports it
            self.handleError(record)

    def close(self) -> None:
        if self.writer is not None:
            self.writer.close()
        super().close()


def configure(
    level: str, secrets: Secrets, *, fd: int = 2, pretty: bool | None = None, background: bool = False
) -> None:
    """Set the process's logging up; may be called again, as a worker does after the fork.

    JSON lines, or text for people when `pretty` (default: the sink is a terminal). `background` writes in a thread: for
    workers, never before a fork.
    """
    if pretty is None:
        pretty = sys.stderr.isatty()
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.PositionalArgumentsFormatter(),
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="ts"),
        structlog.stdlib.ExtraAdder(),
        _uncoloured,
    ]
    handler = _Handler(fd, Redactor(secrets), background=background)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(foreign_pre_chain=shared, processors=_rendering(pretty=pretty))
    )
    structlog.configure(
        processors=[*shared[:-2], structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,
    )
    close()
    root = logging.getLogger()
    root.addHandler(handler)
    root.setLevel(level.upper())
    for name in _QUIET:
        logging.getLogger(name).setLevel(logging.WARNING)
    for name in ("uvicorn", "uvicorn.error", "uvicorn.access"):
        logger = logging.getLogger(name)
        logger.handlers.clear()
        logger.propagate = True


def adopt_strays() -> None:
    """Let what Python itself writes to standard error be lines of the log, redacted as all others: warnings, and
    exceptions that nobody caught, in threads and destructors too. For a program's main function; holds after a fork."""
    log = logging.getLogger("gateway.python")
    logging.captureWarnings(capture=True)

    def uncaught(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        if issubclass(kind, KeyboardInterrupt):
            sys.__excepthook__(kind, error, trace)
        else:
            log.critical("uncaught exception", exc_info=(kind, error, trace))

    def in_thread(args: threading.ExceptHookArgs) -> None:
        if args.exc_value is not None:
            name = "" if args.thread is None else args.thread.name
            log.error("a thread failed: %s", name, exc_info=(args.exc_type, args.exc_value, args.exc_traceback))

    def unraisable(args: sys.UnraisableHookArgs) -> None:
        trace = None if args.exc_value is None else (args.exc_type, args.exc_value, args.exc_traceback)
        log.error("%s: %r", args.err_msg or "an exception was ignored in", args.object, exc_info=trace)

    sys.excepthook, threading.excepthook, sys.unraisablehook = uncaught, in_thread, unraisable


def close() -> None:
    """Write what is queued and take our handler away."""
    root = logging.getLogger()
    for handler in [handler for handler in root.handlers if isinstance(handler, _Handler)]:
        root.removeHandler(handler)
        handler.close()


def _uncoloured(_: Any, __: str, event: Any) -> Any:
    """Without the copy of the message that uvicorn adds for terminals."""
    event.pop("color_message", None)
    return event


def _rendering(*, pretty: bool) -> list[Any]:
    clean = structlog.stdlib.ProcessorFormatter.remove_processors_meta
    if pretty:
        plain = structlog.dev.plain_traceback
        return [clean, structlog.dev.ConsoleRenderer(timestamp_key="ts", exception_formatter=plain)]
    return [clean, structlog.processors.format_exc_info, structlog.processors.JSONRenderer(serializer=_json)]


def _json(event: Any, **_: Any) -> str:
    return orjson.dumps(event, default=repr, option=orjson.OPT_NON_STR_KEYS).decode()


MALFORMED_SECONDS = 60.0
"""How often a line about requests that were no HTTP is written at most."""


class EventLog(SilentObserver):
    """What operators must hear of besides requests: (re)loads, and failures that nobody expected."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._log = structlog.stdlib.get_logger("gateway")
        self._clock = clock
        self._malformed = 0
        self._malformed_at = -inf

    def request_malformed(self) -> None:
        """The first of them, and once a minute how many there were since: anybody can send junk to an open port."""
        self._malformed += 1
        now = self._clock()
        if now - self._malformed_at >= MALFORMED_SECONDS:
            self._log.warning("malformed_requests", count=self._malformed)
            self._malformed, self._malformed_at = 0, now

    def config_loaded(self, revision: str, error: str | None, warnings: Sequence[str] = ()) -> None:
        """One line per (re)load."""
        if error is None and warnings:
            told = {"warnings": list(warnings[:MOST_WARNINGS]), "more": max(0, len(warnings) - MOST_WARNINGS)}
            self._log.warning("config_loaded", revision=revision, **told)
        elif error is None:
            self._log.info("config_loaded", revision=revision)
        else:
            self._log.error("config_rejected", revision=revision, error=error)

    def redis_changed(self, available: bool, reason: str) -> None:
        """One line per change."""
        if available:
            self._log.info("redis_available", reason=reason)
        else:
            self._log.error("redis_unavailable", reason=reason)

    def overload_changed(self, overloaded: bool, work: float | None, refused: int) -> None:
        """One line per change: the access log does not have these refusals."""
        if not overloaded:
            self._log.warning("overload_ended", refused=refused)
        elif work is None:
            self._log.warning("overloaded", cause="rush")
        else:
            self._log.warning("overloaded", cause="work", ready_ms=round(work * 1000, 1))

    def deployment_changed(self, change: DeploymentChanged) -> None:
        """One line for each that left rotation, and one for its return."""
        facts: dict[str, object] = {"deployment": change.deployment, "cause": change.cause}
        if change.seconds:
            facts["seconds"] = round(change.seconds, 1)
        if change.told:
            facts["told_by"] = "another worker"
        if change.parked:
            self._log.error("deployment_parked", **facts, action="renew its api_key, or look at its account")
        elif change.state == "out":
            self._log.warning("deployment_opened", **facts)
        elif change.state == "healthy":
            self._log.info("deployment_closed", **facts)
        else:
            self._log.info("deployment_degraded", **facts)

    def quota_alerted(self, alert: QuotaAlert) -> None:
        """One line for each."""
        facts: dict[str, object] = {
            "scope": alert.scope,
            "quota": alert.quota,
            "kind": alert.kind,
            "period": alert.period,
            "share": alert.share,
            "action": alert.action,
        }
        if alert.owner is not None:
            facts["owner"] = alert.owner
        self._log.warning("quota_exceeded" if alert.level == "exceeded" else "quota_soft_threshold", **facts)

    def incident_changed(self, change: IncidentChanged) -> None:
        """One line for each."""
        facts: dict[str, object] = {
            "incident": change.id,
            "provider": change.provider,
            "cause": change.cause,
            "failures": change.failures,
            "deployments": list(change.deployments),
            "routes": list(change.routes),
        }
        if change.event == "opened":
            self._log.error("incident_opened", **facts)
        else:
            self._log.info("incident_closed", **facts)

    def failed(self, error: GatewayError | Exception, request_id: str) -> None:
        """One line with the traceback."""
        level = error.log_level if isinstance(error, GatewayError) else logging.ERROR
        self._log.log(level, "request_failed", request_id=request_id, exc_info=error)
