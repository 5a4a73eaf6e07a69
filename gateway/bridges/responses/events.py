"""The events of a streamed response, numbered without gaps, and everything that they have told so far.

Items get their places in the order in which they begin; text and reasoning are open one at a time, calls as long as
their arguments come. What is told is kept: the last event repeats all of it.
"""

from __future__ import annotations

from typing import Any

import msgspec

from gateway.bridges.responses.answer import (
    Json,
    Response,
    message_item,
    picture_item,
    reasoning_item,
    refusal_part,
    summary_part,
    text_part,
)
from gateway.bridges.responses.provider_state import ProviderState
from gateway.errors import UpstreamBadEvent, UpstreamTooLarge
from gateway.types import Call

MAX_ITEMS = 2048
MAX_TOLD = 32 << 20
"""Characters of one answer, as of one that comes whole."""
_json = msgspec.json.Encoder().encode


class Open:
    """A part that grows: text, a refusal, or a summary of reasoning."""

    __slots__ = ("annotations", "at", "head", "kind", "logprobs", "texts")

    def __init__(self, kind: str, at: Json, head: bytes) -> None:
        self.kind = kind
        self.at = at
        """Where it stands, for each event about it."""
        self.head = head
        """What each of its deltas begins with."""
        self.texts: list[str] = []
        self.annotations: list[Json] = []
        self.logprobs: list[Json] = []

    @property
    def text(self) -> str:
        return "".join(self.texts)


