"""Providers and their models, as they stand in the file."""

import re
from functools import lru_cache
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    PlainValidator,
    WithJsonSchema,
    create_model,
    model_validator,
)

from gateway.providers.wire.tiers import ORDINARY
from gateway.registry.catalogue import RERANKS, ProviderType
from gateway.registry.schema.abilities import Capabilities, capabilities
from gateway.registry.schema.fields import (
    Credentials,
    Duration,
    Flag,
    ModelName,
    OneOrMany,
    ProviderRate,
    Real,
    Size,
    Strict,
    Text,
    Url,
    Whole,
    one_or_many,
    or_plain,
)
from gateway.types import DEFAULT_BATCH_SIZE, DEFAULT_QUEUE_TIMEOUT, DEFAULT_RETRY_ATTEMPTS, DEFAULT_RETRY_DELAY

_TOKEN = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
_OURS = frozenset({"host", "content-length", "transfer-encoding", "connection", "te", "upgrade", "expect"})
_FREE_JSON = WithJsonSchema({"type": "object"})
_ASKED = frozenset({"stream", "model", "messages", "input", "prompt"})
"""Request fields that say what is asked, and in which form the answer is read."""
_JSON_DEPTH = 16
_MOST = 100_000
"""USD: a price above it is a slip."""
_TIERS = 16
_SERVICE_TIERS = 8
_TIER_NAME = rf"^(?!(?:{'|'.join(sorted(ORDINARY))})$)[a-z][a-z0-9_-]{{0,39}}$"


def header_token(value: str) -> str:
    """Raises ValueError for what cannot be the name of a header."""
    if _TOKEN.fullmatch(value) is None:
        raise ValueError("this is not a header name (use letters, digits and dashes)")
    return value


def header_name(value: str) -> str:
    """Raises ValueError for what cannot be a header that an operator sets."""
    header_token(value)
    if value.lower() in _OURS:
        raise ValueError("this header belongs to the connection and cannot be set (remove it)")
    return value


def header_value(value: Any) -> str:
    """Raises ValueError for what is not one line of ASCII text."""
    if not isinstance(value, str) or not value.isascii() or not value.isprintable():
        raise ValueError("a header value is one line of ASCII text (put it in quotes)")
    return value


Api = Annotated[list[Literal["chat", "responses"]], OneOrMany, Field(json_schema_extra=one_or_many)]
HeaderToken = Annotated[str, AfterValidator(header_token)]
Headers = dict[
    Annotated[str, AfterValidator(header_name)],
    Annotated[str, PlainValidator(header_value), WithJsonSchema({"type": "string"})],
]


class Tier(Strict):
    """Prices of a call with a large input, for all of its tokens. What is not named costs as without the tier."""

    above: Size = Field(ge=1, description="Input tokens above which it applies: 200000 or 200k.")
    input: Real | None = Field(None, ge=0, le=_MOST, description="USD per million input tokens.")
    output: Real | None = Field(None, ge=0, le=_MOST, description="USD per million output tokens.")
    cached_input: Real | None = Field(
        None,
        ge=0,
        le=_MOST,
        description="USD per million input tokens read from a cache; else this tier's input price.",
    )
    cache_write: Real | None = Field(
        None, ge=0, le=_MOST, description="USD per million input tokens written to a cache; else its input price."
    )
    cache_write_1h: Real | None = Field(
        None,
        ge=0,
        le=_MOST,
        description="USD per million input tokens written to a cache for an hour; else as `cache_write`.",
    )


def _apart(tiers: list[Tier]) -> list[Tier]:
    if len({tier.above for tier in tiers}) < len(tiers):
        raise ValueError("two tiers begin `above` the same number of tokens (remove one)")
    if len(tiers) > _TIERS:
        raise ValueError(f"a price has at most {_TIERS} tiers (remove some)")
    return tiers


