"""Tools as functions of a chat, and how they are to be chosen.

A custom tool takes free text: as a function it has one parameter, `input`. Tools that OpenAI runs itself have no
counterpart.
"""

from __future__ import annotations

from typing import Any

import msgspec

from gateway.bridges.responses.asked import NamedChoice, ResponsesRequest, Tool
from gateway.errors import InvalidRequest
from gateway.providers.chat.losses import Losses
from gateway.providers.chat.request import NO_PARAMETERS

Json = dict[str, Any]

_FREE_TEXT: Json = {
    "type": "object",
    "properties": {"input": {"type": "string", "description": "The whole input of the tool, as it is."}},
    "required": ["input"],
    "additionalProperties": False,
}
_WORDS = ("auto", "none", "required")


class _Wrapped(msgspec.Struct, gc=False):
    input: str


class _Tools(msgspec.Struct, gc=False):
    tools: list[Tool] | None = None


_WRAPPED = msgspec.json.Decoder(_Wrapped)
_TOOLS = msgspec.json.Decoder(_Tools)
_ANY = msgspec.json.Decoder()


def offer(body: Json, asked: ResponsesRequest, losses: Losses) -> None:
    """Sets `tools`, `tool_choice` and `parallel_tool_calls`. Raises UnsupportedParameter for tools that OpenAI runs,
    InvalidRequest for what names no tool."""
    tools: dict[str, Json] = {}
    for index, tool in enumerate(asked.tools or ()):
        function = _function(tool, index, losses)
        if function is not None:
            tools[tool.name] = {"type": "function", "function": function}
    choice = asked.tool_choice
    mode, named = _choice(choice, losses)
    if isinstance(choice, NamedChoice) and choice.type == "allowed_tools":
        allowed = {tool.name for tool in choice.tools}
        tools = {name: tool for name, tool in tools.items() if name in allowed}
    if not tools:
        return
    body["tools"] = list(tools.values())
    if named is not None:
        if named not in tools:
            raise InvalidRequest(f"`tool_choice` names no tool of this request: `{named[:64]}`.", param="tool_choice")
        body["tool_choice"] = {"type": "function", "function": {"name": named}}
    elif mode != "auto":
        body["tool_choice"] = mode
    if asked.parallel_tool_calls is False:
        body["parallel_tool_calls"] = False


def _function(tool: Tool, index: int, losses: Losses) -> Json | None:
    """The tool as a function; None for one that is left out."""
    if tool.type not in ("function", "custom"):
        advice = (
            f"Tools of type `{tool.type[:64]}` run at OpenAI: use a model whose provider has the Responses API, or a"
            " function of your own."
        )
        losses.parameter(f"tools[{index}].type", advice)
        return None
    if not tool.name:
        raise InvalidRequest("A tool needs a name.", param=f"tools[{index}].name")
    function: Json = {"name": tool.name}
    if tool.description:
        function["description"] = tool.description
    if tool.type == "custom":
        if tool.format is not None and tool.format.get("type", "text") != "text":
            losses.parameter(f"tools[{index}].format", "Only text can be asked for: describe the form in words.")
        function["parameters"] = _FREE_TEXT
        return function
    start = bytes(tool.parameters)[:4]
    if start and start != b"null" and start[:1] != b"{":
        param = f"tools[{index}].parameters"
        raise InvalidRequest(f"`{param}` must be a JSON Schema, an object.", param=param)
    function["parameters"] = tool.parameters if start[:1] == b"{" else NO_PARAMETERS
    if tool.strict:
        function["strict"] = True
    return function


def _choice(choice: str | NamedChoice | None, losses: Losses) -> tuple[str, str | None]:
    """The word, and the tool that must be called."""
    mode = choice or "auto" if not isinstance(choice, NamedChoice) else choice.mode
    if isinstance(choice, NamedChoice) and choice.type in ("function", "custom"):
        return "auto", choice.name
    if isinstance(choice, NamedChoice) and choice.type != "allowed_tools":
        losses.parameter("tool_choice", f"A tool of type `{choice.type[:64]}` runs at OpenAI.")
        return "auto", None
    if mode not in _WORDS:
        raise InvalidRequest("`tool_choice` is none of auto, none, required, or a tool.", param="tool_choice")
    return mode, None


def customs(raw: bytes) -> frozenset[str]:
    """The names of a request's custom tools."""
    if b'"custom"' not in raw:
        return frozenset()
    try:
        tools = _TOOLS.decode(raw).tools or []
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return frozenset()
    return frozenset(tool.name for tool in tools if tool.type == "custom")


def is_whole(arguments: str) -> bool:
    """Whether they are one JSON value, to which nothing can be added."""
    try:
        _ANY.decode(arguments)
    except (msgspec.DecodeError, UnicodeDecodeError, UnicodeEncodeError, RecursionError):
        return False
    return True


def wrapped(text: str) -> str:
    """A custom tool's input as a function's arguments."""
    return msgspec.json.encode({"input": text}).decode()


def unwrapped(arguments: str) -> str:
    """And back; arguments of another form as they are."""
    try:
        return _WRAPPED.decode(arguments).input
    except (msgspec.DecodeError, UnicodeDecodeError, UnicodeEncodeError, RecursionError):
        return arguments
