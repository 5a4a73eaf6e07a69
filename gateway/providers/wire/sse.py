"""OpenAI's event streams, relayed a read at a time.

What arrives in one read is checked whole: its events become one JSON array that a single typed decode validates, and that decode
is also what finds usage and errors. Bytes then pass as they are, but for the model's name and for usage nobody asked for. Only a
read that does not look like plain `data: {…}` frames is taken apart event by event.
"""

from __future__ import annotations

from typing import Any

import msgspec

from gateway.errors import UpstreamBadEvent, UpstreamError, UpstreamTruncated
from gateway.providers.wire.errors import error_from_event
from gateway.providers.wire.usage import WireUsage
from gateway.types import Usage

MAX_EVENT = 1 << 20
DONE = b"data: [DONE]\n\n"
_NULL_USAGE = (b',"usage":null', b', "usage": null', b',"usage": null')


class _Inner(msgspec.Struct, gc=False):
    usage: WireUsage | None = None
    error: Any = None
    model: str | None = None


class _Event(msgspec.Struct, gc=False):
    """The few fields of a chunk, or of a named event, that the gateway acts on."""

    model: str | None = None
    usage: WireUsage | None = None
    error: Any = None
    type: str | None = None
    response: _Inner | None = None
    message: str | None = None
    code: Any = None


_EVENTS = msgspec.json.Decoder(list[_Event])
_EVENT = msgspec.json.Decoder(_Event)


class EventStream:
    """A decoder for one stream; the subclasses know how their stream ends. Implements `gateway.ports.StreamDecoder`."""

    __slots__ = (
        "_asked",
        "_crlf",
        "_pattern",
        "_rest",
        "_seen",
        "_tail",
        "complete",
        "events",
        "failure",
        "hide_usage",
        "relayed_bytes",
        "usage",
    )

    def __init__(self, asked_model: str, *, hide_usage: bool) -> None:
        self.usage: Usage | None = None
        self.complete = False
        self.failure: UpstreamError | None = None
        self.events = 0
        self.relayed_bytes = 0
        self.hide_usage = hide_usage
        self._asked = asked_model
        self._pattern: tuple[bytes, bytes] | None = None
        self._seen = False
        self._rest = b""
        self._tail = b""
        self._crlf = False

    # -- the two entries

    def feed(self, data: bytes) -> bytes:
        """Frames that became whole. See `gateway.ports.StreamDecoder`."""
        if self.failure is not None or self.complete:
            return b""
        if self._rest:
            data = self._rest + data
        if not self._seen or self._crlf:
            data = self._normalised(data)
        end = data.rfind(b"\n\n") + 2
        if end == 1:
            self._keep(data)
            return b""
        if end == len(data):
            self._rest = b""
        else:
            self._keep(data[end:])
            data = data[:end]
        out = self._relay(data)
        self.relayed_bytes += len(out)
        return out

    def end(self) -> bytes:
        """The body ended cleanly: what is still owed to the client, or a failure."""
        if self.failure is not None or self.complete:
            return b""
        out = b""
        if self._rest.strip():
            # Some servers end the last event with a single line feed.
            out = self.feed(b"\n\n")
        return out if self._closed() else out + self._ended()

    def _closed(self) -> bool:
        return self.failure is not None or self.complete

    def _keep(self, rest: bytes) -> None:
        self._rest = rest
        if len(rest) > MAX_EVENT:
            self.failure = UpstreamBadEvent()

    def _normalised(self, data: bytes) -> bytes:
        """One kind of line end. JSON text holds no raw CR, so nothing inside an event changes."""
        if b"\r" in data:
            self._crlf = True
            held = data.endswith(b"\r")
            data = data.replace(b"\r\n", b"\n")
            return data if held else data.replace(b"\r", b"\n")
        return data

    # -- whole frames

    def _relay(self, block: bytes) -> bytes:
        body = block
        done = block.endswith(DONE)
        if done:
            body = block[: -len(DONE)]
        events = None
        if body.startswith(b"data: {") and body.endswith(b"}\n\n"):
            try:
                events = _EVENTS.decode(b"[" + body[6:-2].replace(b"\n\ndata: ", b",") + b"]")
            except (msgspec.DecodeError, RecursionError):
                events = None
        if events is None:
            return self._slowly(block) if body else self._finished(done)
        self.events += len(events)
        for index, event in enumerate(events):
            if event.usage is not None or event.error:
                return self._with_care(body, events, index) + self._finished(done)
        if not self._seen:
            self._learn(body, events)
        self._tail = body
        return self._rewritten(body) + self._finished(done)

    def _finished(self, done: bool) -> bytes:
        if not done or self.failure is not None:
            return b""
        self.complete = True
        return DONE

    def _rewritten(self, body: bytes) -> bytes:
        if self._pattern is not None:
            body = body.replace(*self._pattern)
        if self.hide_usage and b'"usage"' in body:
            for null in _NULL_USAGE:
                body = body.replace(null, b"")
        return body

    def _learn(self, body: bytes, events: list[_Event]) -> None:
        """The provider's name for the model, once it says it, so that the client reads the name it asked for."""
        self._seen = True
        name = next((e.model for e in events if e.model), None)
        if name is None:
            self._seen = False
        elif name != self._asked:
            text = msgspec.json.encode(name)
            for gap in (b'"model":', b'"model": '):
                if gap + text in body:
                    self._pattern = (gap + text, gap + msgspec.json.encode(self._asked))

    def _with_care(self, body: bytes, events: list[_Event], first: int) -> bytes:
        """The same frames when one of them carries usage or an error: taken one by one from there on."""
        if not self._seen:
            self._learn(body, events)
        frames = body[:-2].split(b"\n\n")
        out = self._rewritten(b"\n\n".join(frames[:first]) + b"\n\n") if first else b""
        for frame, event in zip(frames[first:], events[first:], strict=True):
            out += self._one(frame, event)
            if self.failure is not None:
                break
        self._tail = body
        return out

    def _one(self, frame: bytes, event: _Event) -> bytes:
        if event.error:
            self.failure = error_from_event(event.error)
            return b""
        if event.usage is not None:
            # Cumulative where a provider sends it with every chunk: the last one stands.
            self.usage = event.usage.counted() or self.usage
            if self.hide_usage:
                return self._without_usage(frame)
        return self._rewritten(frame + b"\n\n")

    def _without_usage(self, frame: bytes) -> bytes:
        start = frame.index(b"{")
        chunk = msgspec.json.decode(frame[start:])
        if not chunk.get("choices"):
            return b""
        del chunk["usage"]
        if self._pattern is not None and "model" in chunk:
            chunk["model"] = self._asked
        return frame[:start] + msgspec.json.encode(chunk) + b"\n\n"

    # -- anything that is not plain frames: comments, names, ids, several data lines

    def _slowly(self, block: bytes) -> bytes:
        out = b""
        for frame in block.split(b"\n\n"):
            frame = frame.strip(b"\n")
            if not frame or self.failure is not None or self.complete:
                continue
            out += self._frame(frame)
        return out

    def _frame(self, frame: bytes) -> bytes:
        payload, name = parse_frame(frame)
        if payload is None:
            # A comment (a keep-alive): not an answer yet, so nothing to commit to before the first event.
            return frame + b"\n\n" if self._seen and frame.startswith(b":") else b""
        if payload.strip() == b"[DONE]":
            return self._finished(True)
        try:
            event = _EVENT.decode(payload)
        except (msgspec.DecodeError, RecursionError):
            self.failure = UpstreamBadEvent()
            return b""
        if not event.error and name == b"error":
            event.error = {"message": event.message, "code": event.code, "type": event.type}
        if b"\n" in payload:
            payload = payload.replace(b"\n", b" ")
        line = b"data: " + payload
        frame = b"event: " + name + b"\n" + line if name else line
        if not self._seen:
            self._learn(payload, [event])
        self.events += 1
        self._tail = frame
        return self._one(frame, event)

    def _ended(self) -> bytes:
        raise AssertionError


