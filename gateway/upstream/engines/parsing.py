"""The parser border: what of a response is accepted, and what it means for the connection (RFC 9112, section 6)."""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING, Any

import httptools

if TYPE_CHECKING:
    from .response import Response

MAX_HEAD_BYTES = 64 * 1024
MAX_HEADERS = 256
MAX_INTERIM = 16
"""1xx heads before the final one."""
_VERSION = b"HTTP/1."
_SPECIAL = frozenset({b"content-length", b"transfer-encoding", b"content-encoding", b"keep-alive"})


class Refusal(Exception):
    """The response breaks a rule that the parser itself does not check."""


class ResponseParser:
    """Fills one `Response` after the other. After an exception it must not be fed again."""

    __slots__ = (
        "_bodiless",
        "_chunked",
        "_head",
        "_headers",
        "_interim",
        "_parser",
        "_prefix",
        "_response",
        "_skipping",
        "ends_at_eof",
        "idle_seconds",
        "keep_alive",
    )

    def __init__(self) -> None:
        self._parser: Any = httptools.HttpResponseParser(self)
        self._response: Response | None = None
        self.idle_seconds = inf
        """What the server says about idle connections, less a margin."""

    def begin(self, response: Response, *, bodiless: bool) -> None:
        """The next bytes are this response's. `bodiless`: it answers HEAD."""
        self._response = response
        self._bodiless = bodiless
        self._headers: list[tuple[bytes, bytes]] = []
        self._head = 0
        self._interim = 0
        self._skipping = False
        self._chunked = False
        self._prefix: bytes | None = b""
        self.keep_alive = False
        self.ends_at_eof = False

    def feed(self, data: bytes) -> None:
        """Raises Refusal, HttpParserError or HttpParserUpgrade; all that came before the fault is in the response."""
        if self._prefix is not None:
            if self._prefix or not data.startswith(_VERSION):
                data = self._opening(self._prefix + data)
                if not data:
                    return
            self._prefix = None
        response = self._response
        if response is None:
            raise Refusal("nothing was asked")
        before = response.buffered
        self._head += len(data)
        self._parser.feed_data(data)
        if response.status == 0 or response.buffered == before:
            # Nothing but head, chunk framing or trailers: bounded, so that it cannot pile up inside the parser.
            if self._head > MAX_HEAD_BYTES and not response.complete:
                raise Refusal("too many bytes of framing")
        else:
            self._head = 0

    def end(self) -> None:
        """Let go of the response."""
        self._response = None

    def close(self) -> None:
        """Nothing more is fed. The parser and we hold each other."""
        self._parser = self._response = None

    def framing_broke(self, response: Response) -> bool:
        """The fault lies in the framing of a body whose head was good: the answer began and broke off."""
        return response.status != 0 and self._chunked

    def _opening(self, data: bytes) -> bytes:
        """The parser would also take RTSP and ICE, and empty lines before the status line; we do not."""
        if not data.startswith(_VERSION[: len(data)]):
            raise Refusal("not HTTP/1.x")
        if len(data) >= len(_VERSION):
            return data
        self._prefix = data
        return b""

    # ---- called by the parser ----

    def on_message_begin(self) -> None:
        if self._response is None or self._response.complete:
            raise Refusal("bytes after the end of the answer")

    def on_header(self, name: bytes, value: bytes) -> None:
        # Looked at when all are here. Trailers go where nobody looks; `feed` bounds both.
        self._headers.append((name.lower(), value.strip()))

    def _read_headers(self, response: Response) -> None:
        """Normalise what was collected and act on what frames the body. Raises Refusal."""
        headers, self._headers = self._headers, []
        if len(headers) > MAX_HEADERS:
            raise Refusal("too many headers")
        if self._head > MAX_HEAD_BYTES and sum(len(n) + len(v) + 4 for n, v in headers) > MAX_HEAD_BYTES:
            raise Refusal("too many bytes of headers")
        named = dict(headers)
        if len(named) == len(headers):
            for name in _SPECIAL.intersection(named):
                self._special(response, name, named[name])
        else:
            for name, value in headers:
                if name in _SPECIAL:
                    self._special(response, name, value)
        response.headers = headers

    def _special(self, response: Response, name: bytes, value: bytes) -> None:
        if name == b"content-length":
            if response.length is not None or not value.isdigit() or len(value) > 18:
                raise Refusal("content-length")
            response.length = int(value)
        elif name == b"transfer-encoding":
            if self._chunked or value.lower() != b"chunked":
                raise Refusal("transfer-encoding")
            self._chunked = True
        elif name == b"content-encoding":
            # Of an error the status counts; its words are then as good as none.
            if value.lower() not in (b"", b"identity") and self._parser.get_status_code() < 400:
                raise Refusal("content-encoding")
        else:
            self._keep_alive_hint(value)

    def _keep_alive_hint(self, value: bytes) -> None:
        for part in value.split(b","):
            key, _, seconds = part.strip().partition(b"=")
            if key.lower() == b"timeout" and seconds.isdigit() and len(seconds) < 6:
                self.idle_seconds = max(0.5, int(seconds) - 1.0)

    def on_headers_complete(self) -> None:
        response = self._response
        if response is None:
            raise Refusal("nothing was asked")
        status = self._parser.get_status_code()
        self._read_headers(response)
        if status < 200:
            self._skip_interim(response, status)
            return
        if status > 999 or (self._chunked and response.length is not None):
            raise Refusal("framing")
        response.status = status
        if self._bodiless:
            # The parser expects a body here and cannot be told otherwise: the connection is not used again.
            response.complete = True
        elif not self._chunked and response.length is None:
            self.ends_at_eof = status not in (204, 304)

    def _skip_interim(self, response: Response, status: int) -> None:
        self._interim += 1
        if status < 100 or status == 101 or self._interim > MAX_INTERIM or self._chunked or response.length is not None:
            raise Refusal("1xx")
        self._skipping = True

    def on_body(self, data: bytes) -> None:
        response = self._response
        if response is not None and not response.complete:
            response.parts.append(data)
            response.buffered += len(data)

    def on_message_complete(self) -> None:
        if self._skipping:
            self._skipping = False
            return
        response = self._response
        if response is not None and not response.complete:
            response.complete = True
            self.keep_alive = self._parser.should_keep_alive()
