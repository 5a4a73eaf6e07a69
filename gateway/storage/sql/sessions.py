"""Sessions with PostgreSQL that do not wait for ever."""

from __future__ import annotations

import asyncio
import os
import socket
from contextlib import suppress
from typing import TYPE_CHECKING, Any, TypeVar

from psycopg import AsyncConnection

if TYPE_CHECKING:
    from psycopg.abc import PQGen

SILENCE_SECONDS = 40.0
"""How long a server may take to answer. It ends statements by itself before that (`STATEMENT_MS` of `database`): one
that says nothing for longer is stopped, hangs on its disk, or is behind a network that lost it without a word."""

Result = TypeVar("Result")


class Session(AsyncConnection[Any]):
    """A connection that is hung up after `SILENCE_SECONDS` without the answer that somebody waits for: they then get
    what psycopg raises for a connection that broke."""

    async def wait(self, gen: PQGen[Result], *args: Any, **options: Any) -> Result:
        """Part of psycopg: every exchange with the server goes through here."""
        silence = asyncio.get_running_loop().call_later(SILENCE_SECONDS, _hang_up, self.pgconn.socket)
        try:
            return await super().wait(gen, *args, **options)
        finally:
            silence.cancel()


def _hang_up(descriptor: int) -> None:
    """End the connection under whoever reads it; closing the descriptor is theirs."""
    with suppress(OSError), socket.socket(fileno=os.dup(descriptor)) as ours:
        ours.shutdown(socket.SHUT_RDWR)
