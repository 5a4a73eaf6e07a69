"""What a response says, as the bridge reads it: whole, or event by event. Only what is handed on is decoded."""

from __future__ import annotations

from typing import Any

import msgspec

from gateway.providers.wire.usage import WireUsage

Json = dict[str, Any]


class Part(msgspec.Struct, gc=False):
    """One part of an item's content or summary."""

    type: str = ""
    text: str | None = None
    refusal: str | None = None
    annotations: list[Json] | None = None
    logprobs: list[Json] | None = None


class Item(msgspec.Struct, gc=False):
    """One item of the output; `type` says which of the fields is meant."""

    type: str = ""
    id: str | None = None
    content: list[Part] | None = None
    summary: list[Part] | None = None
    encrypted_content: str | None = None
    call_id: str | None = None
    name: str | None = None
    arguments: str | None = None

    @property
    def thought(self) -> str:
        """Of reasoning, what is shown: its summary, else its own words."""
        return "\n\n".join(part.text or "" for part in self.summary or self.content or ())

    @property
    def sealed(self) -> Json | None:
        """Of reasoning, what its provider wants back."""
        if self.type != "reasoning" or not self.encrypted_content:
            return None
        summary = [{"type": "summary_text", "text": part.text or ""} for part in self.summary or ()]
        return {
            "type": "reasoning",
            "id": self.id,
            "summary": summary,
            "encrypted_content": self.encrypted_content,
        }


class _Typed(msgspec.Struct, gc=False):
    type: str = ""


_READ = frozenset({"message", "reasoning", "function_call"})
_TYPED = msgspec.json.Decoder(_Typed)
_ITEM = msgspec.json.Decoder(Item)


def item_of(raw: msgspec.Raw) -> Item | None:
    """The item, where it is of a kind that a chat has: others may have the same fields with other types. May raise what
    decoding raises."""
    if bytes(raw)[:1] != b"{" or _TYPED.decode(raw).type not in _READ:
        return None
    item: Item = _ITEM.decode(raw)
    return item


class Details(msgspec.Struct, gc=False):
    reason: str | None = None


class Response(msgspec.Struct, gc=False):
    """A whole answer, or what an event tells of it."""

    status: str | None = None
    output: list[msgspec.Raw] | None = None
    incomplete_details: Details | None = None
    error: Any = None
    usage: WireUsage | None = None
    service_tier: object = None

    @property
    def finish(self) -> str:
        """Why it ended, as a chat says it; whether calls were made is for others to see."""
        if self.status != "incomplete":
            return "stop"
        reason = self.incomplete_details.reason if self.incomplete_details is not None else None
        return "content_filter" if reason == "content_filter" else "length"


class Event(msgspec.Struct, gc=False):
    """One event of a stream."""

    item_id: str | None = None
    output_index: int = 0
    content_index: int = 0
    summary_index: int = 0
    delta: str | None = None
    text: str | None = None
    refusal: str | None = None
    arguments: str | None = None
    logprobs: list[Json] | None = None
    annotation: Json | None = None
    item: msgspec.Raw = msgspec.Raw()
    response: Response | None = None


def citation(annotation: Json) -> Json | None:
    """A source of what was said: a chat nests what a response does not, and knows only pages."""
    if annotation.get("type") != "url_citation":
        return None
    return {"type": "url_citation", "url_citation": {k: v for k, v in annotation.items() if k != "type"}}
