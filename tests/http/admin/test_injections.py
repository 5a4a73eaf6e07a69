"""What is meant for an interpreter behind the API, in every field there is: it is data, or it is refused."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import pytest
from sqlalchemy import text

from gateway.http.admin.app import openapi
from gateway.storage.sql.resource_tables import RESOURCES
from tests.support.admin import AdminApi

DOCUMENT = openapi()
PAYLOADS = (
    "' OR '1'='1' --",
    "'; DROP TABLE providers; --",
    '") UNION SELECT digest FROM virtual_keys --',
    "${jndi:ldap://127.0.0.1/x}{{7*7}}<%= 7*7 %>",
    "../../../../etc/passwd\r\nset-cookie: a=b",
    "$(reboot)`id`|id;%27\u2019\u202e\uff07",
)
Place = tuple[Any, ...]


def operations() -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Method, path and description of every operation, without the other names of paths."""
    for path, found in DOCUMENT["paths"].items():
        for method, operation in found.items():
            if not operation["operationId"].endswith("_2"):
                yield method.upper(), path, operation


def resolved(schema: Any) -> Any:
    """What a reference leads to."""
    while isinstance(schema, dict) and "$ref" in schema:
        schema = DOCUMENT["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
    return schema


def sample(schema: Any, depth: int = 0) -> Any:
    """Something of this schema's form: every field that it knows, text wherever text may be."""
    schema = resolved(schema)
    for word in ("anyOf", "oneOf", "allOf"):
        if word in schema:
            options = [resolved(one) for one in schema[word]]
            chosen = next((one for one in options if one.get("type") == "object"), options[0])
            return sample(chosen, depth)
    if "enum" in schema:
        return schema["enum"][0]
    kind = schema.get("type")
    if kind == "object" and depth < 6:
        found = {name: sample(one, depth + 1) for name, one in schema.get("properties", {}).items()}
        more = schema.get("additionalProperties")
        return found | ({"name": sample(more, depth + 1)} if isinstance(more, dict) else {})
    if kind == "array":
        return [sample(schema.get("items", {}), depth + 1)]
    return {"integer": 1, "number": 1.0, "boolean": True, "null": None}.get(str(kind), "text")


def leaves(value: Any, place: Place = ()) -> Iterator[Place]:
    """Every place of a text in it."""
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from leaves(inner, (*place, name))
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from leaves(inner, (*place, index))
    elif isinstance(value, str):
        yield place


def put(value: Any, place: Place, payload: str) -> Any:
    """A copy with the payload there."""
    changed = copy.deepcopy(value)
    inner = changed
    for step in place[:-1]:
        inner = inner[step]
    inner[place[-1]] = payload
    return changed


def body_schema(operation: dict[str, Any]) -> Any:
    """Of its JSON body; None without one."""
    content = operation.get("requestBody", {}).get("content", {})
    return content.get("application/json", {}).get("schema")


@pytest.mark.slow
async def test_in_every_field(api: AdminApi) -> None:
    """No fault of ours in any answer, refused where a name is asked for, and every table is there afterwards."""
    asked = 0
    for method, path, operation in operations():
        parameters = [one for one in operation.get("parameters", []) if "name" in one]
        places = {one["name"] for one in parameters if one["in"] == "path"}
        plain = path
        for name in places:
            plain = plain.replace(f"{{{name}}}", "mock")
        schema = body_schema(operation)
        body = None if schema is None else sample(schema)
        for number, payload in enumerate(PAYLOADS[asked % 2 :: 2]):
            for name in places:
                answer = await api.call(method, path.replace(f"{{{name}}}", quote(payload, safe="")), body)
                assert 400 <= answer.status_code < 500, (method, path, name, answer.text)
                asked += 1
            for one in parameters:
                if one["in"] == "query":
                    answer = await api.call(method, plain, body, params={one["name"]: payload})
                    assert answer.status_code < 500, (method, plain, one["name"], answer.text)
                    asked += 1
            for leaf in leaves(body):
                # Each place gets two of them: which ones moves along.
                if (number + len(leaf)) % 3 == 0:
                    answer = await api.call(method, plain, put(body, leaf, payload))
                    assert answer.status_code < 500, (method, plain, leaf, answer.text)
                    assert "set-cookie" not in answer.headers
                    asked += 1
    assert asked > 500
    async with api.services.database.connect() as connection:
        for table in (*RESOURCES, "virtual_keys", "audit_log", "admin_users"):
            await connection.execute(text(f"SELECT count(*) FROM {table}"))


@pytest.mark.parametrize("payload", PAYLOADS)
async def test_names_are_names(sqlite_api: AdminApi, payload: str) -> None:
    """Whatever has a name is refused with such a one."""
    targets = [{"provider": "mock", "model": "mock-small"}]
    for path, body in (
        ("/providers", {"identifier": payload, "type": "mock"}),
        ("/keys", {"name": payload}),
        ("/keys", {"name": "of-a-team", "team": payload}),
        ("/teams", {"name": payload}),
        ("/limits", {"name": payload, "scope": "user", "requests": "1/s"}),
        ("/routing-rules", {"name": payload, "match": {"model": "x"}, "targets": targets}),
        ("/provider-templates", {"name": payload, "provider": {"type": "mock"}}),
    ):
        assert (await sqlite_api.call("POST", path, body)).status_code == 422, path


async def test_texts_are_kept_as_they_are(api: AdminApi) -> None:
    """In a description they are text, and come back letter for letter."""
    for number, payload in enumerate(PAYLOADS):
        made = await api.call("POST", "/teams", {"name": f"t{number}", "description": payload})
        assert (made.status_code, made.json()["description"]) == (201, payload), made.text
        assert (await api.call("GET", f"/teams/t{number}")).json()["description"] == payload
        assert (await api.call("GET", "/teams", params={"search": payload})).json()["total"] == 0
