"""What every request of the admin API meets, whatever it is for."""

from __future__ import annotations

import logging
import re
from typing import Any

import httpx2
import pytest
import structlog.testing

from gateway.http.admin.app import create_admin, openapi
from gateway.http.admin.frame import MAX_BODY
from gateway.storage.sql.errors import DatabaseUnavailable
from tests.support.admin import PREFIX, AdminApi

KEYS = {"error", "timestamp", "requestId"}
ERROR_KEYS = {"code", "message", "field", "details", "suggestions"}


def error_of(answer: httpx2.Response, status: int, code: str) -> dict[str, Any]:
    """The error of an answer, whose shape is the one there is."""
    assert answer.status_code == status, answer.text
    body = answer.json()
    assert set(body) == KEYS
    assert set(body["error"]) == ERROR_KEYS
    assert body["error"]["code"] == code
    assert body["requestId"] == answer.headers["x-request-id"]
    found: dict[str, Any] = body["error"]
    return found


async def test_every_refusal_has_one_shape(sqlite_api: AdminApi) -> None:
    """Unknown paths, methods, media, sizes, syntax: all in the API's error shape."""
    api = sqlite_api
    error_of(await api.call("GET", "/nothing"), 404, "not_found")
    wrong = await api.call("POST", "/incidents", {})
    assert wrong.headers["allow"] == "GET"
    error_of(wrong, 405, "method_not_allowed")
    for path, methods in (("/providers", "GET, POST"), ("/teams/nobody", "DELETE, GET, PATCH, PUT")):
        wrong = await api.call("TRACE", path)
        assert wrong.headers["allow"] == methods
        error_of(wrong, 405, "method_not_allowed")
    json = {"content-type": "application/json"}
    for content, headers, status, code in (
        (b"name: x", {"content-type": "text/yaml"}, 415, "unsupported_media_type"),
        (b"{}", {}, 415, "unsupported_media_type"),
        (b"x" * (MAX_BODY + 1), json, 413, "request_too_large"),
        (b'{"name": ', json, 400, "invalid_json"),
        (b'{"name": NaN}', json, 400, "invalid_json"),
        (b'{"name": "a\\u0000b"}', json, 400, "invalid_json"),
        (b'{"name": "\\ud800"}', json, 400, "invalid_json"),
        (b"\xff\xfe", json, 400, "invalid_json"),
        (b"[" * 5000, json, 400, "invalid_json"),
        (b'{"a":' * 40 + b"1" + b"}" * 40, json, 400, "invalid_json"),
        (b"[]", json, 422, "validation_failed"),
        (b"", {}, 422, "validation_failed"),
        (b"null", json, 422, "validation_failed"),
    ):
        answer = await api.client.post(f"{PREFIX}/keys", content=content, headers=headers)
        error = error_of(answer, status, code)
        assert error["message"]
    error_of(await api.client.get(f"{PREFIX}/keys/a%00b"), 400, "invalid_json")
    error_of(await api.client.get(f"{PREFIX}/keys?search=a%00b"), 400, "invalid_json")


async def test_a_body_without_a_length_is_measured_while_it_comes(sqlite_api: AdminApi) -> None:
    """Chunked bodies have the same bound."""

    async def endless() -> Any:
        for _ in range(20):
            yield b" " * 100_000

    answer = await sqlite_api.client.post(
        f"{PREFIX}/keys", content=endless(), headers={"content-type": "application/json"}
    )
    error_of(answer, 413, "request_too_large")


async def test_nobody_gets_in_without_a_credential(sqlite_api: AdminApi) -> None:
    """401 before anything of the request is looked at: its body, its parameters."""
    anonymous = httpx2.ASGITransport(app=create_admin(sqlite_api.services))
    async with httpx2.AsyncClient(transport=anonymous) as client:
        for method, path, more in (
            ("GET", "/keys?limit=x", {}),
            ("POST", "/keys", {"content": b"{", "headers": {"content-type": "application/json"}}),
            ("GET", "/openapi.json", {}),
            ("GET", "/keys", {"headers": {"authorization": "Bearer wrong"}}),
            ("GET", "/keys", {"headers": {"authorization": "Bearer gw-" + "f" * 43}}),
        ):
            answer = await client.request(method, PREFIX + path, **more)
            error_of(answer, 401, "unauthenticated")
            assert "www-authenticate" in answer.headers


