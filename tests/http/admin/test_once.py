"""Requests that are repeated with the same Idempotency-Key."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text
from starlette.requests import Request
from starlette.responses import Response

from gateway.auth.admins import Actor, Role
from gateway.http.admin.authentication import Authenticator, Entry
from gateway.http.admin.once import once
from gateway.http.admin.problems import Invalid
from gateway.storage.embedded import EmbeddedRedis
from gateway.vault import Vault
from gateway.vault.keys import master_key
from tests.http.admin.test_providers import ACME
from tests.support.admin import ADMIN_KEY, AdminApi, opened_api
from tests.support.ledger import sqlite_file

KEY = {"idempotency-key": "try-1"}
ROOT = Actor("admin", Role.ADMIN, "admin_key")


def asking(body: bytes = b"{}", query: str = "", **headers: str) -> Request:
    """A POST with the key."""
    pairs = [(name.replace("_", "-").encode(), value.encode()) for name, value in {**KEY, **headers}.items()]
    scope = {"type": "http", "method": "POST", "path": "/api/admin/x", "query_string": query.encode(), "headers": pairs}

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": body}

    return Request(scope, receive)


async def answer(words: str) -> Response:
    """What was done."""
    return Response(words)


async def test_the_first_answer_comes_back(api: AdminApi) -> None:
    """The same status, body and headers, marked as a repetition; nothing is done twice."""
    first = await api.call("POST", "/providers", ACME, headers=KEY)
    again = await api.call("POST", "/providers", ACME, headers=KEY)
    assert (first.status_code, again.status_code, again.content) == (201, 201, first.content)
    assert (again.headers["idempotency-replayed"], again.headers["etag"]) == ("true", first.headers["etag"])
    assert await api.services.resources.revision() == 1
    other = await api.call("POST", "/providers", {**ACME, "name": "B"}, headers=KEY)
    assert (other.status_code, other.json()["error"]["field"]) == (422, "Idempotency-Key")


async def test_what_was_refused_may_be_tried_again(api: AdminApi) -> None:
    """A 422 is not kept: the same key serves for what is right."""
    assert (await api.call("POST", "/providers", {**ACME, "type": "x"}, headers=KEY)).status_code == 422
    assert (await api.call("POST", "/providers", ACME, headers=KEY)).status_code == 201


async def test_of_many_at_once_one_is_done(api: AdminApi) -> None:
    """The others are told to wait, or get its answer."""
    answers = await asyncio.gather(*(api.call("POST", "/keys", {"name": "k"}, headers=KEY) for _ in range(8)))
    statuses = [answer.status_code for answer in answers]
    assert statuses.count(201) == 1
    assert set(statuses) <= {201, 409}
    assert (await api.call("GET", "/keys", params={"search": "k"})).json()["total"] == 1


async def test_a_secret_is_kept_sealed_or_not_at_all(
    sqlite_api: AdminApi, admin_store: EmbeddedRedis, tmp_path: Path
) -> None:
    """With an encryption key the repeated answer has the secret; the database has it nowhere. Without: it is gone."""
    made = (await sqlite_api.call("POST", "/keys", {"name": "k"}, headers=KEY)).json()
    again = await sqlite_api.call("POST", "/keys", {"name": "k"}, headers=KEY)
    assert (again.status_code, made["secret"] in again.text) == (409, False)
    directory = tmp_path / "sealed"
    directory.mkdir()
    vault = Vault([master_key("a passphrase of a test", b"salt" * 4)])
    async with opened_api(sqlite_file(directory), admin_store.url, directory, vault=vault) as api:
        made = (await api.call("POST", "/keys", {"name": "k"}, headers=KEY)).json()
        again = await api.call("POST", "/keys", {"name": "k"}, headers=KEY)
        assert (again.status_code, again.json()["secret"]) == (201, made["secret"])
        async with api.services.database.connect() as connection:
            rows = (await connection.execute(text("SELECT * FROM admin_requests"))).all()
        assert made["secret"] not in repr(rows)


async def test_keys_of_others_are_others(sqlite_api: AdminApi) -> None:
    """An odd key is refused; after a day, or after the first request died, the key is free."""
    odd = await sqlite_api.call("POST", "/keys", {"name": "k"}, headers={"idempotency-key": "x" * 300})
    assert (odd.status_code, odd.json()["error"]["field"]) == (422, "Idempotency-Key")
    assert (await sqlite_api.call("POST", "/keys", {"name": "k"}, headers=KEY)).status_code == 201
    async with sqlite_api.services.database.begin() as connection:
        await connection.execute(text("UPDATE admin_requests SET created_at = 0"))
    assert (await sqlite_api.call("POST", "/keys", {"name": "j"}, headers=KEY)).status_code == 201
    async with sqlite_api.services.database.begin() as connection:
        await connection.execute(text("UPDATE admin_requests SET status = NULL, created_at = created_at - 200000000"))
    assert (await sqlite_api.call("POST", "/keys", {"name": "i"}, headers=KEY)).status_code == 201


async def test_a_key_is_one_callers(api: AdminApi) -> None:
    """Two machines' tokens of one name use one word for two things, and neither sees what the other was answered."""
    wanted = {"name": "ci", "role": "admin"}
    tokens = [(await api.call("POST", "/tokens", wanted)).json()["token"] for _ in range(2)]
    seen = set()
    for number, token in enumerate(tokens):
        carried = {**KEY, "authorization": f"Bearer {token}"}
        made = await api.call("POST", "/teams", {"name": f"team-{number}"}, headers=carried)
        assert (made.status_code, made.headers.get("idempotency-replayed")) == (201, None)
        seen.add(made.json()["name"])
    assert seen == {"team-0", "team-1"}


