"""Routing rules, teams and limits over the admin API."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.support.admin import AdminApi

MOCK = [{"provider": "mock", "model": "mock-small"}]


async def rule(api: AdminApi, name: str, **changes: Any) -> dict[str, Any]:
    """A rule for requests of a model that is called like it."""
    answer = await api.call(
        "POST", "/routing-rules", {"name": name, "match": {"model": name}, "targets": MOCK, **changes}
    )
    assert answer.status_code == 201, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def order(api: AdminApi) -> list[str]:
    """The names of all rules, in the order in which they are looked at."""
    return [one["name"] for one in (await api.call("GET", "/routing-rules")).json()["items"]]


async def test_rules_come_after_the_files_in_their_own_order(api: AdminApi) -> None:
    """Made in the last place or the one they name, moved, all reordered at once; the snapshot follows."""
    ids = [(await rule(api, name))["id"] for name in ("a", "b", "c")]
    await rule(api, "first", position=0)
    assert await order(api) == ["everything", "first", "a", "b", "c"]
    moved = await api.call("PATCH", f"/routing-rules/{ids[2]}", {"position": 1})
    assert moved.status_code == 200
    assert await order(api) == ["everything", "first", "c", "a", "b"]
    every = [one["id"] for one in (await api.call("GET", "/routing-rules")).json()["items"] if not one["is_system"]]
    turned = await api.call("POST", "/providers/routing-rules/reorder", {"ids": every[::-1]})
    assert [one["name"] for one in turned.json()] == ["b", "a", "c", "first"]
    assert [route.name for route in api.services.snapshot().routes] == ["everything", "b", "a", "c", "first"]
    assert (await api.call("POST", "/routing-rules/reorder", {"ids": every[:2]})).status_code == 409
    assert (await api.call("POST", "/routing-rules/reorder", {"ids": [*every[:-1], every[0]]})).status_code == 409


async def test_a_rule_comes_back_as_it_was_sent(api: AdminApi) -> None:
    """Everything that the file can say of a route; patches merge; one that is off is not in the snapshot."""
    more = {
        "match": {"model": ["x*", "y"], "service": "chat", "headers": {"x-tier": "gold"}, "context": {"above": "8k"}},
        "strategy": "weighted",
        "targets": [{**MOCK[0], "weight": 3}, {"provider": "mock", "model": "mock-large"}],
        "fallback_on": ["error"],
        "max_attempts": 2,
        "description": "Gold.",
    }
    made = await rule(api, "gold", **more)
    assert {name: made[name] for name in ("match", "strategy", "targets", "description")} == {
        name: more[name] for name in ("match", "strategy", "targets", "description")
    }
    assert made["settings"] == {"fallback_on": ["error"], "max_attempts": 2}
    path = f"/providers/routing-rules/{made['id']}"
    shown = (
        await api.call("PATCH", path, {"match": {"headers": None}, "max_attempts": None, "status": "inactive"})
    ).json()
    assert "headers" not in shown["match"]
    assert (shown["settings"], shown["status"]) == ({"fallback_on": ["error"]}, "inactive")
    assert "gold" not in [route.name for route in api.services.snapshot().routes]
    assert (await api.call("DELETE", path)).status_code == 204


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"targets": [{"provider": "nobody", "model": "x"}]}, "targets.0.provider"),
        ({"targets": [{"provider": "mock", "model": "nothing"}]}, "targets.0.model"),
        ({"targets": []}, "targets"),
        ({"match": None}, ""),
        ({"match": {}}, "match"),
        ({"match": {"team": "nobody"}}, "match.team"),
        ({"match": {"context": {"above": 5, "up_to": 3}}}, "match.context"),
        ({"strategy": "dice"}, "strategy"),
        ({"fallbacks": {"context_window": "nowhere"}}, "fallbacks.context_window"),
        ({"sticky_on": ["shoes"]}, "sticky_on"),
    ],
)
async def test_a_rule_that_would_not_hold_is_refused(sqlite_api: AdminApi, changes: dict[str, Any], field: str) -> None:
    """422 with the field; the rules are what they were."""
    body = {"name": "r", "match": {"model": "r"}, "targets": MOCK, **changes}
    answer = await sqlite_api.call("POST", "/routing-rules", body)
    assert answer.status_code == 422, answer.text
    assert (answer.json()["error"]["field"] or "").startswith(field), answer.text
    assert await order(sqlite_api) == ["everything"]


async def test_teams_have_limits_and_are_kept_while_named(api: AdminApi) -> None:
    """A team of the database binds its keys; rules and keys that name it keep it there."""
    draft = {"name": "research", "limits": {"requests": "100/min"}, "quotas": [{"period": "day", "tokens": "5M"}]}
    made = await api.call("POST", "/teams", draft)
    assert (made.status_code, made.json()["limits"]) == (201, {"requests": "100/min"})
    assert api.services.snapshot().teams["research"].limits[0].count == 100
    await rule(api, "theirs", match={"team": "research"})
    await api.call("POST", "/keys", {"name": "ada", "team": "research"})
    for _ in range(2):
        kept = await api.call("DELETE", "/teams/research")
        assert kept.status_code == 409, kept.text
        await api.call("DELETE", "/routing-rules/theirs")
    await api.call("DELETE", "/keys/ada")
    assert (await api.call("DELETE", "/teams/research")).status_code == 204
    patched = await api.call("PATCH", "/teams/research", {})
    assert patched.status_code == 404


async def test_limits_of_users_and_quotas(api: AdminApi) -> None:
    """Rates and quotas for each member of a scope; /quotas is another name; a limit has to limit something."""
    made = await api.call("POST", "/limits", {"name": "per-user", "scope": "user", "tokens": "50k/min"})
    assert made.status_code == 201, made.text
    quota = {"name": "cap", "scope": "global", "quotas": [{"period": "month", "cost": 500, "soft": 0.8}]}
    assert (await api.call("POST", "/quotas", quota)).status_code == 201
    names = {limit.name: limit.scope for limit in api.services.snapshot().limits}
    assert names == {"per-user": "user", "cap": "global"}
    only = (await api.call("GET", "/limits", params={"scope": "user"})).json()["items"]
    assert [one["name"] for one in only] == ["per-user"]
    changed = await api.call("PATCH", "/limits/per-user", {"tokens": None, "requests": "5/s"})
    assert (changed.json()["tokens"], changed.json()["requests"]) == (None, "5/s")
    nothing = await api.call("PATCH", "/limits/per-user", {"requests": None})
    assert nothing.status_code == 422
    put = await api.call("PUT", "/quotas/cap", {"name": "cap", "scope": "global", "concurrency": 9})
    assert (put.json()["concurrency"], put.json()["quotas"]) == (9, [])
    assert (await api.call("DELETE", "/limits/cap")).status_code == 204


async def test_changes_at_once_all_happen_or_are_told(api: AdminApi) -> None:
    """Four rules made at the same time: four are there, each in a revision of its own."""
    answers = await asyncio.gather(
        *(
            api.call("POST", "/routing-rules", {"name": f"r{n}", "match": {"model": f"r{n}"}, "targets": MOCK})
            for n in range(4)
        )
    )
    assert {answer.status_code for answer in answers} == {201}
    assert len(set(await order(api))) == 5
    assert await api.services.resources.revision() == 4