async def test_parameters_that_a_route_does_not_have(sqlite_api: AdminApi) -> None:
    """They are refused by name, with the nearest that it has; so is one that is given twice."""
    problem = error_of(await sqlite_api.call("GET", "/providers?stauts=active&limit=5"), 422, "validation_failed")
    assert problem["message"] == "stauts: is unknown here; did you mean `status`? (remove it, or check its spelling)"
    assert problem["field"] == "stauts"
    assert problem["suggestions"] == ["The query takes cursor, limit, search, sort, status, type."]
    problem = error_of(await sqlite_api.call("GET", "/usage?buy=key&TEAM=a&team=a&team=b"), 422, "validation_failed")
    assert [detail["field"] for detail in problem["details"]] == ["buy", "TEAM", "team"]
    assert problem["details"][2]["message"] == "is given more than once (give it once)"
    assert (await sqlite_api.call("GET", "/providers?status=active&limit=5")).status_code == 200


async def test_every_route_refuses_parameters_that_it_does_not_have(sqlite_api: AdminApi) -> None:
    """By one mechanism, before anything is looked up or done."""
    for path, operations in openapi()["paths"].items():
        for method in operations:
            target = re.sub(r"{\w+}", "x", path)
            problem = error_of(
                await sqlite_api.call(method.upper(), f"{target}?n%C3%B6%01=1"), 422, "validation_failed"
            )
            assert (problem["field"], len(problem["details"])) == ("nö?", 1), (method, path)


async def test_both_mounts_lead_to_the_same(sqlite_api: AdminApi) -> None:
    """`/api/admin` and `/api`."""
    for prefix in ("http://admin.test/api/admin", "http://admin.test/api"):
        assert (await sqlite_api.client.get(f"{prefix}/keys/filed")).status_code == 200


async def test_request_ids(sqlite_api: AdminApi) -> None:
    """A sane one is echoed, another one is replaced; answers are not kept by caches."""
    answer = await sqlite_api.call("GET", "/keys", headers={"x-request-id": "mine-1"})
    assert (answer.headers["x-request-id"], answer.headers["cache-control"]) == ("mine-1", "no-store")
    answer = await sqlite_api.call("GET", "/keys", headers={"x-request-id": "<script>"})
    assert answer.headers["x-request-id"].startswith("adm-")


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "level"),
    [
        ("GET", "/keys/nobody", None, 404, "info"),
        ("POST", "/keys", b"{", 400, "info"),
        ("POST", "/keys", b"{}", 422, "info"),
        ("DELETE", "/healthy", None, 404, "info"),
        ("POST", "/session", b'{"name": "eve", "password": "canary-of-eve"}', 401, "warning"),
    ],
)
async def test_a_request_id_leads_to_a_line(
    sqlite_api: AdminApi, method: str, path: str, body: bytes | None, status: int, level: str
) -> None:
    """Every refusal has one, with what was asked and by whom, and nothing of what was sent."""
    with structlog.testing.capture_logs() as lines:
        reply = await sqlite_api.client.request(
            method, PREFIX + path, content=body, headers={"content-type": "application/json"}
        )
    assert reply.status_code == status
    (line,) = [one for one in lines if one["event"] == "admin_request_refused"]
    answer = reply.json()
    assert (line["request_id"], line["code"], line["status"]) == (answer["requestId"], answer["error"]["code"], status)
    assert (line["method"], line["path"], line["log_level"]) == (method, path, level)
    assert "canary" not in str(line)


async def test_a_database_that_is_away_is_503(sqlite_api: AdminApi, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the time to come back, and not a word of the driver's."""

    def away(_: object) -> Any:
        raise DatabaseUnavailable("OperationalError: password=hunter2")

    monkeypatch.setattr(type(sqlite_api.services.database), "connect", away)
    answer = await sqlite_api.call("GET", "/keys")
    error_of(answer, 503, "unavailable")
    assert answer.headers["retry-after"] == "5"
    assert "hunter2" not in answer.text


async def test_a_fault_of_ours_tells_nothing(
    sqlite_api: AdminApi, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """500 in the same shape, without the exception's text; the log has it under the request's id."""

    def broken(_: object) -> Any:
        raise ZeroDivisionError("SELECT secret FROM somewhere")

    monkeypatch.setattr(type(sqlite_api.services.database), "connect", broken)
    with caplog.at_level(logging.ERROR):
        answer = await sqlite_api.call("GET", "/keys")
    error_of(answer, 500, "internal_error")
    assert "SELECT" not in answer.text
