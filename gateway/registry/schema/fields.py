"""The field types of the configuration: each is one parser of `scalars` with its JSON Schema."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, PlainValidator, WithJsonSchema
from pydantic.config import JsonDict

from gateway.registry import dates, scalars
from gateway.types import RateLimit


class Strict(BaseModel):
    """A mapping whose keys are all known."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


def some_of(*names: str) -> JsonDict:
    """What the JSON Schema says of a mapping that needs one of these settings; without names, any of its own."""
    return {"anyOf": [{"required": [name]} for name in names]} if names else {"minProperties": 1}


def _text(pattern: str | None = None, **more: Any) -> dict[str, Any]:
    return {"type": "string", **({"pattern": pattern} if pattern else {}), **more}


def _either(*options: dict[str, Any]) -> WithJsonSchema:
    return WithJsonSchema({"anyOf": list(options)})


_RATE = _text(examples=["20/s", "500/min", "200k/h", "5M/day"])
_BURST = {
    "type": "object",
    "properties": {
        "rate": _RATE | {"description": "A count per period: /s, /min, /h or /day."},
        "burst": {"type": ["integer", "string"], "description": "What an idle bucket holds at most."},
    },
    "required": ["rate", "burst"],
    "additionalProperties": False,
}

Whole = Annotated[int, BeforeValidator(scalars.whole), WithJsonSchema({"type": "integer"})]
Real = Annotated[float, BeforeValidator(scalars.real), WithJsonSchema({"type": "number"})]
Flag = Annotated[bool, PlainValidator(scalars.flag), WithJsonSchema({"type": "boolean"})]
Text = Annotated[str, PlainValidator(scalars.text), WithJsonSchema(_text(minLength=1))]
Duration = Annotated[
    float,
    BeforeValidator(scalars.duration),
    _either({"type": "number", "minimum": 0}, _text(examples=["500ms", "10s"])),
]
HedgeAfter = Annotated[
    float | None,
    PlainValidator(scalars.hedge_after),
    _either({"type": "number", "exclusiveMinimum": 0}, _text(examples=["p95", "500ms"])),
]
Size = Annotated[
    int, BeforeValidator(scalars.size), _either({"type": "integer", "minimum": 0}, _text(examples=["200k", "5M"]))
]
Rate = Annotated[RateLimit, PlainValidator(scalars.rate), _either(_RATE, _BURST)]
ProviderRate = Annotated[
    RateLimit, PlainValidator(scalars.provider_rate), _either({"type": "number", "exclusiveMinimum": 0}, _RATE, _BURST)
]
Url = Annotated[str, PlainValidator(scalars.url), WithJsonSchema(_text("^(https?://|.*\\$\\{)"))]
WebhookUrl = Annotated[str, PlainValidator(scalars.webhook), WithJsonSchema(_text("^(https?://|.*\\$\\{)"))]
Credentials = Annotated[
    tuple[str, ...],
    PlainValidator(scalars.credentials),
    _either(_text(minLength=1), {"type": "array", "items": _text(minLength=1), "minItems": 1}),
]
Zone = Annotated[str, PlainValidator(dates.zone), WithJsonSchema(_text(examples=["UTC", "Europe/Berlin"]))]
Moment = Annotated[
    float, PlainValidator(dates.moment), WithJsonSchema(_text(examples=["2027-01-31", "2027-01-31T18:00:00Z"]))
]
Secret = Annotated[str, PlainValidator(scalars.secret), WithJsonSchema(_text())]
SecretHash = Annotated[bytes, PlainValidator(scalars.secret_hash), WithJsonSchema(_text())]


def _name(value: str) -> str:
    if (
        not 0 < len(value) <= 64
        or not value.isascii()
        or not all(letter.isalnum() or letter in "._-" for letter in value)
    ):
        raise ValueError("a name is 1 to 64 ASCII letters, digits, dots, dashes or underscores (rename it)")
    return value


Name = Annotated[str, AfterValidator(_name)]
"""The name of a resource: it appears in headers, metrics and `provider/model`."""


def _model(value: str) -> str:
    if not 0 < len(value) <= 256 or not value.isascii() or not value.isprintable() or " " in value:
        raise ValueError("a model name is 1 to 256 printable ASCII characters without spaces (rename it)")
    return value


ModelName = Annotated[str, AfterValidator(_model)]


def as_list(value: Any) -> Any:
    """A single word where a list may stand."""
    return [value] if isinstance(value, str) else value


def one_or_many(schema: dict[str, Any]) -> None:
    """JSON Schema for `as_list`: the list, or one of its items."""
    described = take_annotations(schema)
    listed = schema["anyOf"][0] if "anyOf" in schema else dict(schema)
    schema.clear()
    schema.update({"anyOf": [listed["items"], listed], **described})


def or_plain(*options: dict[str, Any]) -> Any:
    """JSON Schema for a mapping that a plain value may stand for."""

    def extend(schema: dict[str, Any]) -> None:
        described = take_annotations(schema)
        inner = dict(schema)
        inner = inner["anyOf"][0] if "anyOf" in inner else inner
        schema.clear()
        schema.update({"anyOf": [*options, inner], **described})

    return extend


def take_annotations(schema: dict[str, Any]) -> dict[str, Any]:
    """Remove and return what describes a JSON Schema rather than constrains it."""
    names: tuple[str, ...] = ("description", "title", "default")
    return {name: schema.pop(name) for name in names if name in schema}


def positive(description: str, **more: Any) -> Any:
    """An optional whole number from 1."""
    return Field(None, ge=1, description=description, **more)


OneOrMany = BeforeValidator(as_list)
