"""A client of the Messages API that reads events as its documents say, and chunks as OpenAI's API has them."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from gateway.bridges.dialect import BridgedDialect
from gateway.bridges.messages.bridge import MessagesToChat
from gateway.ports import Dialect, StreamDecoder
from gateway.providers.wire.openai import OpenAIDialect
from gateway.types import Call, Deployment, Provider, Service

OPENAI = OpenAIDialect("openai_compatible")
SAYS = [{"role": "user", "content": "hello"}]


def deployment(model: str = "theirs", kind: str = "openai_compatible", **more: Any) -> Deployment:
    own = {name: more.pop(name) for name in ("capabilities", "max_output_tokens", "parameters") if name in more}
    return Deployment(f"p/{model}", Provider("p", kind, "https://provider.invalid/v1", ("k",), **more), model, **own)


def call(**fields: Any) -> Call:
    """As the HTTP room makes it."""
    raw = json.dumps({"model": "asked", "max_tokens": 100, "messages": SAYS, **fields}, ensure_ascii=False).encode()
    start = raw.index(b'"asked"')
    return Call(
        "call-1",
        "req-1",
        Service.CHAT,
        "/messages",
        "asked",
        raw,
        0.0,
        stream=bool(fields.get("stream")),
        max_tokens=100,
        input_tokens=len(raw) // 4,
        model_span=(start, start + 7),
        forwarded=[(b"anthropic-version", b"2023-06-01")],
    )


def bridged(inner: Dialect = OPENAI) -> BridgedDialect:
    return BridgedDialect(inner, MessagesToChat())


def asked(to: Deployment | None = None, inner: Dialect = OPENAI, **fields: Any) -> dict[str, Any]:
    """The body that a provider of OpenAI's API gets for this request."""
    parts = bridged(inner).body(call(**fields), to or deployment())
    assert isinstance(parts, list | tuple)
    body: dict[str, Any] = json.loads(b"".join(parts))
    return body


def answered(reply: dict[str, Any], **fields: Any) -> dict[str, Any]:
    """The message that a client gets when the provider answers so."""
    told = bridged().decode(call(**fields), deployment(), (), json.dumps(reply).encode())
    assert told.content_type == b"application/json"
    message: dict[str, Any] = json.loads(told.body)
    return message


def chat(message: dict[str, Any], finish: str | None = "stop", **more: Any) -> dict[str, Any]:
    """A whole chat answer."""
    choice = {"index": 0, "message": {"role": "assistant", "content": None, **message}, "finish_reason": finish, **more}
    usage = {"prompt_tokens": 11, "completion_tokens": 7, "total_tokens": 18}
    return {"id": "c", "object": "chat.completion", "model": "theirs", "choices": [choice], "usage": usage}


def chunk(delta: dict[str, Any] | None = None, finish: str | None = None, **more: Any) -> bytes:
    choice = {"index": 0, "delta": delta or {}, "finish_reason": finish, **more}
    return frame({"choices": [choice]})


def frame(fields: dict[str, Any]) -> bytes:
    told = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "theirs", **fields}
    return b"data: " + json.dumps(told, ensure_ascii=False).encode() + b"\n\n"


def tool(index: int, arguments: str | None = None, **more: Any) -> dict[str, Any]:
    """A fragment of a call; with `id` and `name` its first."""
    function = {
        key: value for key, value in (("name", more.pop("name", None)), ("arguments", arguments)) if value is not None
    }
    return {"tool_calls": [{"index": index, **more, "function": function}]}


COUNTED = frame({"choices": [], "usage": {"prompt_tokens": 11, "completion_tokens": 7, "total_tokens": 18}})
DONE = b"data: [DONE]\n\n"


def whole(*chunks: bytes, finish: str = "stop") -> bytes:
    """A stream from its role to its end."""
    opening = chunk({"role": "assistant", "content": ""})
    return b"".join((opening, *chunks, chunk(finish=finish), COUNTED, DONE))


