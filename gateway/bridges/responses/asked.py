"""A request of the Responses API, decoded once. A `null` is an absent field.

What is handed on as it came stays `msgspec.Raw`: JSON that is copied, not rebuilt.
"""

from __future__ import annotations

from typing import Any

import msgspec

from gateway.errors import InvalidJson
from gateway.providers.chat.reading import MAX_NAME, decoded, invalid

_NOTHING = msgspec.Raw()


class Part(msgspec.Struct, gc=False):
    """One part of an item's content, or of a reasoning item's; `type` says which of the fields is meant."""

    type: str = ""
    text: str = ""
    refusal: str = ""
    image_url: str | None = None
    detail: str | None = None
    file_id: str | None = None
    file_data: str | None = None
    file_url: str | None = None
    filename: str | None = None
    input_audio: dict[str, Any] | None = None


class Item(msgspec.Struct, gc=False):
    """One item of the input; `type` says which of the fields is meant. Without one it is a message."""

    type: str | None = None
    role: str = ""
    content: str | list[Part] | None = None
    id: str | None = None
    call_id: str | None = None
    name: str = ""
    arguments: str = ""
    """Of a function's call."""
    input: str = ""
    """Of a custom tool's call."""
    output: str | list[Part] | None = None
    result: str | None = None
    """Of a picture that was made: base64."""
    encrypted_content: str | None = None
    summary: list[Part] | None = None

    @property
    def kind(self) -> str:
        """Its type, the default put in."""
        return self.type or ("message" if self.role else "item_reference")


class Tool(msgspec.Struct, gc=False):
    type: str = ""
    name: str = ""
    description: str | None = None
    parameters: msgspec.Raw = _NOTHING
    strict: bool | None = None
    format: dict[str, Any] | None = None
    """Of a custom tool: what its input looks like."""


class NamedChoice(msgspec.Struct, gc=False):
    """A `tool_choice` that is more than a word."""

    type: str = ""
    name: str = ""
    mode: str = "auto"
    tools: list[Tool] = []


class Format(msgspec.Struct, gc=False):
    type: str = "text"
    name: str = "response"
    description: str | None = None
    schema: msgspec.Raw = _NOTHING
    strict: bool | None = None


class Text(msgspec.Struct, gc=False):
    format: Format | None = None
    verbosity: str | None = None


class Reasoning(msgspec.Struct, gc=False):
    effort: str | None = None


class ResponsesRequest(msgspec.Struct, gc=False):
    """The whole request. `model` and `stream` are not here: they are the call's."""

    input: str | list[Item] | None = None
    instructions: str | None = None
    tools: list[Tool] | None = None
    tool_choice: str | NamedChoice | None = None
    parallel_tool_calls: bool | None = None
    text: Text | None = None
    reasoning: Reasoning | None = None
    max_output_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    top_logprobs: int | None = None
    include: list[str] | None = None
    user: str | None = None
    safety_identifier: str | None = None
    service_tier: str | None = None
    background: bool | None = None
    previous_response_id: str | None = None
    conversation: Any = None
    prompt: Any = None
    unknown: tuple[str, ...] = ()
    """Names of fields that the API does not have, or that nobody here can carry over."""


UNUSED = frozenset(
    {
        "model",
        "stream",
        "stream_options",
        "store",
        "metadata",
        "truncation",
        "max_tool_calls",
        "prompt_cache_key",
        "prompt_cache_retention",
        "prompt_cache_options",
    }
)
"""Fields that change no answer of a provider that has only chat."""
_KNOWN = (frozenset(ResponsesRequest.__struct_fields__) - {"unknown"}) | UNUSED
_KEYS = msgspec.json.Decoder(dict[str, msgspec.Raw])
_REQUEST = msgspec.json.Decoder(ResponsesRequest)


def read_request(raw: bytes) -> ResponsesRequest:
    """What is asked. Raises InvalidRequest with `param`, InvalidJson."""
    try:
        keys = _KEYS.decode(raw)
        asked = decoded(_REQUEST, raw, "input")
    except msgspec.ValidationError as error:
        raise invalid(str(error)) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise InvalidJson from None
    if len(keys) > 1:
        asked.unknown = tuple(
            key[:MAX_NAME] for key, value in keys.items() if key not in _KNOWN and bytes(value) != b"null"
        )
    return asked
