"""A chat request as OpenAI's API has it, decoded once. Unknown fields are kept by name (`ChatRequest.unknown`).

What a translator hands on as it came stays `msgspec.Raw`: JSON that is copied, not rebuilt. A `null` is an absent
field.
"""

from __future__ import annotations

from typing import Any

import msgspec

NO_PARAMETERS = msgspec.Raw(b'{"type":"object","properties":{}}')
"""The schema of a function that takes nothing."""
_WORDS = ("text", "refusal")


class ImageUrl(msgspec.Struct, gc=False):
    url: str = ""
    detail: str | None = None


class InputAudio(msgspec.Struct, gc=False):
    data: str = ""
    format: str = ""


class FileData(msgspec.Struct, gc=False):
    file_data: str | None = None
    """A data URI, or bare base64."""
    file_id: str | None = None
    filename: str | None = None


class Part(msgspec.Struct, gc=False):
    """One part of a message's content; `type` says which of the fields is meant."""

    type: str
    text: str = ""
    refusal: str = ""
    image_url: ImageUrl | str | None = None
    input_audio: InputAudio | None = None
    file: FileData | None = None
    cache_control: dict[str, Any] | None = None
    """Anthropic's own word, taken as an extension."""
    prompt_cache_breakpoint: Any = None
    extra_content: Any = None
    """What a provider wants back with a picture that it made."""


class FunctionCall(msgspec.Struct, gc=False):
    name: str = ""
    arguments: str = ""


class ToolCall(msgspec.Struct, gc=False):
    """A call the model made in an earlier turn."""

    id: str = ""
    type: str = "function"
    function: FunctionCall | None = None
    extra_content: Any = None
    """What a provider wants back with the call, such as a thought signature."""


class Message(msgspec.Struct, gc=False):
    """One turn of the conversation, of any role."""

    role: str
    content: str | list[Part] | None = None
    name: str | None = None
    tool_calls: list[ToolCall] | None = None
    tool_call_id: str | None = None
    refusal: str | None = None
    reasoning_content: str | None = None
    thinking_blocks: list[dict[str, Any]] | None = None
    """The provider's own reasoning, given back unchanged."""
    function_call: FunctionCall | None = None
    """The predecessor of `tool_calls`."""
    audio: Any = None
    """Sound of an earlier answer, kept at OpenAI."""
    images: list[Part] | None = None
    """Pictures of an earlier answer, as the gateway tells them."""
    cache_control: dict[str, Any] | None = None

    @property
    def parts(self) -> list[Part]:
        """The content as parts; empty text is none."""
        if isinstance(self.content, str):
            return [Part("text", self.content)] if self.content else []
        return self.content or []

    @property
    def words(self) -> list[Part]:
        """The same of an instruction, or of what the model said: blanks alone are none, for some APIs refuse a turn
        that has nothing else."""
        parts = self.parts
        blank = all(part.type in _WORDS and not (part.text or part.refusal).strip() for part in parts)
        return [] if blank and not self.tool_calls else parts


class _Typed(msgspec.Struct, gc=False):
    type: msgspec.Raw = msgspec.Raw()


_TYPED = msgspec.json.Decoder(_Typed)
_MEMBERS = msgspec.json.Decoder(dict[str, msgspec.Raw])


class Function(msgspec.Struct, gc=False):
    name: str = ""
    description: str | None = None
    parameters: msgspec.Raw = msgspec.Raw()
    """A JSON Schema as it came, an object; empty without one."""
    strict: bool | None = None

    @property
    def schema(self) -> msgspec.Raw:
        """The parameters, with the type that OpenAI takes for granted and other APIs insist on."""
        if not bytes(self.parameters):
            return NO_PARAMETERS
        if bytes(_TYPED.decode(self.parameters).type):
            return self.parameters
        return msgspec.Raw(msgspec.json.encode({"type": "object", **_MEMBERS.decode(self.parameters)}))


class Tool(msgspec.Struct, gc=False):
    type: str = "function"
    function: Function | None = None
    cache_control: dict[str, Any] | None = None


