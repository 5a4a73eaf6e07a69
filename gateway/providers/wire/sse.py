"""OpenAI's event streams, relayed a read at a time.

What arrives in one read is checked whole: its events become one JSON array that a single typed decode validates, and
that decode is also what finds usage and errors. Bytes then pass as they are, but for the model's name and for usage
nobody asked for. Only a read that does not look like plain `data: {…}` frames is taken apart event by event.
"""

from __future__ import annotations

from typing import Any

import msgspec

from gateway.errors import UpstreamBadEvent, UpstreamEmpty, UpstreamError, UpstreamTooLarge, UpstreamTruncated
from gateway.providers.wire.errors import error_from_event
from gateway.providers.wire.finishes import FINISH, finished_in
from gateway.providers.wire.frames import LONG, MAX_EVENT, LongEvent, normalised, parse_frame
from gateway.providers.wire.loose import MARK, loosely
from gateway.providers.wire.tiers import served_at, tier_in
from gateway.providers.wire.usage import WireUsage
from gateway.types import Usage

DONE = b"data: [DONE]\n\n"
MAX_NAMES = 8
_OPEN, _CLOSE = b"data: {", b"}\n\n"
_BETWEEN = _CLOSE + _OPEN
FINISH_WITHIN = 4096
"""Bytes at the end of a read in which its last finish reason stands."""
_NULL_USAGE = (b',"usage":null', b', "usage": null', b',"usage": null')


class Inner(msgspec.Struct, gc=False):
    """What an event of the Responses API holds."""

    usage: WireUsage | None = None
    error: Any = None
    model: str | None = None
    service_tier: object = None
    output: msgspec.Raw = msgspec.Raw()


class Glance(msgspec.Struct, gc=False):
    """The few fields of a chunk that the gateway acts on."""

    model: str | None = None
    usage: WireUsage | None = None
    error: Any = None


class Event(Glance, gc=False):
    """Those of a named event too."""

    type: str | None = None
    response: Inner | None = None
    message: str | None = None
    code: Any = None


_CHUNKS = msgspec.json.Decoder(list[Glance])
_ONE = msgspec.json.Decoder(Glance)
_EVENT = msgspec.json.Decoder(Event)


class _Choice(msgspec.Struct, gc=False):
    delta: dict[str, Any] | None = None
    text: Any = None


class _Chunk(msgspec.Struct, gc=False):
    choices: list[_Choice]
    service_tier: object = None


_ROLE = b'"role":"assistant",'
_CHUNK = msgspec.json.Decoder(_Chunk)


