"""Names of tools. Anthropic's may have 128 characters, OpenAI's and its imitators' end at 64.

A longer one is cut and gets a digest of the whole; in answers the whole name stands again.
"""

from __future__ import annotations

import hashlib

import msgspec

from gateway.types import Call

LONGEST = 64
_DIGEST = 8


class _Named(msgspec.Struct, gc=False):
    name: str = ""


class _Tools(msgspec.Struct, gc=False):
    tools: list[_Named] = []


_TOOLS = msgspec.json.Decoder(_Tools)


def shortened(name: str) -> str:
    """The name that the provider gets; always the same one for the same."""
    if len(name) <= LONGEST:
        return name
    digest = hashlib.sha256(name.encode()).hexdigest()[:_DIGEST]
    return f"{name[: LONGEST - _DIGEST - 1]}_{digest}"


def whole(name: str, call: Call) -> str:
    """The name that the client knows. Only one of the full length can be a short form."""
    if len(name) != LONGEST:
        return name
    try:
        tools = _TOOLS.decode(call.raw).tools
    except (msgspec.DecodeError, UnicodeDecodeError):
        return name
    return next((tool.name for tool in tools if len(tool.name) > LONGEST and shortened(tool.name) == name), name)
