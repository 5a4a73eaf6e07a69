"""What careless callers send, and whether the refusal tells them what they did."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.errors import OperatorError
from gateway.http.admin.problems import status_of
from gateway.http.admin.refusing import problem_of
from tests.support.admin import AdminApi

ACME = {"identifier": "acme", "type": "openai_compatible", "base_url": "https://acme.example/v1"}


@pytest.fixture
async def acme_api(sqlite_api: AdminApi) -> AdminApi:
    """With a provider of one model, to which a rule leads."""
    for path, body in (
        ("/providers", ACME),
        ("/providers/acme/models", {"model": "small"}),
        (
            "/routing-rules",
            {"name": "r", "match": {"model": "r"}, "targets": [{"provider": "acme", "model": "small"}]},
        ),
    ):
        answer = await sqlite_api.call("POST", path, body)
        assert answer.status_code == 201, answer.text
    return sqlite_api


@pytest.mark.parametrize(
    ("path", "body", "field"),
    [
        ("/keys", {"name": "k", "quotas": [{"period": "day", "cost": True}]}, "quotas.0.cost"),
        ("/keys", {"name": "k", "quotas": [{"period": "day", "tokens": True}]}, "quotas.0.tokens"),
        ("/keys", {"name": "k", "limits": {"concurrency": True}}, "limits.concurrency"),
        ("/providers/acme/models", {"model": "m", "pricing": {"input": True}}, "pricing.input"),
        ("/providers/acme/models", {"model": "m", "context_length": True}, "context_length"),
        ("/providers", {**ACME, "identifier": "b", "runtime": {"batch_size": True}}, "runtime.batch_size"),
        ("/limits", {"name": "l", "scope": "user", "concurrency": True}, "concurrency"),
        ("/routing/explain", {"model": "m", "max_tokens": True}, "max_tokens"),
    ],
)
async def test_truth_is_neither_a_number_nor_money(
    acme_api: AdminApi, path: str, body: dict[str, Any], field: str
) -> None:
    """`true` where an amount belongs is a mistake, and not 1 USD."""
    answer = await acme_api.call("POST", path, body)
    assert (answer.status_code, answer.json()["error"]["field"]) == (422, field), answer.text


@pytest.mark.parametrize(
    ("path", "body", "fields"),
    [
        ("/providers/acme/models", {"model": "m", "parameters": {"logprobs": True, "extra": [True]}}, set()),
        ("/routing-rules", {"name": "d", "match": {"model": "d"}, "targets": [], "default": True}, {"targets"}),
        ("/providers", {**ACME, "identifier": "b", "options": {"drop": True}}, {"options.drop"}),
    ],
)
async def test_truth_where_it_belongs(acme_api: AdminApi, path: str, body: dict[str, Any], fields: set[str]) -> None:
    """Switches, and what goes to providers as it is, take it: what is refused here is refused for something else."""
    answer = await acme_api.call("POST", path, body)
    told = answer.json()["error"]["details"] if answer.status_code != 201 else []
    assert {one["field"] for one in told} == fields, answer.text
    assert "true" not in answer.json().get("error", {}).get("message", "")


@pytest.mark.parametrize(
    ("body", "fields"),
    [
        ({"limits": {"requests": 60}}, {"limits.requests"}),
        ({"limits": {"requests": {"burst": 5}}}, {"limits.requests", "limits.requests.rate"}),
        ({"limits": {"requests": {"rate": "1/s", "burst": []}}}, {"limits.requests", "limits.requests.burst"}),
        ({"quotas": [{"period": "day", "cost": []}]}, {"quotas.0.cost"}),
        ({"quotas": [{"cost": 1}]}, {"quotas.0.period"}),
        ({"metadata": {"": "x"}}, {"metadata."}),
        ({"colour": "red"}, {"colour"}),
    ],
)
async def test_fields_are_called_as_they_were_sent(
    sqlite_api: AdminApi, body: dict[str, Any], fields: set[str]
) -> None:
    """Where a field may be of several kinds, no refusal speaks of a step that the caller did not write."""
    error = (await sqlite_api.call("POST", "/keys", {"name": "k", **body})).json()["error"]
    assert {one["field"] for one in error["details"]} == fields


@pytest.mark.parametrize("name", [".", "..", "..."])
async def test_a_key_has_a_name_that_a_path_can_hold(sqlite_api: AdminApi, name: str) -> None:
    """Clients take dots out of paths before they send them: nobody could revoke this key."""
    answer = await sqlite_api.call("POST", "/keys", {"name": name})
    assert (answer.status_code, answer.json()["error"]["field"]) == (422, "name")
    assert (await sqlite_api.call("POST", "/keys", {"name": f"a{name}b"})).status_code == 201


async def test_digits_are_ascii(sqlite_api: AdminApi) -> None:
    """A digit of another script may look like another digit."""
    answer = await sqlite_api.call("POST", "/keys", {"name": "k", "limits": {"requests": "\u0663/min"}})
    assert (answer.status_code, answer.json()["error"]["field"]) == (422, "limits.requests")


async def test_a_refusal_names_the_resource_that_would_break(acme_api: AdminApi) -> None:
    """Of what was sent the field is enough; of another resource its kind and name are told."""
    answer = await acme_api.call("PATCH", "/providers/acme", {"type": "bedrock"})
    assert answer.status_code == 422, answer.text
    own, others = answer.json()["error"]["details"][0], answer.json()["error"]["details"][1:]
    assert "region" in own["message"]
    assert not own["message"].startswith("provider")
    assert [(one["field"], one["message"].startswith("routing rule r: ")) for one in others] == [
        ("targets.0.provider", True)
    ]


async def test_cascades_are_advised_where_they_help(acme_api: AdminApi) -> None:
    """A team with keys stays whatever is sent, and a provider that rules name keeps its name."""
    await acme_api.call("POST", "/teams", {"name": "blue"})
    await acme_api.call("POST", "/keys", {"name": "k", "team": "blue"})
    for method, path, body, helps in (
        ("DELETE", "/providers/acme", None, True),
        ("DELETE", "/teams/blue", None, False),
        ("PUT", "/providers/acme", {**ACME, "identifier": "other"}, False),
        ("POST", "/revisions/0/rollback", None, False),
    ):
        answer = await acme_api.call(method, path, body)
        assert answer.status_code == 409, answer.text
        [advice] = answer.json()["error"]["suggestions"]
        assert ("cascade" in advice) is helps, path


def test_what_is_wrong_with_the_replica_is_no_fault_of_the_request() -> None:
    """A key that was replaced meanwhile, say: another replica, or a later try, may do what was asked."""
    problem = problem_of(OperatorError("ENCRYPTION_KEY is not the key that stored credentials are sealed with."))
    assert (status_of(problem), problem.code) == (503, "unavailable")


async def test_paths_in_refusals_are_there(sqlite_api: AdminApi) -> None:
    """Who asks for a user that there is not is told where the users are."""
    answer = await sqlite_api.call("GET", "/admins/nobody")
    assert answer.status_code == 404
    assert "GET /admins " in answer.json()["error"]["message"]