class NamedFunction(msgspec.Struct, gc=False):
    name: str = ""


class AllowedTools(msgspec.Struct, gc=False):
    mode: str = "auto"
    tools: list[Tool] = []


class NamedChoice(msgspec.Struct, gc=False):
    """A `tool_choice` that is more than a word."""

    type: str = "function"
    function: NamedFunction | None = None
    allowed_tools: AllowedTools | None = None


class JsonSchema(msgspec.Struct, gc=False):
    name: str = "response"
    description: str | None = None
    schema: msgspec.Raw = msgspec.Raw()
    """As it came, an object; empty without one."""
    strict: bool | None = None


class ResponseFormat(msgspec.Struct, gc=False):
    type: str = "text"
    json_schema: JsonSchema | None = None


class ChatRequest(msgspec.Struct, gc=False):
    """The whole request. `model` and `stream` are not here: they are the call's."""

    messages: list[Message] = []
    tools: list[Tool] | None = None
    tool_choice: str | NamedChoice | None = None
    parallel_tool_calls: bool | None = None
    functions: list[Function] | None = None
    function_call: str | NamedFunction | None = None
    response_format: ResponseFormat | None = None
    max_completion_tokens: int | None = None
    max_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    """An extension that several providers know."""
    stop: str | list[str] | None = None
    n: int | None = None
    seed: int | None = None
    frequency_penalty: float | None = None
    presence_penalty: float | None = None
    logit_bias: dict[str, float] | None = None
    logprobs: bool | None = None
    top_logprobs: int | None = None
    reasoning_effort: str | None = None
    thinking: dict[str, Any] | None = None
    """Anthropic's own words for reasoning, taken as an extension."""
    user: str | None = None
    safety_identifier: str | None = None
    modalities: list[str] | None = None
    audio: Any = None
    verbosity: str | None = None
    web_search_options: Any = None
    service_tier: str | None = None
    prediction: Any = None
    metadata: Any = None
    store: bool | None = None
    prompt_cache_key: str | None = None
    prompt_cache_retention: str | None = None
    cache_control: dict[str, Any] | None = None
    safety_settings: list[dict[str, Any]] | None = None
    """Google's own thresholds of its filters, taken as an extension."""
    documents: list[Any] | None = None
    """Cohere's own: what the answer may cite, taken as an extension as the next two are."""
    citation_options: dict[str, Any] | None = None
    safety_mode: str | None = None
    guardrail_config: dict[str, Any] | None = None
    """Bedrock's own `guardrailConfig`, taken as an extension."""
    additional_model_request_fields: dict[str, Any] | None = None
    """Fields of a vendor's own model at Bedrock, taken as an extension."""
    stream_options: Any = None
    unknown: tuple[str, ...] = ()
    """Names of fields that OpenAI's API does not have."""

    @property
    def stops(self) -> list[str]:
        """`stop` as a list; an empty word is none."""
        stop = self.stop
        return [word for word in ([stop] if isinstance(stop, str) else stop or ()) if word]

    @property
    def limit(self) -> int | None:
        """The output tokens the caller allows."""
        return self.max_completion_tokens if self.max_completion_tokens is not None else self.max_tokens

    @property
    def offered(self) -> list[Function]:
        """The functions the model may call, `allowed_tools` applied."""
        tools = [tool.function for tool in self.tools or () if tool.function is not None]
        choice = self.tool_choice
        if isinstance(choice, NamedChoice) and choice.allowed_tools is not None:
            allowed = {tool.function.name for tool in choice.allowed_tools.tools if tool.function is not None}
            return [function for function in tools if function.name in allowed]
        return tools

    @property
    def choice(self) -> tuple[str, str | None]:
        """`auto`, `none` or `required`; or `named` with the function's name."""
        choice = self.tool_choice
        if choice is None or isinstance(choice, str):
            return choice or "auto", None
        if choice.allowed_tools is not None:
            return choice.allowed_tools.mode, None
        return "named", choice.function.name if choice.function is not None else ""
