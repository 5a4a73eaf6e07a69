"""Routes, as they stand in the file."""

import re
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, ConfigDict, Field, model_validator

from gateway.registry import scalars
from gateway.registry.schema.fields import (
    Flag,
    HedgeAfter,
    ModelName,
    Name,
    OneOrMany,
    Real,
    Size,
    Strict,
    Text,
    Whole,
    one_or_many,
    some_of,
)
from gateway.registry.schema.providers import HeaderToken
from gateway.types import DEFAULT_MAX_ATTEMPTS

ServiceWord = Literal[
    "chat",
    "completions",
    "embeddings",
    "responses",
    "moderations",
    "images",
    "speech",
    "transcription",
    "rerank",
]
Strategy = Literal[
    "priority",
    "primary_fallback",
    "round_robin",
    "weighted",
    "least_latency",
    "least_busy",
    "cost_optimized",
    "usage_based",
    "sticky",
]
Failure = Literal["error", "timeout", "rate_limit", "auth", "context_window", "content_filter"]
Need = Literal["vision", "audio", "tools", "json_schema"]
_SOME = Field(min_length=1)
_STICKY = re.compile(r"user|prompt|header:[a-z0-9!#$%&'*+.^_`|~-]+")


def _sticky(value: str) -> str:
    if _STICKY.fullmatch(value) is None:
        raise ValueError("`sticky` goes by `user`, `prompt` or `header:<name>` (write the name in lower case)")
    return value


def _unlike(headers: dict[str, str]) -> dict[str, str]:
    if len({name.lower() for name in headers}) < len(headers):
        raise ValueError("two headers differ only in upper and lower case, which is no difference (remove one)")
    return headers


class Span(Strict):
    """An amount above one bound, up to another, or between them."""

    model_config = ConfigDict(json_schema_extra=some_of())

    above: Size | None = Field(None, ge=0, description="More than this: 32000 or 32k.")
    up_to: Size | None = Field(None, ge=1, description="At most this: 200000 or 200k.")

    @model_validator(mode="after")
    def _has_bound(self) -> Self:
        if self.above is None and self.up_to is None:
            raise ValueError("a span needs a bound (set `above`, `up_to` or both)")
        if self.above is not None and self.up_to is not None and self.above >= self.up_to:
            raise ValueError("nothing is within this span (`above` must be smaller than `up_to`)")
        return self


class Match(Strict):
    """Every condition that is set must hold."""

    model_config = ConfigDict(json_schema_extra=some_of())

    model: Annotated[list[ModelName], OneOrMany, _SOME] | None = Field(
        None,
        description="The requested model, or a list of which one must fit; * and ? are wildcards.",
        json_schema_extra=one_or_many,
    )
    service: Annotated[list[ServiceWord], OneOrMany, _SOME] | None = Field(
        None, description="One kind of request, or a list of kinds.", json_schema_extra=one_or_many
    )
    team: Text | None = Field(None, description="The caller's team.")
    key: Text | None = Field(None, description="The name of the caller's key.")
    group: Annotated[list[Text], OneOrMany, _SOME] | None = Field(
        None,
        description="A user group that the caller's key carries, or a list of which one must be there.",
        json_schema_extra=one_or_many,
    )
    headers: Annotated[dict[HeaderToken, Text], AfterValidator(_unlike), _SOME] | None = Field(
        None, description="Request headers and the values they must have."
    )
    stream: Flag | None = Field(None, description="Only streamed requests, or only those that are not.")
    capabilities: Annotated[list[Need], OneOrMany, _SOME] | None = Field(
        None,
        description="What the request itself asks for: images, sound, tools, or an answer by a JSON schema.",
        json_schema_extra=one_or_many,
    )
    context: Span | None = Field(None, description="Tokens of the request: its input, estimated, and its max_tokens.")
    size: Span | None = Field(None, description="Bytes of the request's body.")

    @model_validator(mode="after")
    def _has_condition(self) -> Self:
        if all(value is None or value in ([], {}) for value in self.__dict__.values()):
            raise ValueError(
                "a match needs a condition (set `model`, `service`, `team`, `key`, `group`, `headers`, `stream`, "
                "`capabilities`, `context` or `size`; a route for all the rest says `default: true` instead of `match`)"
            )
        return self


