"""From a call's body to a `ChatRequest`: the deployment's defaults and the cap of its output put in, checked."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, TypeVar

import msgspec

from gateway.errors import InvalidJson, InvalidRequest
from gateway.providers.chat.request import ChatRequest, NamedChoice, Tool, ToolCall
from gateway.types import Call, Deployment

_KEYS = msgspec.json.Decoder(dict[str, msgspec.Raw])
_REQUEST = msgspec.json.Decoder(ChatRequest)
_CAPS = ("max_completion_tokens", "max_tokens")
KNOWN = (frozenset(ChatRequest.__struct_fields__) | {"model", "stream"}) - {"unknown"}
MAX_NAME = 64
"""Characters of an unknown field's name that an error repeats."""
CHOICES = frozenset({"auto", "none", "required"})
FORMATS = frozenset({"text", "json_object", "json_schema"})
ROLES = frozenset({"system", "developer", "user", "assistant", "tool", "function"})
_GOT_NULL = "got `null`"
_T = TypeVar("_T")
_PLACE = re.compile(r"(?P<what>.*?)(?: - at `\$\.?(?P<path>[^`]*)`)?")


def read_chat(call: Call, deployment: Deployment) -> ChatRequest:
    """What is asked of this deployment. Raises InvalidRequest with `param` for what no chat request can hold."""
    try:
        keys = _KEYS.decode(call.raw)
        raw = _completed(keys, call, deployment.parameters) if deployment.parameters else call.raw
        chat = decoded(_REQUEST, raw, "messages")
    except msgspec.ValidationError as error:
        raise invalid(str(error)) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise InvalidJson from None
    chat.unknown = tuple(key[:MAX_NAME] for key, raw in keys.items() if key not in KNOWN and bytes(raw) != b"null")
    if call.output_cap is not None:
        told = chat.limit
        chat.max_completion_tokens = call.output_cap if told is None else min(told, call.output_cap)
    if chat.functions is not None or chat.function_call is not None:
        _modernise(chat)
    _check(chat)
    return chat


def decoded(decoder: msgspec.json.Decoder[_T], raw: bytes, talk: str) -> _T:
    """What `raw` says. Clients with one type for all parts send the fields of others as `null`: inside `talk`, which
    holds no schema, too, those are absent. Raises what decoding raises."""
    try:
        return decoder.decode(raw)
    except msgspec.ValidationError as error:
        if _GOT_NULL not in str(error):
            raise
    keys = _KEYS.decode(raw)
    if talk in keys:
        keys[talk] = msgspec.Raw(msgspec.json.encode(_bare(msgspec.json.decode(keys[talk]))))
    return decoder.decode(msgspec.json.encode(keys))


def _bare(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _bare(one) for name, one in value.items() if one is not None}
    return [_bare(one) for one in value] if isinstance(value, list) else value


def _completed(keys: dict[str, msgspec.Raw], call: Call, defaults: Mapping[str, Any]) -> bytes:
    """The body with the deployment's defaults where the caller set nothing."""
    given = {key for key, value in keys.items() if bytes(value) != b"null"}
    if given.intersection(_CAPS) or call.max_tokens is not None:
        given.update(_CAPS)
    added = {name: value for name, value in defaults.items() if name not in given}
    return msgspec.json.encode({**keys, **added}) if added else call.raw


def _modernise(chat: ChatRequest) -> None:
    """`functions` and `function_call` in the words of their successors."""
    if chat.tools is None and chat.functions:
        chat.tools = [Tool(function=function) for function in chat.functions]
    if chat.tool_choice is None and chat.function_call is not None:
        named = chat.function_call
        chat.tool_choice = named if isinstance(named, str) else NamedChoice(function=named)


def _check(chat: ChatRequest) -> None:
    if not chat.messages:
        raise InvalidRequest("`messages` must hold at least one message.", param="messages")
    legacy = ""
    for index, message in enumerate(chat.messages):
        if message.role not in ROLES:
            raise InvalidRequest(
                f"Invalid role in `messages[{index}].role`: use one of {', '.join(sorted(ROLES))}.",
                param=f"messages[{index}].role",
            )
        if message.role == "function":
            message.role, message.tool_call_id = "tool", legacy
        if message.role == "tool" and not message.tool_call_id:
            raise InvalidRequest("A tool message needs its `tool_call_id`.", param=f"messages[{index}].tool_call_id")
        if message.function_call is not None and message.tool_calls is None:
            legacy = f"call_{index}"
            message.tool_calls = [ToolCall(legacy, "function", message.function_call)]
    for index, tool in enumerate(chat.tools or ()):
        function = tool.function
        if tool.type == "function" and (function is None or not function.name):
            raise InvalidRequest("A function needs a name.", param=f"tools[{index}].function.name")
        if function is not None:
            function.parameters = _schema(function.parameters, f"tools[{index}].function.parameters")
    _check_words(chat)


def _check_words(chat: ChatRequest) -> None:
    """Words that only translators read: a slip of the pen must not become another meaning."""
    mode, name = chat.choice
    if mode not in CHOICES and not (mode == "named" and name):
        raise InvalidRequest("`tool_choice` is none of auto, none, required, or a named function.", param="tool_choice")
    form = chat.response_format
    if form is None:
        return
    if form.type not in FORMATS:
        raise InvalidRequest(f"Use one of {', '.join(sorted(FORMATS))}.", param="response_format.type")
    if form.json_schema is not None:
        form.json_schema.schema = _schema(form.json_schema.schema, "response_format.json_schema.schema")
    elif form.type == "json_schema":
        raise InvalidRequest("A `json_schema` is missing.", param="response_format.json_schema")


def _schema(raw: msgspec.Raw, param: str) -> msgspec.Raw:
    """The same, or empty for `null`. Raises InvalidRequest for what is no object."""
    start = bytes(raw)[:4]
    if not start or start == b"null":
        return msgspec.Raw()
    if start[:1] != b"{":
        raise InvalidRequest(f"`{param}` must be a JSON Schema, an object.", param=param)
    return raw


def invalid(text: str) -> InvalidRequest:
    """msgspec's sentence, `Expected `str`, got `int` - at `$.messages[0].role``, in ours."""
    place = _PLACE.fullmatch(text)
    path = (place and place["path"]) or None
    what = place["what"] if place else text
    return InvalidRequest(f"Invalid type for `{path}`: {what[:200]}." if path else f"{what[:200]}.", param=path)
