"""How many tokens a chat has, as Google counts them without answering."""

from __future__ import annotations

from typing import Any

import msgspec

from gateway.errors import UpstreamBadResponse
from gateway.ports import DecodedReply
from gateway.types import Usage

_COUNTED = ("contents", "systemInstruction", "tools", "generationConfig")
"""What Vertex AI takes in a question for tokens: how tools are chosen and what is filtered costs none."""


class _Told(msgspec.Struct, gc=False, rename="camel"):
    total_tokens: int


_TOLD = msgspec.json.Decoder(_Told)


def whole_question(body: dict[str, Any], model: str) -> dict[str, Any]:
    """For the Gemini API: all of the request, with its model named again. Beside `contents` alone it would count no
    instructions and no tools."""
    return {"generateContentRequest": {"model": model, **body}}


def bare_question(body: dict[str, Any]) -> dict[str, Any]:
    """For Vertex AI, which counts the parts where they stand."""
    return {name: body[name] for name in _COUNTED if name in body}


def read_count(body: bytes) -> DecodedReply:
    """In Anthropic's words, whose clients ask for it; it is free. Raises UpstreamBadResponse."""
    try:
        counted = _TOLD.decode(body).total_tokens
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        raise UpstreamBadResponse from None
    return DecodedReply(b'{"input_tokens":%d}' % counted, b"application/json", Usage())
