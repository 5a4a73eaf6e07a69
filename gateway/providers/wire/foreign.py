"""Reasoning items of the Responses API that the gateway wrote for models of other APIs: part of the talk was with them.

Whoever has this API would refuse the whole request for one: it did not seal them.
"""

from __future__ import annotations

import msgspec

from gateway.providers.wire.adapting import with_members
from gateway.types import Call

MARK = "gateway:"
"""What `encrypted_content` begins with that is ours. No provider's does: theirs is base64."""
_MARKED = f'"{MARK}'.encode()


class _Item(msgspec.Struct, gc=False):
    type: str = ""
    encrypted_content: str | None = None


_MEMBERS = msgspec.json.Decoder(dict[str, msgspec.Raw])
_ITEMS = msgspec.json.Decoder(list[msgspec.Raw])
_ITEM = msgspec.json.Decoder(_Item)


def without_ours(call: Call) -> Call:
    """The call without such items; itself where there are none, or nothing that can be read."""
    if _MARKED not in call.raw:
        return call
    try:
        members = _MEMBERS.decode(call.raw)
        items = _ITEMS.decode(members["input"])
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, LookupError):
        return call
    kept = [item for item in items if not _is_ours(item)]
    if len(kept) == len(items):
        return call
    members["input"] = msgspec.Raw(msgspec.json.encode(kept))
    return with_members(call, members)


def _is_ours(raw: msgspec.Raw) -> bool:
    try:
        item = _ITEM.decode(raw)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return False
    return item.type == "reasoning" and (item.encrypted_content or "").startswith(MARK)
