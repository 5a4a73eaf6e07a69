"""The engine of providers that are code in this process: calls them, with the deadlines of any other engine."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Coroutine
from contextlib import suppress
from typing import TYPE_CHECKING

from gateway.errors import (
    UpstreamBadResponse,
    UpstreamError,
    UpstreamServerError,
    UpstreamStalled,
    UpstreamTimeout,
    UpstreamTruncated,
)
from gateway.ports import LocalAnswer, LocalDialect, LocalRequest

from .inprocess import earliest, whole_answer, whole_request

if TYPE_CHECKING:
    from gateway.ports import Deadlines, UpstreamRequest
    from gateway.types import Headers, Provider

_log = logging.getLogger(__name__)


class LocalEngine:
    """An `Engine` in front of one provider of a `LocalDialect`. Keeps nothing: make one whenever one is needed."""

    def __init__(self, dialect: LocalDialect, provider: Provider) -> None:
        self._dialect = dialect
        self._provider = provider

    def __repr__(self) -> str:
        return f"<LocalEngine {self._provider.name}>"

    async def send(self, request: UpstreamRequest, deadlines: Deadlines) -> LocalResponse:
        """Call it. Raises UpstreamTimeout, UpstreamBadResponse for what is no answer, and what it raised."""
        head = request.head
        try:
            async with asyncio.timeout_at(earliest(deadlines.first_byte, deadlines.at)):
                body = await whole_request(request.body)
                asked = LocalRequest(
                    self._provider, head.target.decode("latin-1"), (*head.headers, *request.extra), body
                )
                answer: object = await self._dialect.answer(asked)
        except TimeoutError as error:
            raise UpstreamTimeout from error
        except UpstreamError:
            raise
        except Exception as error:  # foreign code: whatever it raises is its failure, told by its kind alone
            _log.warning("a provider in this process failed: %s", type(error).__name__)
            raise UpstreamServerError from error
        if not isinstance(answer, LocalAnswer) or not isinstance(answer.body, bytes | AsyncIterator):
            raise UpstreamBadResponse
        return LocalResponse(answer, deadlines)

    async def close(self) -> None:
        """Nothing is kept open."""


class LocalResponse:
    """One answer; see `UpstreamResponse`."""

    def __init__(self, answer: LocalAnswer, deadlines: Deadlines) -> None:
        self.status = answer.status
        self.headers: Headers = [(b"content-type", answer.content_type.encode()), *answer.headers]
        self._rest = answer.body
        self._deadlines = deadlines
        self._reading: asyncio.Future[bytes] | None = None
        self._aborted = False

    def __repr__(self) -> str:
        return f"<LocalResponse {self.status}>"

    async def read(self, limit: int) -> bytes:
        """The whole body. Raises UpstreamTooLarge, and as `chunk` does."""
        return await whole_answer(self, limit)

    async def chunk(self) -> bytes:
        """The next piece, `b""` at the end. Raises UpstreamStalled, UpstreamTimeout, UpstreamTruncated."""
        if self._aborted:
            raise UpstreamTruncated
        if isinstance(self._rest, bytes):
            data, self._rest = self._rest, b""
            return data
        idle, at = self._deadlines.idle, self._deadlines.at
        due = earliest(idle, at)
        self._reading = reading = asyncio.ensure_future(_next(self._rest))
        try:
            async with asyncio.timeout_at(due):
                data = await reading
        except TimeoutError as error:
            self.abort()
            raise (UpstreamTimeout if due == at else UpstreamStalled) from error
        except asyncio.CancelledError:
            if self._gone():
                raise UpstreamTruncated from None  # it was the reading that was cancelled, not who waits for it
            self.abort()
            raise
        except UpstreamError:
            raise
        except Exception as error:  # foreign code, as above
            _log.warning("a provider in this process broke off: %s", type(error).__name__)
            raise UpstreamTruncated from error
        finally:
            self._reading = None
        if not data:
            self._rest = b""
        return data

    def _gone(self) -> bool:
        return self._aborted

    def abort(self) -> None:
        """End it, wherever it is."""
        if self._aborted or isinstance(self._rest, bytes):
            return
        self._aborted = True
        if self._reading is not None:
            self._reading.cancel()
        _spawn(_closed(self._rest, self._reading))


_closing: set[asyncio.Task[None]] = set()


def _spawn(work: Coroutine[None, None, None]) -> None:
    task = asyncio.get_running_loop().create_task(work)
    _closing.add(task)
    task.add_done_callback(_closing.discard)


async def _next(pieces: AsyncIterator[bytes]) -> bytes:
    """Its next piece that holds something; `b""` at its end."""
    async for piece in pieces:
        if piece:
            return piece
    return b""


async def _closed(pieces: AsyncIterator[bytes], reading: asyncio.Future[bytes] | None) -> None:
    if reading is not None:
        await asyncio.wait([reading])
    close = getattr(pieces, "aclose", None)
    if close is not None:
        with suppress(Exception):  # nobody is left whom its failure would concern
            await close()
