"""Keys, teams, limits, quotas and alerts, as they stand in the file."""

from typing import Annotated, Literal, Self

from pydantic import ConfigDict, Field, PlainValidator, WithJsonSchema, model_validator

from gateway.registry import scalars
from gateway.registry.schema.fields import (
    Flag,
    ModelName,
    Moment,
    Name,
    OneOrMany,
    Rate,
    Real,
    Secret,
    SecretHash,
    Size,
    Strict,
    Text,
    WebhookUrl,
    Whole,
    Zone,
    one_or_many,
    some_of,
)
from gateway.registry.schema.providers import Headers
from gateway.registry.schema.routes import ServiceWord

Action = Annotated[
    tuple[str, str | None],
    PlainValidator(scalars.action),
    WithJsonSchema(
        {
            "anyOf": [
                {"enum": list(scalars.ACTIONS)},
                {
                    "type": "object",
                    "properties": {"downgrade": {"type": "string", "description": "The model to switch to."}},
                    "required": ["downgrade"],
                    "additionalProperties": False,
                },
            ]
        }
    ),
]
OnStoreFailure = Literal["open", "closed", "bounded"]


class Limits(Strict):
    """How much may be asked for per period and at once."""

    requests: Rate | None = Field(None, description="Requests per period: 60/min.")
    tokens: Rate | None = Field(None, description="Tokens per period: 100k/min.")
    concurrency: Whole | None = Field(None, ge=1, le=1_000_000, description="Requests in flight at once.")
    on_store_failure: OnStoreFailure = Field(
        "bounded", description="While the store of counters is away: open, closed, or bounded by a local count."
    )


class Quota(Strict):
    """An amount per calendar period."""

    model_config = ConfigDict(json_schema_extra=some_of("cost", "tokens", "requests"))

    period: Literal["minute", "hour", "day", "week", "month", "year", "total"] = Field(
        description="When it starts anew; a week starts on Monday, a total never does."
    )
    zone: Zone | None = Field(None, description="The time zone of the calendar; omitted: the document's `zone`.")
    requests: Size | None = Field(None, ge=1, description="Requests per period.")
    tokens: Size | None = Field(None, ge=1, description="Tokens per period: 5M.")
    cost: Real | None = Field(None, gt=0, le=1_000_000_000, description="USD per period.")
    soft: Real | None = Field(None, gt=0, le=1, description="The share at which a warning is due: 0.8.")
    action_on_exceed: Action = Field(
        ("reject", None), description="reject, throttle, alert, or {downgrade: <model>}.", validate_default=False
    )
    throttle_to: Rate | None = Field(
        None,
        description="What `throttle` leaves: 10/min. Omitted: a tenth of the owner's own limit of requests, else 1/s.",
    )
    unpriced: Literal["refuse", "allow"] = Field(
        "refuse", description="What a `cost` quota does with a model whose price is not known."
    )
    on_store_failure: OnStoreFailure = Field("closed", description="While the store of counters is away.")

    @model_validator(mode="after")
    def _has_amount(self) -> Self:
        if self.requests is None and self.tokens is None and self.cost is None:
            raise ValueError("a quota needs an amount (set `cost`, `tokens` or `requests`)")
        return self


class Key(Strict):
    """A virtual key: what a client of this gateway sends."""

    model_config = ConfigDict(json_schema_extra=some_of("secret", "secret_hash"))

    name: Name = Field(description="How it appears in logs and reports.")
    secret: Secret | None = Field(None, description="At least 32 characters, best as ${VAR}.")
    secret_hash: SecretHash | None = Field(None, description="SHA-256 of the secret, in hexadecimal.")
    team: Text | None = Field(None, description="The team it belongs to.")
    models: Annotated[list[ModelName], OneOrMany] | None = Field(
        None, description="Globs of the models it may use; omitted: all.", json_schema_extra=one_or_many
    )
    services: Annotated[list[ServiceWord], OneOrMany, Field(min_length=1)] | None = Field(
        None, description="Kinds of requests it may make; omitted: all.", json_schema_extra=one_or_many
    )
    groups: Annotated[list[Text], OneOrMany] = Field(
        default_factory=list,
        description="User groups it carries, of your choice; routes may ask for one with `match.group`.",
        json_schema_extra=one_or_many,
    )
    expires: Moment | None = Field(
        None, description="When it stops working: the first moment of a date, or a time; UTC without an offset."
    )
    limits: Limits | None = Field(None, description="What this key may use per period.")
    quotas: list[Quota] = Field(default_factory=list, description="What this key may use up.")

    @model_validator(mode="after")
    def _has_secret(self) -> Self:
        if self.secret is not None and self.secret_hash is not None:
            raise ValueError("a key has `secret` or `secret_hash`, not both (remove one)")
        return self


class Team(Strict):
    """Keys that share limits and quotas."""

    name: Name = Field(description="What keys and routes call it.")
    limits: Limits | None = Field(None, description="What the team may use per period.")
    quotas: list[Quota] = Field(default_factory=list, description="What the team may use up.")


class LimitRule(Limits):
    """Limits and quotas beyond keys and teams: for each member of a scope by itself, or for all calls together."""

    model_config = ConfigDict(json_schema_extra=some_of("requests", "tokens", "concurrency", "quotas"))

    name: Name = Field(description="How it appears in refusals and metrics.")
    scope: Literal["global", "user", "key", "team", "model", "provider", "deployment"] = Field(
        description="global: all requests together. Else: each user, key, team, model, … by itself."
    )
    only: Annotated[list[Text], OneOrMany, Field(min_length=1)] | None = Field(
        None, description="Globs of the members it is for; omitted: all.", json_schema_extra=one_or_many
    )
    quotas: list[Quota] = Field(default_factory=list, description="What each member may use up.")

    @model_validator(mode="after")
    def _has_limit(self) -> Self:
        if self.requests is None and self.tokens is None and self.concurrency is None and not self.quotas:
            raise ValueError("a limit limits something (set `requests`, `tokens`, `concurrency` or `quotas`)")
        return self


class Alerts(Strict):
    """Where soft thresholds, exceeded quotas, incidents and refused configurations are told."""

    webhook: WebhookUrl | None = Field(None, description="Gets one POST with JSON for each alert; best as ${VAR}.")
    headers: Headers = Field(default_factory=dict, description="Sent with every POST, such as authorization.")
    secret: Secret | None = Field(
        None, description="Signs every POST (HMAC-SHA256); at least 32 characters, best as ${VAR}."
    )
    allow_private_network: Flag | None = Field(
        None, description="The webhook may be on this machine or in a private network; as a provider's."
    )
