"""What the engines without a connection share: bodies in one piece, and the sooner of two deadlines."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

from gateway.errors import UpstreamTooLarge

if TYPE_CHECKING:
    from gateway.types import Body


class Pieces(Protocol):
    """An answer that is read piece by piece."""

    async def chunk(self) -> bytes:
        """The next piece, `b""` at the end."""
        ...

    def abort(self) -> None:
        """Nothing more will be read."""
        ...


def earliest(seconds: float, at: float | None) -> float:
    """The loop time after so many seconds, or `at` if that is sooner."""
    deadline = asyncio.get_running_loop().time() + seconds
    return deadline if at is None else min(deadline, at)


async def whole_request(body: Sequence[bytes] | Body) -> bytes:
    """A request's body, once all of it has arrived. Raises what the body raises."""
    if isinstance(body, Sequence):
        return b"".join(body)
    parts = body.parts()
    return b"".join([part async for part in body.stream()] if parts is None else parts)


async def whole_answer(answer: Pieces, limit: int) -> bytes:
    """An answer's body. Raises UpstreamTooLarge beyond `limit` bytes and aborts the answer; else raises as `chunk`."""
    parts: list[bytes] = []
    size = 0
    while data := await answer.chunk():
        parts.append(data)
        size += len(data)
        if size > limit:
            answer.abort()
            raise UpstreamTooLarge
    return b"".join(parts)
