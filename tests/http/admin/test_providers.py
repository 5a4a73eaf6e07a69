"""Providers, their models and credentials over the admin API."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import text

from gateway.registry.resources.records import Kind
from gateway.types import Price
from tests.support.admin import AdminApi

ACME = {
    "identifier": "acme",
    "name": "Acme Inc.",
    "description": "A provider of ours.",
    "type": "openai_compatible",
    "base_url": "https://acme.example/v1",
    "auth_method": "api_key",
    "service_types": ["llm", "embedding"],
    "capabilities": {"system_messages": True, "context_length": 8000, "tools": True, "words": ["chat"]},
    "runtime": {"concurrency_limit": 50, "timeout": {"connect": 2, "first_byte": 30}, "retry_attempts": 1},
    "headers": {"x-tenant": "blue"},
}
SECRET = "sk-live-0123456789abcdefghijklmnop"


async def acme(api: AdminApi, **changes: Any) -> dict[str, Any]:
    """A provider."""
    answer = await api.call("POST", "/providers", {**ACME, **changes})
    assert answer.status_code == 201, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def test_a_provider_comes_back_as_it_was_sent(api: AdminApi) -> None:
    """Every field, by id and by identifier; it is in service."""
    made = await acme(api)
    for name in (made["id"], "acme"):
        answer = await api.call("GET", f"/providers/{name}")
        shown = answer.json()
        assert {field: shown[field] for field in ACME} == ACME
    assert answer.headers["etag"] == '"1"'
    assert (shown["is_system"], shown["status"], shown["verification_status"]) == (False, "active", "unverified")
    provider = api.services.snapshot().providers["acme"]
    assert (provider.concurrency_limit, provider.retry_attempts, provider.timeouts.first_byte) == (50, 1, 30)
    assert provider.capabilities == {"chat", "tools"}


async def test_creating_again_finds_it_and_other_content_is_refused(api: AdminApi) -> None:
    """200 with the one that is there; 409 for another one; a name of the file is taken."""
    made = await acme(api)
    again = await api.call("POST", "/providers", ACME)
    assert (again.status_code, again.json()["id"]) == (200, made["id"])
    other = await api.call("POST", "/providers", {**ACME, "name": "Other"})
    assert (other.status_code, other.json()["error"]["field"]) == (409, "identifier")
    filed = await api.call("POST", "/providers", {**ACME, "identifier": "mock"})
    assert (filed.status_code, filed.json()["error"]["field"]) == (409, "identifier")
    typeless = await api.call("PATCH", f"/providers/{made['id']}", {"type": None})
    assert (typeless.status_code, typeless.json()["error"]["field"]) == (422, "type")
    reserved = await api.call("POST", "/providers", {**ACME, "identifier": "models"})
    assert (reserved.status_code, reserved.json()["error"]["field"]) == (422, "identifier")


async def test_a_name_of_the_file_is_taken_however_it_would_be_given(sqlite_api: AdminApi) -> None:
    """409 as at creation: for what is renamed by PUT, and for what a template makes."""
    made = await acme(sqlite_api)
    rule = {"name": "mine", "match": {"model": "x"}, "targets": [{"provider": "mock", "model": "mock-small"}]}
    assert (await sqlite_api.call("POST", "/routing-rules", rule)).status_code == 201
    for method, path, body, field in (
        ("PUT", f"/providers/{made['id']}", {**ACME, "identifier": "mock"}, "identifier"),
        ("PUT", "/routing-rules/mine", {**rule, "name": "everything"}, "name"),
        ("POST", "/provider-templates/mock/apply", {"identifier": "mock"}, "identifier"),
    ):
        answer = await sqlite_api.call(method, path, body)
        assert (answer.status_code, answer.json()["error"]["field"]) == (409, field), answer.text
        assert "the file wins" in answer.json()["error"]["message"]
    renamed = await sqlite_api.call("PUT", "/routing-rules/mine", {**rule, "name": "other"})
    assert renamed.status_code == 200


async def test_patch_merges_and_put_replaces(api: AdminApi) -> None:
    """Null removes one thing, what is not named stays; PUT leaves nothing of before; old ETags are refused."""
    await acme(api)
    patch = {"runtime": {"timeout": {"connect": None}, "concurrency_limit": None, "batch_size": 5}, "description": None}
    done = await api.call("PATCH", "/providers/acme", patch, headers={"if-match": '"1"'})
    shown = done.json()
    assert shown["runtime"] == {"timeout": {"first_byte": 30}, "retry_attempts": 1, "batch_size": 5}
    assert (shown["description"], shown["name"], done.headers["etag"]) == (None, "Acme Inc.", '"2"')
    assert (await api.call("PATCH", "/providers/acme", {}, headers={"if-match": '"1"'})).status_code == 412
    bare = {"identifier": "acme", "type": "openai_compatible", "base_url": "https://acme.example/v2"}
    shown = (await api.call("PUT", "/providers/acme", bare)).json()
    assert (shown["runtime"], shown["capabilities"], shown["headers"]) == ({}, {}, {})
    assert shown["base_url"].endswith("/v2")


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"type": "telepathy"}, "type"),
        ({"base_url": "ftp://acme.example"}, "base_url"),
        ({"base_url": None}, ""),
        ({"base_url": "http://127.0.0.1:9000/v1"}, "base_url"),
        ({"base_url": "http://localhost/v1"}, "base_url"),
        ({"base_url": "http://169.254.169.254/latest"}, "base_url"),
        ({"runtime": {"concurrency_limit": 0}}, "runtime.concurrency_limit"),
        ({"runtime": {"rate_limit": "fast"}}, "runtime.rate_limit"),
        ({"options": {"api_key": SECRET}}, "options.api_key"),
        ({"options": {"allow_private_network": True}}, "options.allow_private_network"),
        ({"options": {"ca_file": "/etc/passwd"}}, "options.ca_file"),
        ({"options": {"colour": "red"}}, "options.colour"),
        ({"options": {"base_url": "https://elsewhere.example"}}, "options"),
        ({"headers": {"authorization": SECRET}}, "headers.authorization"),
        ({"headers": {"host": "elsewhere"}}, "headers.host"),
        ({"headers": {"x-a": "a\r\nb: c"}}, "headers.x-a"),
        ({"identifier": "../x"}, "identifier"),
        ({"status": "asleep"}, "status"),
    ],
)
async def test_what_would_not_hold_is_refused_by_field(
    sqlite_api: AdminApi, changes: dict[str, Any], field: str
) -> None:
    """422, nothing is there afterwards, and no secret comes back."""
    answer = await sqlite_api.call("POST", "/providers", {**ACME, **changes})
    assert answer.status_code == 422, answer.text
    error = answer.json()["error"]
    assert (error["field"] or "").startswith(field), error
    assert SECRET not in answer.text
    assert (await sqlite_api.call("GET", "/providers")).json()["total"] == 1


async def test_variables_are_not_filled_in(sqlite_api: AdminApi) -> None:
    """`${VAR}` of the API is text like other text: nothing of the environment gets out."""
    await acme(sqlite_api, headers={"x-tenant": "${FILED_KEY}"})
    assert dict(sqlite_api.services.snapshot().providers["acme"].headers)["x-tenant"] == "${FILED_KEY}"


async def test_the_files_providers_are_shown_without_secrets(sqlite_api: AdminApi) -> None:
    """They are in the list as they are written, and are not changed here."""
    page = (await sqlite_api.call("GET", "/providers")).json()
    assert [(one["identifier"], one["is_system"], one["models"]) for one in page["items"]] == [("mock", True, 2)]
    models = (await sqlite_api.call("GET", "/providers/mock/models")).json()["items"]
    assert [one["deployment"] for one in models] == ["mock/mock-large", "mock/mock-small"]
    assert models[1]["pricing"] == {"input": 1, "output": 2}
    for method, path, body in (
        ("PATCH", "/providers/mock", {"status": "inactive"}),
        ("DELETE", "/providers/mock", None),
        ("POST", "/providers/mock/models", {"model": "x"}),
        ("POST", "/providers/mock/credentials", {"value": "x" * 20}),
        ("PATCH", f"/models/{models[0]['id']}", {"status": "inactive"}),
    ):
        assert (await sqlite_api.call(method, path, body)).status_code == 409, (method, path)


async def test_models(api: AdminApi) -> None:
    """Made, listed with filters, changed, deprecated, removed; prices and defaults reach the snapshot."""
    await acme(api)
    draft = {
        "model": "acme/small-1",
        "context_length": 8000,
        "capabilities": ["chat"],
        "pricing": {"input": 0.5, "output": 1.5},
        "parameters": {"temperature": 0.2},
        "is_default": True,
    }
    made = await api.call("POST", "/providers/acme/models", draft)
    assert made.status_code == 201, made.text
    model = made.json()
    assert {name: model[name] for name in draft} == draft
    assert model["deployment"] == "acme/acme/small-1"
    deployment = api.services.snapshot().deployments["acme/acme/small-1"]
    assert (deployment.context_window, dict(deployment.parameters)) == (8000, {"temperature": 0.2})
    path = f"/models/{model['id']}"
    assert (await api.call("GET", path)).json()["model"] == "acme/small-1"
    done = await api.call("PATCH", path, {"status": "deprecated", "pricing": {"output": 2}})
    assert (done.json()["status"], done.json()["pricing"]) == ("deprecated", {"input": 0.5, "output": 2})
    listed = (await api.call("GET", "/models", params={"provider": "acme", "status": "deprecated"})).json()
    assert [one["id"] for one in listed["items"]] == [model["id"]]
    assert (await api.call("GET", "/providers/models")).json()["total"] == 3
    taken = await api.call("POST", "/providers/acme/models", draft)
    assert (taken.status_code, taken.json()["error"]["field"]) == (409, "model")
    assert (await api.call("DELETE", path)).status_code == 204
    assert (await api.call("GET", path)).status_code == 404


async def test_prices_of_tiers_of_service(api: AdminApi) -> None:
    """They are made, changed one by one and taken away as other settings are, and reach the snapshot."""
    await acme(api)
    tiers = {"flex": {"input": 0.25}, "priority": {"input": 1.0, "output": 3.0}}
    draft = {"model": "tiers", "pricing": {"input": 0.5, "output": 1.5, "service_tiers": tiers}}
    made = await api.call("POST", "/providers/acme/models", draft)
    assert made.status_code == 201, made.text
    path = f"/models/{made.json()['id']}"
    change = {"pricing": {"service_tiers": {"flex": None, "priority": {"output": 4.0}}}}
    done = await api.call("PATCH", path, change)
    assert done.json()["pricing"]["service_tiers"] == {"priority": {"input": 1.0, "output": 4.0}}, done.text
    price = api.services.snapshot().deployments["acme/tiers"].price
    assert price is not None
    assert price.service_tiers == {"priority": Price(1.0, 4.0)}
    wrong = await api.call("PATCH", path, {"pricing": {"service_tiers": {"default": {"input": 1.0}}}})
    assert wrong.status_code == 422, wrong.text


async def test_many_models_in_one_revision_or_none(api: AdminApi) -> None:
    """Made, disabled and removed together; one mistake and nothing happens."""
    await acme(api)
    bulk = {"models": [{"model": f"m{n}"} for n in range(30)]}
    made = await api.call("POST", "/providers/acme/models/bulk", bulk)
    assert made.status_code == 201, made.text
    ids = [one["id"] for one in made.json()["items"]]
    before = await api.services.resources.revision()
    done = await api.call("POST", "/models/bulk", {"action": "disable", "ids": ids})
    assert {one["status"] for one in done.json()["items"]} == {"inactive"}
    assert await api.services.resources.revision() == before + 1
    wrong = await api.call("POST", "/models/bulk", {"action": "delete", "ids": [*ids, "nobody"]})
    assert wrong.status_code == 404
    assert (await api.call("GET", "/providers/acme/models")).json()["total"] == 30
    gone = await api.call("POST", "/models/bulk", {"action": "delete", "ids": ids})
    assert len(gone.json()["deleted"]) == 30
    twice = {"models": [{"model": "same"}, {"model": "same"}]}
    assert (await api.call("POST", "/providers/acme/models/bulk", twice)).status_code == 409
    assert (await api.call("GET", "/providers/acme/models")).json()["total"] == 0


async def test_a_credential_that_opens_nothing_says_so(api: AdminApi) -> None:
    """Brought back without its secret, or damaged: it and its provider tell why they are not served."""
    await acme(api)
    made = (await api.call("POST", "/providers/acme/credentials", {"name": "first", "value": SECRET})).json()
    provider, path = "/providers/acme", f"/credentials/{made['id']}"
    problems = [(await api.call("GET", one)).json()["problem"] for one in (provider, path)]
    assert problems == [None, None]
    revision = await api.services.resources.revision()
    assert (await api.call("DELETE", f"{provider}?cascade=true")).status_code in (200, 204)
    assert (await api.call("POST", f"/revisions/{revision}/rollback")).status_code == 200
    problems = [(await api.call("GET", one)).json()["problem"] for one in (provider, path)]
    assert problems == ["credential first: it holds nothing: rotate it to a secret or a reference", problems[0][18:]]
    assert (await api.call("POST", f"{path}/rotate", {"value": SECRET})).status_code == 200
    assert (await api.call("GET", provider)).json()["problem"] is None
    async with api.services.database.begin() as connection:
        await connection.execute(text("UPDATE credentials SET secret = 'x' || secret"))
    api.services.resources._state = None  # as after a restart
    (shown,) = (await api.call("GET", f"{provider}/credentials")).json()["items"]
    assert "damaged" in shown["problem"]
    assert "damaged" in (await api.call("GET", provider)).json()["problem"]


async def test_a_credential_is_written_and_never_read(api: AdminApi) -> None:
    """No answer holds it, nor does the database in plain; its end tells it from others."""
    await acme(api)
    made = await api.call("POST", "/providers/acme/credentials", {"name": "first", "value": SECRET})
    assert (made.status_code, made.json()["fields"]) == (201, {"api_key": "…mnop"})
    path = f"/credentials/{made.json()['id']}"
    turned = await api.call("POST", f"{path}/rotate", {"value": f"{SECRET}-2", "overlap_seconds": 60})
    assert (turned.status_code, turned.json()["version"]) == (200, 2)
    assert turned.json()["overlap_until"] is not None
    off = await api.call("PATCH", path, {"status": "inactive"})
    assert off.json()["status"] == "inactive"
    for answer in (
        made,
        turned,
        off,
        await api.call("GET", path),
        await api.call("GET", "/providers/acme/credentials"),
    ):
        assert "sk-live" not in answer.text
    for revision in await api.services.resources.revisions():
        assert "sk-live" not in repr(await api.services.resources.one_revision(revision.revision))
    assert (await api.call("POST", f"/providers{path}/rotate", {"value": f"{SECRET}-3"})).status_code == 200
    assert (await api.call("DELETE", path)).status_code == 204


async def test_references_in_place_of_secrets(sqlite_api: AdminApi) -> None:
    """Only what the operator allows to be read; making the same again finds it."""
    await acme(sqlite_api)
    draft = {"name": "env", "references": {"api_key": "env:GATEWAY_CREDENTIAL_ACME"}}
    assert (await sqlite_api.call("POST", "/providers/acme/credentials", draft)).status_code == 201
    assert (await sqlite_api.call("POST", "/providers/acme/credentials", draft)).status_code == 200
    for reference in ("env:FILED_KEY", "file:/etc/passwd", "vault:x"):
        wrong = await sqlite_api.call(
            "POST", "/providers/acme/credentials", {"name": "x", "references": {"api_key": reference}}
        )
        assert (wrong.status_code, wrong.json()["error"]["field"]) == (422, "references.api_key"), reference
    nothing = await sqlite_api.call("POST", "/providers/acme/credentials", {"name": "x"})
    assert (nothing.status_code, nothing.json()["error"]["field"]) == (422, "value")
    odd = await sqlite_api.call("POST", "/providers/acme/credentials", {"name": "x", "fields": {"password": "y"}})
    assert (odd.status_code, odd.json()["error"]["field"]) == (422, "fields.password")


@pytest.mark.parametrize(
    ("header", "template"), [("X-Api-Key", SECRET), ("authorization", f"Bearer {SECRET}{{account}}")]
)
async def test_a_secret_is_no_header_template(sqlite_api: AdminApi, header: str, template: str) -> None:
    """Everybody who may look sees them: refused, and not repeated."""
    config = {"header_templates": {header: template}}
    draft = {"identifier": "acme", "type": "openai_compatible", "base_url": "https://acme.example/v1"}
    refused = await sqlite_api.call("POST", "/providers", {**draft, "auth_config": config})
    assert (refused.status_code, refused.json()["error"]["field"]) == (422, "auth_config.header_templates")
    assert SECRET not in refused.text


async def test_header_templates_are_filled_from_fields(sqlite_api: AdminApi) -> None:
    """A custom way to say who calls: headers from a credential's fields; placeholders are names and nothing else."""
    config = {"header_templates": {"X-Acme": "key={account}:{token}", "x-odd": "{{7*7}} {account.__class__}"}}
    await acme(sqlite_api, auth_method="custom", auth_config=config)
    path = "/providers/acme/credentials"
    lacking = await sqlite_api.call("POST", path, {"fields": {"account": "a1"}})
    assert (lacking.status_code, lacking.json()["error"]["field"]) == (422, "fields.token")
    made = await sqlite_api.call("POST", path, {"fields": {"account": "a1", "token": "t" * 30}})
    assert made.status_code == 201, made.text
    assert set(made.json()["fields"]) == {"header:x-acme", "header:x-odd"}
    state = await sqlite_api.services.resources.state()
    [stored] = state.of(Kind.CREDENTIAL).values()
    assert stored.secret is not None
    assert f"key=a1:{'t' * 30}" in stored.secret[::-1]
    assert "{account.__class__}" in stored.secret[::-1]


async def test_what_is_referred_to_stays_unless_told_to_cascade(api: AdminApi) -> None:
    """409 that names who refers to it; with `cascade` models, credentials and rules go along."""
    await acme(api)
    await api.call("POST", "/providers/acme/models", {"model": "small"})
    rule = {"name": "r", "match": {"model": "s"}, "targets": [{"provider": "acme", "model": "small"}]}
    assert (await api.call("POST", "/routing-rules", rule)).status_code == 201
    kept = await api.call("DELETE", "/providers/acme")
    assert kept.status_code == 409
    assert any("r" in detail["message"] for detail in kept.json()["error"]["details"])
    assert (await api.call("DELETE", "/providers/acme", params={"cascade": "true"})).status_code == 204
    assert (await api.call("GET", "/routing-rules/r")).status_code == 404
    assert "acme" not in api.services.snapshot().providers
