"""Receipts and deployments to tell observers about."""

from __future__ import annotations

from typing import Any

from gateway.types import Call, Deployment, Provider, Receipt, Service, TokenSource, Usage

PROVIDER = Provider("primary", "azure", "https://example.invalid")
DEPLOYMENT = Deployment("primary/gpt-4o", PROVIDER, "gpt-4o")
SPARE = Deployment("spare/claude", Provider("spare", "anthropic", "https://example.invalid"), "claude")


def call(**changes: Any) -> Call:
    """A chat call."""
    fields = {"id": "call-1", "request_id": "req-1", "service": Service.CHAT, "path": "/chat/completions"}
    return Call(**{**fields, "model": "gpt-4o", "raw": b'{"secret prompt": 1}', "started": 0.0, **changes})


def receipt(**changes: Any) -> Receipt:
    """A streamed chat call that went well."""
    fields: dict[str, Any] = {
        "call": call(),
        "request_id": "req-1",
        "service": "chat",
        "status": 200,
        "reason": "ok",
        "seconds": 1.5,
        "requested_model": "gpt-4o",
        "key": "ci",
        "team": "research",
        "route": "chat-default",
        "deployment": DEPLOYMENT,
        "revision": "abc123",
        "attempts": 2,
        "stream": True,
        "usage": Usage(100, 51),
        "token_source": TokenSource.PROVIDER,
        "ttft": 0.5,
        "overhead": 0.0004,
        "cost_nano_usd": 2_500_000,
    }
    return Receipt(**{**fields, **changes})
