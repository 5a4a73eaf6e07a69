"""Reading a chat's stream for clients of another surface: what every bridge from chat does with what comes."""

from __future__ import annotations

from abc import ABC, abstractmethod

import msgspec

from gateway.bridges.chats import Completion
from gateway.errors import UpstreamBadEvent, UpstreamError
from gateway.ports import StreamDecoder, TellsInput, TellsTier
from gateway.providers.wire.frames import parse_frame
from gateway.types import Call, Usage

_OPEN = b"data: "
_DONE = b"[DONE]"
_CHUNK = msgspec.json.Decoder(Completion)


class ChatReader(ABC):
    """Reads what `inner` hands on, which is chunks. Implements `gateway.ports.StreamDecoder`.

    A subclass says what a chunk, a comment and the end of a whole answer are in its surface's words.
    """

    __slots__ = ("_call", "_inner", "complete", "failure", "relayed_bytes")

    def __init__(self, call: Call, inner: StreamDecoder) -> None:
        self.complete = False
        self.failure: UpstreamError | None = None
        self.relayed_bytes = 0
        """Of the chunks, as are the events: what estimates go by."""
        self._call = call
        self._inner = inner

    @abstractmethod
    def _taken(self) -> bytes:
        """What was written since this was last asked."""

    @abstractmethod
    def _comment(self) -> None:
        """A sign of life."""

    @abstractmethod
    def _chunk(self, chunk: Completion) -> None:
        """A chunk. Raises UpstreamError for what ends the answer."""

    @abstractmethod
    def _finished(self) -> None:
        """The answer is whole: what is still owed. Raises UpstreamError where it is none after all."""

    # -- gateway.ports.StreamDecoder

    @property
    def usage(self) -> Usage | None:
        """See `gateway.ports.StreamDecoder`."""
        return self._inner.usage

    @property
    def known_input(self) -> Usage | None:
        """See `gateway.ports.TellsInput`."""
        inner: object = self._inner
        return inner.known_input if isinstance(inner, TellsInput) else None

    @property
    def service_tier(self) -> str:
        """See `gateway.ports.TellsTier`."""
        inner: object = self._inner
        return inner.service_tier if isinstance(inner, TellsTier) else ""

    @property
    def events(self) -> int:
        """See `gateway.ports.StreamDecoder`."""
        return self._inner.events

    @property
    def text(self) -> tuple[int, int] | None:
        """See `gateway.ports.StreamDecoder`."""
        return self._inner.text

    def feed(self, data: bytes) -> bytes:
        """See `gateway.ports.StreamDecoder`."""
        return self._translated(self._inner.feed(data)) if not self._closed() else b""

    def end(self) -> bytes:
        """See `gateway.ports.StreamDecoder`."""
        return self._translated(self._inner.end()) if not self._closed() else b""

    def _closed(self) -> bool:
        return self.complete or self.failure is not None

    def _translated(self, frames: bytes) -> bytes:
        try:
            if frames:
                for frame in frames.split(b"\n\n"):
                    if frame:
                        self._frame(frame)
            if self._inner.failure is not None:
                self.failure = self._inner.failure
            elif self._inner.complete:
                self._finished()
                self.complete = True
        except UpstreamError as error:
            self.failure = error
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            self.failure = UpstreamBadEvent()
        self.relayed_bytes = self._inner.relayed_bytes
        return self._taken()

    def _frame(self, frame: bytes) -> None:
        if frame.startswith(_OPEN) and b"\n" not in frame:
            payload: bytes | None = frame[len(_OPEN) :]
        else:
            payload, _ = parse_frame(frame)
        if payload is None:
            self._comment()
        elif payload.strip() != _DONE:
            self._chunk(_CHUNK.decode(payload))
