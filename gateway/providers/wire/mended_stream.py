"""Streams of OpenAI's imitators as OpenAI's SDKs rely on them. Bytes pass as they are where nothing must be mended.

Events are looked at by a few searches; only one that holds something odd is taken apart. One that was as it should be
shows how this provider words its events: others that are worded just so are not looked at further.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import msgspec

from gateway.providers.wire.errors import error_from_event
from gateway.providers.wire.mending import mend_finish, mend_message, mend_usage
from gateway.providers.wire.plain_chunks import Shape, count_of, has_shape, is_one, shape_of
from gateway.providers.wire.sse import DONE, ChunkStream
from gateway.providers.wire.tool_calls import CallNumbers
from gateway.providers.wire.usage import WireUsage
from gateway.types import Call

Json = dict[str, Any]
MOST_CHOICES = 256
"""Choices that are told apart; more are a mistake of the provider's."""
SETTLING = 8
"""Events that are looked at together when none has shown yet how they are worded."""
LESSONS = 8
"""How often an event's wording is taken as the one to come: thoughts are worded otherwise than what follows them."""
_REASONING, _OUR_NAME = b'"reasoning":', b'"reasoning_content":'
_ENDED = re.compile(rb'"finish_reason"\s*:\s*"')
"""Where a choice has its finish reason: most events have none."""
_FINISH, _INDEX, _CHOICES = b'"finish_reason"', b'"index"', b'"choices"'
_CHOICE, _UNFINISHED = b'"choices":[{', b'"choices":[{"finish_reason":null,'
_KIND = "chat.completion.chunk"
"""What every event is called; Perplexity and others have other names for some."""
_OPENING = re.compile(re.escape(_CHOICE) + rb"(?=\s*\")")
_ENVELOPE = ("id", "object", "created", "model")
_CHUNK = msgspec.json.Decoder(dict[str, Any])
_ODD = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)