class ServiceTier(Strict):
    """Prices of calls that the provider says it served at this tier. What is not named costs as without the tier."""

    input: Real | None = Field(None, ge=0, le=_MOST, description="USD per million input tokens.")
    output: Real | None = Field(None, ge=0, le=_MOST, description="USD per million output tokens.")
    cached_input: Real | None = Field(
        None, ge=0, le=_MOST, description="USD per million input tokens read from a cache."
    )
    cache_write: Real | None = Field(
        None, ge=0, le=_MOST, description="USD per million input tokens written to a cache."
    )
    cache_write_1h: Real | None = Field(
        None, ge=0, le=_MOST, description="USD per million input tokens written to a cache for an hour."
    )
    reasoning: Real | None = Field(None, ge=0, le=_MOST, description="USD per million reasoning tokens.")
    audio_input: Real | None = Field(None, ge=0, le=_MOST, description="USD per million input tokens of audio.")
    audio_output: Real | None = Field(None, ge=0, le=_MOST, description="USD per million output tokens of audio.")
    tiers: Annotated[list[Tier], AfterValidator(_apart)] | None = Field(
        None, description="Prices of its calls with a large input; without them the price's own `tiers` apply."
    )

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        if not self.model_fields_set:
            raise ValueError("a tier of service needs a price (write {input: 5, output: 20}, or remove it)")
        return self


def _tier_name(name: str) -> str:
    if name in ORDINARY:
        raise ValueError(f"what `{name}` costs is what the price itself says (write it there)")
    if re.match(_TIER_NAME, name) is None:
        raise ValueError("a tier of service has a name in small letters (such as flex, priority)")
    return name


def _few(tiers: dict[str, ServiceTier]) -> dict[str, ServiceTier]:
    if len(tiers) > _SERVICE_TIERS:
        raise ValueError(f"a price has at most {_SERVICE_TIERS} tiers of service (remove some)")
    return tiers


TierName = Annotated[str, AfterValidator(_tier_name), WithJsonSchema({"type": "string", "pattern": _TIER_NAME})]


class Prices(Strict):
    """USD per million tokens."""

    input: Real = Field(0.0, ge=0, le=_MOST, description="USD per million input tokens.")
    output: Real = Field(0.0, ge=0, le=_MOST, description="USD per million output tokens.")
    cached_input: Real | None = Field(
        None, ge=0, le=_MOST, description="USD per million input tokens read from a cache; else the input price."
    )
    cache_write: Real | None = Field(
        None, ge=0, le=_MOST, description="USD per million input tokens written to a cache; else the input price."
    )
    cache_write_1h: Real | None = Field(
        None,
        ge=0,
        le=_MOST,
        description="USD per million input tokens written to a cache for an hour; else as `cache_write`.",
    )
    reasoning: Real | None = Field(
        None, ge=0, le=_MOST, description="USD per million reasoning tokens; else the output price."
    )
    audio_input: Real | None = Field(
        None, ge=0, le=_MOST, description="USD per million input tokens of audio; else the input price."
    )
    audio_output: Real | None = Field(
        None, ge=0, le=_MOST, description="USD per million output tokens of audio; else the output price."
    )
    per_request: Real = Field(0.0, ge=0, le=_MOST, description="USD for each request.")
    per_unit: Real = Field(
        0.0,
        ge=0,
        le=_MOST,
        description="USD for each image made, second of audio transcribed, character spoken or search ranked.",
    )
    per_search: Real = Field(
        0.0, ge=0, le=_MOST, description="USD for each search that the provider runs for an answer."
    )
    tiers: Annotated[list[Tier], AfterValidator(_apart)] = Field(
        default_factory=list, description="Other prices for calls with a large input."
    )
    service_tiers: Annotated[dict[TierName, ServiceTier], AfterValidator(_few)] = Field(
        default_factory=dict,
        description="Other prices by the tier of service that a provider says it served a call at: flex, priority, …",
    )

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        if not self.model_fields_set - {"tiers", "service_tiers"}:
            raise ValueError("a price needs an amount (write {input: 2.5, output: 10}, or 0 if it is free)")
        return self


class Throughput(Strict):
    """What the provider allows per period."""

    requests: ProviderRate | None = Field(None, description="Requests per period: 500/min.")
    tokens: ProviderRate | None = Field(None, description="Tokens per period: 200k/min.")


def _single(name: str) -> BeforeValidator:
    """A plain value stands for the mapping with only this setting."""
    return BeforeValidator(lambda value: {name: value} if isinstance(value, str | int | float) else value)