class Events:
    """Writes events; `taken` hands them over."""

    __slots__ = (
        "_call",
        "_content",
        "_id",
        "_index",
        "_out",
        "_part",
        "_told",
        "begun",
        "number",
        "output",
        "response",
    )

    def __init__(self, call: Call) -> None:
        self.begun = False
        self.number = 0
        """Of the next event."""
        self.output: list[Json | None] = []
        """Items in their places; None while one is open."""
        self.response = Response(call)
        self._call = call
        self._out: list[bytes] = []
        self._told = 0
        self._part: Open | None = None
        self._index = 0
        self._id = ""
        self._content: list[Json] = []
        """The parts of the open message that are whole."""

    def taken(self) -> bytes:
        """Every event since the last time."""
        out = b"".join(self._out)
        self._out.clear()
        return out

    def start(self) -> None:
        """The answer has begun; only the first time counts."""
        if not self.begun:
            self.begun = True
            for name in ("response.created", "response.in_progress"):
                self.say(name, {"response": msgspec.Raw(self.response.begun())})

    def comment(self) -> None:
        """A sign of life."""
        if self.begun:
            self._out.append(b": alive\n\n")

    def say(self, name: str, fields: Json) -> None:
        """One event."""
        body = _json({"type": name, "sequence_number": self.number, **fields})
        self.number += 1
        self._out.append(b"event: " + name.encode() + b"\ndata: " + body + b"\n\n")

    def raw(self, head: bytes, delta: str) -> None:
        """A delta, as most events are: all of it but its number and its text was written before."""
        self._out.append(b'%b,"sequence_number":%d,"delta":%b}\n\n' % (head, self.number, _json(delta)))
        self.number += 1

    def weigh(self, size: int) -> None:
        """This much more is kept. Raises UpstreamTooLarge."""
        self._told += size
        if self._told > MAX_TOLD:
            raise UpstreamTooLarge

    # -- items

    def open_item(self, prefix: str) -> tuple[int, str]:
        """A place for one more item, and its id. Raises UpstreamBadEvent for more than anybody means."""
        index = len(self.output)
        if index >= MAX_ITEMS:
            raise UpstreamBadEvent
        self.output.append(None)
        return index, f"{prefix}_{self._call.id}_{index}"

    def added(self, index: int, item: Json) -> None:
        self.say("response.output_item.added", {"output_index": index, "item": item})

    def done(self, index: int, item: Json) -> None:
        self.output[index] = item
        self.say("response.output_item.done", {"output_index": index, "item": item})

    def picture(self, id_: str, kind: str, data: str) -> None:
        """A whole one. What is open has been closed."""
        self.weigh(len(data))
        index, _ = self.open_item("ig")
        at = {"item_id": id_, "output_index": index}
        self.added(index, picture_item(id_, kind, None, "in_progress"))
        for stage in ("in_progress", "generating", "completed"):
            self.say(f"response.image_generation_call.{stage}", at)
        self.done(index, picture_item(id_, kind, data, "completed"))

    # -- what the model says and thinks

    def text(self, text: str, logprobs: list[Json] | None = None) -> None:
        """More of what it says."""
        part = self._part
        if part is None or part.kind != "output_text":
            part = self._open_part("output_text", text_part("", [], []))
        if logprobs:
            self._likely(part, text, logprobs)
        else:
            self._delta(part, text)

    def refusal(self, text: str) -> None:
        """More of why it does not."""
        part = self._part
        if part is None or part.kind != "refusal":
            part = self._open_part("refusal", refusal_part(""))
        self._delta(part, text)

    def thought(self, text: str) -> None:
        """More of what it thinks."""
        part = self._part
        if part is None or part.kind != "summary_text":
            self.close(ProviderState())
            self._index, self._id = self.open_item("rs")
            self.added(self._index, reasoning_item(self._id, "", ProviderState()))
            at = {"item_id": self._id, "output_index": self._index, "summary_index": 0}
            self.say("response.reasoning_summary_part.added", {**at, "part": summary_part("")})
            part = self._part = Open("summary_text", at, _head("response.reasoning_summary_text.delta", at))
        self._delta(part, text)

    def annotate(self, annotations: list[Json]) -> None:
        """Sources of the text that is open; of none that is not."""
        part = self._part
        if part is None or part.kind != "output_text":
            return
        for one in annotations:
            number = len(part.annotations)
            part.annotations.append(one)
            self.weigh(len(str(one)))
            self.say(
                "response.output_text.annotation.added", {**part.at, "annotation_index": number, "annotation": one}
            )

    def _open_part(self, kind: str, empty: Json) -> Open:
        if self._part is not None and self._part.kind != "summary_text":
            self._close_part(self._part)
        else:
            self.close(ProviderState())
            self._index, self._id = self.open_item("msg")
            self.added(self._index, message_item(self._id, [], "in_progress"))
        at = {"item_id": self._id, "output_index": self._index, "content_index": len(self._content)}
        self.say("response.content_part.added", {**at, "part": empty})
        name = f"response.{kind}.delta"
        part = self._part = Open(kind, at, _head(name, {**at, "logprobs": []} if kind == "output_text" else at))
        return part

    def _delta(self, part: Open, text: str) -> None:
        self.weigh(len(text))
        part.texts.append(text)
        self.raw(part.head, text)

    def _likely(self, part: Open, text: str, logprobs: list[Json]) -> None:
        self.weigh(len(text) + len(str(logprobs)))
        part.texts.append(text)
        part.logprobs += logprobs
        self.say("response.output_text.delta", {**part.at, "delta": text, "logprobs": logprobs})

    # -- their ends

    def close(self, provider_state: ProviderState, status: str = "completed") -> None:
        """End what is open of text or reasoning. What the provider wants back goes with the open reasoning, or as an
        item of its own."""
        part, kept = self._part, bool(provider_state.blocks or provider_state.extras)
        self._part = None
        if part is not None and part.kind == "summary_text":
            whole = summary_part(part.text)
            self.say("response.reasoning_summary_text.done", {**part.at, "text": part.text})
            self.say("response.reasoning_summary_part.done", {**part.at, "part": whole})
            self.done(self._index, reasoning_item(self._id, part.text, provider_state))
            return
        if part is not None:
            self._close_part(part)
            self.done(self._index, message_item(self._id, self._content, status))
            self._content = []
        if kept:
            index, id_ = self.open_item("rs")
            self.added(index, reasoning_item(id_, "", ProviderState()))
            self.done(index, reasoning_item(id_, "", provider_state))

    def _close_part(self, part: Open) -> None:
        if part.kind == "refusal":
            whole: Json = refusal_part(part.text)
            self.say("response.refusal.done", {**part.at, "refusal": part.text})
        else:
            whole = text_part(part.text, part.annotations, part.logprobs)
            self.say("response.output_text.done", {**part.at, "text": part.text, "logprobs": part.logprobs})
        self.say("response.content_part.done", {**part.at, "part": whole})
        self._content.append(whole)


def _head(name: str, fields: dict[str, Any]) -> bytes:
    return b"event: " + name.encode() + b"\ndata: " + _json({"type": name, **fields})[:-1]
