"""Media by URL: fetched from public addresses only, bounded, told by their bytes, and put where the URL stood."""

from __future__ import annotations

import base64
import dataclasses
from typing import Any

import msgspec
import pytest

from gateway.errors import InvalidRequest
from gateway.ports import Deadlines, Endpoint, UpstreamRequest, UpstreamResponse
from gateway.types import Call, Service
from gateway.upstream import media
from gateway.upstream.engines.httptools_engine import HttptoolsEngine
from gateway.upstream.media import MediaFetcher
from tests.support.steps import raw_head, raw_reply, send, stall, status
from tests.support.upstream import ScriptedUpstream

PNG = b"\x89PNG\r\n\x1a\n" + b"x" * 100
DATA = base64.b64encode(PNG).decode()
URI = f"data:image/png;base64,{DATA}"
URL = "https://pictures.test/cat.png?size=1"


class Public:
    """An engine for which this machine's upstream is on a public address, since tests have none; asks as it was told
    to otherwise, and keeps what it was asked for."""

    def __init__(self, port: int) -> None:
        self._engine = HttptoolsEngine()
        self._port = port
        self.asked: list[Endpoint] = []

    async def send(self, request: UpstreamRequest, deadlines: Deadlines) -> UpstreamResponse:
        self.asked.append(request.head.endpoint)
        here = Endpoint("127.0.0.1", self._port, tls=False, private_network=True)
        return await self._engine.send(
            UpstreamRequest(dataclasses.replace(request.head, endpoint=here), request.body), deadlines
        )

    async def close(self) -> None:
        await self._engine.close()


def call(body: dict[str, Any]) -> Call:
    raw = msgspec.json.encode({"before": [1.5], "model": "m", **body})
    start = raw.index(b'"m"')
    return Call("c", "r", Service.CHAT, "/chat/completions", "m", raw, 0.0, model_span=(start, start + 3))


def chat(*urls: str) -> Call:
    parts = [{"type": "image_url", "image_url": {"url": url, "detail": "low"}} for url in urls]
    return call({"messages": [{"role": "user", "content": [{"type": "text", "text": "Look: http://x"}, *parts]}]})


async def inlined(up: ScriptedUpstream, asked: Call) -> tuple[Any, Public]:
    engine = Public(up.port)
    try:
        found = await MediaFetcher(lambda: engine).inlined(asked, {})
    finally:
        await engine.close()
    start, end = found.model_span or (0, 0)
    assert found.raw[start:end] == b'"m"'
    return msgspec.json.decode(found.raw), engine


def picture(data: bytes = PNG) -> Any:
    return [send(raw_reply(200, data, [("content-type", "application/octet-stream")]))]


BYTES = {"type": "base64", "media_type": "image/png", "data": DATA}


def in_result(source: dict[str, Any]) -> dict[str, Any]:
    image = {"type": "image", "source": source}
    return {"messages": [{"role": "user", "content": [{"type": "tool_result", "content": [image]}]}]}