class Target(Strict):
    """Where a route leads."""

    provider: Text = Field(description="The name of a provider.")
    model: Text = Field(description="One of its models.")
    weight: Whole = Field(1, ge=0, le=1_000_000, description="Its share among the targets.")
    quality: Real | None = Field(None, ge=0, le=1, description="A mark of your own, from 0 to 1, for `min_quality`.")


class Fallbacks(Strict):
    """Where a request goes that a model cannot hold, or that a provider's filter refuses."""

    model_config = ConfigDict(json_schema_extra=some_of())

    context_window: Text | None = Field(
        None, description="For requests too large for the model: a route, or provider/model."
    )
    content_filter: Text | None = Field(
        None, description="For requests that a content filter refused: a route, or provider/model."
    )

    @model_validator(mode="after")
    def _has_one(self) -> Self:
        if self.context_window is None and self.content_filter is None:
            raise ValueError("nothing is named here (set `context_window` or `content_filter`, or remove it)")
        return self


class Hedge(Strict):
    """A second attempt beside a first that is slow to answer."""

    after: HedgeAfter = Field(
        None, description="How long the first one has: 500ms, or p95 (the default), by its latest answers."
    )
    max_share: Real = Field(0.05, gt=0, le=0.5, description="The share of the route's calls that it may be, at most.")


class Route(Strict):
    """The first route that matches a request decides."""

    model_config = ConfigDict(json_schema_extra=some_of("match", "default"))

    name: Name = Field(description="How it appears in metrics and logs.")
    match: Match | None = Field(None, description="Which requests it is for.")
    default: Flag = Field(default=False, description="It is for requests that nothing else is for; without `match`.")
    strategy: Strategy = Field("priority", description="How a target is chosen.")
    targets: Annotated[list[Target], Field(min_length=1)] = Field(description="Deployments, the first choice first.")
    min_quality: Real | None = Field(None, ge=0, le=1, description="Targets with a lower `quality` are never chosen.")
    sticky_on: Annotated[list[Annotated[str, AfterValidator(_sticky)]], OneOrMany, Field(min_length=1)] = Field(
        ["user", "prompt"],
        description="What `sticky` goes by, the first that a request has: user, prompt, header:<name>.",
        json_schema_extra=one_or_many,
    )
    fallback_on: Annotated[list[Failure], OneOrMany] = Field(
        ["error", "timeout", "rate_limit", "auth"],
        description="The failures after which the next target is tried.",
        json_schema_extra=one_or_many,
    )
    fallbacks: Fallbacks | None = Field(None, description="Other places for what these targets cannot serve.")
    hedge: Hedge | None = Field(None, description="Send a second attempt when the first is slow: {after: p95}.")
    max_attempts: Whole = Field(DEFAULT_MAX_ATTEMPTS, ge=1, le=20, description="Tries at all targets together.")
    max_output_tokens: Size | None = Field(
        None, ge=1, description="Reserved and asked for when a caller under a budget sets no max_tokens: 4096."
    )

    @model_validator(mode="before")
    @classmethod
    def _is_for_something(cls, data: Any) -> Any:
        if isinstance(data, dict):
            try:
                by_default = scalars.flag(data.get("default", False))
            except ValueError:
                return data  # `default` itself says so
            if by_default and "match" in data:
                raise ValueError("a default route is for what no `match` is for (remove `match`, or `default`)")
            if not by_default and "match" not in data:
                raise ValueError("`match` is missing (add it, or `default: true` for what nothing else is for)")
        return data

    @model_validator(mode="after")
    def _has_marks(self) -> Self:
        if self.min_quality is not None:
            marks = [target.quality for target in self.targets]
            if None in marks:
                raise ValueError("with `min_quality` each target needs a `quality` (add it, or remove `min_quality`)")
            if all(mark is not None and mark < self.min_quality for mark in marks):
                raise ValueError("no target is as good as `min_quality` (lower it, or raise a `quality`)")
        return self
