"""Where a call would go, and why."""

from __future__ import annotations

from typing import Annotated, Any

import orjson
from pydantic import ConfigDict, Field

from gateway.auth.admins import Role
from gateway.auth.issue import Issuer, record_of
from gateway.auth.keys import ANONYMOUS
from gateway.auth.records import principal_of
from gateway.auth.refusals import NoSuchKey
from gateway.explaining.local import LocalExplainer
from gateway.explaining.words import as_dict
from gateway.http.admin.problems import Invalid
from gateway.http.admin.routing import Routes
from gateway.http.admin.services import Services, ServicesDep
from gateway.http.admin.shapes import Given, ShortText, Shown
from gateway.http.imagined import Imagined, Unimaginable, imagine
from gateway.registry.schema.routes import Need, ServiceWord
from gateway.types import Principal

routes = Routes("routing")

_MOST_TOKENS = 2_000_000
_Tokens = Annotated[int, Field(ge=0, le=_MOST_TOKENS)]


class Explain(Given):
    """A call that nobody made."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"model": "gpt-4o", "key": "research-ci", "tokens": 1200, "needs": ["tools"]}]}
    )

    model: Annotated[str, Field(max_length=256)] | None = Field(None, description="The model that is asked for.")
    service: ServiceWord = "chat"
    key: ShortText | None = Field(None, description="As the holder of this key; null: as somebody unknown.")
    user: ShortText | None = Field(None, description="The end user that the request names.")
    provider: ShortText | None = Field(None, description="Pinned to this provider.")
    stream: bool = False
    needs: Annotated[list[Need], Field(max_length=4)] = []
    tokens: _Tokens | None = Field(None, description="Of the input.")
    max_tokens: Annotated[int, Field(ge=1, le=_MOST_TOKENS)] | None = None
    headers: Annotated[dict[ShortText, Annotated[str, Field(max_length=1000)]], Field(max_length=50)] = {}
    body: dict[str, Any] | None = Field(None, description="The request itself, in place of its properties.")


class Candidate(Shown):
    """Somebody who would serve."""

    deployment: str
    provider: str
    model: str


class LeftOut(Shown):
    """Somebody who would not."""

    deployment: str
    reason: str


class PassedRoute(Shown):
    """A route that does not match, and by which of its conditions."""

    route: str
    conditions: list[str]


class Refusal(Shown):
    """What the caller would get."""

    status: int
    code: str | None
    message: str
    retry_after: float | None


class Asked(Shown):
    """The call, as routing sees it."""

    model: str
    service: str
    stream: bool
    needs: list[str]
    context_tokens: int | None


class Explanation(Shown):
    """What would become of the call now. Without candidates there is a refusal."""

    request: Asked
    model: str
    downgraded_to: str | None
    revision: str
    route: str | None
    strategy: str | None
    passed: list[PassedRoute]
    candidates: list[Candidate] = Field(description="In the order in which they would be tried.")
    left_out: list[LeftOut]
    refusal: Refusal | None
    notes: list[str]


@routes.post("/routing/explain", "/routing-rules/explain", policy=Role.VIEWER, summary="Explain where a call would go")
async def explain_call(asked: Explain, services: ServicesDep) -> Explanation:
    """The same decisions as for a call, on the same facts; nothing is sent, counted or changed."""
    try:
        call = imagine(_imagined(asked))
    except Unimaginable as error:
        raise Invalid(f"{error.field}: {error}", field=error.field) from None
    principal = await _caller(services, asked.key)
    snapshot = services.snapshot()
    parts = LocalExplainer(services.settings, snapshot, services.dialects)
    try:
        found = await parts.explain(call, principal)
    finally:
        await parts.close()
    return Explanation.model_validate(as_dict(found, call, snapshot))


def _imagined(asked: Explain) -> Imagined:
    return Imagined(
        service=asked.service,
        model=asked.model,
        stream=asked.stream,
        user=asked.user,
        provider=asked.provider,
        tokens=asked.tokens,
        max_tokens=asked.max_tokens,
        needs=frozenset(asked.needs),
        headers=asked.headers,
        body=None if asked.body is None else orjson.dumps(asked.body),
    )


async def _caller(services: Services, name: str | None) -> Principal:
    """Who holds this key, of the file or of the database. Raises Invalid for one that opens nothing."""
    if name is None:
        return ANONYMOUS
    declared = services.snapshot().virtual_keys.get(name)
    if declared is not None:
        if not declared.active:
            raise Invalid("key: this key is inactive: a variable that it needs is not set.", field="key")
        return declared.principal
    try:
        info = await Issuer(services.database).get(name)
    except NoSuchKey:
        raise Invalid("key: there is no key of this name", field="key") from None
    if info.state != "active":
        raise Invalid(f"key: this key is {info.state}: its calls are refused with 401.", field="key")
    return principal_of(record_of(info), b"", services.snapshot().zone)
