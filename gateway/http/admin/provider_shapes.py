"""Providers as callers of the admin API write and read them."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, ConfigDict, Field, JsonValue

from gateway.http.admin.resource_shapes import ResourceShown
from gateway.http.admin.shapes import Given, LongText, ShortText, Shown, Stamp
from gateway.registry.resources.vetting import opens_something

AuthMethod = Literal["api_key", "oauth2", "aws_iam", "custom"]
ServiceType = Literal["llm", "embedding", "reranking", "speech", "vision"]
Status = Literal["active", "inactive", "testing"]
Word = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,40}$")]
Rate = int | float | Annotated[str, Field(max_length=40)]
Seconds = int | float | Annotated[str, Field(max_length=20)]
RESERVED = frozenset(
    (
        *("models", "credentials", "routing-rules", "chat", "embeddings", "errors", "templates"),
        *("refresh-registry", "registry-status"),
    )
)
"""Words that stand in paths where identifiers do."""
ELSEWHERE = frozenset({"type", "base_url", "headers", "status", "capabilities", "models"})
"""Settings that have fields of their own."""


def _free(identifier: str) -> str:
    if identifier in RESERVED:
        raise ValueError("this word stands in paths of this API (choose another)")
    return identifier


def _own(options: dict[str, Any]) -> dict[str, Any]:
    for name in options:
        if name in ELSEWHERE or name in Runtime.model_fields:
            raise ValueError(f"`{name}` has a field of its own (set it there)")
    return options


Identifier = Annotated[
    str,
    AfterValidator(_free),
    Field(
        pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$",
        description="Its name in routes, headers, metrics and `provider/model`; never changes.",
        examples=["acme"],
    ),
]


class AuthField(Given):
    """One thing that a credential of this provider holds."""

    name: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,40}$")]
    label: ShortText | None = None
    required: bool = True
    secret: bool = True


FIELD_PLACE = re.compile(r"\{([a-z][a-z0-9_]{0,40})\}")
_LONG_WORD = re.compile(r"[A-Za-z0-9+/_=.-]{16,}")


def _made_of_fields(templates: dict[str, str]) -> dict[str, str]:
    """Everybody who may look sees them: what opens something has to come from a credential."""
    for header, template in templates.items():
        literal = FIELD_PLACE.sub(" ", template)
        if opens_something(header) and (literal == template or _LONG_WORD.search(literal)):
            raise ValueError(f"{header}: a secret is a field of a credential (write `{{name}}` where it belongs)")
    return templates


class AuthConfig(Given):
    """How the provider is told who calls."""

    fields: Annotated[list[AuthField], Field(max_length=20)] = []
    header_templates: Annotated[
        dict[ShortText, Annotated[str, Field(max_length=1000)]], Field(max_length=20), AfterValidator(_made_of_fields)
    ] = Field(
        {},
        description="Headers that are made from a credential's fields: `{name}` stands for the field of that name.",
        examples=[{"x-api-key": "{api_key}"}],
    )
    test_endpoint: Annotated[str, Field(pattern=r"^/[!-~]{0,500}$")] | None = Field(
        None, description="A path below `base_url` that is asked when the provider is tested; else its list of models."
    )


class Capabilities(Given):
    """What the provider can do."""

    words: Annotated[list[Word], Field(max_length=50)] | None = Field(
        None,
        description="What models can do that do not say so themselves; routing goes by it: chat, vision, tools, …",
        examples=[["chat", "tools"]],
    )
    system_messages: bool | None = None
    context_length: Annotated[int, Field(ge=1, le=1_000_000_000)] | None = None
    roles: Annotated[list[Word], Field(max_length=20)] | None = None
    streaming: bool | None = None
    tools: bool | None = None
    vision: bool | None = None
    json_schema: bool | None = None


class Throughput(Given):
    """What the provider allows per period."""

    requests: Rate | None = None
    tokens: Rate | None = None


class Timeouts(Given):
    """Seconds to wait."""

    connect: Seconds | None = None
    first_byte: Seconds | None = None
    idle: Seconds | None = None
    total: Seconds | None = None


class Runtime(Given):
    """How it is called; what is omitted has the configuration file's defaults."""

    concurrency_limit: Annotated[int, Field(ge=1, le=100_000)] | None = None
    timeout: Timeouts | Seconds | None = Field(None, description="Seconds to the first byte, or each by itself.")
    batch_size: Annotated[int, Field(ge=1, le=100_000)] | None = None
    stream: bool | None = None
    rate_limit: Throughput | Rate | None = Field(None, description="Requests per second, or `{requests, tokens}`.")
    retry_attempts: Annotated[int, Field(ge=0, le=10)] | None = None
    retry_delay: Seconds | None = None
    queue_timeout: Seconds | None = None
    breaker: bool | None = None
    on_disconnect: Literal["cancel", "drain"] | None = None
    unsupported: Literal["error", "drop"] | None = None
    fetch_models: bool | None = None
    health_check: bool | None = None


Options = Annotated[
    dict[Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,40}$")], JsonValue],
    AfterValidator(_own),
    Field(
        max_length=30,
        description="Settings of its type that are no secrets: `org_id`, `region`, `resource`, `project`, …",
    ),
]
Headers = Annotated[
    dict[ShortText, Annotated[str, Field(max_length=4000)]],
    Field(max_length=50, description="Sent with every request; one that opens something belongs in a credential."),
]


class ProviderPatch(Given):
    """Settings of a provider."""

    name: ShortText | None = Field(None, description="What people call it.", examples=["Acme Inc."])
    description: LongText | None = None
    type: Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9_.-]{0,63}$")] | None = Field(
        None, description="What it speaks: openai, anthropic, …", examples=["openai_compatible"]
    )
    base_url: Annotated[str, Field(max_length=2000)] | None = Field(
        None,
        description="Where it is, version segment included; each type has a default.",
        examples=["https://acme.example/v1"],
    )
    auth_method: AuthMethod | None = None
    auth_config: AuthConfig | None = None
    service_types: Annotated[list[ServiceType], Field(max_length=5)] | None = None
    capabilities: Capabilities | None = None
    runtime: Runtime | None = None
    options: Options | None = None
    headers: Headers | None = None
    status: Status | None = Field(None, description="testing: reachable as provider/model only. inactive: not at all.")


class ProviderDraft(ProviderPatch):
    """A new provider."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "identifier": "acme",
                    "name": "Acme Inc.",
                    "type": "openai_compatible",
                    "base_url": "https://acme.example/v1",
                    "service_types": ["llm"],
                    "runtime": {"concurrency_limit": 50, "timeout": 30},
                }
            ]
        }
    )

    identifier: Identifier
    type: Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9_.-]{0,63}$")] = Field(
        description="What it speaks: openai, anthropic, …", examples=["openai_compatible"]
    )


class TestResult(Shown):
    """What the last test found."""

    ok: bool
    at: Stamp
    failed_step: str | None
    message: str
    duration_ms: float


class ProviderShown(ResourceShown):
    """A provider."""

    identifier: str
    name: str
    description: str | None
    type: str
    base_url: str | None
    auth_method: str | None
    auth_config: dict[str, Any] | None
    service_types: list[str]
    capabilities: dict[str, Any]
    runtime: dict[str, Any]
    options: dict[str, Any]
    headers: dict[str, str]
    status: str
    models: int = Field(description="How many models it has.")
    credentials: int = Field(description="How many credentials it has.")
    problem: str | None = Field(description="Why it is not served though it is active, if it is not.")
    verification_status: Literal["unverified", "verified", "failed"]
    last_tested: Stamp | None
    test_result: TestResult | None
