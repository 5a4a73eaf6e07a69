"""The contract is served, kept in step, complete, and true."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from fastapi.routing import APIRoute
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import Case, GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
    unsupported_method,
)

from gateway.auth.admins import Open, Role
from gateway.http.admin.app import create_admin, openapi
from gateway.http.admin.routing import Routes, check_policies
from gateway.storage.embedded import EmbeddedRedis
from tests.support.admin import ADMIN_KEY, AdminApi, served_api
from tests.support.ledger import sqlite_file

ROOT = Path(__file__).parents[3]
DOCUMENT = openapi()
schema = schemathesis.openapi.from_dict(DOCUMENT)
proper = schema.exclude(operation_id_regex=r"_\d$")
"""Without the other names of paths: behind them are the same endpoints."""
PATIENCE = 60.0
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
    unsupported_method,
]


@pytest.fixture(scope="module")
def served(admin_store: EmbeddedRedis, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    directory = tmp_path_factory.mktemp("served")
    with served_api(sqlite_file(directory), admin_store.url, directory) as base:
        yield base


def play(of: Any, served: str, examples: int) -> int:
    """Send each operation so many right requests, and as many wrong ones; how many operations there are."""
    operations = [found.ok() for found in of.get_all_operations()]
    for operation in operations:
        for mode in (GenerationMode.POSITIVE, GenerationMode.NEGATIVE):
            with suppress(Unsatisfiable):  # what takes nothing cannot be given anything wrong
                play_one(operation.as_strategy(generation_mode=mode), served, examples)
    return len(operations)


def play_one(cases: Any, served: str, examples: int) -> None:
    """Send so many of them."""
    bounded = settings(
        max_examples=examples,
        phases=(Phase.generate,),
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )

    @bounded
    @given(case=cases)
    def once(case: Case[Any]) -> None:
        carried = {"authorization": f"Bearer {ADMIN_KEY}"}
        # A provider that is tried may let the gateway wait for as long as it is allowed to.
        case.call_and_validate(base_url=served, headers=carried, checks=CHECKS, timeout=PATIENCE)

    once()


@pytest.mark.slow
def test_no_server_error_and_no_undocumented_answer(served: str) -> None:
    """Whatever is sent, the answer has a documented status, type and shape, and is no fault of ours."""
    assert play(proper, served, 2) > 80


@pytest.mark.endurance
def test_no_server_error_with_many_examples(served: str) -> None:
    """The same, for longer, under every name."""
    assert play(schema, served, 150) > 100


async def test_it_is_served(sqlite_api: AdminApi) -> None:
    """At /openapi.json below both mounts, to those who may see the API."""
    assert (await sqlite_api.call("GET", "/openapi.json")).json() == json.loads(json.dumps(DOCUMENT))


def test_the_committed_document_is_in_step() -> None:
    """docs/openapi.json is what `gateway schema --api` prints."""
    committed = json.loads((ROOT / "docs" / "openapi.json").read_text())
    assert committed == json.loads(json.dumps(DOCUMENT)), "run `gateway schema --api > docs/openapi.json`"


def test_every_operation_says_whom_it_takes_and_what_it_does() -> None:
    """A role, a summary, a tag that is described, an operation id of its own."""
    tags = {tag["name"] for tag in DOCUMENT["tags"]}
    seen = set()
    for path, operations in DOCUMENT["paths"].items():
        for method, operation in operations.items():
            assert operation["x-role"] in [*Role, Open.PUBLIC], (path, method)
            assert operation["summary"], (path, method)
            assert set(operation["tags"]) <= tags, (path, method)
            assert operation["operationId"] not in seen
            seen.add(operation["operationId"])


def test_a_route_without_a_policy_ends_the_start() -> None:
    """It is an error while the application is made."""
    nothing: Any = None
    app = create_admin(nothing)

    async def leak() -> None: ...

    app.router.routes.append(APIRoute("/leak", leak))
    with pytest.raises(RuntimeError, match="/leak declares no policy"):
        check_policies(app)
    with pytest.raises(TypeError, match="policy"):
        Routes("keys").get("/leak")  # type: ignore[call-arg]
