"""Virtual keys over the admin API."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from gateway.auth.keyring import Keyring
from gateway.auth.records import decode, digest_of
from gateway.storage.embedded import EmbeddedRedis
from tests.support.admin import CONFIG, AdminApi, opened_api
from tests.support.ledger import sqlite_file

FULL = {
    "name": "ci",
    "team": "research",
    "models": ["gpt-4o*", "fast"],
    "services": ["chat"],
    "limits": {"requests": "60/min", "tokens": {"rate": "100k/min", "burst": "5k"}, "concurrency": 5},
    "quotas": [{"period": "month", "cost": 100, "soft": 0.8}, {"period": "day", "tokens": "5M"}],
    "metadata": {"owner": "ada", "groups": "beta"},
    "expires_at": "2041-01-31",
}


async def teams(api: AdminApi, *names: str) -> None:
    """Make these."""
    for name in names:
        assert (await api.call("POST", "/teams", {"name": name})).status_code == 201


async def test_a_key_is_made_once_and_shown_without_its_secret(api: AdminApi) -> None:
    """201 with the secret, which the workers' store knows at once; nothing shows it again."""
    await teams(api, "research")
    made = await api.call("POST", "/keys", FULL)
    assert made.status_code == 201, made.text
    key = made.json()
    assert key["secret"].startswith(key["prefix"])
    assert made.headers["location"] == "/api/admin/keys/ci"
    look = await Keyring(api.redis).look([digest_of(key["secret"].encode())])
    assert look.records[0] is not None
    assert decode(look.records[0]).name == "ci"
    for path in ("/keys/ci", "/keys"):
        shown = await api.call("GET", path)
        assert key["secret"] not in shown.text
    one = (await api.call("GET", "/keys/ci")).json()
    assert {name: one[name] for name in FULL if name != "expires_at"} == {
        k: v for k, v in FULL.items() if k != "expires_at"
    }
    assert one["expires_at"] == "2041-01-31T00:00:00.000000Z"


async def test_making_the_same_key_again_finds_it(api: AdminApi) -> None:
    """The same content: 200 without a secret. Other content under that name: 409."""
    await teams(api, "research", "sales")
    await api.call("POST", "/keys", FULL)
    again = await api.call("POST", "/keys", FULL)
    assert (again.status_code, again.json()["secret"]) == (200, None)
    other = await api.call("POST", "/keys", FULL | {"team": "sales"})
    assert (other.status_code, other.json()["error"]["code"]) == (409, "conflict")


async def test_changes_name_the_version_they_are_made_to(api: AdminApi) -> None:
    """With the ETag that was read a change is made; with an old one it is refused and nothing happens."""
    first = (await api.call("POST", "/keys", {"name": "ci"})).headers["etag"]
    done = await api.call("PATCH", "/keys/ci", {"models": ["fast"]}, headers={"if-match": first})
    assert (done.status_code, done.json()["models"]) == (200, ["fast"])
    assert done.headers["etag"] != first
    late = await api.call("PATCH", "/keys/ci", {"models": ["slow"]}, headers={"if-match": first})
    assert (late.status_code, late.json()["error"]["code"]) == (412, "version_mismatch")
    assert (await api.call("GET", "/keys/ci")).json()["models"] == ["fast"]
    assert (await api.call("DELETE", "/keys/ci", headers={"if-match": first})).status_code == 412
    odd = await api.call("PATCH", "/keys/ci", {"models": ["slow"]}, headers={"if-match": "yesterday"})
    assert (odd.status_code, odd.json()["error"]["field"]) == (422, "If-Match")


async def test_of_two_changes_at_once_one_is_refused(api: AdminApi) -> None:
    """Both read the same version; one update is not lost, its author is told."""
    await teams(api, "a", "b")
    tag = (await api.call("POST", "/keys", {"name": "ci"})).headers["etag"]
    answers = await asyncio.gather(
        *(api.call("PATCH", "/keys/ci", {"team": team}, headers={"if-match": tag}) for team in ("a", "b"))
    )
    assert sorted(answer.status_code for answer in answers) == [200, 412]


