"""Event streams whose events have names: responses, transcriptions, speech and images."""

from __future__ import annotations

from contextlib import suppress

import msgspec

from gateway.errors import UpstreamEmpty, UpstreamRejected, UpstreamTruncated
from gateway.providers.wire.errors import error_from_event
from gateway.providers.wire.searches import CALLED, searches_in
from gateway.providers.wire.sizes import REPLY
from gateway.providers.wire.sse import Event, EventStream, Glance, Inner
from gateway.providers.wire.tiers import served_at, tier_in

TERMINAL = frozenset(
    {
        "response.completed",
        "response.incomplete",
        "response.failed",
        "transcript.text.done",
        "speech.audio.done",
        "image_generation.completed",
        "image_edit.completed",
    }
)
OPENING = frozenset({"response.created", "response.in_progress"})
"""What comes before anything is said: a provider that has no quota left, or is overloaded, tells so only after them."""
FAILED = "response.failed"


class NamedEventStream(EventStream):
    """Named events; the last one's name says that the answer is whole, and it may hold all of that. Implements
    `gateway.ports.TellsFailure`.

    The opening events wait for the next one: a provider that fails after them has committed us to nothing.
    """

    __slots__ = ("_ended_by_name", "_held", "_tier", "failure_told")

    def __init__(self, asked_model: str, longest: int = REPLY) -> None:
        super().__init__(asked_model, hide_usage=False, longest=longest)
        self.failure_told = False
        self._ended_by_name = False
        self._held: list[bytes] | None = []
        self._tier: object = None

    @property
    def service_tier(self) -> str:
        """See `gateway.ports.TellsTier`: the opening events say what was asked for."""
        return served_at(self._tier)

    def _ordinary(self, data: bytes) -> bytes | None:
        del data
        return None

    def _relay(self, block: bytes) -> bytes:
        return self._slowly(block)

    def _frame(self, frame: bytes) -> bytes:
        if self._held and frame.startswith(b":"):
            return b""
        return super()._frame(frame)

    def _one(self, frame: bytes, event: Glance) -> bytes:
        assert isinstance(event, Event)  # the fields of a name are read where blocks are taken apart
        inner = event.response
        if event.type == "error" or (event.error and event.type not in TERMINAL):
            self.events -= 1  # it is not handed on: what stands in its place gets its number
            self.failure = error_from_event(event.error or {"message": event.message, "code": event.code})
            return b""
        if inner is not None and inner.service_tier is not None:
            self._tier = inner.service_tier
        if inner is not None and inner.usage is not None and event.type in TERMINAL:
            searches = searches_in(inner.output) if CALLED in frame else 0
            self.usage = inner.usage.counted(inner.service_tier, searches) or self.usage
        if event.type == FAILED:
            return self._failed(frame, inner)
        self._ended_by_name = self._ended_by_name or event.type in TERMINAL
        if inner is not None and inner.model and inner.model != self._asked:
            text, asked = msgspec.json.encode(inner.model), msgspec.json.encode(self._asked)
            frame = frame.replace(b'"model":' + text, b'"model":' + asked).replace(
                b'"model": ' + text, b'"model": ' + asked
            )
        if event.usage is not None:
            self.usage = event.usage.counted(tier_in(frame)) or self.usage
        return self._handed_on(frame + b"\n\n", opening=event.type in OPENING)

    def _handed_on(self, frame: bytes, *, opening: bool) -> bytes:
        held = self._held
        if held is None:
            return frame
        held.append(frame)
        if opening and len(held) <= len(OPENING):
            return b""
        self._held = None
        return b"".join(held)

    def _failed(self, frame: bytes, inner: Inner | None) -> bytes:
        """The provider's own last event, where the client has heard of the answer, with the failure in the gateway's
        words. What is the client's own doing is told in the provider's words, and by those who clean them."""
        self.failure = failure = error_from_event(None if inner is None else inner.error)
        if self._held is None and inner is not None and not isinstance(failure, UpstreamRejected):
            at = frame.index(b"data: ", frame.find(b"\n") + 1) + len(b"data: ")
            told = {"code": failure.public_code, "message": failure.public_message}
            with suppress(msgspec.DecodeError, UnicodeDecodeError, RecursionError):
                fields = msgspec.json.decode(frame[at:])
                fields["response"] = {**fields["response"], "error": told, "model": self._asked}
                self.failure_told = True
                return frame[:at] + msgspec.json.encode(fields) + b"\n\n"
        self.events -= 1
        return b""

    def _ended(self) -> bytes:
        if self._ended_by_name:
            self.complete = True
        else:
            self.failure = UpstreamTruncated() if self.events else UpstreamEmpty()
        return b""
