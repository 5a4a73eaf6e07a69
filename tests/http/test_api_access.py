"""Who may use the API: keys, their models, and open mode on this machine."""

from __future__ import annotations

import pytest

from tests.support.rig import Rig, chat_body, keys_config, rigged, secret

# ---- keys


def test_keys_are_required_once_one_is_configured() -> None:
    """Without a right key it is 401 before the body is read; each of three headers can carry one."""
    token = secret()
    with rigged(keys_config(f"name: k, secret: {token}")) as rig:
        gateway = rig.gateway
        for headers in (
            [],
            [("authorization", "Bearer wrong")],
            [("authorization", "Bearer")],
            [("authorization", token)],
            [("authorization", f"Basic {token}")],
            [("x-api-key", token[:-1])],
            [("authorization", f"Bearer {token}x")],
            [("authorization", "Bearer ' OR '1'='1")],
        ):
            with gateway.client() as client:
                client.send("POST", "/v1/chat/completions", b"", headers, length=100)
                reply = client.reply()
            assert reply.status == 401, headers
            assert reply.error["code"] == "invalid_api_key"
            assert token not in reply.body.decode()
        for headers in (
            [("authorization", f"Bearer {token}")],
            [("authorization", f"bearer  {token} ")],
            [("x-api-key", token)],
            [("api-key", token)],
        ):
            assert gateway.chat("m", headers).status == 200, headers
        assert gateway.get("/v1/models").status == 401
        assert gateway.get("/v1/models", [("api-key", token)]).status == 200
        assert gateway.get("/healthz").status == 200


def test_a_configured_key_is_enough_for_any_host() -> None:
    """With keys the gateway is no longer bound to loopback names."""
    token = secret()
    with rigged(keys_config(f"name: k, secret: {token}")) as rig:
        foreign = [("host", "gateway.example"), ("origin", "https://app.example")]
        headers = [("authorization", f"Bearer {token}"), *foreign]
        assert rig.gateway.chat("m", headers).status == 200


@pytest.mark.parametrize("host", ["h/?", "h/#", "h/#@x", "evil.example", "h/v1/models"])
def test_no_host_header_gets_past_a_key(host: str) -> None:
    """The path that was routed decides about the key, never a URL rebuilt from Host."""
    with rigged(keys_config(f"name: k, secret: {secret()}")) as rig:
        for path in ("/v1/chat/completions", "/openai/v1/chat/completions", "/providers/a/v1/chat/completions"):
            assert rig.gateway.post(path, chat_body("m"), [("host", host)]).status in (400, 401)
        assert not rig.a.received


def test_a_key_may_use_only_its_models() -> None:
    """403 `model_access_denied` for others, in every place a model can be named; the list shows only its own."""
    token = secret()
    with rigged(keys_config(f'name: k, secret: {token}, models: ["alias", "a/up*"]')) as rig:
        key = [("authorization", f"Bearer {token}")]
        assert rig.gateway.chat("alias", key).status == 200
        assert rig.gateway.chat("a/upstream-private-a", key).status == 200
        refused = [
            rig.gateway.chat("m", key),
            rig.gateway.chat("a/m", key),
            rig.gateway.chat("upstream-private-a", key),
            rig.gateway.chat("unheard", key),
            rig.gateway.post("/openai/deployments/m/chat/completions", chat_body("alias"), key),
            rig.gateway.post("/providers/a/v1/chat/completions", chat_body("m"), key),
        ]
        for reply in refused:
            assert reply.status == 403
            assert reply.error["code"] == "model_access_denied"
            assert reply.header("x-should-retry") == "false"
        assert [model["id"] for model in rig.gateway.get("/v1/models", key).json["data"]] == ["alias"]
        assert rig.gateway.get("/v1/models/m", key).status == 404


# ---- open mode


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.1:8080", "localhost", "LOCALHOST:1", "[::1]:8080", "127.8.8.8"])
def test_open_mode_serves_loopback_names(rig: Rig, host: str) -> None:
    """Without keys any loopback name or address in Host is served, with or without some key."""
    assert rig.gateway.chat("m", [("host", host)]).status == 200
    assert rig.gateway.chat("m", [("host", host), ("authorization", "Bearer anything")]).status == 200


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "localhost.evil.example",
        "127.0.0.1.evil.example",
        "evil.example:80",
        "10.0.0.1",
        "h/?",
        "h/#",
        "h/#@x",
        "127.0.0.1/x",
        "evil@127.0.0.1",
        "127.0.0.1@evil",
        "2130706433",
        "0x7f000001",
        "",
        "0.0.0.0",
    ],
)
def test_open_mode_refuses_foreign_hosts(rig: Rig, host: str) -> None:
    """DNS rebinding and malformed hosts get 403 `forbidden_host`."""
    reply = rig.gateway.chat("m", [("host", host)])
    assert reply.status == 403
    assert reply.error["code"] == "forbidden_host"
    assert not rig.a.received


@pytest.mark.parametrize(
    ("origin", "status"),
    [
        ("http://localhost:3000", 200),
        ("http://127.0.0.1", 200),
        ("https://evil.example", 403),
        ("null", 403),
        ("http://localhost.evil.example", 403),
        ("http://user@127.0.0.1", 403),
    ],
)
def test_open_mode_refuses_foreign_origins(rig: Rig, origin: str, status: int) -> None:
    """A page of another site cannot use the gateway of whoever opens it."""
    assert rig.gateway.chat("m", [("origin", origin)]).status == status
    assert rig.gateway.get("/v1/models", [("origin", origin)]).status == status
