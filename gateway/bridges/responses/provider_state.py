"""What a provider wants back with the next turn, in a field that clients of the Responses API return unread.

A reasoning item's `encrypted_content` is opaque to clients, and they give it back with the conversation. It carries the
provider's own reasoning blocks, signatures and all, and what it wants back with single calls (Gemini's thought
signatures). It is not encrypted: it holds nothing that the client's own conversation does not. Providers that have the
Responses API themselves would refuse it: who passes a request through to one leaves such items out.
"""

from __future__ import annotations

import base64
import binascii
from typing import Any

import msgspec

from gateway.providers.wire.foreign import MARK

UNSIGNED = f"{MARK}e30="
"""Of reasoning whose provider seals nothing: an empty state, by which it is known again."""
MOST = 8 << 20
"""Characters that are unpacked."""


class ProviderState(msgspec.Struct, omit_defaults=True):
    """`extras` is by the id of the call."""

    blocks: list[dict[str, Any]] = []
    extras: dict[str, Any] = {}


_STATE = msgspec.json.Decoder(ProviderState)


def packed(provider_state: ProviderState) -> str | None:
    """For `encrypted_content`; None where there is nothing to keep."""
    if not provider_state.blocks and not provider_state.extras:
        return None
    return MARK + base64.urlsafe_b64encode(msgspec.json.encode(provider_state)).decode()


def unpacked(text: str | None) -> ProviderState | None:
    """What was packed; None for what another packed, whose key we have not."""
    if text is None or not text.startswith(MARK) or len(text) > MOST:
        return None
    try:
        provider_state: ProviderState = _STATE.decode(base64.urlsafe_b64decode(text[len(MARK) :].encode()))
    except (binascii.Error, ValueError, RecursionError):
        return None
    return provider_state
