"""Stored credentials stay with the address that they were stored for."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.admin import AdminApi

THERE, ELSEWHERE = "https://api.acme.example/v1", "https://evil.example/v1"
PATCHES: list[dict[str, Any]] = [
    {"base_url": ELSEWHERE},
    {"base_url": "http://api.acme.example/v1"},
    {"base_url": "https://api.acme.example:8443/v1"},
    {"type": "mistral", "base_url": None},
    {"options": {"token_url": "https://evil.example/token"}},
]


async def operator(api: AdminApi) -> dict[str, str]:
    """The header of one."""
    made = await api.call("POST", "/tokens", {"name": "deploy", "role": "operator", "expires_at": "2099-01-01"})
    assert made.status_code == 201, made.text
    return {"authorization": f"Bearer {made.json()['token']}"}


async def acme(api: AdminApi, **credential: Any) -> str:
    """A provider with a credential; the credential's id."""
    fields = {"identifier": "acme", "type": "openai_compatible", "base_url": THERE, "name": "Acme"}
    assert (await api.call("POST", "/providers", fields)).status_code == 201
    given = credential or {"value": "sk-acme-0123456789abcdef"}
    made = await api.call("POST", "/providers/acme/credentials", {"name": "first", **given})
    assert made.status_code == 201, made.text
    return str(made.json()["id"])


@pytest.mark.parametrize("patch", PATCHES)
async def test_an_operator_cannot_have_a_credential_sent_elsewhere(sqlite_api: AdminApi, patch: dict[str, Any]) -> None:
    """409 with what to do, and nothing is changed; an admin may."""
    await acme(sqlite_api)
    own = await operator(sqlite_api)
    before = (await sqlite_api.call("GET", "/providers/acme")).json()
    refused = await sqlite_api.call("PATCH", "/providers/acme", patch, headers=own)
    assert refused.status_code == 409, refused.text
    assert "Remove the credentials first" in refused.text
    assert (await sqlite_api.call("GET", "/providers/acme")).json() == before
    if "options" not in patch:
        assert (await sqlite_api.call("PATCH", "/providers/acme", patch)).status_code == 200


async def test_nor_by_replacing_or_with_a_reference(sqlite_api: AdminApi) -> None:
    """PUT is no way around it, and a credential that refers to a variable is one as well."""
    await acme(sqlite_api, references={"api_key": "env:GATEWAY_CREDENTIAL_ACME"})
    own = await operator(sqlite_api)
    whole = {"identifier": "acme", "type": "openai_compatible", "base_url": ELSEWHERE}
    assert (await sqlite_api.call("PUT", "/providers/acme", whole, headers=own)).status_code == 409


async def test_what_an_operator_may(sqlite_api: AdminApi) -> None:
    """Everything else about the provider, another path of the same host, and an address of a provider that holds no
    credential but those that are stored afterwards."""
    credential = await acme(sqlite_api)
    own = await operator(sqlite_api)
    for patch in ({"name": "Acme Inc."}, {"base_url": "https://api.acme.example/v2"}, {"runtime": {"timeout": 9}}):
        changed = await sqlite_api.call("PATCH", "/providers/acme", patch, headers=own)
        assert changed.status_code == 200, changed.text
    rotated = await sqlite_api.call(
        "POST", f"/credentials/{credential}/rotate", {"value": "sk-acme-known-0123456789", "overlap_seconds": 60}
    )
    assert rotated.status_code == 200, rotated.text
    assert (await sqlite_api.call("PATCH", "/providers/acme", {"base_url": ELSEWHERE}, headers=own)).status_code == 409
    assert (await sqlite_api.call("DELETE", f"/credentials/{credential}", headers=own)).status_code == 204
    assert (await sqlite_api.call("PATCH", "/providers/acme", {"base_url": ELSEWHERE}, headers=own)).status_code == 200
    fresh = {"name": "first", "value": "sk-acme-own-0123456789abcdef"}
    assert (await sqlite_api.call("POST", "/providers/acme/credentials", fresh, headers=own)).status_code == 201


async def test_an_operator_has_no_reference_followed_elsewhere(sqlite_api: AdminApi) -> None:
    """409 for a provider of their own making, for one that was deleted and made again, and for a reference that nobody
    follows; where an admin had it followed, they may have it followed again."""
    refers = {"references": {"api_key": "env:GATEWAY_CREDENTIAL_ACME"}}
    await acme(sqlite_api, **refers)
    own = await operator(sqlite_api)
    mine = {"identifier": "mine", "type": "openai_compatible", "base_url": ELSEWHERE}
    assert (await sqlite_api.call("POST", "/providers", mine, headers=own)).status_code == 201
    taken = await sqlite_api.call("POST", "/providers/mine/credentials", {"name": "a", **refers}, headers=own)
    assert taken.status_code == 409, taken.text
    assert taken.json()["error"]["field"] == "references"
    assert "ask an admin" in taken.text
    second = await sqlite_api.call("POST", "/providers/acme/credentials", {"name": "b", **refers}, headers=own)
    assert second.status_code == 201, second.text
    other = {"name": "c", "references": {"api_key": "env:GATEWAY_CREDENTIAL_OTHER"}}
    assert (await sqlite_api.call("POST", "/providers/acme/credentials", other, headers=own)).status_code == 409
    assert (await sqlite_api.call("DELETE", "/providers/acme?cascade=true", headers=own)).status_code == 204
    again = {**mine, "identifier": "acme"}
    assert (await sqlite_api.call("POST", "/providers", again, headers=own)).status_code == 201
    taken = await sqlite_api.call("POST", "/providers/acme/credentials", {"name": "a", **refers}, headers=own)
    assert taken.status_code == 409, taken.text
    assert (await sqlite_api.call("POST", "/providers/acme/credentials", {"name": "a", **refers})).status_code == 201
