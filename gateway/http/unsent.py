"""How much of what a client was answered has not reached it yet."""

from __future__ import annotations

import fcntl
import struct
import termios
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from asyncio import Transport


def unsent(transport: Transport) -> int:
    """Bytes that wait here and, while some do, in the kernel: it takes more only when a third of its buffer is free, by
    which a client on a slow line would seem to read nothing."""
    here = transport.get_write_buffer_size()
    return here and here + _in_kernel(transport)


def _in_kernel(transport: Transport) -> int:
    """Linux tells (`SIOCOUTQ`, see tcp(7)); elsewhere 0."""
    sock = transport.get_extra_info("socket")
    if sock is None:
        return 0
    try:
        return int(struct.unpack("i", fcntl.ioctl(sock.fileno(), termios.TIOCOUTQ, b"\0" * 4))[0])
    except (OSError, ValueError):
        return 0
