"""What all answers of the admin API have in common, as the contract describes it."""

from __future__ import annotations

from typing import Annotated, Generic, TypeVar

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

Item = TypeVar("Item")


class Given(BaseModel):
    """What callers send: every field is known."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


class Shown(BaseModel):
    """What callers get."""

    model_config = ConfigDict(frozen=True)


class DetailBody(Shown):
    """One of several mistakes."""

    field: str | None = Field(description="Where it is; null: the request as a whole.")
    message: str = Field(description="What is wrong and what to do.")


class ErrorFields(Shown):
    """A refusal."""

    code: str = Field(description="A word for programs.", examples=["validation_failed"])
    message: str = Field(description="A sentence for people.")
    field: str | None = Field(description="The field that is at fault, if one is.")
    details: list[DetailBody] = Field(description="Every mistake, if there are several.")
    suggestions: list[str] = Field(description="What to do next.")


class ErrorBody(Shown):
    """How every refusal looks."""

    error: ErrorFields
    timestamp: str = Field(description="RFC 3339, UTC.", examples=["2026-11-27T08:00:00.000Z"])
    requestId: str = Field(description="Names this request in the gateway's log.")  # noqa: N815 - the contract's name


class Page(Shown, Generic[Item]):
    """Part of a list."""

    items: list[Item]
    next_cursor: str | None = Field(description="Send it as `cursor` for what follows; null: this is the end.")
    total: int = Field(description="How many there are on all pages together.")


ShortText = Annotated[str, StringConstraints(min_length=1, max_length=200)]
LongText = Annotated[str, StringConstraints(max_length=4000)]
Stamp = Annotated[str, Field(description="RFC 3339, UTC.", examples=["2026-11-27T08:00:00.000000Z"])]
