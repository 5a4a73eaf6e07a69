"""Credentials of servers that speak OpenAI's API: a key in any header, or a token of an identity service."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import parse_qs

import pytest
from openai import OpenAI

from gateway.errors import ProviderAuthFailed
from gateway.providers import discover
from gateway.providers.openai_compatible import KeyedDialect
from gateway.registry.loader import load
from gateway.registry.problems import ConfigError
from gateway.types import Call, Deployment, Provider, Service
from tests.support.gateway import GatewayProcess
from tests.support.steps import json_reply
from tests.support.upstream import ScriptedUpstream

DIALECT = discover()["openai_compatible"]
REPLY = {
    "id": "x", "object": "chat.completion", "created": 1, "model": "m",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "hi"}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2},
}  # fmt: skip


def heads(provider: Provider, credential: str | None) -> list[dict[bytes, bytes]]:
    call = Call("c", "r", Service.CHAT, "/chat/completions", "m", b"{}", 0.0)
    assert isinstance(DIALECT, KeyedDialect)
    made = (DIALECT.head(call, Deployment("p/m", provider, "m"), credential), DIALECT.models_head(provider, credential))
    return [dict(head.headers) for head in made]


def provider(*headers: tuple[str, str], **options: str) -> Provider:
    return Provider("p", "openai_compatible", "https://p.invalid/v1", ("k",), options, headers)


def test_where_the_key_goes() -> None:
    """Into `Authorization: Bearer`, or wherever the configured headers want it, and then nowhere else; what wants a key
    that is not there is left out."""
    for head in heads(provider(), "key-1"):
        assert head[b"authorization"] == b"Bearer key-1"
    named = provider(("x-api-key", "{api_key}"), ("x-auth", "Token {api_key}; v=1"), ("x-team", "red"))
    for head in heads(named, "key-1"):
        assert b"authorization" not in head
        assert (head[b"x-api-key"], head[b"x-auth"], head[b"x-team"]) == (b"key-1", b"Token key-1; v=1", b"red")
    for head in heads(named, None):
        assert head.keys() & {b"authorization", b"x-api-key", b"x-auth"} == set()
        assert head[b"x-team"] == b"red"


def test_client_credentials() -> None:
    """A token is asked for as RFC 6749 says; a refusal is the provider's, without the service's words."""
    assert isinstance(DIALECT, KeyedDialect)
    assert DIALECT.token_request(provider(), 0.0) is None
    asked = DIALECT.token_request(
        provider(token_url="https://id.invalid/oauth/token", client_id="us", client_secret="s&=", scope="a b"), 0.0
    )
    assert asked is not None
    assert asked.head.target == b"/oauth/token"
    assert parse_qs(asked.body.decode()) == {
        "grant_type": ["client_credentials"], "client_id": ["us"], "client_secret": ["s&="], "scope": ["a b"],
    }  # fmt: skip
    token = DIALECT.read_token(200, b'{"access_token":"t","expires_in":60}', 100.0)
    assert (token.value, token.expires_at) == ("t", 160.0)
    with pytest.raises(ProviderAuthFailed) as refused:
        DIALECT.read_token(401, b'{"error":"invalid_client","error_description":"s&="}', 0.0)
    assert "s&=" not in str(refused.value)


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ("token_url: 'https://id.example.com/t', client_id: x", "needs `client_secret` beside `token_url`"),
        ("client_secret: x", "needs `token_url` and `client_id` beside `client_secret`"),
    ],
)
def test_half_a_client_is_an_error(tmp_path: Path, settings: str, told: str) -> None:
    """What makes sense only together is asked for together."""
    path = tmp_path / "gateway.yaml"
    path.write_text(f"providers:\n  p: {{type: custom, base_url: 'https://p.example.com/v1', {settings}}}\n")
    with pytest.raises(ConfigError, match=told):
        load(path, {})


def test_a_template_elsewhere_is_an_error(tmp_path: Path) -> None:
    """Types that place their credential themselves would send the words `{api_key}`."""
    path = tmp_path / "gateway.yaml"
    path.write_text("providers:\n  p:\n    type: openai\n    api_key: k\n    headers: {x-key: '{api_key}'}\n")
    with pytest.raises(ConfigError, match=r"gateway.yaml:5:22: only a provider of type `openai_compatible`"):
        load(path, {})


CONFIG = """
providers:
  ours:
    type: openai_compatible
    base_url: {url}/v1
    token_url: {url}/oauth/token
    client_id: us
    client_secret: secret-of-ours
    headers: {{x-access: "JWT {{api_key}}"}}
    models: [m]
"""


def test_through_the_gateway(tmp_path: Path) -> None:
    """One token serves calls until the provider refuses it; then a fresh one is had once, and the client notices
    nothing. Neither token nor secret is logged."""
    first, second = ({"access_token": f"token-{n}", "expires_in": 3600} for n in (1, 2))
    refused = {"error": {"message": "expired token-1", "type": "auth", "param": None, "code": None}}
    script = [json_reply(first), json_reply(REPLY), json_reply(REPLY), json_reply(refused, 401), json_reply(second)]
    with (
        ScriptedUpstream(*script, default=json_reply(REPLY)) as up,
        GatewayProcess(CONFIG.format(url=f"http://127.0.0.1:{up.port}"), tmp_path) as gateway,
    ):
        client = OpenAI(base_url=gateway.api, api_key="none", max_retries=0)
        for _ in range(3):
            reply = client.chat.completions.create(model="m", messages=[{"role": "user", "content": "Hi"}])
            assert reply.choices[0].message.content == "hi"
        sent = [(request.target, request.header("x-access")) for request in up.received]
        logged = gateway.stderr() + gateway.out.read_text()
    chat = "/v1/chat/completions"
    assert sent == [
        ("/oauth/token", None), (chat, "JWT token-1"), (chat, "JWT token-1"), (chat, "JWT token-1"),
        ("/oauth/token", None), (chat, "JWT token-2"),
    ]  # fmt: skip
    assert not any(secret in logged for secret in ("token-1", "token-2", "secret-of-ours"))
    assert all(request.header("authorization") is None for request in up.received)
