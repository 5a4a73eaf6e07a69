"""A provider's native stream, decoded event by event and written as OpenAI's chunks."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

import msgspec

from gateway.errors import UpstreamBadEvent, UpstreamBadResponse, UpstreamError, UpstreamTruncated
from gateway.providers.chat.chunks import ChunkEncoder
from gateway.providers.chat.events import Event
from gateway.types import Call, Usage

_ODD = (msgspec.MsgspecError, ValueError, LookupError, TypeError, RecursionError)
"""What decoding raises for events that are not what the provider's API promises."""


class Framing(Protocol):
    """Cuts a native stream into named pieces of data, whatever the sizes of reads."""

    too_long: bool
    """A piece exceeds what is held in memory: nothing more will come of this stream."""
    fault: type[UpstreamError]
    """What that is."""

    def feed(self, data: bytes) -> list[tuple[bytes, bytes]]:
        """Name (perhaps empty) and data of each piece that became whole. Raises UpstreamBadEvent."""
        ...

    def end(self) -> list[tuple[bytes, bytes]]:
        """What the end of the body makes whole."""
        ...


class NativeStream(Protocol):
    """One answer of one provider: its events in neutral words. Holds what must be known from one to the next."""

    def read(self, name: bytes, data: bytes) -> Iterable[Event]:
        """What one native event says; nothing for those that a client need not hear of. May raise UpstreamError, or
        what decoding raises."""
        ...


class TranslatedStream:
    """Implements `gateway.ports.StreamDecoder`."""

    __slots__ = ("_encoder", "_framing", "_native", "_seen", "complete", "failure", "relayed_bytes")

    def __init__(self, call: Call, framing: Framing, native: NativeStream) -> None:
        self.complete = False
        self.failure: UpstreamError | None = None
        self.relayed_bytes = 0
        self._encoder = ChunkEncoder(call)
        self._framing = framing
        self._native = native
        self._seen = False

    @property
    def usage(self) -> Usage | None:
        """What the provider counted; None while that is only what it read, or where it tells nothing."""
        return self._encoder.usage if self._encoder.usage_whole else None

    @property
    def known_input(self) -> Usage | None:
        """See `gateway.ports.TellsInput`."""
        return self._encoder.usage

    @property
    def events(self) -> int:
        """Chunks handed on."""
        return self._encoder.frames

    @property
    def text(self) -> tuple[int, int] | None:
        """See `gateway.ports.StreamDecoder`."""
        return self._encoder.texts, self._encoder.text_bytes

    def feed(self, data: bytes) -> bytes:
        """See `gateway.ports.StreamDecoder`."""
        if self._closed():
            return b""
        try:
            pieces = self._framing.feed(data)
        except UpstreamError as error:
            self.failure = error
            return b""
        out = self._translated(pieces)
        if self._framing.too_long and not self._closed():
            self.failure = self._framing.fault()
        return out

    def end(self) -> bytes:
        """The body ended: complete if every choice had its finish reason, as some providers have no terminal event."""
        if self._closed():
            return b""
        out = self._translated(self._framing.end())
        if self._closed():
            return out
        if self._encoder.finished:
            return out + self._completed()
        self.failure = UpstreamTruncated() if self._seen else UpstreamBadResponse()
        return out

    def _closed(self) -> bool:
        return self.complete or self.failure is not None

    def _translated(self, pieces: list[tuple[bytes, bytes]]) -> bytes:
        encoder, read = self._encoder, self._native.read
        out: list[bytes] = []
        try:
            for name, data in pieces:
                self._seen = True
                # One by one: what was said before an event that cannot be read is still said.
                out.extend(map(encoder.encode, read(name, data)))
                if encoder.over or encoder.error is not None:
                    break
        except UpstreamError as error:
            self.failure = error
        except _ODD:
            self.failure = UpstreamBadEvent()
        chunks = b"".join(out)
        self.relayed_bytes += len(chunks)
        if self.failure is None and encoder.error is not None:
            self.failure = encoder.error.error
        elif self.failure is None and encoder.over:
            return chunks + self._last()
        return chunks

    def _last(self) -> bytes:
        """The provider's terminal event came; without a finish reason before it the answer is not whole."""
        if self._encoder.finished:
            return self._completed()
        self.failure = UpstreamTruncated()
        return b""

    def _completed(self) -> bytes:
        self.complete = True
        out = self._encoder.end()
        self.relayed_bytes += len(out)
        return out