class EventStream:
    """A decoder for one stream; the subclasses know how their stream ends. Implements `gateway.ports.StreamDecoder`."""

    mends = False
    """Every event is looked at by `_rewritten`, not only those that hold a name to replace."""

    __slots__ = (
        "_asked",
        "_choices",
        "_finish",
        "_first",
        "_long",
        "_longest",
        "_model",
        "_renames",
        "_rest",
        "_unfinished",
        "_whole",
        "complete",
        "events",
        "failure",
        "hide_usage",
        "relayed_bytes",
        "usage",
    )

    def __init__(self, asked_model: str, *, hide_usage: bool, longest: int = MAX_EVENT, choices: int = 1) -> None:
        self.usage: Usage | None = None
        self.complete = False
        self.failure: UpstreamError | None = None
        self.events = 0
        self.relayed_bytes = 0
        self.hide_usage = hide_usage
        self._asked = asked_model
        self._model: str | None = None
        self._renames: list[tuple[bytes, bytes]] = []
        self._finish = False
        """Some choice has its finish reason."""
        self._choices = self._unfinished = choices
        """How many were asked for, and how many of them have none yet."""
        self._whole: set[int] = set()
        """Those that have one, where several were asked for."""
        self._first = b""
        self._rest = b""
        self._long: LongEvent | None = None
        self._longest = longest
        """Bytes of one event."""

    # -- the two entries

    def feed(self, data: bytes) -> bytes:
        """Frames that became whole. See `gateway.ports.StreamDecoder`."""
        if self.failure is not None or self.complete:
            return b""
        if self._rest:
            if len(self._rest) < LONG:
                data, self._rest = self._rest + data, b""
            elif not (data := self._lengthened(data)):
                return b""
        elif self._first and (out := self._ordinary(data)) is not None:
            return out
        if not self._first and data.startswith(MARK):
            data = data[len(MARK) :]
        if b"\r" in data:
            data = normalised(data)
        if data.endswith(b"\n\n"):
            out = self._relay(data)
        else:
            end = data.rfind(b"\n\n") + 2
            if end == 1:
                self._keep(data)
                return b""
            out = self._relay(data[:end])
            if not self._closed():
                self._keep(data[end:])
        self.relayed_bytes += len(out)
        if not self._first:
            self._first = out[: out.find(b"\n\n") + 2]
        return out

    def _ordinary(self, data: bytes) -> bytes | None:
        """A single plain event, as most reads of a paced stream are, ready to relay; None for anything else.

        Named events, which need more looking at, never are.
        """
        if not (data.startswith(_OPEN) and data.endswith(_CLOSE)):
            return None
        if data.find(b"\n") != len(data) - 2 or b"\r" in data:
            return None
        try:
            event = _ONE.decode(data[len(_OPEN) - 1 : 1 - len(_CLOSE)])
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return None
        if event.usage is not None or event.error or event.model != self._model:
            return None
        self.events += 1
        if self._unfinished and FINISH.search(data) is not None:
            self._finish_in(data)
        if self._renames or self.hide_usage or self.mends:
            data = self._rewritten(data)
        self.relayed_bytes += len(data)
        return data

    @property
    def text(self) -> tuple[int, int] | None:
        """See `gateway.ports.StreamDecoder`: only chunks are all alike."""
        return None

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
        if len(rest) > self._longest:
            self._give_up()

    def _lengthened(self, data: bytes) -> bytes:
        """A long event that goes on: all of it once its end is here."""
        if self._long is None:
            self._long = LongEvent(self._rest)
        whole = self._long.add(data)
        if whole:
            self._rest, self._long = b"", None
        elif self._long.size > self._longest:
            self._give_up()
        return whole

    def _give_up(self) -> None:
        self.failure, self._rest, self._long = UpstreamTooLarge(), b"", None

    # -- whole frames

    def _relay(self, block: bytes) -> bytes:
        body = block
        done = block.endswith(DONE)
        if done:
            body = block[: -len(DONE)]
        events = _plain_events(body)
        if events is None:
            return self._slowly(block) if body else self._finished(done=done)
        model = self._model
        for index, event in enumerate(events):
            if event.usage is not None or event.error:
                return self._with_care(body, events, index) + self._finished(done=done)
            if event.model != model:
                self._learn(event.model)
                model = self._model
        self.events += len(events)
        if done:
            return self._rewritten(body) + self._finished(done=done)
        self._note(body)
        return self._rewritten(body)

    def _finished(self, *, done: bool) -> bytes:
        if not done or self.failure is not None:
            return b""
        if not self.events:
            self.failure = UpstreamEmpty()  # an end and nothing before it: an empty answer
            return b""
        self.complete = True
        return self._tail() + DONE

    def _tail(self) -> bytes:
        """What is still owed before `[DONE]`."""
        return b""

    def _note(self, block: bytes) -> None:
        """Remember finish reasons: with one for each choice, an end without `[DONE]` is an end. Only usage comes after
        the last of them."""
        if self._unfinished:
            start = max(0, len(block) - FINISH_WITHIN) if self._choices == 1 else 0
            if FINISH.search(block, start) is not None:
                self._finish_in(block)

    def _finish_in(self, block: bytes) -> None:
        self._finish = True
        if self._choices == 1:
            self._unfinished = 0
            return
        self._whole |= finished_in(block)
        self._unfinished = max(0, self._choices - len(self._whole))

    def _rewritten(self, body: bytes) -> bytes:
        for old, new in self._renames:
            body = body.replace(old, new)
        if self.hide_usage:
            at = body.find(b'"usage"')
            if at >= 0:
                around = body[max(0, at - 2) : at + 16]
                for null in _NULL_USAGE:
                    if null in around:
                        return body.replace(null, b"")
        return body

    def _learn(self, name: str | None) -> None:
        """The provider's name for the model, so that the client reads the name it asked for.

        Azure's first chunk has an empty name, and some servers space the last chunk differently.
        """
        if name is None:
            return
        self._model = name
        if name != self._asked and len(self._renames) < 2 * MAX_NAMES:
            text, asked = msgspec.json.encode(name), msgspec.json.encode(self._asked)
            pairs = [(gap + text, gap + asked) for gap in (b'"model":', b'"model": ')]
            self._renames += [pair for pair in pairs if pair not in self._renames]

    def _with_care(self, body: bytes, events: list[Glance], first: int) -> bytes:
        """The same frames when one of them carries usage or an error: taken one by one from there on."""
        self.events += first
        starts = [len(body)]
        for _ in events[first:]:
            # Usage comes with the last frames, as a rule: counted from the end, the many before it are not touched.
            starts.append(body.rfind(b"\n\n", 0, starts[-1] - 2) + 2 if len(starts) < len(events) else 0)
        starts.reverse()
        out = b""
        if first:
            before = body[: starts[0]]
            self._note(before)
            out = self._rewritten(before)
        for at, event in enumerate(events[first:]):
            self.events += 1
            out += self._one(body[starts[at] : starts[at + 1] - 2], event)
            if self.failure is not None:
                break
        return out

    def _one(self, frame: bytes, event: Glance) -> bytes:
        if event.model != self._model:
            self._learn(event.model)
        if event.usage is not None:
            # Cumulative where a provider sends it with every chunk: the last one stands.
            self.usage = event.usage.counted(tier_in(frame)) or self.usage
        if event.error:
            self.failure = error_from_event(event.error)
            return b""
        self._note(frame)
        if event.usage is not None:
            return self._with_usage(frame)
        return self._rewritten(frame + b"\n\n")

    def _with_usage(self, frame: bytes) -> bytes:
        return self._without_usage(frame) if self.hide_usage else self._rewritten(frame + b"\n\n")

    def _without_usage(self, frame: bytes) -> bytes:
        start = frame.index(b"{")
        try:
            chunk = msgspec.json.decode(frame[start:])
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            self.failure = UpstreamBadEvent()
            return b""
        if not chunk.get("choices"):
            return b""
        del chunk["usage"]
        if "model" in chunk:
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
            return frame + b"\n\n" if self.events and frame.startswith(b":") else b""
        if payload.strip() == b"[DONE]":
            return self._finished(done=True)
        event = _event(payload)
        if event is None:
            self.failure = UpstreamBadEvent()
            return b""
        if not event.error and name == b"error":
            event.error = {"message": event.message, "code": event.code, "type": event.type}
        if b"\n" in payload:
            payload = payload.replace(b"\n", b" ")
        line = b"data: " + payload
        frame = b"event: " + name + b"\n" + line if name else line
        self.events += 1
        return self._one(frame, event)

    def _ended(self) -> bytes:
        raise AssertionError


