"""The bookkeeper answers workers: what the ledger says, and, while Redis is away, who may still spend."""

from __future__ import annotations

import asyncio
import itertools
import logging
import math
import os
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec

from gateway.storage.errors import StoreUnavailable
from gateway.usage.booking import LedgerAway
from gateway.usage.holds import Holds, Used
from gateway.usage.rpc import Answer, BadFrame, Question, decode_question, encode, read_frame

_log = logging.getLogger("gateway.usage")

WAIT_SECONDS = 2.0
"""How long `used` waits for the ledger to catch up."""
EXPIRE_EVERY = 5.0
TELL_EVERY = 60.0
"""How often the log is told of one and the same trouble at most."""
_names = itertools.count(1)


class LedgerServer:
    """Listens on a unix socket that only this user can open. `caught_up` returns once what waits to be booked now is
    booked."""

    def __init__(self, path: Path, used: Used, caught_up: Callable[[], Awaitable[None]], holds: Holds) -> None:
        self._path = path
        self._used = used
        self._caught_up = caught_up
        self._holds = holds
        self._server: asyncio.Server | None = None
        self._connections: set[asyncio.Task[None]] = set()
        self._owners: dict[str, int] = {}
        """How many connections each worker has: the old one may outlive the new one's beginning."""
        self._told_at = -math.inf
        """Monotonic seconds at which the log was told last that the journal cannot be written."""

    async def start(self) -> None:
        """Listen, in place of a predecessor that left its socket behind. Raises OSError."""
        self._path.unlink(missing_ok=True)
        before = os.umask(0o177)
        try:
            self._server = await asyncio.start_unix_server(self._accept, self._path)
        finally:
            os.umask(before)

    async def run(self) -> None:
        """End overdue holds until cancelled."""
        while True:
            await asyncio.sleep(EXPIRE_EVERY)
            try:
                self._holds.expire()
            except OSError as error:
                self.unwritten(error)

    async def close(self) -> None:
        """Stop listening and hang up."""
        if self._server is not None:
            self._server.close()
            self._path.unlink(missing_ok=True)
        for task in self._connections:
            task.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        try:
            await _Connection(self, writer).serve(reader)
        except (OSError, BadFrame, msgspec.MsgspecError) as error:
            _log.warning("a worker's connection to the ledger broke: %s", type(error).__name__)
        except asyncio.CancelledError:
            pass  # `close` hangs up; nobody awaits this task but the server
        finally:
            self._connections.discard(task)
            writer.close()

    # ---- methods ----

    async def answer(self, owner: str, question: Question) -> Any:
        """The result of one question. Raises LookupError for an unknown method, and what the stores raise."""
        match question.method:
            case "used":
                async with asyncio.timeout(WAIT_SECONDS):
                    await self._caught_up()
                # What was granted while the store was away counts, too, as long as it is not booked.
                # In this order: what is booked meanwhile is counted twice rather than not at all.
                return [self._holds.claimed(window) + await self._used(*window) for window in question.windows]
            case "hold":
                return await self._holds.hold(owner, question.call_id, question.needs)
            case "ping":
                return None
        raise LookupError(question.method)

    def note(self, owner: str, question: Question) -> bool:
        """Do at once, in the order of arrival, what needs no waiting; whether it was that. Raises OSError."""
        match question.method:
            case "done":
                self._holds.done(question.call_id, question.needs)
            case "join":
                self._owners[owner] = self._owners.get(owner, 0) + 1
                self._holds.join(owner, question.calls)
            case _:
                return False
        return True

    def unwritten(self, error: OSError) -> None:
        """The journal of holds cannot be written. That is so for every call: the log is told now and then, on a disk
        that may be the one that is full."""
        now = time.monotonic()
        if now - self._told_at >= TELL_EVERY:
            self._told_at = now
            _log.error("the journal of holds cannot be written (%s); what needs it is refused", error)

    def left(self, owner: str) -> None:
        """A joined worker's connection ended."""
        self._owners[owner] -= 1
        if not self._owners[owner]:
            del self._owners[owner]
            self._holds.leave(owner)


class _Connection:
    """One worker's questions. It tells its name with `join`; until then it has one of ours."""

    def __init__(self, server: LedgerServer, writer: asyncio.StreamWriter) -> None:
        self._server = server
        self._writer = writer
        self._owner = f"connection-{next(_names)}"
        self._joined = False
        self._tasks: set[asyncio.Task[None]] = set()

    async def serve(self, reader: asyncio.StreamReader) -> None:
        try:
            while (body := await read_frame(reader)) is not None:
                self._take(decode_question(body))
                await self._writer.drain()
        finally:
            for task in self._tasks:
                task.cancel()
            if self._joined:
                self._server.left(self._owner)

    def _take(self, question: Question) -> None:
        if question.method == "join" and not self._joined:
            self._owner, self._joined = question.call_id, True
        try:
            if self._server.note(self._owner, question):
                self._say(Answer(question.number, None))
                return
        except OSError as error:
            self._server.unwritten(error)
            self._say(Answer(question.number, "internal"))
            return
        task = asyncio.create_task(self._work(question))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _work(self, question: Question) -> None:
        try:
            reply = Answer(question.number, None, await self._server.answer(self._owner, question))
        except TimeoutError:
            reply = Answer(question.number, "behind")
        except StoreUnavailable:
            reply = Answer(question.number, "redis")
        except LedgerAway:
            reply = Answer(question.number, "database")
        except OSError as error:
            self._server.unwritten(error)
            reply = Answer(question.number, "internal")
        except Exception:  # one question's failure is not the others': logged, and the worker told
            _log.exception("a question to the ledger failed")
            reply = Answer(question.number, "internal")
        self._say(reply)

    def _say(self, answer: Answer) -> None:
        with suppress(RuntimeError):  # the transport is closing: the worker is gone
            self._writer.write(encode(answer))
