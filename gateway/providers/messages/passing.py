"""Requests and answers of the Messages API that pass through: the client's bytes, but for the model's name."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from gateway.errors import UpstreamBadEvent, UpstreamBadResponse, UpstreamError, UpstreamTooLarge, UpstreamTruncated
from gateway.ports import DecodedReply
from gateway.providers.messages.reply import Message, WireUsage
from gateway.providers.wire.errors import error_from_event
from gateway.providers.wire.frames import MAX_EVENT, Unfinished, normalised, parse_frame
from gateway.providers.wire.jsonscan import insert_members, members, model_spans
from gateway.types import Call, Deployment, Headers, Usage

MESSAGES = "/messages"
COUNT_TOKENS = "/messages/count_tokens"
NATIVE = frozenset({MESSAGES, COUNT_TOKENS})
"""Paths of calls whose clients speak this API themselves."""
MARK = "gateway:"
"""What signatures and data of thinking begin with that the gateway wrote, for providers which sign nothing: it would be
refused here. What signatures of Anthropic's begin with is base64."""
_MARKED = f'"{MARK}'.encode()
_DEFAULTS = frozenset({"temperature", "top_p", "top_k", "stop_sequences", "thinking", "output_config", "service_tier"})
"""Fields that a deployment's `parameters` may fill in where the caller set none: the API's own words."""
_THOUGHTS = ("thinking", "redacted_thinking")


class _Reply(Message, gc=False):
    model: str | None = None


class _Counted(msgspec.Struct, gc=False):
    input_tokens: int


_REPLY = msgspec.json.Decoder(_Reply)
_COUNTED = msgspec.json.Decoder(_Counted)

Naming = Callable[[bytes, Call, Deployment], Sequence[bytes]]
"""Puts the provider's name for the model into a body."""


def named(raw: bytes, call: Call, deployment: Deployment) -> Sequence[bytes]:
    """With the provider's name for the model where the client's was."""
    spans = model_spans(raw) if raw is not call.raw else [call.model_span] if call.model_span else []
    name = msgspec.json.encode(deployment.model)
    if not spans:
        return insert_members(raw, b'"model":' + name)
    start, end = spans[0]
    return raw[:start], name, raw[end:]


def passed(call: Call, deployment: Deployment, naming: Naming = named) -> Sequence[bytes]:
    """The body for this deployment."""
    raw = _without_ours(call.raw) if _MARKED in call.raw else call.raw
    if deployment.parameters:
        given = {member.key for member in members(raw)}
        added = {key: value for key, value in deployment.parameters.items() if key in _DEFAULTS - given}
        if added:
            raw = b"".join(insert_members(raw, msgspec.json.encode(added)[1:-1]))
    return naming(raw, call, deployment)


def _without_ours(raw: bytes) -> bytes:
    """Without thinking that the gateway wrote for models which sign none: part of the talk was with others."""
    body: dict[str, Any] = msgspec.json.decode(raw)
    turns = body.get("messages")
    if isinstance(turns, list):
        # A turn of nothing else is no turn: empty ones are refused.
        body["messages"] = [turn for turn in turns if not _emptied(turn)]
    return msgspec.json.encode(body)


def _emptied(turn: Any) -> bool:
    """Takes what is ours out of a turn; whether that was all of it."""
    content = turn.get("content") if isinstance(turn, dict) else None
    if not isinstance(content, list):
        return False
    turn["content"] = kept = [block for block in content if not _is_ours(block)]
    return bool(content) and not kept


def _is_ours(block: Any) -> bool:
    if not isinstance(block, dict) or block.get("type") not in _THOUGHTS:
        return False
    text = block.get("signature") if block["type"] == "thinking" else block.get("data")
    return isinstance(text, str) and text.startswith(MARK)


def read_passed(body: bytes, call: Call, headers: Headers) -> DecodedReply:
    """A whole message, named as the client did. Raises UpstreamBadResponse, or the error that a 200 hides."""
    try:
        reply = _REPLY.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise UpstreamBadResponse from None
    if reply.error or reply.type == "error":
        raise error_from_event(reply.error or {})
    if reply.content is None:
        raise UpstreamBadResponse
    if reply.model is not None and reply.model != call.model:
        for start, end in reversed(model_spans(body)):
            body = body[:start] + msgspec.json.encode(call.model) + body[end:]
    content_type = dict(headers).get(b"content-type", b"application/json")
    return DecodedReply(body, content_type, reply.usage.counted() if reply.usage is not None else None)


