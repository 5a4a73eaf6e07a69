"""One dialect at a test's bench: bodies as its provider gets them, answers as clients read them, without a socket."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from gateway.ports import RequestHead, StreamDecoder
from gateway.providers import discover
from gateway.types import Call, Deployment, Provider, Service
from tests.providers.contract import reading
from tests.providers.contract.said import Read

ASKED = "asked"
_PATHS = {Service.CHAT: "/chat/completions"}


class Bench:
    """A provider type, with the model that its tests use unless they name another."""

    def __init__(self, name: str, base_url: str, model: str, options: Mapping[str, Any] | None = None) -> None:
        self.dialect = discover()[name]
        self._base_url, self._model, self._options = base_url, model, options or {}

    def deployment(self, model: str = "", **settings: Any) -> Deployment:
        settings = {"options": self._options, **settings}
        model = model or self._model
        return Deployment(f"p/{model}", Provider("p", self.dialect.name, self._base_url, **settings), model)

    def call(self, fields: dict[str, Any], *, stream: bool = False, service: Service = Service.CHAT) -> Call:
        raw = json.dumps({"model": ASKED, **fields}).encode()
        start = raw.index(b'"asked"')
        path = _PATHS.get(service, f"/{service.value}")
        span = (start, start + len(ASKED) + 2)
        one = Call("c", "r", service, path, ASKED, raw, 0.0, stream=stream, include_usage=True, model_span=span)
        one.encoding_format = fields.get("encoding_format")
        return one

    def head(self, call: Call, to: Deployment, credential: str | None = None) -> RequestHead:
        return self.dialect.head(call, to, credential)

    def body(self, call: Call, to: Deployment) -> dict[str, Any]:
        """The native body of a call."""
        parts = self.dialect.body(call, to)
        assert isinstance(parts, list | tuple)
        body: dict[str, Any] = json.loads(b"".join(parts))
        return body

    def sent(self, model: str = "", unsupported: str = "error", **fields: Any) -> dict[str, Any]:
        """That of a chat; `messages` is a user's `hi` unless given."""
        fields = {"messages": [{"role": "user", "content": "hi"}], **fields}
        return self.body(self.call(fields), self.deployment(model, unsupported=unsupported))

    def decoder(self, fields: dict[str, Any] | None = None) -> StreamDecoder:
        return self.dialect.stream(self.call(fields or {}, stream=True), self.deployment())

    def streamed(self, *frames: bytes, asked: dict[str, Any] | None = None) -> Read:
        """What a client reads of a complete stream."""
        one = self.decoder(asked)
        out = one.feed(b"".join(frames)) + one.end()
        assert one.failure is None, one.failure
        return reading.streamed(out, ASKED, usage=one.usage is not None)

    def decoded(self, body: bytes, asked: dict[str, Any] | None = None) -> Read:
        """What a client reads of a whole answer."""
        return reading.whole(self.dialect.decode(self.call(asked or {}), self.deployment(), [], body).body, ASKED)
