"""Keys, teams, limits and quotas, as they stand in the file."""

from typing import Annotated, Literal, Self

from pydantic import Field, PlainValidator, WithJsonSchema, model_validator

from gateway.registry import scalars
from gateway.registry.schema.fields import (
    ModelName,
    Name,
    OneOrMany,
    Rate,
    Real,
    Secret,
    SecretHash,
    Size,
    Strict,
    Text,
    Whole,
    one_or_many,
)

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

    period: Literal["hour", "day", "week", "month", "year", "total"] = Field(description="When it starts anew (UTC).")
    requests: Size | None = Field(None, ge=1, description="Requests per period.")
    tokens: Size | None = Field(None, ge=1, description="Tokens per period: 5M.")
    cost: Real | None = Field(None, gt=0, le=1_000_000_000, description="USD per period.")
    soft: Real | None = Field(None, gt=0, le=1, description="The share at which a warning is due: 0.8.")
    action_on_exceed: Action = Field(
        ("reject", None), description="reject, throttle, alert, or {downgrade: <model>}.", validate_default=False
    )
    on_store_failure: OnStoreFailure = Field("closed", description="While the store of counters is away.")

    @model_validator(mode="after")
    def _has_amount(self) -> Self:
        if self.requests is None and self.tokens is None and self.cost is None:
            raise ValueError("a quota needs an amount (set `cost`, `tokens` or `requests`)")
        return self


class Key(Strict):
    """A virtual key: what a client of this gateway sends."""

    name: Name = Field(description="How it appears in logs and reports.")
    secret: Secret | None = Field(None, description="At least 32 characters, best as ${VAR}.")
    secret_hash: SecretHash | None = Field(None, description="SHA-256 of the secret, in hexadecimal.")
    team: Text | None = Field(None, description="The team it belongs to.")
    models: Annotated[list[ModelName], OneOrMany] | None = Field(
        None, description="Globs of the models it may use; omitted: all.", json_schema_extra=one_or_many
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


class SharedLimit(Limits):
    """A limit beyond keys and teams."""

    name: Name = Field(description="How it appears in refusals and metrics.")
    scope: Literal["global", "user"] = Field(description="global: all requests together. user: each `user` by itself.")

    @model_validator(mode="after")
    def _has_limit(self) -> Self:
        if self.requests is None and self.tokens is None and self.concurrency is None:
            raise ValueError("a limit limits something (set `requests`, `tokens` or `concurrency`)")
        return self
