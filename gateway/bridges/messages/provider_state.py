"""What other providers want back with the next turn, in blocks that Anthropic's clients return unread.

Clients of the Messages API give thinking back as it came, signature and all. So the reasoning of a provider that signs
nothing gets a signature of ours, by which it is known again; what a provider wants back with a call (Gemini's thought
signatures) travels in a block of `redacted_thinking` before the call; and reasoning that another provider sealed
(OpenAI's Responses API) is the signature of what it shows of it, or such a block where it shows nothing. Anthropic
itself would refuse them all: who passes a request through to it leaves them out.
"""

from __future__ import annotations

import base64
import binascii
from typing import Any

import msgspec

from gateway.providers.messages.passing import MARK

UNSIGNED = f"{MARK}unsigned"
_SEALED = f"{MARK}sealed:"
THOUGHTS = ("thinking", "redacted_thinking")
_REASONING = "reasoning"
"""What the Responses API calls a block of its own."""


def kept_block(block: dict[str, Any]) -> dict[str, Any] | None:
    """A provider's own block of reasoning as Anthropic's clients keep it: a signed one as it is, a sealed one packed.
    None for one of a kind that is wanted back by nobody."""
    kind = block.get("type")
    if kind in THOUGHTS:
        return block
    if kind != _REASONING or not block.get("encrypted_content"):
        return None
    kept, shown = f"{_SEALED}{_written(block)}", _shown(block.get("summary"))
    if shown:
        return {"type": "thinking", "thinking": shown, "signature": kept}
    return {"type": "redacted_thinking", "data": kept}


def _shown(summary: Any) -> str:
    parts = [part for part in summary if isinstance(part, dict)] if isinstance(summary, list) else ()
    return "\n\n".join(text for part in parts if isinstance(text := part.get("text"), str))


def is_sealed(kept: str) -> bool:
    """Whether a signature, or the data of a hidden block, carries what another provider sealed."""
    return kept.startswith(_SEALED)


def sealed_block(kept: str) -> dict[str, Any] | None:
    """The block that it carries; None for anything else."""
    block = _read(kept[len(_SEALED) :]) if is_sealed(kept) else None
    return block if isinstance(block, dict) else None


def kept_extra(extra: Any) -> dict[str, Any]:
    """The block that carries what is wanted back with the call that follows it."""
    return {"type": "redacted_thinking", "data": f"{MARK}{_written(extra)}"}


def extra_of(data: str) -> Any:
    """What such a block carries; None for any other."""
    if not data.startswith(MARK) or is_sealed(data):
        return None
    return _read(data[len(MARK) :])


def _written(state: Any) -> str:
    return base64.urlsafe_b64encode(msgspec.json.encode(state)).decode()


def _read(text: str) -> Any:
    try:
        return msgspec.json.decode(base64.urlsafe_b64decode(text.encode()))
    except (binascii.Error, ValueError, RecursionError):
        return None