SHAPES = {
    "chat": (
        {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": URL}}]}]},
        {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": URI}}]}]},
    ),
    "responses, a picture": (
        {"input": [{"role": "user", "content": [{"type": "input_image", "image_url": URL}]}]},
        {"input": [{"role": "user", "content": [{"type": "input_image", "image_url": URI}]}]},
    ),
    "responses, a file": (
        {"input": [{"role": "user", "content": [{"type": "input_file", "file_url": URL}]}]},
        {"input": [{"role": "user", "content": [{"type": "input_file", "file_data": URI, "filename": "file"}]}]},
    ),
    "messages, in a tool's result": (in_result({"type": "url", "url": URL}), in_result(BYTES)),
}


@pytest.mark.parametrize(("asked", "expected"), SHAPES.values(), ids=SHAPES)
async def test_where_urls_stand(asked: dict[str, Any], expected: dict[str, Any]) -> None:
    """In each API's words the bytes stand where the URL did, of the type that the bytes say, and the rest is as it
    was; the server is asked by name, on its scheme's port, and never in a private network."""
    async with ScriptedUpstream(picture()) as up:
        found, engine = await inlined(up, call(asked))
        assert found == {"before": [1.5], "model": "m", **expected}
        assert engine.asked == [Endpoint("pictures.test", 443, tls=True, max_connections=32)]
        [received] = up.received
        assert (received.method, received.target) == ("GET", "/cat.png?size=1")
        assert received.header("host") == "pictures.test"
        assert received.header("authorization") is None


async def test_each_url_once() -> None:
    """A URL that stands twice, or is needed again by another attempt, is fetched once."""
    async with ScriptedUpstream(picture()) as up:
        engine = Public(up.port)
        fetcher, seen = MediaFetcher(lambda: engine), dict[str, tuple[str, str]]()
        for _ in range(2):
            found = await fetcher.inlined(chat(URL, URL), seen)
            assert found.raw.count(URI.encode()) == 2
        assert len(up.received) == 1
        await engine.close()


@pytest.mark.parametrize("asked", [call({"messages": [{"content": "http://x"}]}), chat(URI), call({"x": 1})])
async def test_nothing_to_fetch(asked: Call) -> None:
    """A request without such URLs is passed on as the very same bytes."""
    async with ScriptedUpstream() as up:
        engine = Public(up.port)
        assert await MediaFetcher(lambda: engine).inlined(asked, {}) is asked
        assert engine.asked == []
        await engine.close()


@pytest.mark.parametrize(
    ("script", "told"),
    [
        (status(404), "answered with 404"),
        (status(302, headers=[("location", "http://169.254.169.254/")]), "answered with 302"),
        (picture(b"<html>"), "no PNG, JPEG"),
        (picture(b""), "no PNG, JPEG"),
        ([send(raw_head(200, [("content-length", "99999999")])), send(PNG), stall()], "larger than 20 MiB"),
    ],
)
async def test_what_is_refused(script: Any, told: str) -> None:
    """What cannot be used is a 400 that names the place and says why; a redirect is not followed."""
    async with ScriptedUpstream(script) as up:
        with pytest.raises(InvalidRequest, match=told) as caught:
            await inlined(up, chat(URL))
        assert caught.value.param == "messages[0].content[1].image_url.url"
        assert caught.value.public_status == 400


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1/x.png", "http://localhost/x.png", "http://[::1]/x.png", "http://2130706433/", "http://0/",
        "http://169.254.169.254/latest/meta-data/", "http://[::ffff:10.0.0.1]/", "http://10.0.0.1/",
        "http://user:pass@pictures.test/", "http://pictures.test:8080/", "https:///x.png", "http://[broken/",
        "http://pictures.test/a b", "http://pictures.test/\r\nx: y",
    ],
)  # fmt: skip
async def test_addresses_that_are_never_asked(url: str) -> None:
    """Private and metadata addresses in every spelling, other ports, credentials, and what is no URL: refused, with the
    real engine, and without a word about what is there."""
    engine = HttptoolsEngine()
    with pytest.raises(InvalidRequest) as caught:
        await MediaFetcher(lambda: engine).inlined(chat(url), {})
    assert "169.254" not in caught.value.public_message
    assert caught.value.param == "messages[0].content[1].image_url.url"
    await engine.close()


async def test_too_many() -> None:
    """A request names so many at most."""
    async with ScriptedUpstream() as up:
        with pytest.raises(InvalidRequest, match="at most 20"):
            await inlined(up, chat(*(f"https://pictures.test/{number}" for number in range(21))))
        assert up.received == []


async def test_too_much_in_all(monkeypatch: pytest.MonkeyPatch) -> None:
    """All of a request's pictures together have a bound, too."""
    monkeypatch.setattr(media, "MAX_TOTAL", 150)
    async with ScriptedUpstream(default=picture()) as up:
        with pytest.raises(InvalidRequest, match="in all"):
            await inlined(up, chat(URL, f"{URL}2"))
