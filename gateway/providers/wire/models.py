"""Lists of models as providers give them: OpenAI's `{"data": [{"id": …}]}`, Ollama's own `{"models": [{"name": …}]}`,
and the bare array that some imitators send."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from gateway.errors import UpstreamBadResponse

MOST = 5000
"""Models of one provider; a longer list is taken for a mistake."""
LONGEST = 256


class _Entry(msgspec.Struct, gc=False):
    id: str | None = None
    name: str | None = None


class _List(msgspec.Struct, gc=False):
    data: list[_Entry] | None = None
    models: list[_Entry] | None = None


_DECODER = msgspec.json.Decoder(_List | list[_Entry])


def model_names(body: bytes) -> tuple[str, ...]:
    """The names, each once, in the provider's order; those that no client could ask for are left out.

    Raises UpstreamBadResponse for what is no such list, and for one without any usable name that is not empty.
    """
    try:
        found = _DECODER.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise UpstreamBadResponse from None
    entries = found if isinstance(found, list) else found.data if found.data is not None else found.models
    if entries is None or len(entries) > MOST:
        raise UpstreamBadResponse
    names = _usable(entries)
    if entries and not names:
        raise UpstreamBadResponse
    return names


def _usable(entries: Sequence[_Entry]) -> tuple[str, ...]:
    names = (entry.id or entry.name for entry in entries)
    return tuple(dict.fromkeys(name for name in names if name is not None and _is_name(name)))


def _is_name(name: str) -> bool:
    """As the configuration has it: printable ASCII without spaces."""
    return 0 < len(name) <= LONGEST and name.isascii() and name.isprintable() and " " not in name
