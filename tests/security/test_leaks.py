"""Secrets in answers, logs and metrics."""

from __future__ import annotations

import pytest

from gateway.errors import UpstreamRejected
from gateway.types import Provider
from gateway.upstream.secrecy import without_secrets
from tests.security.carriers import carried
from tests.support.app import chat_body, running
from tests.support.rig import KEY_A, KEY_B, Rig
from tests.support.steps import Script, json_reply, send, sse, status

# ---- Bifrost #3954, CVE-2024-9606, CVE-2025-0330: secrets in answers, logs and metrics


def _leaky(code: int) -> Script:
    """An upstream that repeats what it was sent, and more, wherever it can."""
    text = {
        "error": {"message": f"Bad key {KEY_A} for http://10.0.0.7/v1", "type": KEY_A, "param": KEY_A, "code": KEY_A}
    }
    headers = [("set-cookie", f"s={KEY_A}"), ("x-api-key", KEY_A), ("www-authenticate", KEY_A), ("server", KEY_A)]
    return json_reply(text, code, headers)


LEAKS: dict[str, Script] = {
    **{f"status {code}": _leaky(code) for code in (400, 401, 403, 404, 409, 422, 429, 500, 503, 529)},
    "no JSON": status(200, KEY_A.encode(), [("content-type", "text/plain")]),
    "a broken head": [send(f"HTTP/1.1 {KEY_A}\r\n\r\n".encode())],
    "an error in a 200": json_reply({"error": {"message": KEY_A, "code": KEY_A}}),
    "an error in a stream": sse([{"error": {"message": KEY_A, "type": KEY_A}}]),
}


@pytest.mark.parametrize("name", LEAKS)
def test_no_secret_comes_back(rig: Rig, token: str, name: str) -> None:
    """The provider's credential, even when the provider itself repeats it, stands in no answer, log line or metric."""
    for model in ("upstream-private-a", "pair"):
        rig.a.then(LEAKS[name])
        reply = rig.gateway.chat(model, [carried("bearer", token)], stream=name.endswith("stream"))
        text = reply.head.decode() + reply.body.decode()
        assert KEY_A not in text, (name, model)
        assert "10.0.0.7" not in text, (name, model)
    told = (
        rig.gateway.log_file.read_text()
        + rig.gateway.get("/metrics").body.decode()
        + rig.gateway.get("/readyz").body.decode()
    )
    for canary in (KEY_A, KEY_B, token):
        assert canary not in told


def test_spare_keys_are_secrets_too() -> None:
    """A provider that is told an earlier key, and repeats it."""
    provider = Provider("p", "openai", "http://127.0.0.1", api_keys=("first-canary",), spare_keys=("spare-canary",))
    said = UpstreamRejected("no first-canary, no spare-canary", upstream_code="spare-canary")
    error = without_secrets(said, provider)
    assert error.public_message == "no [redacted], no [redacted]"
    assert error.public_code is None


SECRETS = """
version: 1
providers:
  aws:
    type: bedrock
    region: eu-west-1
    access_key_id: AKIAIOSFODNN7EXAMPLE
    secret_access_key: canary-of-aws/1234567890
    models: [m]
  entra:
    {type: azure, resource: r, tenant_id: t, client_id: c, client_secret: canary-of-entra-12345, models: [m]}
  own:
    type: openai_compatible
    base_url: http://127.0.0.1:9/v1
    headers: {x-house-key: canary-of-a-header, authorization: Bearer canary-of-a-bearer, x-team: harmless-words}
    models: [m]
alerts:
  webhook: http://127.0.0.1:9/canary-of-the-hook
  headers: {authorization: Bearer canary-of-the-alerts}
  secret: canary-of-the-signature-0123456789abcdef
"""
NEVER_LOGGED = (
    "canary-of-aws/1234567890",
    "canary-of-entra-12345",
    "canary-of-a-header",
    "canary-of-a-bearer",
    "http://127.0.0.1:9/canary-of-the-hook",
    "canary-of-the-alerts",
    "canary-of-the-signature-0123456789abcdef",
    "canary-of-the-administrator",
)


def test_no_configured_secret_is_logged_whoever_says_it() -> None:
    """As a model's name or as a request's id; what is no secret is written as it came."""
    with running(SECRETS, admin_key="canary-of-the-administrator") as gateway:
        for text in (*NEVER_LOGGED, "harmless-words"):
            gateway.post("/v1/chat/completions", chat_body(text), [("x-request-id", text)])
        gateway.line("harmless-words")
        log = gateway.log_file.read_text()
    assert [text for text in NEVER_LOGGED if text in log] == []
    assert "[redacted]" in log
