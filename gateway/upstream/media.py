"""Pictures and files that a request names by URL, fetched for providers that want bytes.

Only where the operator says so (`fetch_media`): a client then chooses where the gateway connects to. So it goes to
public addresses alone, whatever the provider may reach (`upstream.addresses` looks at each when it connects), on the
schemes' own ports, follows no redirect, sends no credential, and takes what its first bytes say is a picture or a PDF.
"""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import urlsplit

import msgspec

from gateway.errors import GatewayError, InvalidRequest, UpstreamTooLarge
from gateway.ports import Deadlines, Endpoint, Engine, RequestHead, UpstreamRequest
from gateway.providers.chat.media import kind_of
from gateway.providers.wire.head import USER_AGENT, host_header
from gateway.providers.wire.jsonscan import model_spans
from gateway.types import Call

MOST = 20
"""URLs in one request."""
MAX_BYTES = 20 * 1024 * 1024
"""Of one picture or file."""
MAX_TOTAL = 32 * 1024 * 1024
"""Of all of one request."""
SECONDS = 10.0
AT_ONCE = 4
_MAX_URL = 8192
_PORTS = {"http": 80, "https": 443}
_WELCOME = frozenset({"image/png", "image/jpeg", "image/gif", "image/webp", "application/pdf"})

Apply = Callable[[str, str], None]
"""Puts a media type and its base64 in the place of a URL."""


class _Place:
    """A URL in a body, and how to put bytes in its place."""

    __slots__ = ("apply", "param", "url")

    def __init__(self, url: str, param: str, apply: Apply) -> None:
        self.url, self.param, self.apply = url, param, apply


class MediaFetcher:
    """Replaces URLs in requests by what is there. Holds nothing between calls."""

    def __init__(self, engine_of: Callable[[], Engine]) -> None:
        self._engine_of = engine_of

    async def inlined(self, call: Call, seen: dict[str, tuple[str, str]]) -> Call:
        """The call with bytes for URLs; itself when it names none. `seen` keeps what was fetched for other attempts of
        the same call. Raises InvalidRequest, with the place."""
        if b"http" not in call.raw or call.upload is not None:
            return call
        try:
            document = msgspec.json.decode(call.raw)
        except (msgspec.DecodeError, UnicodeDecodeError):
            return call  # what is no JSON to us the dialect or the provider judges
        places = list(_places(document, ""))
        if not places:
            return call
        if len(places) > MOST:
            raise InvalidRequest(
                f"A request may name at most {MOST} pictures and files by URL.", param=places[MOST].param
            )
        await self._fetch_all(places, seen)
        for place in places:
            place.apply(*seen[place.url])
        raw = msgspec.json.encode(document)
        spans = model_spans(raw) if call.model_span is not None else []
        return msgspec.structs.replace(call, raw=raw, model_span=spans[0] if spans else call.model_span)

    async def _fetch_all(self, places: list[_Place], seen: dict[str, tuple[str, str]]) -> None:
        wanted = {place.url: place for place in reversed(places) if place.url not in seen}
        gate = asyncio.Semaphore(AT_ONCE)

        async def one(place: _Place) -> None:
            async with gate:
                seen[place.url] = await self._fetch(place)
                # While they come: what is still to be fetched is not even asked for.
                if sum(len(data) for _, data in seen.values()) * 3 // 4 > MAX_TOTAL:
                    raise InvalidRequest(f"The pictures and files of a request may have {MAX_TOTAL >> 20} MiB in all.")

        tasks = [asyncio.ensure_future(one(place)) for place in wanted.values()]
        try:
            await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _fetch(self, place: _Place) -> tuple[str, str]:
        head = _head(place)
        deadlines = Deadlines(5.0, SECONDS, SECONDS, asyncio.get_running_loop().time() + SECONDS)
        try:
            response = await self._engine_of().send(UpstreamRequest(head, ()), deadlines)
            try:
                if response.status != 200:
                    raise _refused(place, f"its server answered with {response.status}")
                data = await response.read(MAX_BYTES)
            finally:
                response.abort()
        except InvalidRequest:
            raise
        except UpstreamTooLarge:
            raise _refused(place, f"it is larger than {MAX_BYTES >> 20} MiB") from None
        except GatewayError:
            # Not which failure: a client could learn from it what else there is in our network.
            raise _refused(place, "its server cannot be reached, or takes too long") from None
        encoded = base64.b64encode(data).decode()
        kind = kind_of(encoded)
        if kind not in _WELCOME:
            raise _refused(place, "it is no PNG, JPEG, GIF, WebP or PDF")
        return kind, encoded


