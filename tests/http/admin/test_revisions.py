"""Revisions and the registry's status over the admin API."""

from __future__ import annotations

from tests.http.admin.test_providers import SECRET, acme
from tests.support.admin import AdminApi


async def test_what_was_changed_by_whom(api: AdminApi) -> None:
    """Each change is a revision with its author and what differs, without secrets."""
    await acme(api)
    await api.call("POST", "/providers/acme/credentials", {"value": SECRET})
    await api.call("PATCH", "/providers/acme", {"runtime": {"batch_size": 9}}, headers={"x-request-id": "req-7"})
    page = (await api.call("GET", "/revisions", params={"limit": "2"})).json()
    assert [one["revision"] for one in page["items"]] == [3, 2]
    assert (page["total"], page["items"][0]["request_id"], page["items"][0]["actor"]) == (3, "req-7", "admin")
    rest = (await api.call("GET", "/revisions", params={"limit": "2", "cursor": page["next_cursor"]})).json()
    assert [one["revision"] for one in rest["items"]] == [1]
    one = (await api.call("GET", "/revisions/3")).json()
    assert [change["fields"] for change in one["changes"]] == [["settings.batch_size"]]
    every = await api.call("GET", "/revisions/diff", params={"older": "0"})
    assert {change["kind"] for change in every.json()["changes"]} == {"providers", "credentials"}
    assert SECRET not in every.text


async def test_one_call_leads_back(api: AdminApi) -> None:
    """Everything is as it was then, as a new revision; an unknown one is 404."""
    await acme(api)
    await api.call("POST", "/providers/acme/models", {"model": "small"})
    await api.call("PATCH", "/providers/acme", {"status": "inactive"})
    back = await api.call("POST", "/revisions/1/rollback")
    assert (back.status_code, back.json()["revision"]) == (200, 4)
    assert back.json()["changed"] == ["models/small", "providers/acme"]
    assert (await api.call("GET", "/providers/acme")).json()["status"] == "active"
    assert (await api.call("GET", "/providers/acme/models")).json()["total"] == 0
    assert (await api.call("GET", "/revisions/4")).json()["rolled_back_to"] == 1
    assert (await api.call("POST", "/revisions/99/rollback")).status_code == 404
    assert (await api.call("GET", "/revisions/99")).status_code == 404
    wrong = await api.call("GET", "/revisions/diff", params={"older": "3", "newer": "2"})
    assert (wrong.status_code, wrong.json()["error"]["field"]) == (422, "older")


async def test_the_registry_lays_out_what_is_new(api: AdminApi) -> None:
    """After a refresh the workers' file is at the newest revision; nobody has told anything yet."""
    await acme(api)
    status = (await api.call("POST", "/providers/refresh-registry")).json()
    assert (status["resources"], status["laid_out"], status["workers"]) == (1, 1, [])
    assert (await api.call("GET", "/providers/registry-status")).json()["laid_out"] == 1