class MendedStream(ChunkStream):
    """A decoder for one chat stream of who is not OpenAI. See `EventStream`."""

    mends = True

    __slots__ = (
        "_begun",
        "_call",
        "_calls",
        "_envelope",
        "_finishes",
        "_held",
        "_lessons",
        "_over",
        "_shape",
        "_told",
        "_wanted",
    )

    def __init__(self, call: Call, finishes: Mapping[str, str | None], choices: int = 1) -> None:
        super().__init__(call.model, hide_usage=not call.include_usage, choices=choices)
        self._call = call.id
        self._finishes = finishes
        self._begun: set[int] = set()
        self._calls: dict[int, CallNumbers] = {}
        self._envelope: Json = {}
        self._held: Json = {}
        """What an event without a choice said, for the next one that has a choice."""
        self._shape: Shape | None = None
        """How an ordinary event is worded here, as far as that is known."""
        self._lessons = LESSONS
        self._wanted: Any = None
        """The usage that came with a choice."""
        self._told = False
        self._over: set[int] = set()
        """The choices that have their finish reason."""

    # -- frames as bytes

    def _rewritten(self, body: bytes) -> bytes:
        shape = self._shape
        if shape is None or self._finish or self._held or not is_one(body, shape):
            body = self._looked_at(body) if body else body
        return super()._rewritten(body)

    def _relay(self, block: bytes) -> bytes:
        if block.endswith(DONE):
            self._note(block)  # its finish reason may stand in it
        return super()._relay(block)

    def _looked_at(self, body: bytes) -> bytes:
        out = b""
        if not self._begun:
            # The very first event says whose turn it is.
            end = _end_of(body, 1)
            out, body = self._each(body[:end]), body[end:]
            if not body:
                return out
        # The finish reason may have to be put in other words.
        ended = _ENDED.search(body) if self._finish else None
        if ended is None:
            return out + self._plain(body) if out else self._plain(body)
        start = body.rfind(b"\n\n", 0, ended.start()) + 2 if b"\n\n" in body[: ended.start()] else 0
        return out + (self._plain(body[:start]) if start else b"") + self._each(body[start:])

    def _plain(self, body: bytes) -> bytes:
        """Events before the last ones."""
        if self._shape is not None and not self._held and has_shape(body, self._shape):
            return body
        if self._shape is None and self._lessons:
            end = _end_of(body, SETTLING)
            head, body = body[:end], body[end:]
            looked = self._learnt(head)
            return looked + self._plain(body) if body else looked
        return self._learnt(body)

    def _learnt(self, body: bytes) -> bytes:
        """Looked at, and the wording of what was as it should be taken for that of what is to come."""
        looked = self._block(body)
        if looked is body and self._lessons:
            self._lessons -= 1
            self._shape = shape_of(body, self._shape) or self._shape
        return looked

    def _block(self, body: bytes) -> bytes:
        """Frames that are looked at all at once, and one by one where one of them is odd."""
        apart = False
        if _REASONING in body:
            apart = _OUR_NAME in body
            if not apart:
                body = body.replace(_REASONING, _OUR_NAME)
        choices = body.count(_CHOICES)
        alone = choices < count_of(body)
        if apart or alone or self._is_odd(body) or body.count(_FINISH) < choices or body.count(_INDEX) < choices:
            return self._each(body)
        return body

    def _each(self, body: bytes) -> bytes:
        return b"".join([self._frame_looked_at(frame) for frame in body.split(b"\n\n") if frame])

    def _is_odd(self, data: bytes) -> bool:
        if not self._begun or self._held or _differs(data):
            return True
        return self._finish and _ENDED.search(data) is not None

    def _frame_looked_at(self, frame: bytes) -> bytes:
        if self.failure is not None:
            return b""
        if _REASONING in frame and _OUR_NAME not in frame:
            frame = frame.replace(_REASONING, _OUR_NAME)
        if _FINISH not in frame:
            frame = _OPENING.sub(_UNFINISHED, frame, 1)
        if self._is_odd(frame) or _REASONING in frame or _INDEX not in frame or _FINISH not in frame:
            frame = self._apart(frame)
        return frame + b"\n\n" if frame else b""

    def _apart(self, frame: bytes) -> bytes:
        """An event that is taken apart; the same object where nothing had to be mended, nothing for one that is not
        passed on."""
        start = frame.find(b"{")
        try:
            chunk = _CHUNK.decode(frame[start:])
        except _ODD:
            # JSON that only others can read (half a surrogate pair, say): passed on as it is.
            return frame
        before = msgspec.json.encode(chunk)
        if not self._mended(chunk):
            return b""
        after = msgspec.json.encode(chunk)
        return frame if after == before else frame[:start] + after

    def _with_usage(self, frame: bytes) -> bytes:
        """Usage comes last and alone: where it came with a choice it waits for the end."""
        start = frame.find(b"{")
        try:
            chunk = _CHUNK.decode(frame[start:])
            usage = chunk.pop("usage")
        except (*_ODD, LookupError):
            return super()._with_usage(frame)
        mended = mend_usage(usage)
        if not chunk.get("choices"):
            self._told = True
            return super()._with_usage(_dumped(frame[:start], {**chunk, "usage": usage}) if mended else frame)
        self._wanted = usage
        if not self._mended(chunk):
            return b""
        if "model" in chunk:
            chunk["model"] = self._asked
        return _dumped(frame[:start], chunk) + b"\n\n"

    def _tail(self) -> bytes:
        if self.hide_usage or self._told or self._wanted is None:
            return b""
        chunk = {**self._envelope, "model": self._asked, "choices": [], "usage": self._wanted}
        return b"data: " + msgspec.json.encode(chunk) + b"\n\n"

    # -- one event

    def _mended(self, chunk: Json) -> bool:
        """Mend an event in place; whether it is passed on at all."""
        choices = chunk.get("choices")
        choices = [one for one in choices if isinstance(one, dict)] if isinstance(choices, list) else []
        groq = chunk.get("x_groq")
        if isinstance(groq, dict) and isinstance(groq.get("usage"), dict):
            self._count(groq["usage"], chunk.get("service_tier"))
        if not choices and chunk.get("object") == "error":
            self.failure = error_from_event(chunk)
            return False
        if not choices and chunk.get("usage") is not None:
            return True
        if not choices:
            # Applications look at the first choice of every event but the one with usage.
            self._held.update({name: value for name, value in chunk.items() if name not in (*_ENVELOPE, "choices")})
            self.events -= 1
            return False
        self._complete(chunk)
        for choice in choices:
            self._choice(choice)
        over = [choice for choice in choices if self._is_over(choice)]
        if over:
            chunk["choices"] = [choice for choice in choices if choice not in over]
        return self.failure is None and len(over) < len(choices)

    def _is_over(self, choice: Json) -> bool:
        """Whether it is an echo of a choice that has its finish reason: nothing is said in it."""
        index, reason = _index(choice), choice.get("finish_reason")
        if index not in self._over:
            if reason:
                self._over.add(index)
            return False
        return not any(value for name, value in choice["delta"].items() if name != "role")

    def _complete(self, chunk: Json) -> None:
        """The same id, date and model in every event, and what earlier ones had to say."""
        if chunk.get("object", _KIND) != _KIND:
            chunk["object"] = _KIND
        if chunk.get("id") or not self._envelope:
            if not self._envelope:
                self._envelope = {name: chunk[name] for name in _ENVELOPE if name in chunk}
        else:
            chunk.update(self._envelope)
        if self._held:
            chunk.update(self._held)
            self._held = {}

    def _choice(self, choice: Json) -> None:
        index = _index(choice)
        delta = choice.get("delta")
        if not isinstance(delta, dict):
            delta = choice["delta"] = {}
        choice.setdefault("finish_reason", None)
        choice.setdefault("index", index)
        if index not in self._begun:
            self._begun.add(index)
            if not delta.get("role"):
                choice["delta"] = delta = {**delta, "role": "assistant"}
        else:
            # Repeated, it would be added up to `assistantassistant`.
            delta.pop("role", None)
        mend_message(delta)
        calls = delta.get("tool_calls")
        if isinstance(calls, list) and calls:
            delta["tool_calls"] = self._numbers(index).numbered(calls)
        error = choice.get("error") if choice.get("finish_reason") == "error" else None
        self.failure = self.failure or mend_finish(choice, self._finishes, called=index in self._calls)
        if error and self.failure is not None:
            self.failure = error_from_event(error)

    def _numbers(self, index: int) -> CallNumbers:
        found = self._calls.get(index)
        if found is None:
            found = self._calls[index] = CallNumbers(f"call_{self._call}_{index}")
        return found

    def _count(self, usage: Json, tier: object) -> None:
        if self.usage is None:
            try:
                self.usage = msgspec.convert(usage, WireUsage).counted(tier)
            except _ODD:
                return
            mend_usage(usage)
            self._wanted = usage


