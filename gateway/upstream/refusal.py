"""What a provider says with an error status: as much of it as is worth waiting for."""

from __future__ import annotations

import asyncio

from gateway.errors import UpstreamError
from gateway.ports import UpstreamResponse

MAX_ERROR_BYTES = 256 * 1024
ERROR_SECONDS = 5.0
"""The status says what happened; its words are not waited for longer, another deployment may be."""


async def error_body(response: UpstreamResponse) -> bytes:
    """What comes of an error's body before it is too much, too slow or broken off. Whoever asks aborts the response
    afterwards: it may not be complete."""
    pieces: list[bytes] = []
    size = 0
    try:
        async with asyncio.timeout(ERROR_SECONDS):
            while size < MAX_ERROR_BYTES and (piece := await response.chunk()):
                pieces.append(piece)
                size += len(piece)
    except (TimeoutError, UpstreamError):
        pass  # the status is known, and is what counts
    return b"".join(pieces)
