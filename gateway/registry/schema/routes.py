"""Routes, as they stand in the file."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from gateway.registry.schema.fields import Flag, ModelName, Name, OneOrMany, Size, Strict, Text, Whole, one_or_many

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
Strategy = Literal["priority", "round_robin", "weighted", "least_latency", "least_busy", "cost_optimized", "sticky"]
Failure = Literal["error", "timeout", "rate_limit", "auth", "context_window", "content_filter"]


class Match(Strict):
    """Every condition that is set must hold."""

    model: ModelName | None = Field(None, description="The requested model; * and ? are wildcards.")
    service: Annotated[list[ServiceWord], OneOrMany] | None = Field(
        None, description="One kind of request, or a list of kinds.", json_schema_extra=one_or_many
    )
    team: Text | None = Field(None, description="The caller's team.")
    key: Text | None = Field(None, description="The name of the caller's key.")
    headers: dict[str, Text] | None = Field(None, description="Request headers and the values they must have.")
    stream: Flag | None = Field(None, description="Only streamed requests, or only those that are not.")

    @model_validator(mode="after")
    def _has_condition(self) -> Self:
        if all(value is None or value in ([], {}) for value in self.__dict__.values()):
            raise ValueError("a match needs a condition (set `model`, `service`, `team`, `key`, `headers` or `stream`)")
        return self


class Target(Strict):
    """Where a route leads."""

    provider: Text = Field(description="The name of a provider.")
    model: Text = Field(description="One of its models.")
    weight: Whole = Field(1, ge=0, le=1_000_000, description="Its share among the targets.")


class Route(Strict):
    """The first route that matches a request decides."""

    name: Name = Field(description="How it appears in metrics and logs.")
    match: Match = Field(description="Which requests it is for.")
    strategy: Strategy = Field("priority", description="How a target is chosen.")
    targets: Annotated[list[Target], Field(min_length=1)] = Field(description="Deployments, the first choice first.")
    fallback_on: Annotated[list[Failure], OneOrMany] = Field(
        ["error", "timeout", "rate_limit", "auth"],
        description="The failures after which the next target is tried.",
        json_schema_extra=one_or_many,
    )
    max_attempts: Whole = Field(4, ge=1, le=20, description="Tries at all targets together.")
    max_output_tokens: Size | None = Field(
        None, ge=1, description="Reserved and asked for when a caller under a budget sets no max_tokens: 4096."
    )
