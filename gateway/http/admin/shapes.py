"""What all answers of the admin API have in common, as the contract describes it."""

from __future__ import annotations

import functools
from typing import Annotated, Any, Generic, TypeVar, get_args

from pydantic import BaseModel, ConfigDict, Field, JsonValue, StringConstraints, ValidationInfo, field_validator

Item = TypeVar("Item")


class Given(BaseModel):
    """What callers send: every field is known."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    @field_validator("*", mode="before")
    @classmethod
    def _truth_is_no_number(cls, value: Any, info: ValidationInfo) -> Any:
        """As in the configuration file: `true` is neither 1 nor 1 USD."""
        if info.field_name is not None and not _takes_truth(cls, info.field_name):
            inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else (value,)
            if any(isinstance(one, bool) for one in inner):
                raise ValueError("true and false are no values of this field (write a number, or text)")
        return value


@functools.cache
def _takes_truth(shape: type[BaseModel], field: str) -> bool:
    return _may_hold_truth(shape.model_fields[field].annotation)


def _may_hold_truth(kind: Any) -> bool:
    """Whether true and false may stand in a value of this type; a shape within it looks at its own fields."""
    if isinstance(kind, type) and issubclass(kind, bool | BaseModel):
        return True
    return kind in (Any, JsonValue) or any(map(_may_hold_truth, get_args(kind)))


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