def _refused(place: _Place, why: str) -> InvalidRequest:
    return InvalidRequest(
        f"The URL in `{place.param}` cannot be used: {why}. Send the bytes instead.", param=place.param
    )


def _head(place: _Place) -> RequestHead:
    try:
        parts = urlsplit(place.url)
        port = parts.port
    except ValueError:
        raise _refused(place, "it is not valid") from None
    usual = _PORTS.get(parts.scheme)
    clean = place.url.isascii() and place.url.isprintable() and " " not in place.url and len(place.url) <= _MAX_URL
    if not clean or usual is None or not parts.hostname or "@" in parts.netloc:
        raise _refused(place, "it is not valid")
    if port not in (None, usual):
        raise _refused(place, "it names a port")
    endpoint = Endpoint(parts.hostname, usual, tls=parts.scheme == "https", max_connections=32)
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    headers = ((b"host", host_header(endpoint)), (b"user-agent", USER_AGENT), (b"accept-encoding", b"identity"))
    return RequestHead(endpoint, b"GET", target.encode(), (*headers, (b"accept", b"image/*, application/pdf")))


def _places(node: Any, trail: str) -> Iterator[_Place]:
    """URLs in the parts of messages, in every surface's words."""
    if isinstance(node, list):
        for at, item in enumerate(node):
            yield from _places(item, f"{trail}[{at}]")
    elif isinstance(node, dict):
        yield from _here(node, trail)
        for name in ("messages", "input", "content", "output"):
            if isinstance(node.get(name), list):
                yield from _places(node[name], f"{trail}.{name}".lstrip("."))


def _here(part: dict[str, Any], trail: str) -> Iterator[_Place]:
    kind = part.get("type")
    if kind == "image_url" and isinstance(part.get("image_url"), dict):
        yield from _uri(part["image_url"], "url", f"{trail}.image_url.url")
    elif kind == "input_image":
        yield from _uri(part, "image_url", f"{trail}.image_url")
    elif kind == "input_file":
        yield from _file(part, f"{trail}.file_url")
    elif kind in ("image", "document") and isinstance(part.get("source"), dict):
        yield from _source(part["source"], f"{trail}.source.url")


def _is_url(value: Any) -> bool:
    return isinstance(value, str) and value[:8].lower().startswith(("http://", "https://"))


def _uri(owner: dict[str, Any], name: str, param: str) -> Iterator[_Place]:
    if _is_url(owner.get(name)):
        yield _Place(owner[name], param, lambda kind, data: owner.update({name: f"data:{kind};base64,{data}"}))


def _file(part: dict[str, Any], param: str) -> Iterator[_Place]:
    def apply(kind: str, data: str) -> None:
        del part["file_url"]
        part["file_data"] = f"data:{kind};base64,{data}"
        part.setdefault("filename", "file")

    if _is_url(part.get("file_url")):
        yield _Place(part["file_url"], param, apply)


def _source(source: dict[str, Any], param: str) -> Iterator[_Place]:
    def apply(kind: str, data: str) -> None:
        source.clear()
        source.update(type="base64", media_type=kind, data=data)

    if source.get("type") == "url" and _is_url(source.get("url")):
        yield _Place(source["url"], param, apply)
