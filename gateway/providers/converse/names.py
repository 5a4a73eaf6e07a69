"""Names of functions and ids of calls in the letters that Bedrock takes, and back.

A name that it takes stays. Any other one is spelt in its letters and ends in a mark of what it was, so that different
ones stay different, and every turn of a conversation spells it alike.
"""

from __future__ import annotations

import re
from hashlib import blake2b

import msgspec

from gateway.types import Call

MOST = 64
"""Characters."""
_NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")
_ID = re.compile(r"[a-zA-Z0-9_.:-]{1,64}")
_ODD = re.compile(r"[^a-zA-Z0-9_-]")
_MARK = re.compile(r"_x[0-9a-f]{8}")
_MARK_SIZE = 10


class _Function(msgspec.Struct, gc=False):
    name: str = ""


class _Tool(msgspec.Struct, gc=False):
    """As chat has it, or flat as Responses and Messages do."""

    function: _Function | None = None
    name: str = ""


class _Asked(msgspec.Struct, gc=False):
    tools: list[_Tool] | None = None
    functions: list[_Function] | None = None


_ASKED = msgspec.json.Decoder(_Asked)


def name_of(function: str) -> str:
    """What Bedrock calls a function."""
    return function if _NAME.fullmatch(function) else _spelt(function)


def id_of(call: str) -> str:
    """What Bedrock calls a call of a tool."""
    return call if _ID.fullmatch(call) else _spelt(call)


def function_of(name: str, call: Call) -> str:
    """What the client calls the function that Bedrock calls so."""
    if len(name) < _MARK_SIZE or _MARK.fullmatch(name, len(name) - _MARK_SIZE) is None:
        return name
    try:
        asked = _ASKED.decode(call.raw)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return name
    given = [tool.function.name if tool.function is not None else tool.name for tool in asked.tools or ()]
    given += [function.name for function in asked.functions or ()]
    return next((one for one in given if name_of(one) == name), name)


def _spelt(text: str) -> str:
    mark = blake2b(text.encode("utf-8", "surrogatepass"), digest_size=4).hexdigest()
    return f"{_ODD.sub('_', text)[: MOST - _MARK_SIZE]}_x{mark}"
