"""Sending request bodies: what is all here in one go, what is still arriving part by part."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import asyncio

    from gateway.types import Body

    from .connection import Connection

JOIN_BELOW = 32 * 1024
"""Bodies up to this size are copied behind their head into one write; larger ones are written without copying."""
_BODILESS = frozenset({b"GET", b"HEAD", b"DELETE", b"OPTIONS"})


def length_line(method: bytes, size: int) -> bytes:
    """The end of a head whose body has `size` bytes."""
    if size == 0 and method in _BODILESS:
        return b"\r\n"
    return b"content-length: %d\r\n\r\n" % size


def present_parts(body: Sequence[bytes] | Body) -> Sequence[bytes] | None:
    """The parts if all are here."""
    return body if isinstance(body, Sequence) else body.parts()


def send_present(connection: Connection, head: bytes, method: bytes, parts: Sequence[bytes]) -> None:
    """Write head and body with a content-length."""
    body = parts[0] if len(parts) == 1 else None
    size = sum(map(len, parts)) if body is None else len(body)
    end = b"content-length: %d\r\n\r\n" % size if size else length_line(method, size)
    if size > JOIN_BELOW:
        connection.writelines([head + end, *parts])
    elif body is None:
        connection.write(b"".join((head, end, *parts)))
    else:
        connection.write(head + end + body)


async def send_arriving(connection: Connection, head: bytes, body: Body) -> None:
    """Write a body as it arrives: chunked while its size is unknown.

    Raises ValueError if it is not as long as it said, and what the body itself raises.
    """
    size, sent = body.size, 0
    end = b"transfer-encoding: chunked\r\n\r\n" if size is None else b"content-length: %d\r\n\r\n" % size
    connection.write(head + end)
    stream = body.stream()
    try:
        async for part in stream:
            if not part:
                continue
            sent += len(part)
            if size is None:
                connection.writelines((b"%x\r\n" % len(part), part, b"\r\n"))
            elif sent > size:
                break
            else:
                connection.write(part)
            await connection.drain()
            connection.postpone()
    finally:
        close = getattr(stream, "aclose", None)
        if close is not None:
            await close()
    if size is None:
        connection.write(b"0\r\n\r\n")
    elif sent != size:
        raise ValueError("the request body is not as long as its size says")


def start_sending(loop: asyncio.AbstractEventLoop, connection: Connection, head: bytes, body: Body) -> None:
    """Send an arriving body beside the wait for the answer, which may come early."""
    connection.attach_upload(loop.create_task(send_arriving(connection, head, body)))
