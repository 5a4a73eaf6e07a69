"""What real providers sent, through the dialects that translate: the client reads what an independent reading says."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import unquote

import pytest

from gateway.errors import UpstreamError, UpstreamRejected
from gateway.ports import Dialect, StreamDecoder
from gateway.providers import discover
from gateway.providers.wire.openai import OpenAIDialect
from gateway.types import Call, Deployment, Provider, Service, Usage
from tests.providers.contract import reading
from tests.providers.contract.said import Read
from tests.providers.recordings.exchanges import FOLDER, Exchange, exchanges, present
from tests.providers.recordings.readers import Told, readers, said

pytestmark = present
ASKED = "the/asked-model"
READERS = readers()
RECORDED = {
    f"{name}:{exchange.name}": (name, exchange)
    for name, reader in READERS.items()
    for provider, api in reader.recorded
    for exchange in exchanges(provider, api)
    if reader.served(exchange)
}
ASKING = [
    key for key, (name, exchange) in RECORDED.items() if exchange.request is not None and READERS[name].asked(exchange)
]
"""Those whose request was recorded, and says what OpenAI's API has words for."""


def dialect_of(name: str) -> Dialect:
    return discover()[name]


def deployment_of(name: str, model: str = "model") -> Deployment:
    return Deployment("p/model", Provider("p", name, "https://provider.invalid/v1"), model)


def model_of(exchange: Exchange) -> str:
    """In the body, or in the path."""
    asked = exchange.request or {}
    if exchange.path.startswith("/model/"):
        return unquote(exchange.path.split("/")[2])
    return asked.get("model") or exchange.path.rpartition("/models/")[2].partition(":")[0] or "model"


def call_of(exchange: Exchange, raw: bytes = b"{}") -> Call:
    named = raw.find(json.dumps(ASKED).encode())
    return Call(
        "c",
        "r",
        Service.CHAT,
        "/chat/completions",
        ASKED,
        raw,
        0.0,
        stream=exchange.stream,
        include_usage=True,
        has_stream_options=b'"stream_options"' in raw,
        model_span=(named, named + len(ASKED) + 2) if named >= 0 else None,
    )


def check(read: Read, told: Told, usage: Usage | None) -> None:
    assert read.text == told.text
    assert read.reasoning == told.reasoning
    assert read.finish == told.finish
    assert [(name, said(arguments)) for _, name, arguments in read.calls] == [call[1:] for call in told.calls]
    for (id_, _, _), (wanted, _, _) in zip(read.calls, told.calls, strict=True):
        assert wanted in (id_, None)
    counted = usage and (
        usage.input_tokens,
        usage.output_tokens,
        usage.cached_input_tokens,
        usage.cache_write_tokens,
        usage.reasoning_tokens,
    )
    assert counted == told.usage


def test_there_are_recordings() -> None:
    """Where the folder is present it holds answers for every reader."""
    assert FOLDER.is_dir()
    assert {name for name, _ in RECORDED.values()} == set(READERS)


@pytest.mark.parametrize("key", list(RECORDED), ids=list(RECORDED))
def test_answers(key: str) -> None:
    """Text, reasoning, calls, finish reason and counts of a recorded answer; a refusal is an error without URLs."""
    name, exchange = RECORDED[key]
    dialect, reader = dialect_of(name), READERS[name]
    if exchange.status != 200:
        error = dialect.error(exchange.status, exchange.headers, exchange.body)
        assert isinstance(error, UpstreamError)
        assert "://" not in error.public_message
        if isinstance(error, UpstreamRejected):
            assert error.public_status == exchange.status
            assert error.public_message != UpstreamRejected.message
        return
    told = reader.told(exchange)
    if exchange.stream:
        check_stream(dialect, exchange, told)
    elif told.failed:
        with pytest.raises(UpstreamError):
            dialect.decode(call_of(exchange), deployment_of(name, model_of(exchange)), exchange.headers, exchange.body)
    else:
        deployment = deployment_of(name, model_of(exchange))
        reply = dialect.decode(call_of(exchange), deployment, exchange.headers, exchange.body)
        check(reading.whole(reply.body, ASKED), told, reply.usage)


def check_stream(dialect: Dialect, exchange: Exchange, told: Told) -> None:
    body = exchange.body
    for size in (len(body) or 1, 997, 7):
        decoder: StreamDecoder = dialect.stream(call_of(exchange), deployment_of(dialect.name, model_of(exchange)))
        out = b"".join(decoder.feed(body[at : at + size]) for at in range(0, len(body), size)) + decoder.end()
        assert (decoder.failure is not None) == told.failed
        if not told.failed:
            assert decoder.complete
            named = not isinstance(
                dialect, OpenAIDialect
            )  # who imitates OpenAI may name and date each event for itself
            check(reading.streamed(out, ASKED, usage=True, named=named), told, decoder.usage)


@pytest.mark.parametrize("key", ASKING)
def test_requests(key: str) -> None:
    """An OpenAI request that means what was recorded becomes the recorded body, up to what the reader documents."""
    name, exchange = RECORDED[key]
    reader = READERS[name]
    asked: dict[str, Any] | None = reader.asked(exchange)
    assert asked is not None
    assert exchange.request is not None
    raw = json.dumps({"model": ASKED, **asked}).encode()
    parts = dialect_of(name).body(call_of(exchange, raw), deployment_of(name, model_of(exchange)))
    assert isinstance(parts, list | tuple)
    reader.same(b"".join(parts), exchange.request)
