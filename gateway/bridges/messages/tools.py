"""Tools as OpenAI's functions, and how they are to be chosen."""

from __future__ import annotations

from typing import Any

from gateway.bridges.messages.asked import MessagesRequest, Tool
from gateway.bridges.messages.names import shortened
from gateway.bridges.messages.shapes import is_strict
from gateway.errors import InvalidRequest
from gateway.providers.chat.losses import Losses
from gateway.providers.chat.request import NO_PARAMETERS

Json = dict[str, Any]

_OWN = (None, "custom", "function")
_NEEDLESS = ("tool_search_tool",)
"""Finds tools that are not loaded yet. Here all of them are."""
_CHOICES = {"auto": "auto", "any": "required", "none": "none"}


def offer(body: Json, asked: MessagesRequest, extensions: frozenset[str], losses: Losses) -> None:
    """Sets `tools`, `tool_choice` and `parallel_tool_calls`. Raises UnsupportedParameter for tools that Anthropic runs,
    or whose shape only its models know."""
    tools: list[Json] = []
    for index, tool in enumerate(asked.tools or ()):
        if tool.type in _OWN:
            tools.append(_function(tool, index, extensions))
        elif not str(tool.type).startswith(_NEEDLESS):
            advice = f"Tools of type `{str(tool.type)[:64]}` are Anthropic's own: use a Claude model, or your own tool."
            losses.parameter(f"tools[{index}].type", advice)
    if not tools:
        return
    body["tools"] = tools
    choice = asked.tool_choice
    if choice is None:
        return
    if choice.type == "tool":
        named = shortened(choice.name)
        if all(tool["function"]["name"] != named for tool in tools):
            raise InvalidRequest(
                f"`tool_choice` names no tool of this request: `{choice.name[:64]}`.", param="tool_choice"
            )
        body["tool_choice"] = {"type": "function", "function": {"name": named}}
    elif choice.type in _CHOICES:
        body["tool_choice"] = _CHOICES[choice.type]
    else:
        raise InvalidRequest("`tool_choice.type` is none of auto, any, tool, none.", param="tool_choice.type")
    if choice.disable_parallel_tool_use:
        body["parallel_tool_calls"] = False


def _function(tool: Tool, index: int, extensions: frozenset[str]) -> Json:
    if not tool.name:
        raise InvalidRequest("A tool needs a name.", param=f"tools[{index}].name")
    function: Json = {"name": shortened(tool.name)}
    if tool.description:
        function["description"] = tool.description
    schema = bytes(tool.input_schema)
    function["parameters"] = tool.input_schema if schema[:1] == b"{" else NO_PARAMETERS
    if tool.strict and is_strict(function["parameters"]):
        function["strict"] = True
    given: Json = {"type": "function", "function": function}
    if tool.cache_control and "cache_control" in extensions:
        given["cache_control"] = tool.cache_control
    return given
