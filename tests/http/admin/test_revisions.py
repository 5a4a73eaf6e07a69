"""Revisions and the registry's status over the admin API."""

from __future__ import annotations

from tests.http.admin.test_providers import SECRET, acme
from tests.support.admin import Desk


async def test_what_was_changed_by_whom(desk: Desk) -> None:
    """Each change is a revision with its author and what differs, without secrets."""
    await acme(desk)
    await desk.call("POST", "/providers/acme/credentials", {"value": SECRET})
    await desk.call("PATCH", "/providers/acme", {"runtime": {"batch_size": 9}}, headers={"x-request-id": "req-7"})
    page = (await desk.call("GET", "/revisions", params={"limit": "2"})).json()
    assert [one["revision"] for one in page["items"]] == [3, 2]
    assert (page["total"], page["items"][0]["request_id"], page["items"][0]["actor"]) == (3, "req-7", "admin")
    rest = (await desk.call("GET", "/revisions", params={"limit": "2", "cursor": page["next_cursor"]})).json()
    assert [one["revision"] for one in rest["items"]] == [1]
    one = (await desk.call("GET", "/revisions/3")).json()
    assert [change["fields"] for change in one["changes"]] == [["settings.batch_size"]]
    every = await desk.call("GET", "/revisions/diff", params={"older": "0"})
    assert {change["kind"] for change in every.json()["changes"]} == {"providers", "credentials"}
    assert SECRET not in every.text


async def test_one_call_leads_back(desk: Desk) -> None:
    """Everything is as it was then, as a new revision; an unknown one is 404."""
    await acme(desk)
    await desk.call("POST", "/providers/acme/models", {"model": "small"})
    await desk.call("PATCH", "/providers/acme", {"status": "inactive"})
    back = await desk.call("POST", "/revisions/1/rollback")
    assert (back.status_code, back.json()["revision"]) == (200, 4)
    assert back.json()["changed"] == ["models/small", "providers/acme"]
    assert (await desk.call("GET", "/providers/acme")).json()["status"] == "active"
    assert (await desk.call("GET", "/providers/acme/models")).json()["total"] == 0
    assert (await desk.call("GET", "/revisions/4")).json()["rolled_back_to"] == 1
    assert (await desk.call("POST", "/revisions/99/rollback")).status_code == 404
    assert (await desk.call("GET", "/revisions/99")).status_code == 404
    wrong = await desk.call("GET", "/revisions/diff", params={"older": "3", "newer": "2"})
    assert (wrong.status_code, wrong.json()["error"]["field"]) == (422, "older")


async def test_the_registry_lays_out_what_is_new(desk: Desk) -> None:
    """After a refresh the workers' file is at the newest revision; nobody has told anything yet."""
    await acme(desk)
    status = (await desk.call("POST", "/providers/refresh-registry")).json()
    assert (status["resources"], status["laid_out"], status["workers"]) == (1, 1, [])
    assert (await desk.call("GET", "/providers/registry-status")).json()["laid_out"] == 1
