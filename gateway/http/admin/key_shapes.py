"""Keys as callers of the admin API write and read them."""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeVar

from pydantic import AfterValidator, ConfigDict, Field

from gateway.auth.drafts import Draft
from gateway.auth.issue import GRACE_SECONDS, Issued, KeyInfo
from gateway.http.admin.moments import iso, to_come
from gateway.http.admin.shapes import Given, ShortText, Shown, Stamp
from gateway.registry import dates
from gateway.registry.schema.fields import Name

KeyState = Literal["active", "expired", "revoked", "inactive"]
Amount = int | float | Annotated[str, Field(max_length=40)]
Rate = Annotated[str, Field(max_length=40, examples=["60/min"])]
_YEAR = 365 * 86400.0


class Burst(Given):
    """A rate whose bucket holds another amount than one period's."""

    rate: Rate
    burst: int | Annotated[str, Field(max_length=40)]


class LimitsGiven(Given):
    """How much may be asked for per period and at once, in the notation of the configuration file."""

    requests: Rate | Burst | None = Field(None, description="Requests per period: `60/min`.")
    tokens: Rate | Burst | None = Field(None, description="Tokens per period: `100k/min`.")
    concurrency: int | None = Field(None, ge=1, le=1_000_000, description="Requests in flight at once.")
    on_store_failure: Literal["open", "closed", "bounded"] | None = None


class Downgrade(Given):
    """Switch to another model."""

    downgrade: ShortText


class QuotaGiven(Given):
    """An amount per calendar period, in the notation of the configuration file."""

    period: Literal["minute", "hour", "day", "week", "month", "year", "total"]
    zone: Annotated[str, Field(max_length=64, examples=["Europe/Berlin"])] | None = None
    requests: Amount | None = Field(None, description="Requests per period.")
    tokens: Amount | None = Field(None, description="Tokens per period: `5M`.", examples=["5M"])
    cost: Amount | None = Field(None, description="USD per period.", examples=[100])
    soft: Amount | None = Field(None, description="The share at which a warning is due.", examples=[0.8])
    action_on_exceed: Literal["reject", "throttle", "alert"] | Downgrade | None = None
    throttle_to: Rate | None = None
    unpriced: Literal["refuse", "allow"] | None = None
    on_store_failure: Literal["open", "closed", "bounded"] | None = None


Models = Annotated[list[ShortText], Field(max_length=500, description="Globs of the models it may use; null: all.")]
Services = Annotated[list[ShortText], Field(max_length=20, description="Kinds of requests it may make; null: all.")]
Notes = Annotated[
    dict[ShortText, Annotated[str, Field(max_length=256)]],
    Field(max_length=64, description="Notes; `groups` names user groups that routes may ask for, by commas."),
]
Quotas = Annotated[list[QuotaGiven], Field(max_length=20)]
Ends = Annotated[
    str,
    Field(max_length=40, description="When it stops working.", examples=["2031-01-31", "2031-01-31T18:00:00Z"]),
    AfterValidator(to_come),
]


class KeyPatch(Given):
    """Settings of a key."""

    team: ShortText | None = Field(None, description="The team it belongs to.")
    models: Models | None = None
    services: Services | None = None
    limits: LimitsGiven | None = None
    quotas: Quotas | None = None
    metadata: Notes | None = None
    expires_at: Ends | None = None

    def changes(self) -> dict[str, Any]:
        """What is named, as a draft has it."""
        plain = self.model_dump(exclude_unset=True)
        found: dict[str, Any] = {name: plain[name] for name in plain if name in ("team", "models", "services")}
        if "limits" in plain:
            found["limits"] = _without_nulls(plain["limits"] or {})
        if "quotas" in plain:
            found["quotas"] = [_without_nulls(quota) for quota in plain["quotas"] or []]
        if "metadata" in plain:
            found["metadata"] = plain["metadata"] or {}
        if "expires_at" in plain:
            ends = plain["expires_at"]
            found["expires_at"] = None if ends is None else dates.moment(ends)
        return found


class KeyDraft(KeyPatch):
    """A new key."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "name": "research-ci",
                    "team": "research",
                    "models": ["gpt-4o*"],
                    "limits": {"requests": "60/min", "tokens": "100k/min"},
                    "quotas": [{"period": "month", "cost": 100, "soft": 0.8}],
                }
            ]
        }
    )

    name: Name = Field(
        description="How it appears in logs and reports.",
        json_schema_extra={"minLength": 1, "maxLength": 64, "pattern": "^[A-Za-z0-9._-]+$"},
    )

    def draft(self) -> Draft:
        """What the issuer takes."""
        return Draft(name=self.name, **self.changes())


class KeyRotation(Given):
    """How to change a secret."""

    grace_seconds: float = Field(GRACE_SECONDS, ge=0, le=_YEAR, description="How long the present secret opens too.")


class KeyShown(Shown):
    """A key."""

    name: str
    is_system: bool = Field(description="Declared in the configuration file, and changed there.")
    state: KeyState
    prefix: str | None = Field(description="The first characters of its secret.")
    team: str | None
    models: list[str] | None
    services: list[str] | None
    limits: dict[str, Any]
    quotas: list[dict[str, Any]]
    metadata: dict[str, str]
    created_at: Stamp | None
    created_by: str | None
    expires_at: Stamp | None
    rotated_at: Stamp | None
    grace_until: Stamp | None = Field(description="Until then the secret before the last rotation opens too.")
    revoked_at: Stamp | None
    revision: int


class KeyCreated(KeyShown):
    """A new key, with its secret."""

    secret: str | None = Field(description="Shown once; null: the key was there already.")
    told: bool = Field(description="The workers know; false: they will within seconds.")


class KeyRotated(KeyCreated):
    """A key with a new secret."""


_Created = TypeVar("_Created", bound=KeyCreated)


def shown(info: KeyInfo) -> KeyShown:
    """A key of the database."""
    return KeyShown(**_plain(info))


def issued_of(kind: type[_Created], issued: Issued, *, told: bool) -> _Created:
    """A key with the secret that was made for it just now."""
    return kind(**_plain(issued.info), secret=issued.secret, told=told)


def _plain(info: KeyInfo) -> dict[str, Any]:
    return {
        "name": info.name,
        "is_system": False,
        "state": info.state,
        "prefix": info.prefix,
        "team": info.team,
        "models": info.models,
        "services": info.services,
        "limits": info.limits,
        "quotas": info.quotas,
        "metadata": info.metadata,
        "created_at": iso(info.created_at),
        "created_by": info.created_by,
        "expires_at": iso(info.expires_at),
        "rotated_at": iso(info.rotated_at),
        "grace_until": iso(info.grace_until),
        "revoked_at": iso(info.revoked_at),
        "revision": info.revision,
    }


def _without_nulls(values: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}
