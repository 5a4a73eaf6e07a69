"""Searches that a provider ran for an answer, as the Responses API tells them: items of its output."""

from __future__ import annotations

import msgspec

CALLED = b"web_search_call"
_SEARCH = "search"


class _Item(msgspec.Struct, gc=False):
    type: object = None
    action: object = None


_ITEMS = msgspec.json.Decoder(list[_Item])


def searches_in(output: msgspec.Raw) -> int:
    """How many there are. Opening a page and looking through it are no searches:
    https://platform.openai.com/docs/guides/tools-web-search#output-and-citations"""
    try:
        items = _ITEMS.decode(output)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return 0
    return sum(one.type == CALLED.decode() and _searched(one.action) for one in items)


def _searched(action: object) -> bool:
    return not isinstance(action, dict) or action.get("type", _SEARCH) == _SEARCH
