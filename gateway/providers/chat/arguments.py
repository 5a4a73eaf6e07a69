"""Arguments of earlier calls, for APIs that take them as an object where OpenAI's has text.

Text that is none is what a model wrote that was cut off, or slipped: OpenAI takes it back in a conversation, and so do
agents send it, with an error as its result. It stays readable to the model that goes on.
"""

from __future__ import annotations

from typing import Any

import msgspec

UNREADABLE = "INVALID_JSON"
"""The key under which arguments stand that are no JSON object."""
_ARGUMENTS = msgspec.json.Decoder(dict[str, msgspec.Raw])


def arguments_of(text: str) -> dict[str, Any]:
    """The object, its values as they came; empty for none."""
    try:
        return _ARGUMENTS.decode(text) if text.strip() else {}
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return {UNREADABLE: text}
