"""Templates of providers over the admin API."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.registry.catalogue import provider_type, template_fields
from gateway.registry.resources.records import Kind
from tests.support.admin import AdminApi

ACME: dict[str, Any] = {
    "name": "acme-cloud",
    "label": "Acme cloud",
    "provider": {
        "name": "Acme in {{region}}",
        "type": "openai_compatible",
        "base_url": "https://{{region}}.acme.example/v1",
        "runtime": {"concurrency_limit": "{{parallel}}"},
        "headers": {"x-project": "{{project}}"},
    },
    "models": [{"model": "acme-{{region}}", "pricing": {"input": 1, "output": 2}}],
    "credential": {"fields": {"api_key": "{{api_key}}"}},
    "parameters": [
        {"name": "region", "description": "Where it is.", "required": True},
        {"name": "parallel", "default": 7},
        {"name": "project"},
        {"name": "api_key", "secret": True},
    ],
}
SECRET = "sk-live-0123456789abcdefghijklmnop"


async def test_every_provider_type_has_one(sqlite_api: AdminApi) -> None:
    """Named like the type, with what it needs as parameters; they are not changed."""
    page = (await sqlite_api.call("GET", "/provider-templates", params={"limit": "200", "system": "true"})).json()
    names = {one["provider"]["type"]: one for one in page["items"]}
    assert set(names) == set(sqlite_api.services.dialects)
    openai = names["openai"]
    assert (openai["is_system"], openai["id"]) == (True, "system-openai")
    assert {one["name"] for one in openai["parameters"]} >= {"api_key", "base_url", "org_id"}
    assert (await sqlite_api.call("PATCH", "/provider-templates/openai", {"label": "Mine"})).status_code == 409
    assert (await sqlite_api.call("DELETE", "/provider-templates/system-openai")).status_code == 409


async def test_every_systems_template_can_be_applied(sqlite_api: AdminApi) -> None:
    """With what its type needs besides a credential each gives a provider that holds."""
    page = (await sqlite_api.call("GET", "/provider-templates", params={"limit": "200", "system": "true"})).json()
    for one in page["items"]:
        kind = provider_type(one["provider"]["type"], sqlite_api.services.dialects)
        assert kind is not None
        needed = {*template_fields(kind.base_url), *(name for choice in kind.needs for name in choice[0])}
        asked = {p["name"] for p in one["parameters"] if not p["secret"] and (p["required"] or p["name"] in needed)}
        if kind.private:
            asked.add("base_url")
        given = {name: "https://provider.example/v1" if name.endswith("url") else "somewhere" for name in asked}
        done = await sqlite_api.call(
            "POST", f"/provider-templates/{one['id']}/apply", {"identifier": f"my-{one['name']}", "parameters": given}
        )
        assert done.status_code == 201, (one["name"], done.text)


async def test_a_template_becomes_a_provider_in_one_revision(api: AdminApi) -> None:
    """Parameters keep their types, what has no value is left out, the secret is sealed, overrides win."""
    assert (await api.call("POST", "/provider-templates", ACME)).status_code == 201
    assert (await api.call("POST", "/provider-templates", ACME)).status_code == 200
    before = await api.services.resources.revision()
    wish = {
        "identifier": "acme-eu",
        "parameters": {"region": "eu", "api_key": SECRET},
        "overrides": {"description": "Ours.", "runtime": {"retry_attempts": 1}},
    }
    done = await api.call("POST", "/provider-templates/acme-cloud/apply", wish)
    assert done.status_code == 201, done.text
    assert SECRET not in done.text
    assert done.json()["models"] == ["acme-eu"]
    assert await api.services.resources.revision() == before + 1
    made = (await api.call("GET", "/providers/acme-eu")).json()
    assert (made["name"], made["base_url"], made["description"]) == (
        "Acme in eu",
        "https://eu.acme.example/v1",
        "Ours.",
    )
    assert made["runtime"] == {"concurrency_limit": 7, "retry_attempts": 1}
    assert (made["headers"], made["credentials"], made["models"]) == ({}, 1, 1)
    opened = await api.services.opened()
    assert opened.providers["acme-eu"].api_keys == (SECRET,)
    again = await api.call("POST", "/provider-templates/acme-cloud/apply", wish)
    assert again.status_code == 409


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"parameters": []}, "provider"),
        ({"provider": {**ACME["provider"], "headers": {"x": "{{api_key}}"}}}, "provider"),
        ({"parameters": [*ACME["parameters"], {"name": "region"}]}, "parameters.4.name"),
        (
            {"parameters": [*ACME["parameters"][:3], {"name": "api_key", "secret": True, "default": SECRET}]},
            "parameters.3.default",
        ),
        ({"credential": {"fields": {"api_key": SECRET}}}, "credential.fields.api_key"),
        ({"credential": {"fields": {"api_key": "{{region}}"}}}, "credential.fields.api_key"),
        (
            {"provider": {**ACME["provider"], "headers": {"Authorization": f"Bearer {SECRET}"}}},
            "provider.headers.Authorization",
        ),
        (
            {"provider": {**ACME["provider"], "auth_config": {"header_templates": {"x-api-key": SECRET}}}},
            "provider.auth_config.header_templates",
        ),
        ({"name": "openai"}, "name"),
    ],
)
async def test_a_template_that_cannot_work_is_refused(
    sqlite_api: AdminApi, changes: dict[str, Any], field: str
) -> None:
    """Places without a parameter, secrets in the open, names that are taken."""
    answer = await sqlite_api.call("POST", "/provider-templates", {**ACME, **changes})
    assert answer.status_code in (409, 422), answer.text
    assert answer.json()["error"]["field"] == field


async def test_places_are_names_and_nothing_else(sqlite_api: AdminApi) -> None:
    """No expression is evaluated, no attribute is read, no value is filled in twice."""
    template = {
        "name": "odd",
        "provider": {
            "type": "openai_compatible",
            "base_url": "https://acme.example/v1",
            "headers": {"x-a": "{{7*7}} {{ given.__class__ }} {% x %} ${HOME}", "x-b": "{{given}}"},
        },
        "parameters": [{"name": "given"}],
    }
    assert (await sqlite_api.call("POST", "/provider-templates", template)).status_code == 201
    done = await sqlite_api.call(
        "POST", "/provider-templates/odd/apply", {"identifier": "odd", "parameters": {"given": "{{given}}{{7*7}}"}}
    )
    assert done.status_code == 201, done.text
    headers = dict((await sqlite_api.services.opened()).providers["odd"].headers)
    assert headers["x-a"] == "{{7*7}} {{ given.__class__ }} {% x %} ${HOME}"
    assert headers["x-b"] == "{{given}}{{7*7}}"


async def test_missing_and_unknown_parameters_are_named(sqlite_api: AdminApi) -> None:
    """And what a filled-in field does wrong is told by its place."""
    await sqlite_api.call("POST", "/provider-templates", ACME)
    path = "/provider-templates/acme-cloud/apply"
    for parameters, field in (
        ({}, "parameters.region"),
        ({"region": "eu", "colour": "red"}, "parameters.colour"),
        ({"region": "eu", "parallel": "many"}, "provider.runtime.concurrency_limit"),
        ({"region": "a b"}, "models.0.model"),
    ):
        answer = await sqlite_api.call("POST", path, {"identifier": "x", "parameters": parameters})
        assert answer.status_code == 422, answer.text
        assert (answer.json()["error"]["field"] or "").startswith(field), answer.text
    state = await sqlite_api.services.resources.state()
    assert not state.of(Kind.PROVIDER)


async def test_templates_change_and_go(api: AdminApi) -> None:
    """PATCH and PUT with ETags; what was made of them stays."""
    await api.call("POST", "/provider-templates", ACME)
    await api.call("POST", "/provider-templates/acme-cloud/apply", {"identifier": "a", "parameters": {"region": "eu"}})
    done = await api.call("PATCH", "/provider-templates/acme-cloud", {"label": "B"}, headers={"if-match": '"1"'})
    assert (done.json()["label"], done.headers["etag"]) == ("B", '"2"')
    assert (
        await api.call("PUT", "/provider-templates/acme-cloud", ACME, headers={"if-match": '"1"'})
    ).status_code == 412
    assert (await api.call("PUT", "/provider-templates/acme-cloud", ACME)).json()["label"] == "Acme cloud"
    assert (await api.call("DELETE", "/provider-templates/acme-cloud")).status_code == 204
    assert (await api.call("GET", "/provider-templates/acme-cloud")).status_code == 404
    assert (await api.call("GET", "/providers/a")).status_code == 200
