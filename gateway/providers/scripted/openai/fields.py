"""Reading the fields of OpenAI's requests: lenient where the API is, errors in its words where it is not."""

from __future__ import annotations

from typing import Any

import orjson

from gateway.providers.scripted.scenario import Asked, Charge, Json, Rejected
from gateway.providers.scripted.tokens import count
from gateway.providers.scripted.turn import Tool

_IMAGE_TOKENS = 85
_MAX_CHOICES = 128
_MAX_TOKENS = 3_000_000
"""Output of one request, whatever `n`, prompts and directives say."""
_LEAST_TOKENS, _CALL_TOKENS = 256, 10_000
"""What an answer, and a tool call, are taken for at least."""


def need(body: Json, name: str, kind: type | tuple[type, ...]) -> Any:
    """A required field. Raises Rejected when it is missing or of another type."""
    value = body.get(name)
    if value is None:
        raise Rejected(400, f"Missing required parameter: '{name}'.", param=name, code="missing_required_parameter")
    if not isinstance(value, kind):
        raise Rejected(400, f"Invalid type for '{name}'.", param=name, code="invalid_type")
    return value


def positive(body: Json, *names: str, most: int = 10_000_000) -> int | None:
    """The first of these fields that is given, as a whole number of at least 1. Raises Rejected for anything else."""
    for name in names:
        value = body.get(name)
        if value is None:
            continue
        if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= most:
            raise Rejected(400, f"Invalid value for '{name}': expected an integer from 1 to {most}.", param=name)
        return value
    return None


def choices(asked: Asked, spoken: int, prompts: int = 1) -> int:
    """`n`, 1 without it. `spoken`: the tokens of all prompts, which are echoed.

    Raises Rejected where the answers together would be longer than a process has room for.
    """
    number = positive(asked.body, "n", most=_MAX_CHOICES) or 1
    script = asked.script
    each = max(_LEAST_TOKENS, script.tokens or 0) + (script.reasoning or 0) + (script.calls or 0) * _CALL_TOKENS
    if number * (spoken + prompts * each) > _MAX_TOKENS:
        raise Rejected(400, f"The answers would have more than {_MAX_TOKENS} tokens: ask for fewer, or shorter ones.")
    return number


def stops(body: Json) -> tuple[str, ...]:
    """`stop` as a tuple."""
    stop = body.get("stop")
    return (stop,) if isinstance(stop, str) else tuple(word for word in stop or () if isinstance(word, str))


def text_of(content: Any) -> str:
    """The text of a message's content: a string, or parts."""
    if isinstance(content, str):
        return content
    parts = content if isinstance(content, list) else []
    return "".join(part["text"] for part in parts if isinstance(part, dict) and isinstance(part.get("text"), str))


def tokens_of(content: Any) -> int:
    """Input tokens of a message's content; an image, a sound or a file is 85."""
    parts = content if isinstance(content, list) else []
    return count(text_of(content)) + _IMAGE_TOKENS * sum(
        isinstance(part, dict) and "text" not in part for part in parts
    )


def tools_of(body: Json) -> tuple[Tool, ...]:
    """The functions offered, nested as in chat or flat as in responses."""
    found: list[Tool] = []
    for tool in body.get("tools") or ():
        function = tool.get("function", tool) if isinstance(tool, dict) else {}
        if tool_type(tool) == "function" and isinstance(function.get("name"), str):
            found.append(Tool(function["name"], function.get("parameters")))
    return tuple(found)


def tool_type(tool: Any) -> str:
    """`function`, `custom`, …"""
    return str(tool.get("type", "function")) if isinstance(tool, dict) else ""


def tool_choice_of(body: Json) -> str:
    """`auto`, `none`, `required` or `=name`."""
    choice = body.get("tool_choice")
    if isinstance(choice, dict):
        name = (choice.get("function") or choice).get("name")
        mode = (choice.get("allowed_tools") or choice).get("mode", "auto")
        return f"={name}" if isinstance(name, str) else str(mode)
    return choice if choice in {"none", "required"} else "auto"


def schema_of(form: Any) -> Any:
    """The schema of a `response_format`, chat's or responses'; None for plain text."""
    kind = form.get("type") if isinstance(form, dict) else None
    if kind == "json_object":
        return {"type": "object", "properties": {"echo": {"type": "string"}}}
    if kind == "json_schema":
        return (form.get("json_schema") or form).get("schema") or {"type": "object"}
    return None


def tools_tokens(body: Json) -> int:
    """Input tokens of the tool list, as the JSON it is."""
    return count(orjson.dumps(body["tools"]).decode()) if body.get("tools") else 0


def charge(asked: Asked, input_tokens: int, *, stream: bool = False) -> Charge:
    """What this request costs on input."""
    cached = min(asked.script.cached or 0, input_tokens)
    return Charge(asked.service, asked.model, input_tokens, cached, stream)