def _rate_limit() -> Any:
    return Field(
        None,
        description="Requests per second, or {requests: 500/min, tokens: 200k/min}.",
        json_schema_extra=or_plain({"type": "number", "exclusiveMinimum": 0}, {"type": "string"}),
    )


def _parameter(name: str) -> str:
    if name in _ASKED:
        raise ValueError(f"`{name}` is what each request says itself, and no default (remove it)")
    return name


class Model(Strict):
    """One model of a provider."""

    status: Literal["active", "inactive", "deprecated"] = Field(
        "active", description="deprecated: it serves, and people are told to leave it. inactive: it does not serve."
    )
    context_window: Size | None = Field(None, ge=1, description="Tokens of input and output together: 128000 or 128k.")
    max_output_tokens: Size | None = Field(None, ge=1, description="Tokens of one answer at most: 16384 or 16k.")
    rate_limit: Annotated[Throughput, _single("requests")] | None = _rate_limit()
    concurrency_limit: Whole | None = Field(None, ge=1, le=100_000, description="Requests in flight at once.")
    price: Prices | None = Field(None, description="What it costs; without it the price catalogue is asked.")
    parameters: Annotated[dict[Annotated[str, AfterValidator(_parameter)], Any], _FREE_JSON] = Field(
        default_factory=dict, description="Request fields for callers who set none, such as temperature."
    )
    capabilities: Capabilities | None = capabilities("What it can do (chat, vision, tools, …), and how it differs.")
    api: Api = Field(
        default_factory=list,
        description="By which API it can be called, chat or responses, where that is not both that its provider has; "
        "calls of the other are translated.",
    )


class Timeout(Strict):
    """How long to wait."""

    connect: Duration = Field(5.0, gt=0, le=600, description="Seconds until connected, TLS included.")
    first_byte: Duration = Field(60.0, gt=0, le=3600, description="Seconds until the first byte of the answer.")
    idle: Duration = Field(120.0, gt=0, le=3600, description="Seconds between two reads of an answer.")
    total: Duration = Field(600.0, gt=0, le=86400, description="Seconds for all attempts of a call without a stream.")


class Draining(Strict):
    """Reading on after a client left; beyond these bounds it is cancelled."""

    at_once: Whole = Field(32, ge=1, le=100_000, description="Answers of one worker that are read on at once.")
    seconds: Duration = Field(60.0, gt=0, le=3600, description="How long one is read on.")


def _draining(value: Any) -> Any:
    if isinstance(value, str):
        if value not in ("cancel", "drain"):
            raise ValueError("expected cancel or drain (or {at_once: 32, seconds: 60}, to drain within other bounds)")
        return None if value == "cancel" else {}
    return value


class HealthCheck(Strict):
    """How it is probed."""

    enabled: Flag = Field(default=True, description="Ask it every now and then how it is.")
    call: Flag = Field(
        default=False, description="Call its models too, for one token each: that may cost money. Else only their list."
    )
    model: ModelName | None = Field(None, description="The one model that is called; omitted: all that are listed.")
    interval: Duration | None = Field(
        None, ge=5, le=86400, description="Seconds between two probes; HEALTH_CHECK_INTERVAL without it."
    )


def _models(value: Any) -> Any:
    if isinstance(value, list):
        if not all(isinstance(item, str) for item in value):
            raise ValueError("expected a list of model names (put each in quotes)")
        return {item: {} for item in value}
    if isinstance(value, dict):
        return {name: {} if item is None else item for name, item in value.items()}
    raise ValueError("expected a list of model names, or a mapping of names to settings")


