"""Alerts on their way to a real HTTP server: delivered, tried again, given up, never in anybody's way."""

from __future__ import annotations

import asyncio
import base64
import hmac
import json
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any

import pytest
import structlog

from gateway.ports import Engine, IncidentChanged, QuotaAlert
from gateway.registry.snapshot import Alerts
from gateway.upstream.engines import create_engine
from gateway.upstream.signature import key_of, signature_of
from gateway.upstream.webhook import QUEUED, TRIES, Webhook
from tests.support.rig import closed_port
from tests.support.steps import Script, close, json_reply, send, stall
from tests.support.upstream import ScriptedUpstream

NOW = 1_793_494_800.0
SECRET = "hook-canary-91ab"


def alert(
    level: str = "soft", *, used: int = 410_000_000_000, kind: str = "cost", owner: str | None = "research"
) -> QuotaAlert:
    start = 1_793_491_200.0
    return QuotaAlert(level, "team", "research", owner, kind, "month", start, 500_000_000_000, used, "reject")


def status(code: int, *headers: str) -> Script:
    lines = "".join(f"{header}\r\n" for header in headers)
    return [send(f"HTTP/1.1 {code} X\r\ncontent-length: 0\r\n{lines}\r\n".encode())]


@pytest.fixture
async def server() -> AsyncIterator[ScriptedUpstream]:
    async with ScriptedUpstream() as upstream:
        upstream.default = json_reply({})
        yield upstream


@pytest.fixture
async def engine() -> AsyncIterator[Engine]:
    made = create_engine("httptools")
    yield made
    await made.close()


@pytest.fixture
async def webhook(server: ScriptedUpstream, engine: Engine) -> AsyncIterator[Webhook]:
    made = Webhook(lambda: engine, lambda: NOW, (0.01,) * (TRIES - 1))
    made.use(Alerts(f"{server.base_url}/hooks/{SECRET}?t=1", (("authorization", f"Bearer {SECRET}"),), True))
    task = asyncio.create_task(made.run())
    yield made
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


async def test_an_alert_is_posted(webhook: Webhook, server: ScriptedUpstream) -> None:
    """One POST with JSON to the configured path, with the configured headers; money in USD."""
    webhook.quota_alerted(alert())
    await webhook.close()
    [got] = server.received
    assert (got.method, got.target) == ("POST", f"/hooks/{SECRET}?t=1")
    assert got.header("authorization") == f"Bearer {SECRET}"
    assert got.header("content-type") == "application/json"
    assert json.loads(got.body) == {
        "event": "quota_soft_threshold",
        "at": "2026-11-01T01:00:00Z",
        "scope": "team",
        "quota": "research",
        "owner": "research",
        "kind": "cost",
        "period": "month",
        "period_start": "2026-11-01T00:00:00Z",
        "amount": 500.0,
        "used": 410.0,
        "share": 0.82,
        "action": "reject",
    }


async def test_other_amounts_are_numbers_as_they_are(webhook: Webhook, server: ScriptedUpstream) -> None:
    """Tokens and requests are whole numbers; a user is nobody."""
    webhook.quota_alerted(alert("exceeded", used=500_000_000_001, kind="tokens", owner=None))
    await webhook.close()
    body = json.loads(server.received[0].body)
    assert (body["event"], body["amount"], body["used"]) == ("quota_exceeded", 500_000_000_000, 500_000_000_001)
    assert body["owner"] is None


async def test_an_incident_is_posted(webhook: Webhook, server: ScriptedUpstream) -> None:
    """Its beginning and its end are one POST each, with the moments in UTC."""
    facts: dict[str, Any] = {
        "id": "inc-1",
        "provider": "house",
        "cause": "connect_refused",
        "first_failure": NOW - 60,
        "last_failure": NOW,
        "failures": 7,
        "deployments": ("house/m",),
        "routes": ("r",),
    }
    webhook.incident_changed(IncidentChanged("opened", **facts))
    webhook.incident_changed(IncidentChanged("closed", **facts, closed_at=NOW + 1))
    await webhook.close()
    opened, closed = (json.loads(got.body) for got in server.received)
    assert opened == {
        "event": "incident_opened",
        "at": "2026-11-01T01:00:00Z",
        "incident": "inc-1",
        "provider": "house",
        "cause": "connect_refused",
        "first_failure": "2026-11-01T00:59:00Z",
        "last_failure": "2026-11-01T01:00:00Z",
        "closed_at": None,
        "failures": 7,
        "deployments": ["house/m"],
        "routes": ["r"],
    }
    assert closed == opened | {"event": "incident_closed", "closed_at": "2026-11-01T01:00:01Z"}


@pytest.mark.parametrize("fault", [status(500), status(503), status(429), [close()]])
async def test_trouble_is_tried_again(webhook: Webhook, server: ScriptedUpstream, fault: Script) -> None:
    """A server that stumbles gets the same alert until it takes it."""
    server.then(fault, fault)
    webhook.quota_alerted(alert())
    await webhook.close()
    assert len(server.received) == 3
    assert len({(got.body, got.header("webhook-id")) for got in server.received}) == 1


