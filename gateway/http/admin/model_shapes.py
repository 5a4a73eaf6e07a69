"""Models as callers of the admin API write and read them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import ConfigDict, Field, JsonValue

from gateway.http.admin.provider_shapes import Rate, TestResult, Throughput, Word
from gateway.http.admin.resource_shapes import ResourceShown, common, patch_of, tidy
from gateway.http.admin.shapes import Given, LongText, ShortText, Stamp

if TYPE_CHECKING:
    from gateway.registry.resources.records import Resource

ModelStatus = Literal["active", "inactive", "deprecated"]
Usd = Annotated[float, Field(ge=0, le=100_000)]
Tokens = Annotated[int, Field(ge=1, le=1_000_000_000)]
TierName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_-]{0,39}$")]
ModelId = Annotated[
    str, Field(pattern=r"^[!-~]{1,256}$", description="The provider's own id for it.", examples=["gpt-4o-mini"])
]


class Tier(Given):
    """Prices of calls with a large input."""

    above: Tokens
    input: Usd | None = None
    output: Usd | None = None
    cached_input: Usd | None = None
    cache_write: Usd | None = None
    cache_write_1h: Usd | None = None


class Rates(Given):
    """USD per million tokens of each kind."""

    input: Usd | None = None
    output: Usd | None = None
    cached_input: Usd | None = None
    cache_write: Usd | None = None
    cache_write_1h: Usd | None = None
    reasoning: Usd | None = None
    audio_input: Usd | None = None
    audio_output: Usd | None = None


class ServiceTierPricing(Rates):
    """Prices of calls that the provider says it served at this tier; what is not named costs as without it."""

    tiers: Annotated[list[Tier], Field(max_length=16)] | None = None


class Pricing(Rates):
    """USD per million tokens."""

    per_request: Usd | None = Field(None, description="USD for each request.")
    per_unit: Usd | None = Field(None, description="USD for each image, second, character or search.")
    per_search: Usd | None = Field(None, description="USD for each search that the provider runs for an answer.")
    tiers: Annotated[list[Tier], Field(max_length=16)] | None = None
    service_tiers: Annotated[dict[TierName, ServiceTierPricing | None], Field(max_length=8)] | None = Field(
        None, description="Other prices by the tier of service that a call was served at: flex, priority, …"
    )


class ModelPatch(Given):
    """Settings of a model."""

    name: ShortText | None = Field(None, description="What people call it.")
    description: LongText | None = None
    context_length: Tokens | None = Field(None, description="Tokens of input and output together.")
    max_output_tokens: Tokens | None = Field(None, description="Tokens of one answer at most.")
    capabilities: Annotated[list[Word], Field(max_length=50)] | None = Field(
        None, description="What it can do: chat, vision, tools, embeddings, …"
    )
    pricing: Pricing | None = Field(None, description="What it costs; without it the price catalogue is asked.")
    parameters: dict[ShortText, JsonValue] | None = Field(
        None, description="Request fields for callers who set none.", examples=[{"temperature": 0.2}]
    )
    rate_limit: Throughput | Rate | None = None
    concurrency_limit: Annotated[int, Field(ge=1, le=100_000)] | None = None
    status: ModelStatus | None = None
    is_default: bool | None = Field(None, description="It comes first among its provider's models.")


class ModelDraft(ModelPatch):
    """A new model."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"model": "gpt-4o-mini", "context_length": 128000, "pricing": {"input": 0.15, "output": 0.6}}]
        }
    )

    model: ModelId


class ModelShown(ResourceShown):
    """A model."""

    provider_id: str
    provider: str
    model: str
    deployment: str = Field(description="What routes and callers name: `provider/model`.")
    name: str
    description: str | None
    context_length: JsonValue
    max_output_tokens: JsonValue
    capabilities: list[str]
    pricing: JsonValue
    parameters: dict[str, JsonValue]
    rate_limit: JsonValue
    concurrency_limit: JsonValue
    status: str
    is_default: bool
    problem: str | None
    last_tested: Stamp | None
    test_result: TestResult | None


_SAME = ("max_output_tokens", "capabilities", "parameters", "rate_limit", "concurrency_limit", "status", "is_default")
_OTHER = {"context_length": "context_window", "pricing": "price"}


def split(patch: ModelPatch) -> tuple[dict[str, Any], dict[str, Any]]:
    """Settings and details that were named; null removes."""
    given = patch.model_dump(exclude_unset=True)
    settings: dict[str, Any] = {name: patch_of(given[name]) for name in _SAME if name in given}
    settings |= {word: patch_of(given[name]) for name, word in _OTHER.items() if name in given}
    return settings, {name: given[name] for name in ("name", "description") if name in given}


def whole(patch: ModelPatch) -> tuple[dict[str, Any], dict[str, Any]]:
    """The same without nulls."""
    settings, details = split(patch)
    return tidy(settings), tidy(details)


def shown(resource: Resource, provider: str, problem: str | None = None) -> ModelShown:
    """A model as callers read it."""
    settings, details = resource.settings, resource.details
    capabilities = settings.get("capabilities") or []
    found = resource.observed.get("test")
    test = None if found is None else TestResult.model_validate(found)
    return ModelShown(
        **common(resource),
        provider_id=resource.provider_id or "",
        provider=provider,
        model=resource.name,
        deployment=f"{provider}/{resource.name}",
        name=details.get("name") or resource.name,
        description=details.get("description"),
        context_length=settings.get("context_window"),
        max_output_tokens=settings.get("max_output_tokens"),
        capabilities=[capabilities] if isinstance(capabilities, str) else capabilities,
        pricing=settings.get("price"),
        parameters=settings.get("parameters") or {},
        rate_limit=settings.get("rate_limit"),
        concurrency_limit=settings.get("concurrency_limit"),
        status=settings.get("status", "active"),
        is_default=bool(settings.get("is_default")),
        problem=problem,
        last_tested=None if test is None else test.at,
        test_result=test,
    )
