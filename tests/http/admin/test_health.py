"""Health, probes and incidents over the admin API."""

from __future__ import annotations

from gateway.health.events import Event
from gateway.health.history import History
from gateway.health.layout import Layout
from gateway.ports import DeploymentChanged, ProbeResult
from tests.support.admin import AdminApi

NOW = 1_793_500_000.0


async def troubled(api: AdminApi) -> None:
    """A provider that failed two probes and recovered nothing yet."""
    layout = Layout(api.services.snapshot())
    probes = [ProbeResult("mock", None, "connect_refused", NOW + n, 0.25) for n in range(3)]
    change = DeploymentChanged("mock/mock-small", "out", "breaker", NOW + 5)
    events: list[Event] = [*probes, change]
    await History(api.services.database).record([(f"1-{n}", [event]) for n, event in enumerate(events)], layout)


async def test_deployments_with_state_and_last_probe(api: AdminApi) -> None:
    """Configured ones are healthy unless workers said otherwise; the provider's probe counts for each."""
    await troubled(api)
    page = (await api.call("GET", "/health")).json()
    states = {one["deployment"]: one["state"] for one in page["items"]}
    assert states == {"mock/mock-large": "healthy", "mock/mock-small": "out"}
    assert {one["last_probe"]["outcome"] for one in page["items"]} == {"connect_refused"}


async def test_probes_in_pages(api: AdminApi) -> None:
    """The newest first, each once."""
    await troubled(api)
    first = (await api.call("GET", "/health/checks", params={"limit": "2"})).json()
    assert (len(first["items"]), first["total"]) == (2, 3)
    rest = (await api.call("GET", "/health/checks", params={"limit": "2", "cursor": first["next_cursor"]})).json()
    times = [one["at"] for one in [*first["items"], *rest["items"]]]
    assert times == sorted(times, reverse=True)
    assert len(set(times)) == 3


async def test_incidents(api: AdminApi) -> None:
    """One incident for the trouble, found by state and provider, shown by its id."""
    await troubled(api)
    page = (await api.call("GET", "/incidents", params={"state": "open", "provider": "mock"})).json()
    [incident] = page["items"]
    assert (incident["cause"], incident["state"], page["total"]) == ("connect_refused", "open", 1)
    assert incident["routes"] == ["everything"]
    shown = await api.call("GET", f"/incidents/{incident['id']}")
    assert shown.json() == incident
    assert (await api.call("GET", "/incidents", params={"state": "closed"})).json()["items"] == []
    assert (await api.call("GET", "/incidents/inc-none")).status_code == 404


async def test_an_incident_that_a_person_tells_of(api: AdminApi) -> None:
    """It concerns all of the provider, stays open while nobody closes it, and is one at a time; both is on record."""
    made = await api.call("POST", "/providers/mock/incidents", {"cause": "maintenance", "since": "2h"})
    assert made.status_code == 201, made.text
    incident = made.json()
    assert (incident["state"], incident["deployments"]) == ("open", ["mock/mock-large", "mock/mock-small"])
    assert (await api.call("POST", "/providers/mock/incidents", {"cause": "more"})).status_code == 409
    layout = Layout(api.services.snapshot())
    history = History(api.services.database)
    await history.record([("9-1", [ProbeResult("mock", None, "ok", NOW + 99, 0.1)])], layout)
    told, going_on = await history.settle(round((NOW + 10_000) * 1_000_000), layout)
    assert ([(one.event, one.id) for one in told], going_on) == ([("opened", incident["id"])], ["mock"])
    over = await api.call("POST", f"/incidents/{incident['id']}/close")
    assert (over.status_code, over.json()["state"]) == (200, "closed")
    assert (await api.call("POST", f"/incidents/{incident['id']}/close")).status_code == 404
    told, going_on = await history.settle(round((NOW + 10_000) * 1_000_000), layout)
    assert ([(one.event, one.id) for one in told], going_on) == ([("closed", incident["id"])], [])
    page = (await api.call("GET", "/providers/mock/incidents", params={"state": "closed"})).json()
    assert [one["id"] for one in page["items"]] == [incident["id"]]
    audit = (await api.call("GET", "/audit", params={"resource_id": incident["id"]})).json()["items"]
    assert sorted(entry["action"] for entry in audit) == ["create", "update"]
    assert (
        await api.call("POST", "/providers/mock/incidents", {"cause": "x", "since": "2999-01-01"})
    ).status_code == 422
