"""The upstream's Anthropic answers say what its OpenAI answers say, once the gateway has translated them."""

from __future__ import annotations

from bench import native, payloads
from gateway.providers import discover
from gateway.types import Call, Deployment, Provider, Service

DIALECT = discover()["anthropic"]
DEPLOYMENT = Deployment("p/m", Provider("p", "anthropic", "http://x.invalid/v1"), payloads.MODEL)


def call(*, stream: bool) -> Call:
    raw = payloads.request(stream=stream)
    path = "/chat/completions"
    return Call("c", "r", Service.CHAT, path, payloads.MODEL, raw, 0.0, stream=stream, include_usage=stream)


def test_reply() -> None:
    """Content, finish reason and counts are equal."""
    body = DIALECT.decode(call(stream=False), DEPLOYMENT, [], native.reply()).body
    assert payloads.complaint(body, stream_reply=False) is None


def test_stream() -> None:
    """So are the events of the stream, their number and the end."""
    decoder = DIALECT.stream(call(stream=True), DEPLOYMENT)
    body = decoder.feed(native.stream()) + decoder.end()
    assert payloads.complaint(body, stream_reply=True) is None