def parse_frame(frame: bytes) -> tuple[bytes | None, bytes]:
    """The data (lines joined by line feeds; None without a data line) and the event name of one frame."""
    data: list[bytes] = []
    name = b""
    for line in frame.split(b"\n"):
        field, _, value = line.partition(b":")
        if field == b"data":
            data.append(value[1:] if value.startswith(b" ") else value)
        elif field == b"event":
            name = value.strip()
        elif field and field not in (b"id", b"retry"):
            # Not a field of the format: a proxy's error page, say. Kept as data, where it fails to parse.
            data.append(line)
    return (b"\n".join(data) if data else None), name


class ChunkStream(EventStream):
    """Chat and completions: chunks, then `[DONE]`. A server that only stops after a finish reason is completed for it."""

    __slots__ = ()

    def _ended(self) -> bytes:
        if b'"finish_reason":"' in self._tail or b'"finish_reason": "' in self._tail:
            self.complete = True
            return DONE
        self.failure = UpstreamTruncated()
        return b""


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


class NamedEventStream(EventStream):
    """Responses, transcriptions, images: named events; the last one's name says that the answer is whole."""

    __slots__ = ("_ended_by_name",)

    def __init__(self, asked_model: str) -> None:
        super().__init__(asked_model, hide_usage=False)
        self._ended_by_name = False

    def _relay(self, block: bytes) -> bytes:
        return self._slowly(block)

    def _one(self, frame: bytes, event: _Event) -> bytes:
        inner = event.response
        if event.type in TERMINAL:
            self._ended_by_name = True
            if inner is not None and inner.usage is not None:
                self.usage = inner.usage.counted() or self.usage
        elif event.type == "error" or event.error:
            self.failure = error_from_event(event.error or {"message": event.message, "code": event.code})
            return b""
        if inner is not None and inner.model and inner.model != self._asked:
            text, asked = msgspec.json.encode(inner.model), msgspec.json.encode(self._asked)
            frame = frame.replace(b'"model":' + text, b'"model":' + asked).replace(
                b'"model": ' + text, b'"model": ' + asked
            )
        if event.usage is not None:
            self.usage = event.usage.counted() or self.usage
        self._seen = True
        return frame + b"\n\n"

    def _ended(self) -> bytes:
        if self._ended_by_name:
            self.complete = True
        else:
            self.failure = UpstreamTruncated()
        return b""
