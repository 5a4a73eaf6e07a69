"""A response's stream as a chat's: the inner decoder's events read by one that writes chunks."""

from __future__ import annotations

from gateway.bridges.chat.events import ResponseEvents
from gateway.errors import UpstreamError
from gateway.ports import StreamDecoder, TellsTier
from gateway.providers.chat.stream import TranslatedStream
from gateway.providers.wire.frames import EventSplitter
from gateway.types import Call, Usage


class ChunkedResponse:
    """Reads what `inner` hands on, which is named events. Implements `gateway.ports.StreamDecoder`."""

    __slots__ = ("_inner", "_outer", "complete", "failure")

    def __init__(self, call: Call, inner: StreamDecoder) -> None:
        self.complete = False
        self.failure: UpstreamError | None = None
        self._inner = inner
        self._outer = TranslatedStream(call, EventSplitter(), ResponseEvents())

    @property
    def usage(self) -> Usage | None:
        """See `gateway.ports.StreamDecoder`."""
        return self._inner.usage or self._outer.usage

    @property
    def service_tier(self) -> str:
        """See `gateway.ports.TellsTier`."""
        inner: object = self._inner
        return inner.service_tier if isinstance(inner, TellsTier) else ""

    @property
    def events(self) -> int:
        """See `gateway.ports.StreamDecoder`."""
        return self._outer.events

    @property
    def relayed_bytes(self) -> int:
        """See `gateway.ports.StreamDecoder`."""
        return self._outer.relayed_bytes

    @property
    def text(self) -> tuple[int, int] | None:
        """See `gateway.ports.StreamDecoder`."""
        return self._outer.text

    def feed(self, data: bytes) -> bytes:
        """See `gateway.ports.StreamDecoder`."""
        return self._read(self._inner.feed(data))

    def end(self) -> bytes:
        """See `gateway.ports.StreamDecoder`."""
        out = self._read(self._inner.end())
        if self.complete or self.failure is not None:
            return out
        out += self._outer.end()
        self.complete, self.failure = self._outer.complete, self._outer.failure
        return out

    def _read(self, events: bytes) -> bytes:
        outer = self._outer
        out = outer.feed(events) if events else b""
        self.complete = outer.complete
        if not outer.complete:
            self.failure = outer.failure or self._inner.failure
        return out
