"""What other providers want back with the next turn, in blocks that Anthropic's clients return unread.

Clients of the Messages API give thinking back as it came, signature and all. So the reasoning of a provider that signs
nothing gets a signature of ours, by which it is known again; and what a provider wants back with a call (Gemini's
thought signatures) travels in a block of `redacted_thinking` before the call. Anthropic itself would refuse both: who
passes a request through to it leaves them out.
"""

from __future__ import annotations

import base64
import binascii
from typing import Any

import msgspec

from gateway.providers.messages.passing import MARK

UNSIGNED = f"{MARK}unsigned"


def kept_extra(extra: Any) -> dict[str, Any]:
    """The block that carries what is wanted back with the call that follows it."""
    text = base64.urlsafe_b64encode(msgspec.json.encode(extra)).decode()
    return {"type": "redacted_thinking", "data": f"{MARK}{text}"}


def extra_of(data: str) -> Any:
    """What such a block carries; None for any other."""
    if not data.startswith(MARK):
        return None
    try:
        return msgspec.json.decode(base64.urlsafe_b64decode(data[len(MARK) :].encode()))
    except (binascii.Error, ValueError, RecursionError):
        return None