def _plain_events(body: bytes) -> list[Glance] | None:
    """The events of a block of nothing but `data: {…}` frames; None for any other block.

    Its frames become one JSON array, so that one decode checks and reads them all.
    """
    if not (body.startswith(_OPEN) and body.endswith(_CLOSE)):
        return None
    # A needle that ends with a rare byte is found several times faster than one that ends with a space.
    frames = body[len(_OPEN) : -len(_CLOSE)].split(_BETWEEN)
    try:
        if len(frames) == 1:
            return None if b"\n" in frames[0] else [_ONE.decode(body[len(_OPEN) - 1 : 1 - len(_CLOSE)])]
        joined = b"},{".join(frames)
        events = None if b"\n" in joined else _CHUNKS.decode(b"[{%b}]" % joined)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    # Half frames can make up one event between them: as many events as frames, or each is looked at alone.
    return events if events is not None and len(events) == len(frames) else None


def _event(payload: bytes) -> Event | None:
    """One event; None when it is no JSON object."""
    try:
        return _EVENT.decode(payload)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        pass
    # JSON all the same, perhaps: a field of an unexpected type, or half a surrogate pair, must not end an answer.
    fields = loosely(payload)
    if fields is None:
        return None
    texts = {name: fields[name] for name in ("model", "type", "message") if isinstance(fields.get(name), str)}
    return Event(error=fields.get("error"), code=fields.get("code"), **texts)


class ChunkStream(EventStream):
    """Chat and completions: chunks, then `[DONE]`. A server that only stops after every choice's finish reason is
    completed for it."""

    __slots__ = ()

    @property
    def text(self) -> tuple[int, int] | None:
        """See `gateway.ports.StreamDecoder`. Told from the first chunk's weight: names of models are part of every
        chunk, and some are long."""
        chunk = self._begun_with()
        if chunk is None:
            return None
        choices = chunk.choices
        roles = [choice.delta.pop("role", None) for choice in choices if choice.delta]
        texts = [choice.text for choice in choices]
        texts += [text for choice in choices for text in (choice.delta or {}).values()]
        size = sum(len(text.encode()) for text in texts if isinstance(text, str))
        # Only the first chunk says whose turn it is.
        role = len(_ROLE) if any(roles) else 0
        weight = len(self._first) - size - role
        return self.events - (not size) - self._finish, self.relayed_bytes - self.events * weight - role

    @property
    def service_tier(self) -> str:
        """See `gateway.ports.TellsTier`: whoever tells it does so in every chunk."""
        chunk = self._begun_with()
        return "" if chunk is None else served_at(chunk.service_tier)

    def _begun_with(self) -> _Chunk | None:
        try:
            return _CHUNK.decode(self._first.removeprefix(b"data:"))
        except (msgspec.DecodeError, UnicodeDecodeError):
            return None

    def _ended(self) -> bytes:
        if not self._unfinished:
            self.complete = True
            return self._tail() + DONE
        self.failure = UpstreamTruncated() if self.events else UpstreamEmpty()
        return b""
