"""Requests that are repeated with the same Idempotency-Key."""

from __future__ import annotations

import asyncio
from pathlib import Path

from sqlalchemy import text

from gateway.storage.embedded import EmbeddedRedis
from gateway.vault import Vault
from gateway.vault.keys import master_key
from tests.http.admin.test_providers import ACME
from tests.support.admin import Desk, opened_desk
from tests.support.ledger import sqlite_file

KEY = {"idempotency-key": "try-1"}


async def test_the_first_answer_comes_back(desk: Desk) -> None:
    """The same status, body and headers, marked as a repetition; nothing is done twice."""
    first = await desk.call("POST", "/providers", ACME, headers=KEY)
    again = await desk.call("POST", "/providers", ACME, headers=KEY)
    assert (first.status_code, again.status_code, again.content) == (201, 201, first.content)
    assert (again.headers["idempotency-replayed"], again.headers["etag"]) == ("true", first.headers["etag"])
    assert await desk.services.resources.revision() == 1
    other = await desk.call("POST", "/providers", {**ACME, "name": "B"}, headers=KEY)
    assert (other.status_code, other.json()["error"]["field"]) == (422, "Idempotency-Key")


async def test_what_was_refused_may_be_tried_again(desk: Desk) -> None:
    """A 422 is not kept: the same key serves for what is right."""
    assert (await desk.call("POST", "/providers", {**ACME, "type": "x"}, headers=KEY)).status_code == 422
    assert (await desk.call("POST", "/providers", ACME, headers=KEY)).status_code == 201


async def test_of_many_at_once_one_is_done(desk: Desk) -> None:
    """The others are told to wait, or get its answer."""
    answers = await asyncio.gather(*(desk.call("POST", "/keys", {"name": "k"}, headers=KEY) for _ in range(8)))
    statuses = [answer.status_code for answer in answers]
    assert statuses.count(201) == 1
    assert set(statuses) <= {201, 409}
    assert (await desk.call("GET", "/keys", params={"search": "k"})).json()["total"] == 1


async def test_a_secret_is_kept_sealed_or_not_at_all(
    sqlite_desk: Desk, admin_store: EmbeddedRedis, tmp_path: Path
) -> None:
    """With an encryption key the repeated answer has the secret; the database has it nowhere. Without: it is gone."""
    made = (await sqlite_desk.call("POST", "/keys", {"name": "k"}, headers=KEY)).json()
    again = await sqlite_desk.call("POST", "/keys", {"name": "k"}, headers=KEY)
    assert (again.status_code, made["secret"] in again.text) == (409, False)
    directory = tmp_path / "sealed"
    directory.mkdir()
    vault = Vault([master_key("a passphrase of a test", b"salt" * 4)])
    async with opened_desk(sqlite_file(directory), admin_store.url, directory, vault=vault) as desk:
        made = (await desk.call("POST", "/keys", {"name": "k"}, headers=KEY)).json()
        again = await desk.call("POST", "/keys", {"name": "k"}, headers=KEY)
        assert (again.status_code, again.json()["secret"]) == (201, made["secret"])
        async with desk.services.database.connect() as connection:
            rows = (await connection.execute(text("SELECT * FROM admin_requests"))).all()
        assert made["secret"] not in repr(rows)


async def test_keys_of_others_are_others(sqlite_desk: Desk) -> None:
    """An odd key is refused; after a day, or after the first request died, the key is free."""
    odd = await sqlite_desk.call("POST", "/keys", {"name": "k"}, headers={"idempotency-key": "x" * 300})
    assert (odd.status_code, odd.json()["error"]["field"]) == (422, "Idempotency-Key")
    assert (await sqlite_desk.call("POST", "/keys", {"name": "k"}, headers=KEY)).status_code == 201
    async with sqlite_desk.services.database.begin() as connection:
        await connection.execute(text("UPDATE admin_requests SET created_at = 0"))
    assert (await sqlite_desk.call("POST", "/keys", {"name": "j"}, headers=KEY)).status_code == 201
    async with sqlite_desk.services.database.begin() as connection:
        await connection.execute(text("UPDATE admin_requests SET status = NULL, created_at = created_at - 200000000"))
    assert (await sqlite_desk.call("POST", "/keys", {"name": "i"}, headers=KEY)).status_code == 201