class Provider(Strict):
    """The settings that every provider type has."""

    type: Text = Field(description="The dialect this provider speaks.")
    base_url: Url | None = Field(None, description="Where it is, version segment included; each type has a default.")
    status: Literal["active", "inactive", "testing"] = Field(
        "active", description="testing: reachable as provider/model only. inactive: not at all."
    )
    headers: Headers = Field(default_factory=dict, description="Sent with every request to this provider.")
    ca_file: Text | None = Field(None, description="PEM bundle to trust instead of the system's.")
    engine: Literal["httptools", "httpx2"] = Field("httptools", description="The HTTP client that talks to it.")
    allow_private_network: Flag | None = Field(
        None,
        description="It may be on this machine or in a private network. Without it: types ollama and vllm, and a "
        "base_url whose host is localhost or itself a private address, may; a name that resolves to one may not.",
    )
    concurrency_limit: Whole | None = Field(None, ge=1, le=100_000, description="Requests in flight at once.")
    queue_timeout: Duration = Field(
        DEFAULT_QUEUE_TIMEOUT,
        ge=0,
        le=600,
        description="How long requests queue while every target is at its concurrency_limit.",
    )
    rate_limit: Annotated[Throughput, _single("requests")] | None = _rate_limit()
    timeout: Annotated[Timeout, _single("first_byte")] | None = Field(
        None,
        description="Seconds to the first byte, or {connect: 5, first_byte: 60, idle: 120, total: 600}.",
        json_schema_extra=or_plain({"type": "number", "exclusiveMinimum": 0}, {"type": "string"}),
    )
    retry_attempts: Whole = Field(
        DEFAULT_RETRY_ATTEMPTS, ge=0, le=10, description="Retries on one deployment after its first try."
    )
    retry_delay: Duration = Field(
        DEFAULT_RETRY_DELAY, ge=0, le=60, description="Base of the backoff between retries, in seconds."
    )
    on_disconnect: Annotated[Draining | None, BeforeValidator(_draining)] = Field(
        None,
        description="cancel: stop when the client leaves. drain: read on, so that the usage is the provider's.",
        json_schema_extra=or_plain({"type": "string", "enum": ["cancel", "drain"]}),
    )
    breaker: Flag = Field(default=True, description="Its models leave rotation while they fail.")
    batch_size: Whole = Field(
        DEFAULT_BATCH_SIZE, ge=1, le=100_000, description="Inputs in one upstream embeddings call."
    )
    stream: Flag = Field(default=True, description="The provider can stream.")
    unsupported: Literal["error", "drop"] = Field(
        "error", description="Request fields that its API cannot say: refuse the request, or leave them out."
    )
    fetch_media: Flag = Field(
        default=False,
        description="Fetch pictures and files that requests name by URL, from public addresses, and send the bytes.",
    )
    fetch_models: Flag = Field(default=False, description="Ask the provider which models it has.")
    health_check: Annotated[HealthCheck, _single("enabled")] | None = Field(
        None,
        description="true or false, or {call: true, model: gpt-4o-mini, interval: 60}.",
        json_schema_extra=or_plain({"type": "boolean"}),
    )
    models: Annotated[dict[ModelName, Model], BeforeValidator(_models)] = Field(
        default_factory=dict,
        description="Its models: a list of names, or a mapping of names to settings.",
        json_schema_extra=or_plain({"type": "array", "items": {"type": "string"}, "uniqueItems": True}),
    )
    capabilities: Capabilities | None = capabilities("What models can do that do not say so, and how they differ.")
    api: Api = Field(
        default_factory=list,
        description="By which API its models can be called, chat or responses, where that is not both that the type "
        "has; calls of the other are translated.",
    )


@lru_cache(maxsize=128)
def model_for(kind: ProviderType) -> type[Provider]:
    """The model of one provider type: the common settings and its own."""
    fields: dict[str, Any] = {}
    if kind.takes_key:
        fields["api_key"] = (Credentials | None, Field(None, description="The key, or a list of keys used in turn."))
    for own in kind.own:
        annotation = Annotated[Any, PlainValidator(own.parse), WithJsonSchema(_own_schema(own.name))]
        fields[own.name] = (annotation, Field(None, description=own.description))
    return create_model(f"Provider_{kind.name}", __base__=Provider, **fields)


_OWN_SHAPES: dict[str, dict[str, Any]] = {
    "deployments": {"type": "object", "additionalProperties": {"type": "string"}},
    "openai_models": {"type": "array", "items": {"type": "string"}},
    "rerank": {"type": "string", "enum": list(RERANKS)},
}


def _own_schema(name: str) -> dict[str, Any]:
    return _OWN_SHAPES.get(name, {"type": "string"})