async def test_everything_that_decides_is_content(sqlite_api: AdminApi) -> None:
    """Another query, condition or body is another request."""
    services = sqlite_api.services
    first = await once(services, ROOT, asking(query="dry_run=true"), lambda: answer("done"))
    again = await once(services, ROOT, asking(query="dry_run=true"), lambda: answer("twice"))
    assert (first.body, again.body) == (b"done", b"done")
    for other in (asking(), asking(query="dry_run=true", if_match='"1"'), asking(b"[]", query="dry_run=true")):
        with pytest.raises(Invalid):
            await once(services, ROOT, other, lambda: answer("twice"))


@pytest.mark.parametrize("fails", [False, True])
async def test_who_was_taken_for_dead_changes_nothing(api: AdminApi, fails: bool) -> None:
    """A first request that is done, or fails, after its time neither frees nor overwrites what its successor did."""
    services, go, begun = api.services, asyncio.Event(), asyncio.Event()

    async def slowly() -> Response:
        begun.set()
        await go.wait()
        if fails:
            raise ConnectionAbortedError
        return Response("late")

    slow = asyncio.create_task(once(services, ROOT, asking(), slowly))
    await begun.wait()
    async with services.database.begin() as connection:
        await connection.execute(text("UPDATE admin_requests SET created_at = created_at - 200000000"))
    holding = asyncio.Event()

    async def successor() -> Response:
        go.set()
        await asyncio.wait([slow])
        holding.set()
        return Response("in time")

    assert (await once(services, ROOT, asking(), successor)).body == b"in time"
    assert holding.is_set()
    assert isinstance(slow.exception(), ConnectionAbortedError) if fails else slow.result().body == b"late"
    assert (await once(services, ROOT, asking(), lambda: answer("twice"))).body == b"in time"


async def test_what_was_sent_cannot_be_guessed_from_the_database(sqlite_api: AdminApi) -> None:
    """The fingerprint of a request is made with the admin key: another admin key has another one, and refuses."""
    services = sqlite_api.services
    assert (await once(services, ROOT, asking(b"pw"), lambda: answer("done"))).body == b"done"
    authenticator = Authenticator(Entry(ADMIN_KEY + "-next"), services.database, services.authenticator.audit)
    object.__setattr__(services, "authenticator", authenticator)
    with pytest.raises(Invalid):
        await once(services, ROOT, asking(b"pw"), lambda: answer("twice"))
