"""Alerts on their way to the operator's webhook: queued, sent one after the other, tried again. No request waits for
them, and none fails with them."""

from __future__ import annotations

import asyncio
import random
import secrets
import time
from collections import deque
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from urllib.parse import urlsplit

import msgspec
import structlog

from gateway.errors import UpstreamError
from gateway.ports import Deadlines, Endpoint, Engine, IncidentChanged, QuotaAlert, RequestHead, UpstreamRequest
from gateway.providers.wire.head import USER_AGENT, host_header
from gateway.registry.snapshot import Alerts
from gateway.telemetry.base import SilentObserver
from gateway.upstream.signature import headers_of

PAUSES = (0.5, 2.0, 8.0, 30.0)
"""Seconds between tries; each is drawn from the upper half, so that gateways do not come back together."""
TRIES = len(PAUSES) + 1
SECONDS = 10.0
"""How long one try may take."""
QUEUED = 256
"""Alerts that wait; what comes beyond is dropped, and the log says so."""
CLOSING = 2.0
"""Seconds for what is queued when the worker ends."""
MOST_REASON = 2000
"""Characters of why a configuration was refused."""
_NANO = 1e9

_log = structlog.stdlib.get_logger("gateway.alerts")


class Webhook(SilentObserver):
    """Posts each alert as JSON. Only the configuration names the address; redirects are not followed."""

    def __init__(
        self,
        engine_of: Callable[[], Engine],
        clock: Callable[[], float] = time.time,
        pauses: tuple[float, ...] = PAUSES,
    ) -> None:
        self._engine_of = engine_of
        self._clock = clock
        self._pauses = pauses
        self._head: RequestHead | None = None
        self._secret: str | None = None
        self._rejected: str | None = None
        self._queue: deque[tuple[str, bytes]] = deque()
        self._filled = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self._dropped = 0

    def __repr__(self) -> str:
        return f"<Webhook {'set' if self._head is not None else 'none'} queued={len(self._queue)}>"

    def use(self, alerts: Alerts) -> None:
        """Where alerts go from now on."""
        self._head = None if alerts.webhook is None else head_of(alerts.webhook, alerts)
        self._secret = alerts.secret

    def quota_alerted(self, alert: QuotaAlert) -> None:
        """Queue it."""
        if self._head is not None:
            self._add(body_of(alert, self._clock()))

    def incident_changed(self, change: IncidentChanged) -> None:
        """Queue it."""
        if self._head is not None:
            self._add(incident_body(change, self._clock()))

    def configuration(self, replica: str, revision: str, reason: str | None) -> None:
        """Queue that a configuration was refused, once for each reason, and that one was taken after that."""
        if reason == self._rejected:
            return
        self._rejected = reason
        if self._head is not None:
            self._add(configuration_body(replica, revision, reason, self._clock()))

    def _add(self, body: bytes) -> None:
        if len(self._queue) >= QUEUED:
            if not self._dropped:
                _log.error("alert_webhook_overrun", queued=QUEUED)
            self._dropped += 1
            return
        self._queue.append((f"msg_{secrets.token_hex(12)}", body))
        self._idle.clear()
        self._filled.set()

    async def run(self) -> None:
        """Send until cancelled."""
        while True:
            await self._filled.wait()
            self._filled.clear()
            while self._queue:
                await self._deliver(*self._queue[0])
                self._queue.popleft()
            self._dropped = 0
            self._idle.set()

    async def close(self) -> None:
        """Wait a moment for what is queued; `run` must still be running."""
        try:
            async with asyncio.timeout(CLOSING):
                await self._idle.wait()
        except TimeoutError:
            _log.error("alert_webhook_unsent", alerts=len(self._queue))

    async def _deliver(self, message_id: str, body: bytes) -> None:
        outcome = ""
        for attempt in range(len(self._pauses) + 1):
            head = self._head
            if head is None:
                return
            signed = headers_of(self._secret, message_id, int(self._clock()), body)
            outcome, again = await self._post(replace(head, headers=(*head.headers, *signed), wire=b""), body)
            if not outcome:
                return
            if not again:
                break
            if attempt < len(self._pauses):
                await asyncio.sleep(self._pauses[attempt] * (1 + random.random()) / 2)  # noqa: S311 - no secret
        # Neither the address nor what it answered: both may hold secrets.
        _log.error("alert_webhook_failed", outcome=outcome)

    async def _post(self, head: RequestHead, body: bytes) -> tuple[str, bool]:
        """What went wrong, if anything, and whether another try may help."""
        at = asyncio.get_running_loop().time() + SECONDS
        try:
            request = UpstreamRequest(head, (body,))
            response = await self._engine_of().send(request, Deadlines(5.0, SECONDS, SECONDS, at))
            try:
                if 200 <= response.status < 300:
                    return "", False
                return f"status {response.status}", response.status in (408, 425, 429) or response.status >= 500
            finally:
                response.abort()
        except UpstreamError as error:
            return error.outcome, True
        except Exception as error:  # an address or a header that cannot be put on the wire: the duty goes on
            return type(error).__name__, False


def head_of(address: str, alerts: Alerts) -> RequestHead:
    """What every POST begins with."""
    url = urlsplit(address)
    tls = url.scheme == "https"
    endpoint = Endpoint(
        url.hostname or "",
        url.port or (443 if tls else 80),
        tls,
        max_connections=1,
        private_network=alerts.private_network,
    )
    own = {name.encode(): value.encode() for name, value in alerts.headers}
    fixed = {b"host": host_header(endpoint), b"user-agent": USER_AGENT, b"content-type": b"application/json"}
    target = (url.path or "/") + (f"?{url.query}" if url.query else "")
    return RequestHead(endpoint, b"POST", target.encode(), tuple({**fixed, **own}.items()))


def body_of(alert: QuotaAlert, now: float) -> bytes:
    """The JSON that is posted; amounts of money in USD."""
    unit = _NANO if alert.kind == "cost" else 1
    return msgspec.json.encode(
        {
            "event": "quota_exceeded" if alert.level == "exceeded" else "quota_soft_threshold",
            "at": _moment(now),
            "scope": alert.scope,
            "quota": alert.quota,
            "owner": alert.owner,
            "kind": alert.kind,
            "period": alert.period,
            "period_start": None if alert.period == "total" else _moment(alert.period_start),
            "amount": alert.amount / unit if unit != 1 else alert.amount,
            "used": alert.used / unit if unit != 1 else alert.used,
            "share": alert.share,
            "action": alert.action,
        }
    )


def incident_body(change: IncidentChanged, now: float) -> bytes:
    """The JSON that is posted."""
    return msgspec.json.encode(
        {
            "event": f"incident_{change.event}",
            "at": _moment(now),
            "incident": change.id,
            "provider": change.provider,
            "cause": change.cause,
            "first_failure": _moment(change.first_failure),
            "last_failure": _moment(change.last_failure),
            "closed_at": None if change.closed_at is None else _moment(change.closed_at),
            "failures": change.failures,
            "deployments": change.deployments,
            "routes": change.routes,
        }
    )


def configuration_body(replica: str, revision: str, reason: str | None, now: float) -> bytes:
    """The JSON that is posted; `revision` is what is served."""
    return msgspec.json.encode(
        {
            "event": "config_accepted" if reason is None else "config_rejected",
            "at": _moment(now),
            "replica": replica,
            "revision": revision,
            "reason": None if reason is None else reason[:MOST_REASON],
        }
    )


def _moment(seconds: float) -> str:
    return datetime.fromtimestamp(int(seconds), UTC).isoformat().replace("+00:00", "Z")
