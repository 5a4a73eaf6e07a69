"""A worker's line to the bookkeeper: one connection, many questions at once, a deadline for each."""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from gateway.usage.holds import Need, Window
from gateway.usage.rpc import Answer, BadFrame, Question, decode_answer, encode, read_frame

_log = logging.getLogger("gateway.usage")

RETRY_SECONDS = 0.05
CLOSE_SECONDS = 1.0


class LedgerUnreachable(ConnectionError):
    """The bookkeeper did not answer in time, or cannot say now; `reason` is one word: `timeout`, `broken`, `behind`
    (events wait to be booked), `redis`, `database`, `internal`."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class LedgerClient:
    """Make it in the worker, after the fork; connects on first use, and again whenever the connection broke.

    `worker_id` names this process among the host's workers, and no later one.
    """

    def __init__(self, path: Path, worker_id: str = "", *, timeout: float = 3.0) -> None:
        self._path = path
        self._worker = worker_id or secrets.token_hex(8)
        self._timeout = timeout
        self._waiting: dict[int, asyncio.Future[Any]] = {}
        self._number = 0
        self._open: dict[str, list[Need]] = {}
        """Calls that (may) have a hold, and what they asked for."""
        self._unsaid: dict[str, list[Need]] = {}
        """Calls that are over, which the bookkeeper has not confirmed."""
        self._writer: asyncio.StreamWriter | None = None
        self._connecting: asyncio.Task[asyncio.StreamWriter] | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._closed = False

    def __repr__(self) -> str:
        return f"<LedgerClient {self._path} connected={self._writer is not None} waiting={len(self._waiting)}>"

    async def used(self, windows: Sequence[tuple[str, str, str, int, int]]) -> list[int]:
        """What the ledger says was used in each window, everything that had happened until now included. Raises
        LedgerUnreachable."""
        found: list[int] = await self._ask("used", windows=[Window(*window) for window in windows])
        return found

    async def hold(self, call_id: str, needs: Sequence[tuple[str, str, str, int, int, int, int]]) -> int:
        """Ask whether a call may spend: -1 and it holds its needs until `done`, or the index of the quota that
        binds. Raises LedgerUnreachable; the call then holds nothing."""
        self._open[call_id] = [Need(*need) for need in needs]
        try:
            index: int = await self._ask("hold", call_id=call_id, needs=self._open[call_id])
        except BaseException:  # cancelled, too: what may have been granted is given back
            if self._writer is None:
                # With the connection went the question; and the next one begins with what is under way, which this is
                # not. To remember it for as long as the bookkeeper is away would be to remember every refused call.
                self._open.pop(call_id, None)
            else:
                self.charge(call_id, ())
            raise
        if index >= 0:
            self._open.pop(call_id, None)
        return index

    async def done(self, call_id: str, used: Sequence[int]) -> None:
        """The call is over; `used` says what it really used of each need that it held, in their order. As `charge`;
        without a hold there is nothing to say."""
        held = self._open.get(call_id)
        if held is not None:
            self.charge(call_id, [need._replace(need=amount) for need, amount in zip(held, used, strict=True)])

    def charge(self, call_id: str, needs: Sequence[tuple[str, str, str, int, int, int, int]]) -> None:
        """The call is over and used `needs` (amounts do not matter); none if it was never sent. A hold is not needed:
        what Redis admitted before it went away can be charged. Never blocks or fails: it is said again on a new
        connection until the bookkeeper has confirmed it."""
        self._open.pop(call_id, None)
        self._unsaid[call_id] = [Need(*need) for need in needs]
        if self._writer is not None:
            self._say_done(self._writer, call_id)
        elif self._connecting is None and not self._closed:
            self._background(self._reconnect())

    async def close(self) -> None:
        """Hang up, once the bookkeeper has confirmed what it was told, or a moment later."""
        said = [future for future in self._waiting.values() if not future.done()]
        if said:
            await asyncio.wait(said, timeout=CLOSE_SECONDS)
        self._closed = True
        if self._connecting is not None:
            self._connecting.cancel()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._lost()

    # ---- questions ----

    async def _ask(self, method: str, *, call_id: str = "", **fields: Any) -> Any:
        number = self._next()
        try:
            async with asyncio.timeout(self._timeout):
                writer = self._writer or await self._connected()
                future = self._waiting[number] = asyncio.get_running_loop().create_future()
                writer.write(encode(Question(number, method, call_id=call_id, **fields)))
                return await future
        except LedgerUnreachable:
            raise
        except TimeoutError as error:
            raise LedgerUnreachable("timeout") from error
        except OSError as error:
            raise LedgerUnreachable("broken") from error
        finally:
            self._waiting.pop(number, None)

    def _next(self) -> int:
        self._number += 1
        return self._number

    def _say_done(self, writer: asyncio.StreamWriter, call_id: str) -> None:
        number, needs = self._next(), self._unsaid[call_id]
        future = self._waiting[number] = asyncio.get_running_loop().create_future()

        def confirmed(future: asyncio.Future[Any]) -> None:
            self._waiting.pop(number, None)
            if not future.cancelled() and future.exception() is None and self._unsaid.get(call_id) is needs:
                del self._unsaid[call_id]

        future.add_done_callback(confirmed)
        writer.write(encode(Question(number, "done", call_id=call_id, needs=needs)))

    # ---- the connection ----

    async def _connected(self) -> asyncio.StreamWriter:
        """The connection, once there is one; whoever cannot wait leaves, and the attempts go on for the others."""
        if self._connecting is None:
            self._connecting = asyncio.create_task(self._connect())
            self._connecting.add_done_callback(self._attempted)
        return await asyncio.shield(self._connecting)

    def _attempted(self, task: asyncio.Task[asyncio.StreamWriter]) -> None:
        self._connecting = None
        if not task.cancelled():
            task.exception()

    async def _connect(self) -> asyncio.StreamWriter:
        """Try until it works, at most as long as one question may take: the bookkeeper may just be starting."""
        async with asyncio.timeout(self._timeout):
            while True:
                try:
                    reader, writer = await asyncio.open_unix_connection(self._path)
                except OSError:
                    await asyncio.sleep(RETRY_SECONDS)
                else:
                    break
        # First of all what is under way: a bookkeeper that was restarted, or missed our end of a call, learns it here.
        writer.write(encode(Question(self._next(), "join", call_id=self._worker, calls=sorted(self._open))))
        self._writer = writer
        for call_id in list(self._unsaid):
            self._say_done(writer, call_id)
        self._background(self._listen(reader, writer))
        return writer

    async def _reconnect(self) -> None:
        while self._unsaid and self._writer is None:
            try:
                await self._connected()
            except TimeoutError:
                continue

    async def _listen(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while (body := await read_frame(reader)) is not None:
                self._deliver(decode_answer(body))
        except (OSError, BadFrame, msgspec.MsgspecError) as error:
            _log.warning("the connection to the bookkeeper broke: %s", type(error).__name__)
        finally:
            writer.close()
            self._lost()

    def _deliver(self, answer: Answer) -> None:
        future = self._waiting.get(answer.number)
        if future is None or future.done():
            return
        if answer.error is None:
            future.set_result(answer.result)
        else:
            future.set_exception(LedgerUnreachable(answer.error))

    def _lost(self) -> None:
        """No connection: nobody waits for answers that cannot come."""
        self._writer = None
        for future in list(self._waiting.values()):
            if not future.done():
                future.set_exception(LedgerUnreachable("broken"))
        if self._unsaid and not self._closed:
            self._background(self._reconnect())

    def _background(self, work: Any) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
