"""One dialect that translates, by itself: what it sends for a request, what a client reads of its answers."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from gateway.ports import DecodedReply, Dialect, RequestHead, StreamDecoder
from gateway.providers import discover
from gateway.types import Call, Deployment, Provider, Service
from tests.providers.contract import reading
from tests.providers.contract.said import Read

ASKED = "asked"
PATHS = {Service.CHAT: "/chat/completions", Service.EMBEDDINGS: "/embeddings", Service.RERANK: "/rerank"}
USER: dict[str, Any] = {"role": "user", "content": "hi"}


@cache
def dialects() -> Mapping[str, Dialect]:
    """All that are built in: looking for them each time would be most of a test's work."""
    return discover()


def call_of(service: Service = Service.CHAT, *, stream: bool = False, **fields: Any) -> Call:
    """A client's request; `encoding_format` is read as the gateway reads it."""
    raw = json.dumps({"model": ASKED, **fields}).encode()
    start = raw.index(b'"asked"')
    path = PATHS.get(service, "/x")
    call = Call("c1", "r1", service, path, ASKED, raw, 0.0, stream=stream, include_usage=True)
    call.encoding_format = fields.get("encoding_format")
    call.model_span = (start, start + len(ASKED) + 2)
    return call


@dataclass(frozen=True)
class Translated:
    """A dialect with a provider of its own."""

    name: str
    base_url: str
    model: str
    options: Mapping[str, Any] = field(default_factory=dict)

    @property
    def dialect(self) -> Dialect:
        return dialects()[self.name]

    def deployment(self, model: str = "", **settings: Any) -> Deployment:
        """Of this model; `settings` are the provider's."""
        parameters = settings.pop("parameters", {})
        given = {"options": self.options, **settings}
        provider = Provider("p", self.name, self.base_url, **given)
        name = model or self.model
        return Deployment(f"p/{name}", provider, name, parameters=parameters)

    def head(self, call: Call, model: str = "", **settings: Any) -> RequestHead:
        """Where it is sent."""
        return self.dialect.head(call, self.deployment(model, **settings), "secret")

    def sent(self, call: Call, model: str = "", **settings: Any) -> dict[str, Any]:
        """The native body of a request."""
        parts = self.dialect.body(call, self.deployment(model, **settings))
        assert isinstance(parts, list | tuple)
        body: dict[str, Any] = json.loads(b"".join(parts))
        return body

    def chat(self, *messages: dict[str, Any], model: str = "", unsupported: str = "error", **fields: Any) -> Any:
        """The native body of a chat; without messages a user says `hi`."""
        call = call_of(messages=list(messages) or [USER], **fields)
        return self.sent(call, model, unsupported=unsupported)

    def decode(self, call: Call, body: Any, model: str = "", **settings: Any) -> DecodedReply:
        """Of a native answer, JSON unless it is bytes."""
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        return self.dialect.decode(call, self.deployment(model, **settings), [], raw)

    def answered(self, call: Call, body: Any, model: str = "") -> dict[str, Any]:
        """What the client gets of it."""
        reply: dict[str, Any] = json.loads(self.decode(call, body, model).body)
        return reply

    def decoder(self, **fields: Any) -> StreamDecoder:
        """Of an answer to a request with these fields."""
        return self.dialect.stream(call_of(stream=True, **fields), self.deployment())

    def streamed(self, *events: bytes, **fields: Any) -> Read:
        """What a client reads of a complete stream."""
        one = self.decoder(**fields)
        out = one.feed(b"".join(events)) + one.end()
        assert one.failure is None
        return reading.streamed(out, ASKED, usage=one.usage is not None)

    def whole(self, body: Any, **fields: Any) -> Read:
        """What a client reads of a whole answer to a request with these fields."""
        return reading.whole(self.decode(call_of(**fields), body).body, ASKED)