def stream(inner: Dialect = OPENAI, **fields: Any) -> StreamDecoder:
    return bridged(inner).stream(call(stream=True, **fields), deployment())


def streamed(data: bytes, *, size: int | None = None, **fields: Any) -> Heard:
    """What a client hears of a stream that comes in reads of `size` bytes."""
    return heard_of(*relayed(data, size=size, **fields))


def relayed(data: bytes, *, size: int | None = None, **fields: Any) -> tuple[bytes, StreamDecoder]:
    decoder = stream(**fields)
    step = size or max(1, len(data))
    out = b"".join(decoder.feed(data[at : at + step]) for at in range(0, len(data), step))
    return out + decoder.end(), decoder


@dataclass
class Heard:
    """A message put together from its events; made of no more than they say."""

    message: dict[str, Any] = field(default_factory=dict)
    kinds: list[str] = field(default_factory=list)
    complete: bool = False
    failure: str = ""

    @property
    def blocks(self) -> list[dict[str, Any]]:
        content: list[dict[str, Any]] = self.message["content"]
        return content

    @property
    def text(self) -> str:
        return "".join(block["text"] for block in self.blocks if block["type"] == "text")


def heard_of(data: bytes, decoder: StreamDecoder | None = None) -> Heard:
    """Read events, and insist on their grammar: one start, one block open at a time, dense indexes, one stop.

    Raises AssertionError for whatever an SDK could stumble over.
    """
    heard = Heard(failure=type(decoder.failure).__name__ if decoder is not None and decoder.failure else "")
    open_, arguments = -1, ""
    assert data == b"" or data.endswith(b"\n\n")
    for one in data.decode().split("\n\n")[:-1]:
        named, told = one.split("\n")
        event = json.loads(told.removeprefix("data: "))
        kind = event["type"]
        assert named == f"event: {kind}"
        assert not heard.complete, "an event after message_stop"
        assert (kind == "message_start") == (not heard.kinds)
        heard.kinds.append(kind)
        if kind == "message_start":
            heard.message = event["message"]
            assert heard.message["content"] == []
        elif kind == "content_block_start":
            assert open_ == -1, "two blocks are open"
            assert event["index"] == len(heard.blocks)
            open_, arguments = event["index"], ""
            heard.blocks.append(event["content_block"])
        elif kind == "content_block_delta":
            assert event["index"] == open_
            arguments += _told(heard.blocks[open_], event["delta"])
        elif kind == "content_block_stop":
            assert event["index"] == open_
            if heard.blocks[open_]["type"] == "tool_use":
                assert heard.blocks[open_]["input"] == {}
                heard.blocks[open_]["input"] = _parsed(arguments)
            open_ = -1
        elif kind == "message_delta":
            assert open_ == -1
            heard.message.update(event["delta"])
            heard.message["usage"].update(event["usage"])
        elif kind == "message_stop":
            assert heard.message["stop_reason"]
            heard.complete = True
        else:
            assert kind == "ping"
    return heard


def _parsed(arguments: str) -> Any:
    """As the text that it is where the model wrote no JSON, or was cut off; nothing is an empty object."""
    try:
        return json.loads(arguments or "{}")
    except json.JSONDecodeError:
        return arguments


def _told(block: dict[str, Any], delta: dict[str, Any]) -> str:
    """A delta put into the block whose type it fits; arguments of tools are returned."""
    kinds = {
        "text": ("text_delta",),
        "thinking": ("thinking_delta", "signature_delta"),
        "tool_use": ("input_json_delta",),
    }
    assert delta["type"] in kinds[block["type"]], (block["type"], delta["type"])
    if delta["type"] == "input_json_delta":
        return str(delta["partial_json"])
    name = delta["type"].removesuffix("_delta")
    block[name] = delta[name] if name == "signature" else block[name] + delta[name]
    return ""