async def test_some_tries_and_then_the_next(webhook: Webhook, server: ScriptedUpstream) -> None:
    """An alert that nobody takes is given up and logged, without address or credential; the next is sent."""
    server.then(*[status(500)] * TRIES)
    with structlog.testing.capture_logs() as logs:
        webhook.quota_alerted(alert())
        webhook.quota_alerted(alert("exceeded"))
        await webhook.close()
    assert len(server.received) == TRIES + 1
    assert [line["event"] for line in logs] == ["alert_webhook_failed"]
    assert logs[0]["outcome"] == "status 500"
    assert SECRET not in repr(logs)
    assert "127.0.0.1" not in repr(logs)


SIGNING = "signing-canary-0123456789-0123456789-01"


async def test_a_post_is_signed(webhook: Webhook, server: ScriptedUpstream) -> None:
    """Id, time and body with the configured secret; another message has another id."""
    url = f"{server.base_url}/hooks"
    webhook.use(Alerts(url, (("x-own", "1"),), private_network=True, secret=SIGNING))
    webhook.quota_alerted(alert())
    webhook.quota_alerted(alert())
    await webhook.close()
    for got in server.received:
        name, at = got.header("webhook-id"), got.header("webhook-timestamp")
        assert name is not None
        assert at == str(int(NOW))
        assert got.header("x-own") == "1"
        expected = hmac.new(SIGNING.encode(), f"{name}.{at}.".encode() + got.body, "sha256").digest()
        assert got.header("webhook-signature") == f"v1,{base64.b64encode(expected).decode()}"
        assert SIGNING not in str(got.headers)
    assert len({got.header("webhook-id") for got in server.received}) == 2
    webhook.use(Alerts(url, private_network=True))
    webhook.quota_alerted(alert())
    await webhook.close()
    assert server.received[-1].header("webhook-signature") is None
    assert server.received[-1].header("webhook-id") is not None


def test_signatures_are_those_of_standard_webhooks() -> None:
    """The example of https://github.com/standard-webhooks/standard-webhooks; a secret that only looks encoded is a
    text."""
    secret, body = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", b'{"test": 2432232314}'
    found = signature_of(secret, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, body)
    assert found == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
    assert key_of("whsec_no base64") == b"whsec_no base64"


async def test_a_refused_configuration_is_posted(webhook: Webhook, server: ScriptedUpstream) -> None:
    """Once for each reason; and once when the file is good again."""
    for reason in (None, "gateway.yaml:3:1: bad", "gateway.yaml:3:1: bad", "gateway.yaml:4:1: worse", None, None):
        webhook.configuration("replica-1", "rev", reason)
    await webhook.close()
    posted = [json.loads(got.body) for got in server.received]
    assert [(one["event"], one["reason"]) for one in posted] == [
        ("config_rejected", "gateway.yaml:3:1: bad"),
        ("config_rejected", "gateway.yaml:4:1: worse"),
        ("config_accepted", None),
    ]
    assert (posted[0]["replica"], posted[0]["revision"], posted[0]["at"]) == (
        "replica-1",
        "rev",
        "2026-11-01T01:00:00Z",
    )
    webhook.configuration("replica-1", "rev", "x" * 10_000)
    await webhook.close()
    assert len(server.received[-1].body) < 3000


@pytest.mark.parametrize("code", [301, 302, 307, 308, 400, 401, 404])
async def test_a_refusal_is_final(webhook: Webhook, server: ScriptedUpstream, code: int) -> None:
    """Redirects are not followed, and what the server will not take is not repeated."""
    server.then(status(code, f"location: {server.base_url}/elsewhere"))
    with structlog.testing.capture_logs() as logs:
        webhook.quota_alerted(alert())
        await webhook.close()
    assert len(server.received) == 1
    assert logs[0]["outcome"] == f"status {code}"


async def test_nobody_waits(webhook: Webhook, server: ScriptedUpstream) -> None:
    """While the server hangs, telling costs nothing; what exceeds the queue is dropped and said once."""
    server.then([stall()])
    with structlog.testing.capture_logs() as logs:
        for _ in range(QUEUED + 50):
            webhook.quota_alerted(alert())
        await server.requested(1)
    assert [line["event"] for line in logs] == ["alert_webhook_overrun"]
    assert f"queued={QUEUED}" in repr(webhook)
    await server.drop_all()
    await webhook.close()
    # The one that hung was sent again.
    assert len(server.received) == QUEUED + 1


async def test_a_server_that_is_not_there(engine: Engine) -> None:
    """Nothing listens: given up, and the worker goes on."""
    webhook = Webhook(lambda: engine, lambda: NOW, (0.0, 0.0))
    webhook.use(Alerts(f"http://127.0.0.1:{closed_port()}/", private_network=True))
    task = asyncio.create_task(webhook.run())
    with structlog.testing.capture_logs() as logs:
        webhook.quota_alerted(alert())
        await webhook.close()
    assert logs[0]["outcome"] == "connect_refused"
    assert not task.done()
    task.cancel()


async def test_a_reload_moves_it(webhook: Webhook, server: ScriptedUpstream) -> None:
    """Alerts go where the configuration says now, and nowhere when it says nothing."""
    webhook.use(Alerts(f"{server.base_url}/new", private_network=True))
    webhook.quota_alerted(alert())
    await webhook.close()
    webhook.use(Alerts())
    webhook.quota_alerted(alert())
    await webhook.close()
    assert [got.target for got in server.received] == ["/new"]
    assert server.received[0].header("authorization") is None