async def test_null_removes_and_put_replaces(api: AdminApi) -> None:
    """PATCH leaves what it does not name; PUT removes it."""
    await teams(api, "research")
    await api.call("POST", "/keys", FULL)
    patched = (await api.call("PATCH", "/keys/ci", {"expires_at": None, "limits": {"requests": "5/s"}})).json()
    assert (patched["expires_at"], patched["limits"], patched["team"]) == (None, {"requests": "5/s"}, "research")
    put = (await api.call("PUT", "/keys/ci", {"models": ["fast"]})).json()
    assert (put["models"], put["team"], put["limits"], put["quotas"]) == (["fast"], None, {}, [])


async def test_a_rotated_key_has_two_secrets_for_a_while(api: AdminApi) -> None:
    """The new secret is shown once, the old one is known with the end of its grace."""
    old = (await api.call("POST", "/keys", {"name": "ci"})).json()["secret"]
    turned = await api.call("POST", "/keys/ci/rotate", {"grace_seconds": 600})
    new = turned.json()["secret"]
    assert turned.status_code == 200
    assert turned.json()["grace_until"] is not None
    look = await Keyring(api.redis).look([digest_of(secret.encode()) for secret in (old, new)])
    ends = [decode(record).expires_at for record in look.records if record is not None]
    assert len(ends) == 2
    assert ends[0] is not None
    assert ends[1] is None


async def test_a_revoked_key_stays_in_the_books(api: AdminApi) -> None:
    """Revoked, it is unknown to the workers, shown as revoked, its name taken for ever, and no change helps."""
    secret = (await api.call("POST", "/keys", {"name": "ci"})).json()["secret"]
    gone = await api.call("DELETE", "/keys/ci")
    assert (gone.status_code, gone.json()["state"]) == (200, "revoked")
    assert (await Keyring(api.redis).look([digest_of(secret.encode())])).records == [None]
    assert (await api.call("POST", "/keys", {"name": "ci"})).status_code == 409
    assert (await api.call("PATCH", "/keys/ci", {"team": "x"})).status_code == 409
    assert (await api.call("POST", "/keys/ci/rotate", {})).status_code == 409


async def test_keys_of_the_file_are_seen_and_not_changed(sqlite_api: AdminApi) -> None:
    """They are in the list in the file's notation; changing them is the file's business, their names are taken."""
    api = sqlite_api
    filed = (await api.call("GET", "/keys/filed")).json()
    assert (filed["is_system"], filed["state"]) == (True, "active")
    assert filed["limits"] == {"requests": {"rate": "60/min", "burst": 5}, "concurrency": 3}
    assert filed["quotas"][0]["cost"] == 2.5
    for method, path, body in (
        ("PATCH", "/keys/filed", {"team": "x"}),
        ("DELETE", "/keys/filed", None),
        ("POST", "/keys/filed/rotate", {}),
        ("POST", "/keys", {"name": "filed"}),
    ):
        assert (await api.call(method, path, body)).status_code == 409, (method, path)


@pytest.mark.parametrize("sort", ["name", "-name", "created_at", "-created_at"])
async def test_pages_hold_every_key_once(api: AdminApi, sort: str) -> None:
    """Whatever the order, the pages together are the whole list, with the file's keys in it; capitals included."""
    names = [f"k{number}" for number in range(6)] + ["K9", "a_b", "a-b"]
    for name in names:
        assert (await api.call("POST", "/keys", {"name": name})).status_code == 201
    seen: list[str] = []
    cursor: str | None = None
    while True:
        query = {"limit": "4", "sort": sort} | ({} if cursor is None else {"cursor": cursor})
        page = (await api.call("GET", "/keys", params=query)).json()
        seen += [key["name"] for key in page["items"]]
        assert page["total"] == 10
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert sorted(seen) == sorted([*names, "filed"])
    if sort.endswith("name"):
        assert seen == sorted(seen, reverse=sort.startswith("-"))


