"""What the provider says: one decision for chat, completions and responses, whatever their wire looks like."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import TYPE_CHECKING, Any

import orjson

from gateway.providers.scripted.schema import instance
from gateway.providers.scripted.tokens import count, pieces, resize

if TYPE_CHECKING:
    from gateway.providers.scripted.script import Script

_WANTED = re.compile(r"call:([A-Za-z0-9_.-]+)")
_UNICODE = " grüße 你好 🎈👩‍🚀"
_LARGE = 256


@dataclass(frozen=True, slots=True)
class Tool:
    """A function the caller offers."""

    name: str
    parameters: Any


@dataclass(frozen=True, slots=True)
class Ask:
    """What the caller wants of one turn. `schema`: the reply must be JSON of this shape; `limit`: output tokens."""

    model: str
    text: str
    after_tool: bool = False
    tools: tuple[Tool, ...] = ()
    tool_choice: str = "auto"
    """`auto`, `none`, `required`, or `=name`."""
    parallel: bool = True
    schema: Any = None
    limit: int | None = None
    stop: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ToolCall:
    id: str
    name: str
    arguments: str

    @property
    def tokens(self) -> int:
        return count(self.name) + count(self.arguments)


@dataclass(frozen=True, slots=True)
class Turn:
    """One choice. `finish` is OpenAI's word: stop, length, tool_calls or content_filter."""

    text: str = ""
    reasoning: str = ""
    calls: tuple[ToolCall, ...] = ()
    finish: str = "stop"

    @property
    def reasoning_tokens(self) -> int:
        return count(self.reasoning)

    @property
    def tokens(self) -> int:
        """Every output token, reasoning among them."""
        return self.reasoning_tokens + count(self.text) + sum(call.tokens for call in self.calls)


@dataclass(slots=True)
class _Allowance:
    """How many output tokens are left of the caller's limit."""

    left: int | None
    spent: bool = field(default=False)

    def take(self, text: str) -> str:
        if self.left is None:
            return text
        kept = pieces(text)[: self.left]
        self.spent = self.spent or len(kept) < count(text)
        self.left -= len(kept)
        return "".join(kept)


def decide(ask: Ask, script: Script, digest: str, index: int = 0) -> Turn:
    """The turn of choice `index`: tool calls, JSON or an echo, within the caller's limit."""
    allowance = _Allowance(ask.limit)
    reasoning = allowance.take(resize("thinking about it", script.reasoning) if script.reasoning else "")
    wanted = _wanted(ask, script)
    if wanted:
        calls = _calls(wanted, f"{digest}-{index}", allowance)
        return Turn("", reasoning, calls, "length" if allowance.spent else "tool_calls")
    text = allowance.take(_stopped(_text(ask, script, index), ask.stop))
    finish = "length" if allowance.spent else "content_filter" if script.content_filter else "stop"
    return Turn(text, reasoning, (), finish)


def _wanted(ask: Ask, script: Script) -> list[Tool]:
    by_name = {tool.name: tool for tool in ask.tools}
    if not by_name or ask.tool_choice == "none" or (ask.after_tool and ask.tool_choice == "auto"):
        return []
    if ask.tool_choice.startswith("="):
        named = [by_name[ask.tool_choice[1:]]] if ask.tool_choice[1:] in by_name else []
    else:
        named = [by_name[name] for name in _WANTED.findall(ask.text) if name in by_name]
    if script.calls:
        pool = named or list(ask.tools)
        named = [pool[number % len(pool)] for number in range(script.calls)]
    elif not named and ask.tool_choice == "required":
        named = [ask.tools[0]]
    return named if ask.parallel else named[:1]


def _calls(wanted: list[Tool], seed: str, allowance: _Allowance) -> tuple[ToolCall, ...]:
    calls: list[ToolCall] = []
    for number, tool in enumerate(wanted):
        if allowance.left is not None and allowance.left < count(tool.name):
            allowance.spent = True
            break
        allowance.take(tool.name)
        value = instance(tool.parameters, "text") if tool.parameters else {}
        arguments = orjson.dumps(value if isinstance(value, dict) else {}).decode()
        unique = blake2b(f"{seed}-{number}".encode(), digest_size=12).hexdigest()
        calls.append(ToolCall(f"call_{unique}", tool.name, allowance.take(arguments)))
    return tuple(calls)


def _text(ask: Ask, script: Script, index: int) -> str:
    mark = "tool" if ask.after_tool else "echo"
    if ask.schema is not None:
        return orjson.dumps(instance(ask.schema, f"{mark}: {ask.text}")).decode()
    text = f"{mark}: {ask.text}" if index == 0 else f"{mark}[{index}]: {ask.text}"
    if script.unicode:
        text += _UNICODE
    if script.tokens is not None:
        return resize(text, script.tokens)
    return resize(text, max(_LARGE, count(text))) if ask.model.endswith("mock-large") else text


def _stopped(text: str, stop: tuple[str, ...]) -> str:
    return text[: min((at for word in stop if word and (at := text.find(word)) >= 0), default=len(text))]
