"""Pages in browsers: who may call, and what the browser must hear to let them."""

from __future__ import annotations

import pytest

from tests.support.rig import Rig, chat_body, chunk, keys_config, rigged, secret
from tests.support.steps import sse

PAGE = "https://chat.example.com"
SDK = "authorization,content-type,x-stainless-lang,x-stainless-retry-count"


def preflight(rig: Rig, origin: str, path: str = "/v1/chat/completions", **more: str) -> dict[str, str] | int:
    """The headers of the answer to what a browser asks first; its status if that is not 204."""
    headers = [("origin", origin), ("access-control-request-method", "POST"), *more.items()]
    with rig.gateway.client() as client:
        client.send("OPTIONS", path, b"", headers)
        reply = client.reply()
    return dict(reply.headers) if reply.status == 204 else reply.status


def test_a_listed_page_calls() -> None:
    """The preflight needs no key and grants what the SDK asks for; answers and errors are readable, events too."""
    token = secret()
    with rigged(keys_config(f"name: k, secret: {token}"), cors_origins=frozenset({PAGE})) as rig:
        told = preflight(rig, PAGE, **{"access-control-request-headers": SDK})
        assert isinstance(told, dict)
        assert told["access-control-allow-origin"] == PAGE
        assert told["access-control-allow-headers"] == SDK
        assert "POST" in told["access-control-allow-methods"]
        assert told["vary"] == "origin"
        page = [("origin", PAGE), ("authorization", f"Bearer {token}")]
        rig.a.then(sse([chunk("a", finish="stop")]))
        answers = [
            rig.gateway.chat("m", page, stream=True),
            rig.gateway.chat("m", page),
            rig.gateway.chat("m", page[:1]),
            rig.gateway.chat("nobody", page),
            rig.gateway.get("/v1/models", page),
            rig.gateway.get("/v1/nothing", page),
        ]
        assert [reply.status for reply in answers] == [200, 200, 401, 404, 200, 404]
        for reply in answers:
            assert reply.header("access-control-allow-origin") == PAGE
            assert reply.header("access-control-expose-headers") == "*"


@pytest.mark.parametrize(
    "origin", ["https://evil.example", "http://chat.example.com", f"{PAGE}.evil.example", "null", ""]
)
def test_others_do_not(origin: str) -> None:
    """A page that is not listed gets no word that would let its browser go on; who is no browser is served all the
    same."""
    token = secret()
    with rigged(keys_config(f"name: k, secret: {token}"), cors_origins=frozenset({PAGE})) as rig:
        assert preflight(rig, origin) == 405
        reply = rig.gateway.chat("m", [("origin", origin), ("authorization", f"Bearer {token}")])
        assert reply.status == 200
        assert reply.header("access-control-allow-origin") is None


def test_everybody() -> None:
    """`*` names nobody: a cache may give the answer to any page."""
    with rigged(keys_config(f"name: k, secret: {secret()}"), cors_origins=frozenset({"*"})) as rig:
        told = preflight(rig, "https://any.example")
        assert isinstance(told, dict)
        assert told["access-control-allow-origin"] == "*"


@pytest.mark.parametrize("asked", ["x\x00y", "a: b", "é", "x" * 3000])
def test_no_header_is_echoed_unseen(asked: str) -> None:
    """What is no list of header names is not granted."""
    with rigged(keys_config(f"name: k, secret: {secret()}"), cors_origins=frozenset({PAGE})) as rig:
        told = preflight(rig, PAGE, **{"access-control-request-headers": asked})
        assert told == 400 or (isinstance(told, dict) and "access-control-allow-headers" not in told)


def test_open_mode_serves_this_machines_pages() -> None:
    """Without keys a page of this machine may call and no other, whatever is listed."""
    with rigged(cors_origins=frozenset({PAGE})) as rig:
        for origin in ("http://localhost:3000", "http://127.0.0.1:5173"):
            told = preflight(rig, origin)
            assert isinstance(told, dict)
            assert told["access-control-allow-origin"] == origin
            assert rig.gateway.chat("m", [("origin", origin)]).header("access-control-allow-origin") == origin
        assert preflight(rig, PAGE) == 403
        assert preflight(rig, "http://localhost:3000", host="evil.example") == 403
        assert rig.gateway.post("/v1/chat/completions", chat_body("m"), [("origin", PAGE)]).status == 403
