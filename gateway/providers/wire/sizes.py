"""How much of an answer is held, at most: what grows with what was asked for, and nothing beyond it."""

from __future__ import annotations

from gateway.providers.wire.forms import said
from gateway.types import Call, Service

REPLY = 32 << 20
"""Bytes of any whole answer, and of one event of a stream of named events, which may hold all of it."""
PER_INPUT = 128 << 10
"""Bytes of a vector as text: 4,096 dimensions at thirty digits and spaces each."""
PER_IMAGE = 16 << 20
"""Bytes of a picture in base64."""
MOST_IMAGES = 10
"""OpenAI's own bound of `n`: whoever asks for more is not believed."""


def reply_limit(call: Call) -> int:
    """Bytes of its answer that are held."""
    if call.service is Service.EMBEDDINGS:
        return max(REPLY, call.inputs * PER_INPUT)
    if call.service is Service.IMAGES:
        return max(REPLY, min(_images(call), MOST_IMAGES) * PER_IMAGE)
    return REPLY


def _images(call: Call) -> int:
    """A form may say how many only after its file, when the call has begun."""
    text = said(call, "n")
    return int(text) if text and text.isascii() and text.isdigit() and len(text) < 3 else call.choices
