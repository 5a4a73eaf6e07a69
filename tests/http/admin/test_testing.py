"""Tests of providers over the admin API: against real sockets, through the same guards as calls."""

from __future__ import annotations

import json
import socket
from collections.abc import AsyncIterator
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest

from gateway.storage.embedded import EmbeddedRedis
from gateway.upstream.checkup import Examiner
from tests.support.admin import AdminApi, opened_api
from tests.support.ledger import sqlite_file
from tests.support.steps import chunked, json_reply, raw_head, send, stall
from tests.support.tls import Authority
from tests.support.upstream import Received, ScriptedUpstream

SECRET = "sk-live-0123456789abcdefghijklmnop"


@pytest.fixture
async def near_api(admin_store: EmbeddedRedis, tmp_path: Path) -> AsyncIterator[AdminApi]:
    """The API of an operator who allows this machine's network."""
    networks = (ip_network("127.0.0.0/8"),)
    async with opened_api(sqlite_file(tmp_path), admin_store.url, tmp_path, private_networks=networks) as found:
        yield found


def answer(request: Received) -> Any:
    """A provider that opens to one key."""
    if request.header("authorization") != f"Bearer {SECRET}":
        return json_reply({"error": {"message": f"no {request.header('authorization')}"}}, 401)
    if request.method == "GET":
        return json_reply({"object": "list", "data": [{"id": "small"}, {"id": "large"}]})
    asked = json.loads(request.body)
    message = {"role": "assistant", "content": "Hi"}
    choice = {"index": 0, "message": message, "finish_reason": "stop"}
    usage = {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}
    return json_reply(
        {"id": "x", "object": "chat.completion", "model": asked["model"], "choices": [choice], "usage": usage}
    )


async def made(api: AdminApi, base_url: str, secret: str = SECRET, **more: Any) -> None:
    """A provider there, with a credential."""
    body = {"identifier": "near", "type": "openai_compatible", "base_url": base_url, **more}
    created = await api.call("POST", "/providers", body)
    assert created.status_code == 201, created.text
    stored = await api.call("POST", "/providers/near/credentials", {"value": secret})
    assert stored.status_code == 201, stored.text


def steps_of(result: dict[str, Any]) -> dict[str, str]:
    """The status of each step."""
    return {step["name"]: step["status"] for step in result["steps"]}


async def test_a_provider_that_works(near_api: AdminApi) -> None:
    """Every step is ok and timed; the call is made only if asked for; the result is kept with the provider."""
    async with ScriptedUpstream(default=answer) as upstream:
        await made(near_api, f"{upstream.base_url}/v1")
        plain = (await near_api.call("POST", "/providers/near/test", {})).json()
        assert (plain["ok"], plain["models"]) == (True, ["small", "large"])
        assert steps_of(plain) == {
            "configuration": "ok",
            "resolve": "ok",
            "connect": "ok",
            "tls": "skipped",
            "authenticate": "ok",
            "list_models": "ok",
            "call": "skipped",
        }
        assert [one.method for one in upstream.received] == ["GET"]
        called = (await near_api.call("POST", "/providers/near/health-check", {"call": True, "model": "small"})).json()
        assert steps_of(called)["call"] == "ok"
        shown = (await near_api.call("GET", "/providers/near")).json()
        assert (shown["verification_status"], shown["last_tested"]) == ("verified", called["at"])
        assert shown["version"] == 1


async def test_a_wrong_credential_is_told_and_not_shown(near_api: AdminApi) -> None:
    """The step `authenticate` fails with what to do; neither the key nor the provider's words are in the answer."""
    async with ScriptedUpstream(default=answer) as upstream:
        await made(near_api, f"{upstream.base_url}/v1", "sk-wrong-9876543210zyxwvutsrqponm")
        result = await near_api.call("POST", "/providers/near/test", {"call": True, "model": "small"})
        told = result.json()
        assert (told["ok"], told["failed_step"]) == (False, "authenticate")
        assert (steps_of(told)["call"], "credential" in told["message"]) == ("skipped", True)
        assert "sk-wrong" not in result.text
        assert (await near_api.call("GET", "/providers/near")).json()["verification_status"] == "failed"


