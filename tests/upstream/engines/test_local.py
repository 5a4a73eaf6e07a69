"""Providers in this process: they answer as servers do, under the same deadlines, and are ended when nobody reads."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from gateway.errors import (
    UpstreamBadResponse,
    UpstreamError,
    UpstreamRateLimited,
    UpstreamServerError,
    UpstreamStalled,
    UpstreamTimeout,
    UpstreamTooLarge,
    UpstreamTruncated,
)
from gateway.ports import Deadlines, Endpoint, LocalAnswer, LocalRequest, RequestHead, UpstreamRequest
from gateway.types import Provider
from gateway.upstream.engines.local import LocalEngine, LocalResponse

PROVIDER = Provider("here", "acme", "http://local.invalid/v1", ("key",))
HEAD = RequestHead(Endpoint("local.invalid", 80, tls=False), b"POST", b"/v1/x", ((b"authorization", b"Bearer key"),))
Answers = Callable[[LocalRequest], Awaitable[object]]


class Local:
    """A `LocalDialect` that answers by a function."""

    def __init__(self, answer: Answers) -> None:
        self._answer = answer

    async def answer(self, request: LocalRequest) -> LocalAnswer:
        return await self._answer(request)  # type: ignore[return-value]  # what is no answer is tried, too


async def send(answer: Answers, **seconds: float) -> LocalResponse:
    request = UpstreamRequest(HEAD, [b'{"a":', b"1}"], [(b"content-type", b"application/json")])
    return await LocalEngine(Local(answer), PROVIDER).send(request, Deadlines(**seconds))


def giving(answer: object) -> Answers:
    async def give(_: LocalRequest) -> object:
        return answer

    return give


async def test_what_it_hears_and_says() -> None:
    """It gets the provider, the request that a server would have got, and its words arrive as they are."""
    heard: list[LocalRequest] = []

    async def answer(request: LocalRequest) -> LocalAnswer:
        heard.append(request)
        return LocalAnswer(b'{"ok":true}', status=429, headers=((b"retry-after", b"2"),))

    response = await send(answer)
    assert (response.status, dict(response.headers)[b"retry-after"]) == (429, b"2")
    assert dict(response.headers)[b"content-type"] == b"application/json"
    assert await response.read(100) == b'{"ok":true}'
    assert await response.chunk() == b""
    assert (heard[0].provider, heard[0].target, heard[0].body) == (PROVIDER, "/v1/x", b'{"a":1}')
    assert dict(heard[0].headers) == {b"authorization": b"Bearer key", b"content-type": b"application/json"}


async def test_a_body_in_pieces() -> None:
    """Pieces come one at a time; empty ones are passed over, since they would end the body."""

    async def pieces() -> AsyncIterator[bytes]:
        for piece in (b"one", b"", b"two"):
            yield piece

    response = await send(giving(LocalAnswer(pieces(), "text/event-stream")))
    assert [await response.chunk() for _ in range(3)] == [b"one", b"two", b""]


@pytest.mark.parametrize(
    ("raised", "expected"),
    [(UpstreamRateLimited(retry_after=3.0), UpstreamRateLimited), (KeyError("secret"), UpstreamServerError)],
)
async def test_what_it_raises(
    raised: Exception, expected: type[UpstreamError], caplog: pytest.LogCaptureFixture
) -> None:
    """Its UpstreamErrors are taken at their word; anything else is a failure of the provider, whose text stays here."""

    async def fail(_: LocalRequest) -> object:
        raise raised

    with pytest.raises(expected) as caught:
        await send(fail)
    assert "secret" not in caught.value.public_message + caplog.text


@pytest.mark.parametrize("answer", [None, b"{}", LocalAnswer("text")])  # type: ignore[arg-type]
async def test_what_is_no_answer(answer: object) -> None:
    """Anything but an answer with bytes is a bad response."""
    with pytest.raises(UpstreamBadResponse):
        await send(giving(answer))


async def test_too_slow() -> None:
    """The first byte's deadline ends the call and cancels what it waits for."""
    ended = asyncio.Event()

    async def hang(_: LocalRequest) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    with pytest.raises(UpstreamTimeout):
        await send(hang, first_byte=0.02)
    assert ended.is_set()


class Hanging:
    """A body that gives one piece and then nothing; knows whether it was closed."""

    def __init__(self) -> None:
        self.closed = asyncio.Event()

    async def pieces(self) -> AsyncIterator[bytes]:
        try:
            yield b"first"
            await asyncio.Event().wait()
        finally:
            self.closed.set()


@pytest.mark.parametrize(
    ("seconds", "expected"), [({"idle": 0.02}, UpstreamStalled), ({"idle": 5.0, "at": 0.05}, UpstreamTimeout)]
)
async def test_a_body_that_stalls(seconds: dict[str, float], expected: type[UpstreamError]) -> None:
    """Idle time and the call's whole time end it, and it is closed."""
    if "at" in seconds:
        seconds = {**seconds, "at": asyncio.get_running_loop().time() + seconds["at"]}
    body = Hanging()
    response = await send(giving(LocalAnswer(body.pieces())), **seconds)
    assert await response.chunk() == b"first"
    with pytest.raises(expected):
        await response.chunk()
    await asyncio.wait_for(body.closed.wait(), 5)


async def test_abort_between_and_during_reads() -> None:
    """Whoever is done with it ends it at once, waiting for a piece or not, and later reads say so."""
    for waiting in (False, True):
        body = Hanging()
        response = await send(giving(LocalAnswer(body.pieces())))
        assert await response.chunk() == b"first"
        read = asyncio.ensure_future(response.chunk()) if waiting else None
        await asyncio.sleep(0)
        response.abort()
        response.abort()
        await asyncio.wait_for(body.closed.wait(), 5)
        with pytest.raises(UpstreamTruncated):
            await (read or response.chunk())


async def test_cancelled_reader() -> None:
    """A reader that is cancelled takes the body with it."""
    body = Hanging()
    response = await send(giving(LocalAnswer(body.pieces())))
    await response.chunk()
    read = asyncio.ensure_future(response.chunk())
    await asyncio.sleep(0)
    read.cancel()
    with pytest.raises(asyncio.CancelledError):
        await read
    await asyncio.wait_for(body.closed.wait(), 5)


async def test_a_body_that_breaks() -> None:
    """What a body raises in its middle is an answer that broke off; an UpstreamError is taken at its word."""
    for raised, expected in ((ValueError("x"), UpstreamTruncated), (UpstreamStalled(), UpstreamStalled)):

        async def pieces(raised: Exception = raised) -> AsyncIterator[bytes]:
            yield b"first"
            raise raised

        response = await send(giving(LocalAnswer(pieces())))
        await response.chunk()
        with pytest.raises(expected):
            await response.chunk()


async def test_too_large() -> None:
    """A body beyond the limit is given up."""
    with pytest.raises(UpstreamTooLarge):
        await (await send(giving(LocalAnswer(b"12345")))).read(4)
