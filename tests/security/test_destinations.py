"""Where a call goes, and what is fetched, is the operator's word alone."""

from __future__ import annotations

from typing import Any

import pytest

from tests.security.carriers import JSON_PATHS, carried
from tests.support.rig import KEY_A, PRIVATE_MODEL, Rig, chat_body
from tests.support.steps import status

# ---- CVE-2024-6587, PYSEC-2026-4070, CVE-2025-66405, CVE-2026-110719: the client names the destination

DESTINATIONS = ("api_base", "base_url", "baseURL", "custom_host", "host", "url", "endpoint", "azure_endpoint", "proxy")
DESTINATION_HEADERS = (
    *("x-api-base", "x-base-url", "x-portkey-custom-host", "x-custom-host", "x-forwarded-host", "x-original-url"),
    *(
        "x-rewrite-url",
        "x-upstream-host",
        "x-litellm-api-base",
        "forwarded",
        "x-provider-url",
        "x-http-method-override",
    ),
)


@pytest.mark.parametrize("path", JSON_PATHS)
def test_no_field_chooses_the_destination(rig: Rig, token: str, path: str) -> None:
    """Whatever fields a body has, at any depth, the call goes where the configuration says, with its credential."""
    trap = rig.b.base_url
    for word in DESTINATIONS:
        inner: Any = {word: trap, "api_key": "stolen", "headers": {"Host": trap}}
        body = chat_body(
            PRIVATE_MODEL,
            **inner,
            extra_body=inner,
            metadata=dict.fromkeys(inner, trap),
            litellm_params={"deep": [inner]},
        )
        body |= {"input": "x", "prompt": "x", "documents": ["x"], "query": "x", "voice": "v"}
        rig.gateway.post(f"{path}?{word}={trap}", body, [carried("bearer", token)])
    assert [request.header("authorization") for request in rig.a.received] == [f"Bearer {KEY_A}"] * len(DESTINATIONS)
    assert not rig.b.received


def test_no_header_chooses_the_destination(rig: Rig, token: str) -> None:
    """No header of the client reaches a provider as a destination, nor changes it."""
    trap = rig.b.base_url
    for name in DESTINATION_HEADERS:
        assert rig.gateway.chat("m", [carried("bearer", token), (name, trap)]).status == 200
    assert not rig.b.received
    for request in rig.a.received:
        assert trap not in str(request.headers)


def test_no_model_is_a_destination(rig: Rig, token: str) -> None:
    """A name that looks like an address is an unknown model."""
    for name in (rig.b.base_url, f"a/{rig.b.base_url}", "a/../../b", f"openai@{rig.b.base_url}", "a/m@127.0.0.1"):
        assert rig.gateway.chat(name, [carried("bearer", token)]).status == 404, name
    assert not rig.b.received


# ---- CVE-2025-59146, CVE-2025-62155, CVE-2026-42339, CVE-2026-33655: the gateway fetches what a client names


def test_no_address_of_a_client_is_fetched(rig: Rig, token: str) -> None:
    """Pictures, files and audio by address are the provider's to fetch: the bytes are passed on, nothing is opened."""
    link = f"{rig.b.base_url}/secret"
    parts = [
        {"type": "image_url", "image_url": {"url": link}},
        {"type": "input_audio", "input_audio": {"url": link}},
        {"type": "file", "file": {"file_url": link}},
    ]
    assert (
        rig.gateway.chat("m", [carried("bearer", token)], messages=[{"role": "user", "content": parts}]).status == 200
    )
    body = {"model": "m", "input": link, "tools": [{"type": "mcp", "server_url": link}], "webhook": link}
    rig.gateway.post("/v1/responses", body, [carried("bearer", token)])
    assert len(rig.a.received) == 2
    assert not rig.b.received


@pytest.mark.parametrize("code", [301, 302, 303, 307, 308])
def test_no_redirect_is_followed(rig: Rig, token: str, code: int) -> None:
    """A provider that points elsewhere is a bad answer: neither the call nor its credential goes there."""
    rig.a.then(status(code, b"", [("location", f"{rig.b.base_url}/v1/chat/completions")]))
    reply = rig.gateway.chat("upstream-private-a", [carried("bearer", token)])
    assert (reply.status, reply.error["code"]) == (502, "bad_upstream_response")
    assert rig.b.base_url not in reply.body.decode() + reply.head.decode()
    assert not rig.b.received