def read_count(body: bytes) -> DecodedReply:
    """An answer to a question for tokens, which is free. Raises UpstreamBadResponse."""
    try:
        _COUNTED.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise UpstreamBadResponse from None
    return DecodedReply(body, b"application/json", Usage())


class _Event(msgspec.Struct, gc=False):
    type: str = ""
    message: _Reply | None = None
    usage: WireUsage | None = None
    error: Any = None


_EVENT = msgspec.json.Decoder(_Event)


class PassedStream:
    """Relays the events as they came. Implements `gateway.ports.StreamDecoder`.

    The opening event waits for the next one that says something: a provider that fails after it has committed us to
    nothing.
    """

    __slots__ = ("_asked", "_held", "_said", "_unfinished", "_usage", "complete", "events", "failure", "relayed_bytes")

    def __init__(self, asked_model: str) -> None:
        self.complete = False
        self.failure: UpstreamError | None = None
        self.events = 0
        self.relayed_bytes = 0
        self._asked = asked_model
        self._usage = WireUsage()
        self._said = False
        """The provider told counts that are worth charging for."""
        self._held: list[bytes] | None = []
        self._unfinished = Unfinished()

    @property
    def usage(self) -> Usage | None:
        """See `gateway.ports.StreamDecoder`; None while only what was read is known."""
        return self._usage.counted() if self._said else None

    @property
    def known_input(self) -> Usage | None:
        """See `gateway.ports.TellsInput`."""
        return self._usage.counted()

    @property
    def text(self) -> tuple[int, int] | None:
        """See `gateway.ports.StreamDecoder`."""
        return None

    def feed(self, data: bytes) -> bytes:
        """See `gateway.ports.StreamDecoder`."""
        if self._closed():
            return b""
        data = self._unfinished.joined(data)
        if b"\r" in data:
            data = normalised(data)
        end = data.rfind(b"\n\n") + 2
        if end == 1:
            if data:
                self._unfinished.keep(data)
            self._bound()
            return b""
        out: list[bytes] = []
        for frame in data[: end - 2].split(b"\n\n"):
            if frame.strip(b"\n"):
                self._frame(frame.strip(b"\n"), out)
                if self._closed():
                    break
        self._unfinished.keep(data[end:])
        self._bound()
        relayed = b"".join(out)
        self.relayed_bytes += len(relayed)
        return relayed

    def end(self) -> bytes:
        """See `gateway.ports.StreamDecoder`: only its last event ends an answer."""
        out = self.feed(b"\n\n") if self._unfinished.size else b""
        if not self._closed():
            self.failure = UpstreamTruncated() if self.events else UpstreamBadResponse()
        return out

    def _closed(self) -> bool:
        return self.complete or self.failure is not None

    def _bound(self) -> None:
        if self._unfinished.size > MAX_EVENT and not self._closed():
            self._unfinished.clear()
            self.failure = UpstreamTooLarge()

    def _frame(self, frame: bytes, out: list[bytes]) -> None:
        payload, _ = parse_frame(frame)
        if payload is None:
            return
        try:
            event = _EVENT.decode(payload)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            self.failure = UpstreamBadEvent()
            return
        kind = event.type
        if kind == "error" or event.error:
            self.failure = error_from_event(event.error or {})
            return
        self.events += 1
        if kind == "message_start" and event.message is not None:
            frame = self._opened(frame, event.message)
        elif event.usage is not None:
            self._usage.update(event.usage)
            self._said = True
        self.complete = kind == "message_stop"
        self._hand_on(frame + b"\n\n", out, opening=kind in ("message_start", "ping"))

    def _opened(self, frame: bytes, message: _Reply) -> bytes:
        if message.usage is not None:
            self._usage.update(message.usage)
        if message.model is None or message.model == self._asked:
            return frame
        text, asked = msgspec.json.encode(message.model), msgspec.json.encode(self._asked)
        for gap in (b'"model":', b'"model": '):
            frame = frame.replace(gap + text, gap + asked, 1)
        return frame

    def _hand_on(self, frame: bytes, out: list[bytes], *, opening: bool) -> None:
        if self._held is None:
            out.append(frame)
            return
        self._held.append(frame)
        if not opening:
            out += self._held
            self._held = None