def _differs(data: bytes) -> bool:
    """Whether anything stands here that imitators word in ways of their own. Spelt out: a loop costs three times as
    much, and this is asked of the first events of every stream."""
    if (
        b'"role":' in data
        or b'"tool_calls":[{' in data
        or b'"content":[' in data
        or b'"choices":[]' in data
        or b'"x_groq":' in data
        or b'"id":""' in data
        or b'"object":""' in data
        or b'"object":"error"' in data
        or b'"object":"chat.completion"' in data
    ):
        return True
    # Written with spaces, as some do.
    return b'": ' in data and (
        b'"tool_calls": [{' in data
        or b'"content": [' in data
        or b'"choices": []' in data
        or b'"id": ""' in data
        or b'"object": ""' in data
        or b'"object": "error"' in data
        or b'"object": "chat.completion"' in data
    )


def _end_of(body: bytes, frames: int) -> int:
    """Where so many frames end, or all of them."""
    at = 0
    for _ in range(frames):
        found = body.find(b"\n\n", at)
        if found < 0:
            return len(body)
        at = found + 2
    return at


def _index(choice: Json) -> int:
    index = choice.get("index")
    return index if isinstance(index, int) and 0 <= index < MOST_CHOICES else 0


def _dumped(prefix: bytes, chunk: Json) -> bytes:
    return prefix + msgspec.json.encode(chunk)
