"""The events of a message as bytes: named, one block open at a time, indexes from 0 without gaps."""

from __future__ import annotations

from typing import Any

import msgspec

from gateway.bridges.messages.provider_state import UNSIGNED
from gateway.bridges.messages.reply import outline
from gateway.bridges.messages.usage import estimated, usage_object
from gateway.types import Call, Usage

_json = msgspec.json.Encoder().encode
PING = b'event: ping\ndata: {"type":"ping"}\n\n'
_STOP = b'event: message_stop\ndata: {"type":"message_stop"}\n\n'
_DELTA = b'event: content_block_delta\ndata: {"type":"content_block_delta","index":%d,"delta":%b}\n\n'
_START = b'event: content_block_start\ndata: {"type":"content_block_start","index":%d,"content_block":%b}\n\n'
_END = b'event: content_block_stop\ndata: {"type":"content_block_stop","index":%d}\n\n'
_EMPTY = {
    "text": b'{"type":"text","text":""}',
    "thinking": b'{"type":"thinking","thinking":"","signature":""}',
}


class Events:
    """Writes the events of one message, in order."""

    __slots__ = ("_call", "_out", "index", "open", "started")

    def __init__(self, call: Call) -> None:
        self.started = False
        self.open = ""
        """The kind of the block that is open: text, thinking or tool_use."""
        self.index = 0
        """Of the block that is open, or comes next."""
        self._call = call
        self._out: list[bytes] = []

    def taken(self) -> bytes:
        """What was written since this was last asked."""
        if not self._out:
            return b""
        data = b"".join(self._out)
        self._out.clear()
        return data

    def ping(self) -> None:
        """A sign of life, once the message has begun."""
        if self.started:
            self._out.append(PING)

    def start(self) -> None:
        """The message begins. What it read is an estimate until the end, where the provider's counts come."""
        if self.started:
            return
        self.started = True
        begun = {
            **outline(self._call),
            "content": [],
            "stop_reason": None,
            "stop_sequence": None,
            "usage": usage_object(estimated(self._call, 0)),
        }
        self._out.append(_event("message_start", {"type": "message_start", "message": begun}))

    def text(self, text: str) -> None:
        """Words."""
        self._enter("text")
        self._delta(b'{"type":"text_delta","text":%b}' % _json(text))

    def thought(self, text: str) -> None:
        """Reasoning."""
        self._enter("thinking")
        self._delta(b'{"type":"thinking_delta","thinking":%b}' % _json(text))

    def thought_block(self, block: dict[str, Any]) -> None:
        """A whole block of reasoning, whose text may have been told already: then its signature is what is new."""
        signature = block.get("signature")
        if block.get("type") != "thinking":
            self.whole(block)
            return
        if self.open != "thinking":
            self._enter("thinking")
            if block.get("thinking"):
                self._delta(b'{"type":"thinking_delta","thinking":%b}' % _json(block["thinking"]))
        self._delta(b'{"type":"signature_delta","signature":%b}' % _json(signature or UNSIGNED))
        self._leave()

    def whole(self, block: dict[str, Any]) -> None:
        """A block that has no deltas."""
        self.close()
        self._out.append(_START % (self.index, _json(block)))
        self._leave()

    def use(self, id_: str, name: str) -> None:
        """A tool is called; its arguments follow."""
        self.close()
        block = {"type": "tool_use", "id": id_, "name": name, "input": {}}
        self._out.append(_START % (self.index, _json(block)))
        self.open = "tool_use"

    def arguments(self, text: str) -> None:
        """Of the call that is open."""
        self._delta(b'{"type":"input_json_delta","partial_json":%b}' % _json(text))

    def close(self) -> None:
        """End the block that is open, if one is."""
        if self.open == "thinking":
            self._delta(b'{"type":"signature_delta","signature":%b}' % _json(UNSIGNED))
        if self.open:
            self._leave()

    def end(self, reason: str, sequence: str | None, usage: Usage) -> None:
        """The message is whole."""
        self.start()
        self.close()
        delta = {"stop_reason": reason, "stop_sequence": sequence}
        told = {"type": "message_delta", "delta": delta, "usage": usage_object(usage)}
        self._out.append(_event("message_delta", told) + _STOP)

    def _enter(self, kind: str) -> None:
        if self.open != kind:
            self.close()
            self._out.append(_START % (self.index, _EMPTY[kind]))
            self.open = kind

    def _leave(self) -> None:
        self._out.append(_END % self.index)
        self.open = ""
        self.index += 1

    def _delta(self, delta: bytes) -> None:
        self._out.append(_DELTA % (self.index, delta))


def _event(name: str, data: dict[str, Any]) -> bytes:
    return b"event: %b\ndata: %b\n\n" % (name.encode(), _json(data))
