"""Shorthand for tests of Cohere's API: its events and answers."""

from __future__ import annotations

import json
from typing import Any

from tests.support.translated import Translated

COHERE = Translated("cohere", "https://provider.invalid/v2", "command-a-reasoning-08-2025")
PLAIN, NEW = "command-a-03-2025", "command-next"
USAGE = {
    "billed_units": {"input_tokens": 5.0, "output_tokens": 3.0},
    "tokens": {"input_tokens": 505.0, "output_tokens": 4.0},
}


def frame(kind: str, **fields: Any) -> bytes:
    return f"event: {kind}\ndata: {json.dumps({'type': kind, **fields})}\n\n".encode()


def said(kind: str, index: int = 0, **message: Any) -> bytes:
    return frame(kind, index=index, delta={"message": message})


def text(given: str) -> bytes:
    return said("content-delta", content={"text": given})


def thought(given: str) -> bytes:
    return said("content-delta", content={"thinking": given})


def begun(index: int, name: str = "f", arguments: str = "") -> bytes:
    function = {"name": name, "arguments": arguments}
    return said(
        "tool-call-start", index, tool_calls={"id": f"{name}_{index}", "type": "function", "function": function}
    )


def arguments(index: int, given: str) -> bytes:
    return said("tool-call-delta", index, tool_calls={"function": {"arguments": given}})


def ended(index: int) -> bytes:
    return frame("tool-call-end", index=index)


def end(reason: str = "COMPLETE", **fields: Any) -> bytes:
    return frame("message-end", delta={"finish_reason": reason, "usage": USAGE, **fields})


def whole(reason: str = "COMPLETE", *, usage: Any = USAGE, **message: Any) -> dict[str, Any]:
    return {"id": "n1", "message": {"role": "assistant", **message}, "finish_reason": reason, "usage": usage}


def function(name: str = "f", given: str = "{}", id_: str = "f_1") -> dict[str, Any]:
    return {"id": id_, "type": "function", "function": {"name": name, "arguments": given}}