async def test_filters(api: AdminApi) -> None:
    """By state, team and part of the name; wildcards of SQL are letters like others."""
    await teams(api, "a", "b")
    for name, team in (("one", "a"), ("two", "b"), ("t_o", "b")):
        await api.call("POST", "/keys", {"name": name, "team": team})
    await api.call("DELETE", "/keys/one")

    async def found(**query: str) -> list[str]:
        return [key["name"] for key in (await api.call("GET", "/keys", params=query)).json()["items"]]

    assert await found(state="revoked") == ["one"]
    assert await found(team="b") == ["t_o", "two"]
    assert await found(search="t_") == ["t_o"]
    assert await found(search="%") == []
    assert await found(search="FIL") == ["filed"]


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "name"),
        ({"name": "a b"}, "name"),
        ({"name": "x" * 65}, "name"),
        ({"name": "x", "colour": "red"}, "colour"),
        ({"name": "x", "secret": "mine"}, "secret"),
        ({"name": "x", "limits": {"requests": "fast"}}, "limits.requests"),
        ({"name": "x", "limits": {"concurrency": 0}}, "limits.concurrency"),
        ({"name": "x", "quotas": [{"period": "month"}]}, "quotas.0"),
        ({"name": "x", "quotas": [{"period": "month", "cost": -1}]}, "quotas.0.cost"),
        ({"name": "x", "quotas": [{"period": "month", "cost": 1e300}]}, "quotas.0.cost"),
        ({"name": "x", "models": []}, "models"),
        ({"name": "x", "expires_at": "2001-01-01"}, "expires_at"),
        ({"name": "x", "services": ["dance"]}, "services.0"),
    ],
)
async def test_what_is_no_key_is_told_by_field(sqlite_api: AdminApi, body: dict[str, object], field: str) -> None:
    """422 with the field that is at fault, and what to do."""
    answer = await sqlite_api.call("POST", "/keys", body)
    assert answer.status_code == 422
    error = answer.json()["error"]
    assert error["code"] == "validation_failed"
    assert (error["field"] or "").startswith(field)
    assert any((detail["field"] or "").startswith(field) for detail in error["details"])


async def test_while_the_store_is_away_a_key_is_made_all_the_same(sqlite_api: AdminApi) -> None:
    """The database is the truth; the answer says that the workers were not told yet."""
    await sqlite_api.redis.close()
    made = await sqlite_api.call("POST", "/keys", {"name": "ci"})
    assert (made.status_code, made.json()["told"]) == (201, False)


async def test_a_key_belongs_to_a_team_that_there_is(api: AdminApi) -> None:
    """422 for another, with what to do, when a key is made, changed or replaced; what it has already may stay."""
    await teams(api, "research")
    for method, path, body in (
        ("POST", "/keys", {"name": "other", "team": "nobody"}),
        ("PATCH", "/keys/ci", {"team": "nobody"}),
        ("PUT", "/keys/ci", {"team": "nobody"}),
    ):
        await api.call("POST", "/keys", {"name": "ci", "team": "research"})
        refused = await api.call(method, path, body)
        assert (refused.status_code, refused.json()["error"]["field"]) == (422, "team"), refused.text
        assert "create it first" in refused.text
    assert (await api.call("GET", "/keys/other")).status_code == 404
    assert (await api.call("GET", "/keys/ci")).json()["team"] == "research"
    assert (await api.call("PATCH", "/keys/ci", {"team": "research", "models": ["fast"]})).status_code == 200


async def test_a_team_of_the_file_is_one(admin_store: EmbeddedRedis, tmp_path: Path) -> None:
    """Keys of the database may belong to it."""
    config = CONFIG + "teams:\n  - {name: filed-team, limits: {requests: 100/min}}\n"
    async with opened_api(sqlite_file(tmp_path), admin_store.url, tmp_path, config) as api:
        made = await api.call("POST", "/keys", {"name": "ci", "team": "filed-team"})
        assert (made.status_code, made.json()["team"]) == (201, "filed-team")


async def test_no_key_is_left_in_a_team_that_is_gone(api: AdminApi) -> None:
    """Whoever comes first, the other is refused: keys are made for a team while it is deleted."""
    for number in range(12):
        team = f"t{number}"
        await teams(api, team)
        made, gone = await asyncio.gather(
            api.call("POST", "/keys", {"name": f"k{number}", "team": team}), api.call("DELETE", f"/teams/{team}")
        )
        assert (made.status_code, gone.status_code) in ((201, 409), (422, 204)), (made.text, gone.text)
