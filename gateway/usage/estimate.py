"""Token counts where no provider says them: before the call, and after one that broke off.

Four bytes a token is the usual rule of thumb for English text and JSON; encoded media are counted apart, or one picture
would look like a novel.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from gateway.types import Usage

BYTES_PER_TOKEN = 4
MEDIA_TOKENS = 1000
MEDIA_BOUND = 40_000
"""Tokens of one picture: small models are billed tens of thousands for a large one."""
WINDOW = 200_000
_LINKED = re.compile(rb'"(?:url|image_url)"\s*:\s*"https?:')
_STORED = re.compile(
    rb'"(?:previous_response_id|conversation|file_id|file_url|container)"\s*:\s*["{]|"prompt"\s*:\s*\{'
)
EVENT_BYTES = 250
"""What an event, or a whole reply, weighs without its text, where that cannot be seen."""
SMALL = 4096
"""Bytes up to which a body is taken as it is: media in it are no larger than text could be."""
_MEDIA = re.compile(rb'(?:;base64,|"data"\s*:\s*"|"file_data"\s*:\s*")[A-Za-z0-9+/=_-]{1024,}')


def input_tokens(raw: bytes) -> int:
    """An estimate of a request's input tokens from its JSON body."""
    size = len(raw)
    for media in _media(raw):
        size -= media.end() - media.start() - MEDIA_TOKENS * BYTES_PER_TOKEN
    return max(1, size // BYTES_PER_TOKEN)


def input_bound(raw: bytes, window: int | None = None) -> int:
    """More input tokens than a request with this JSON body can have, for text: a token is at least one byte. Pictures,
    given or linked, are taken at what the largest are billed; what only the provider has (stored conversations, files)
    at the model's context `window`."""
    if _STORED.search(raw) is not None:
        return max(len(raw), window or WINDOW)
    size = len(raw) + MEDIA_BOUND * len(_LINKED.findall(raw))
    for media in _media(raw):
        size -= media.end() - media.start() - MEDIA_BOUND
    return max(1, size)


def _media(raw: bytes) -> Iterable[re.Match[bytes]]:
    """Where encoded media stand. Two plain searches tell that there are none much sooner than the pattern."""
    if len(raw) <= SMALL or (b";base64," not in raw and b'data"' not in raw):
        return ()
    return _MEDIA.finditer(raw)


def partial(estimated_input: int, events: int, payload_bytes: int, text: tuple[int, int] | None = None) -> Usage:
    """What a call used that nobody counted: one token an event, or more where the text says so. `text` is how
    many events had any, and its bytes, where that is known."""
    told, size = text or (events, payload_bytes - events * EVENT_BYTES)
    return Usage(estimated_input, max(0, told, size // BYTES_PER_TOKEN))


def whole(estimated_input: int, body_bytes: int, *, generates: bool) -> Usage:
    """What a complete reply without usage used: at least a token where a model wrote it."""
    return Usage(estimated_input, max(1, (body_bytes - EVENT_BYTES) // BYTES_PER_TOKEN) if generates else 0)