async def test_where_nobody_listens(near_api: AdminApi) -> None:
    """`connect` fails; what comes after is skipped."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    await made(near_api, f"http://127.0.0.1:{port}/v1")
    told = (await near_api.call("POST", "/providers/near/test", {})).json()
    assert (told["failed_step"], steps_of(told)["authenticate"]) == ("connect", "skipped")


async def test_a_provider_that_does_not_come_to_an_end(near_api: AdminApi) -> None:
    """Whoever took the connection and the question is there: no word of firewalls."""
    async with ScriptedUpstream(default=[send(raw_head(200, [("content-length", "100")])), stall()]) as upstream:
        await made(near_api, f"{upstream.base_url}/v1")
        services = near_api.services
        provider = (await services.opened()).providers["near"]
        checkup = await Examiner(services.examiner.asker, services.dialects, patience=2.0).examine(provider)
        assert checkup.failed is not None
        assert (checkup.failed.name, checkup.failed.message.partition(":")[0]) == ("authenticate", "ttfb_timeout")
        assert "irewall" not in checkup.failed.advice
        assert len(upstream.received) == 1


async def test_an_answer_without_end_is_told_as_one(near_api: AdminApi) -> None:
    """What is wrong with it, and what to do."""
    endless = [send(raw_head(200, [("transfer-encoding", "chunked")])), *[send(chunked(b"x" * 1_000_000))] * 64]
    async with ScriptedUpstream(default=endless) as upstream:
        await made(near_api, f"{upstream.base_url}/v1")
        told = (await near_api.call("POST", "/providers/near/test", {})).json()
        assert (told["failed_step"], "larger" in told["message"]) == ("authenticate", True), told


async def test_a_certificate_that_nobody_vouches_for(near_api: AdminApi, tmp_path: Path) -> None:
    """`tls` fails: verification is not to be switched off."""
    context = Authority(tmp_path).server_context("localhost")
    async with ScriptedUpstream(default=answer, tls=context) as upstream:
        await made(near_api, f"https://127.0.0.1:{upstream.port}/v1")
        told = (await near_api.call("POST", "/providers/near/test", {})).json()
        assert (told["failed_step"], steps_of(told)["connect"]) == ("tls", "ok")
        assert upstream.received == []


async def test_names_that_lead_where_nobody_may_go(sqlite_api: AdminApi) -> None:
    """A name that resolves to a metadata service: no connection, whatever step it is."""
    await made(sqlite_api, "http://metadata.test/v1")
    told = (await sqlite_api.call("POST", "/providers/near/test", {"call": True, "model": "x"})).json()
    assert told["failed_step"] == "resolve"
    assert "address_forbidden" in told["message"]
    assert "169.254" not in json.dumps(told)


async def test_a_test_endpoint_in_place_of_the_list(near_api: AdminApi) -> None:
    """A provider that names a path of its own is asked there."""
    async with ScriptedUpstream(default=answer) as upstream:
        await made(near_api, f"{upstream.base_url}/v1", auth_config={"test_endpoint": "/whoami?x=1"})
        told = (await near_api.call("POST", "/providers/near/test", {})).json()
        assert (told["ok"], steps_of(told)["list_models"]) == (True, "skipped")
        assert upstream.received[0].target == "/v1/whoami?x=1"


async def test_discovery_and_a_models_test(near_api: AdminApi) -> None:
    """What the provider lists is shown, and made if asked; a model is tested with one call."""
    async with ScriptedUpstream(default=answer) as upstream:
        await made(near_api, f"{upstream.base_url}/v1")
        seen = (await near_api.call("POST", "/providers/near/models/discover", {})).json()
        assert (seen["models"], seen["known"], seen["created"]) == (["small", "large"], [], [])
        wish = {"create": True, "only": ["small"]}
        found = (await near_api.call("POST", "/providers/near/models/discover", wish)).json()
        assert [one["deployment"] for one in found["created"]] == ["near/small"]
        again = (await near_api.call("POST", "/providers/near/models/discover", wish)).json()
        assert (again["known"], again["created"]) == (["small"], [])
        told = (await near_api.call("POST", f"/models/{found['created'][0]['id']}/test", {})).json()
        assert (told["ok"], steps_of(told)["call"]) == (True, "ok")
        shown = (await near_api.call("GET", f"/models/{found['created'][0]['id']}")).json()
        assert shown["test_result"]["ok"] is True
    failed = await near_api.call("POST", "/providers/near/models/discover", {})
    assert (failed.status_code, failed.json()["error"]["code"]) == (502, "provider_failed")


async def test_the_mock_is_tested_without_a_network(sqlite_api: AdminApi) -> None:
    """A provider of the file can be tested, too; nothing is kept of it."""
    told = (await sqlite_api.call("POST", "/providers/mock/test", {"call": True})).json()
    assert told["ok"], told
    assert steps_of(told)["connect"] == "skipped"
