"""What models can do, and where they differ from OpenAI's own: `capabilities`."""

import re
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, ConfigDict, Field

from gateway.registry.schema.fields import Flag, OneOrMany, Strict, Text, Whole, one_or_many, or_plain

PLAIN = "[words]"
"""Where a plain list of words stands while it is checked: nobody writes this key."""


def _capability(value: str) -> str:
    if re.fullmatch(r"[a-z][a-z0-9_]{0,40}", value) is None:
        raise ValueError("a capability is one lower-case word (such as chat, vision, tools, json_schema)")
    return value


def _hide(schema: dict[str, Any]) -> None:
    schema["properties"].pop(PLAIN)


Words = Annotated[list[Annotated[str, AfterValidator(_capability)]], OneOrMany, Field(json_schema_extra=one_or_many)]
Choice = Literal["auto", "none", "required", "named", "allowed_tools"]


def _word(what: str) -> Any:
    return Field(None, description=f"It {what}.")


class Abilities(Strict):
    """What a model can do (true or false each), and how it differs from OpenAI's own."""

    model_config = ConfigDict(json_schema_extra=_hide)

    words: Words = Field(default_factory=list, alias=PLAIN)
    chat: Flag | None = _word("answers chats")
    completions: Flag | None = _word("completes prompts")
    embeddings: Flag | None = _word("makes vectors")
    responses: Flag | None = _word("has the Responses API")
    rerank: Flag | None = _word("ranks documents")
    moderations: Flag | None = _word("moderates")
    images: Flag | None = _word("makes pictures")
    speech: Flag | None = _word("speaks")
    transcription: Flag | None = _word("transcribes")
    vision: Flag | None = _word("sees pictures")
    audio: Flag | None = _word("hears or makes sound in chats")
    tools: Flag | None = _word("calls tools")
    json_schema: Flag | None = _word("keeps to a JSON Schema")
    reasoning: Flag | None = _word("reasons")
    developer_role: Flag | None = Field(None, description="It knows the role `developer`; else `system` is sent.")
    system_role: Flag | None = Field(None, description="It knows the role `system`; else `user` is sent.")
    max_tokens_field: Literal["max_tokens", "max_completion_tokens"] | None = Field(
        None, description="The only one of the two that it knows; the other is renamed."
    )
    seed_name: Text | None = Field(None, description="Its name for `seed`, such as random_seed; none: it has none.")
    stream_options: Flag | None = Field(None, description="It takes `stream_options`.")
    parallel_tool_calls: Flag | None = Field(None, description="It takes `parallel_tool_calls`.")
    tool_choice: Annotated[list[Choice], OneOrMany, Field(json_schema_extra=one_or_many)] | None = Field(
        None, description="Which forms of `tool_choice` it takes."
    )
    sampling: Flag | None = Field(None, description="It takes `temperature`, `top_p` and penalties.")
    n_max: Whole | None = Field(None, ge=1, le=1024, description="The most answers (`n`) to one request.")
    stop_max: Whole | None = Field(None, ge=0, le=1024, description="The most words of `stop`.")
    top_logprobs_max: Whole | None = Field(None, ge=0, le=1024, description="The most `top_logprobs`.")
    tool_id_length: Whole | None = Field(
        None,
        ge=4,
        le=40,
        description="Its ids of tool calls are so many letters and digits.",
    )
    image_url_http: Flag | None = Field(None, description="It fetches pictures by URL itself; else they are refused.")
    image_mimes: Annotated[list[Text], OneOrMany, Field(json_schema_extra=one_or_many)] | None = Field(
        None, description="Types of pictures that it takes as data, such as image/png."
    )
    reasoning_field: Literal["reasoning", "reasoning_content"] | None = Field(
        None, description="The name under which it takes its reasoning back."
    )
    encoding_format: Flag | None = Field(None, description="It takes `encoding_format` of embeddings.")
    nulls: Flag | None = Field(None, description="It takes parameters that are null.")
    any_case: Flag | None = Field(
        None, description="It takes parameters in any case (`STREAM`), as programs in Go do: such are refused."
    )
    flat_content: Flag | None = Field(None, description="It takes texts only as strings, not as parts.")


def _mapping(value: Any) -> Any:
    return {PLAIN: value} if isinstance(value, str | list) else value


Capabilities = Annotated[Abilities, BeforeValidator(_mapping)]


def capabilities(description: str) -> Any:
    """The field."""
    words = {"type": "array", "items": {"type": "string"}}
    return Field(None, description=description, json_schema_extra=or_plain({"type": "string"}, words))
