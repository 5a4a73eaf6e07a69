"""A stream of generateContent: whole responses, each with what is new; the end of the body is its end."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from gateway.errors import UpstreamServerError
from gateway.providers.chat.events import (
    Begin,
    Event,
    Finish,
    Logprobs,
    PictureMade,
    ReasoningDelta,
    StreamError,
    TextDelta,
    ToolCallStart,
    UsageUpdate,
)
from gateway.providers.generate.errors import error_in_reply
from gateway.providers.generate.logprobs import logprobs_of
from gateway.providers.generate.reply import Candidate, Part, Response, WireUsage, finish_of

_RESPONSE = msgspec.json.Decoder(Response)


class ContentStream:
    """One answer. Implements `gateway.providers.chat.stream.NativeStream`."""

    __slots__ = ("_begun", "_calls")

    def __init__(self) -> None:
        self._begun = False
        self._calls = 0
        """Calls so far: each comes whole, and this number is its key."""

    def read(self, name: bytes, data: bytes) -> Iterable[Event]:
        """See `NativeStream`. Events have no names."""
        response = _RESPONSE.decode(data)
        events: list[Event] = []
        if response.error:
            return (StreamError(error_in_reply(response.error)),)
        if not self._begun:
            self._begun = True
            events.append(Begin(response.response_id))
        if response.usage_metadata is not None:
            _count(events, response.usage_metadata, response)
        for candidate in response.candidates or ():
            self._candidate(events, candidate)
        if response.blocked:
            events.append(Finish("content_filter"))
        return events

    def _candidate(self, events: list[Event], candidate: Candidate) -> None:
        index = candidate.index
        for part in candidate.parts:
            if part.function_call is not None:
                events.append(self._called(part, index))
            elif part.text:
                events.append(ReasoningDelta(part.text, index) if part.thought else TextDelta(part.text, index))
            elif (picture := part.picture) is not None:
                events.append(PictureMade(picture, index))
        if candidate.logprobs_result is not None:
            events.append(Logprobs(logprobs_of(candidate.logprobs_result), index))
        if candidate.finish_reason is not None:
            try:
                events.append(Finish(finish_of(candidate.finish_reason), index))
            except UpstreamServerError as error:
                # An event, so that what was said with it is still told.
                events.append(StreamError(error))

    def _called(self, part: Part, index: int) -> Event:
        call = part.function_call
        assert call is not None
        self._calls += 1
        return ToolCallStart(self._calls, call.id or "", call.name, call.arguments, part.extra, index)


def _count(events: list[Event], usage: WireUsage, response: Response) -> None:
    counted = usage.counted()
    if counted is not None:
        whole = usage.made or any(one.finish_reason is not None for one in response.candidates or ())
        events.append(UsageUpdate(counted, whole or response.blocked))
