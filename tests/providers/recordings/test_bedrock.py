"""What Bedrock really sent beside Converse: vectors, Responses, and answers of models that were invoked."""

from __future__ import annotations

import base64
import json
from typing import Any
from urllib.parse import unquote

import pytest

from gateway.errors import UnsupportedParameter
from gateway.providers import discover
from gateway.types import Call, Deployment, Provider, Service, Usage
from tests.providers.contract import reading
from tests.providers.recordings.exchanges import Exchange, exchanges, present
from tests.providers.recordings.readers.anthropic import READER as CLAUDE
from tests.providers.recordings.readers.bedrock import streamed, whole
from tests.providers.recordings.test_recordings import ASKED, call_of, check, deployment_of, model_of
from tests.support.eventstream import event, messages

pytestmark = present
BEDROCK = discover()["bedrock"]
_PURPOSES = {"GENERIC_RETRIEVAL": "search_query"}


def recorded(*apis: str) -> dict[str, Exchange]:
    return {exchange.name: exchange for api in apis for exchange in exchanges("bedrock", api)}


VECTORS, RESPONSES, COUNTS = recorded("embeddings"), recorded("responses"), recorded("count_tokens")
INVOKED = recorded("invoke", "invoke-stream")
CLAUDES = {name: one for name, one in INVOKED.items() if "anthropic." in one.path}
NOVAS = {name: one for name, one in INVOKED.items() if "amazon.nova" in one.path}


def test_there_are_recordings() -> None:
    """Of each kind; two more were invoked by prompts, which no API of OpenAI's chats has words for."""
    assert (len(VECTORS), len(RESPONSES), len(CLAUDES), len(NOVAS), len(INVOKED)) == (5, 9, 7, 3, 12)


def _asked(body: dict[str, Any]) -> dict[str, Any]:
    """An OpenAI request that means the same."""
    if "texts" in body:
        return {"input": body["texts"], "input_type": body["input_type"], "truncate": body["truncate"]}
    if "inputText" in body:
        return {"input": body["inputText"], "dimensions": body["dimensions"], "normalize": body["normalize"]}
    given = body["singleEmbeddingParams"]
    return {
        "input": given["text"]["value"],
        "dimensions": given["embeddingDimension"],
        "input_type": _PURPOSES[given["embeddingPurpose"]],
    }


@pytest.mark.parametrize("name", VECTORS)
def test_embeddings(name: str) -> None:
    """The body is the recorded one; every number of every vector, and the count of its tokens, arrives."""
    exchange = VECTORS[name]
    assert exchange.request is not None
    raw = json.dumps({"model": ASKED, **_asked(exchange.request)}).encode()
    call = Call("c", "r", Service.EMBEDDINGS, "/embeddings", ASKED, raw, 0.0, encoding_format="float")
    to = deployment_of("bedrock", model_of(exchange))
    parts = BEDROCK.body(call, to)
    assert isinstance(parts, list | tuple)
    assert json.loads(b"".join(parts)) == exchange.request
    assert BEDROCK.head(call, to, None).target.decode() == f"/v1{exchange.path}"
    reply = BEDROCK.decode(call, to, exchange.headers, exchange.body)
    told = json.loads(exchange.body)
    vectors = [told["embedding"]] if "embedding" in told else told["embeddings"]
    vectors = [one["embedding"] if isinstance(one, dict) else one for one in vectors]
    assert [item["embedding"] for item in json.loads(reply.body)["data"]] == vectors
    assert reply.usage == Usage(int(dict(exchange.headers)[b"x-amzn-bedrock-input-token-count"]))


@pytest.mark.parametrize("name", RESPONSES)
def test_responses(name: str) -> None:
    """Of OpenAI's models: events and replies pass through under the name that was asked for, and are counted."""
    exchange = RESPONSES[name]
    assert exchange.request is not None
    model = exchange.request["model"]
    provider = Provider("p", "bedrock", "https://bedrock-runtime.us-east-1.amazonaws.com", options={})
    to = Deployment("p/m", provider, model)
    call = Call("c", "r", Service.RESPONSES, "/responses", ASKED, b"{}", 0.0, stream=exchange.stream)
    assert BEDROCK.head(call, to, "k").target == b"/openai/v1/responses"
    if exchange.stream:
        decoder = BEDROCK.stream(call, to)
        out = decoder.feed(exchange.body) + decoder.end()
        assert decoder.failure is None
        usage, lines = decoder.usage, exchange.body.decode().splitlines()
        told = [json.loads(line[5:]) for line in lines if line.startswith("data: {")][-1]["response"]
    else:
        reply = BEDROCK.decode(call, to, exchange.headers, exchange.body)
        usage, out, told = reply.usage, reply.body, json.loads(exchange.body)
    assert f'"{model}"'.encode() not in out
    assert usage is not None
    counts = told["usage"]
    assert (usage.input_tokens, usage.output_tokens) == (counts["input_tokens"], counts["output_tokens"])
    assert usage.cached_input_tokens == counts["input_tokens_details"]["cached_tokens"]
    assert usage.reasoning_tokens == counts["output_tokens_details"]["reasoning_tokens"]


def inner(exchange: Exchange) -> list[dict[str, Any]]:
    """What a model's own stream says, out of the frames around it."""
    return [json.loads(base64.b64decode(json.loads(data)["bytes"])) for _, data in messages(exchange.body)]


@pytest.mark.parametrize("name", CLAUDES)
def test_claude_invoked(name: str) -> None:
    """What clients of Anthropic's API are handed on reads as what is inside of Bedrock's frames; and is counted."""
    exchange = CLAUDES[name]
    to = deployment_of("bedrock", model_of(exchange))
    call = Call("c", "r", Service.CHAT, "/messages", ASKED, b"{}", 0.0, stream=exchange.stream)
    if not exchange.stream:
        reply = BEDROCK.decode(call, to, exchange.headers, exchange.body)
        told = CLAUDE.told(exchange)
        assert json.loads(reply.body) == {**json.loads(exchange.body), "model": ASKED}
        assert counted(reply.usage) == told.usage
        return
    events = b"".join(b"data: " + json.dumps(one).encode() + b"\n\n" for one in inner(exchange))
    told = CLAUDE.told(Exchange("x", "bedrock", "messages", True, "", None, 200, (), events))
    for size in (len(exchange.body), 997, 7):
        decoder, out = BEDROCK.stream(call, to), b""
        for at in range(0, len(exchange.body), size):
            out += decoder.feed(exchange.body[at : at + size])
        out += decoder.end()
        assert decoder.complete
        assert CLAUDE.told(Exchange("x", "bedrock", "messages", True, "", None, 200, (), out)) == told
        assert counted(decoder.usage) == told.usage
        assert out.startswith(b"event: message_start\n")


def counted(usage: Usage | None) -> Any:
    assert usage is not None
    return (
        usage.input_tokens,
        usage.output_tokens,
        usage.cached_input_tokens,
        usage.cache_write_tokens,
        usage.reasoning_tokens,
    )


@pytest.mark.parametrize("name", CLAUDES)
def test_claude_asked(name: str) -> None:
    """A client's body with another version and a model becomes the recorded one, at the recorded place."""
    exchange = CLAUDES[name]
    assert exchange.request is not None
    raw = json.dumps({**exchange.request, "anthropic_version": "x", "model": ASKED, "stream": exchange.stream}).encode()
    call = Call("c", "r", Service.CHAT, "/messages", ASKED, raw, 0.0, stream=exchange.stream)
    to = deployment_of("bedrock", model_of(exchange))
    assert unquote(BEDROCK.head(call, to, None).target.decode()) == f"/v1{unquote(exchange.path)}"
    parts = BEDROCK.body(call, to)
    assert isinstance(parts, list | tuple)
    assert json.loads(b"".join(parts)) == exchange.request


@pytest.mark.parametrize("name", NOVAS)
def test_nova_invoked(name: str) -> None:
    """Amazon's own models answer in Converse's words: inside of frames, where it is a stream."""
    exchange = NOVAS[name]
    to = deployment_of("bedrock", model_of(exchange))
    if not exchange.stream:
        reply = BEDROCK.decode(call_of(exchange), to, exchange.headers, exchange.body)
        check(reading.whole(reply.body, ASKED), whole(json.loads(exchange.body)), reply.usage)
        return
    events = [next(iter(one.items())) for one in inner(exchange)]
    decoder = BEDROCK.stream(call_of(exchange), to)
    out = decoder.feed(b"".join(event(kind, **fields) for kind, fields in events)) + decoder.end()
    assert decoder.complete
    check(reading.streamed(out, ASKED, usage=True), streamed(events), decoder.usage)


COUNTED = {name: one for name, one in COUNTS.items() if "invokeModel" in str(one.request)}


@pytest.mark.parametrize("name", COUNTED)
def test_counting(name: str) -> None:
    """What was asked is what we ask for the body inside; the count arrives, and a refusal is none of the client's."""
    exchange = COUNTED[name]
    assert exchange.request is not None
    asked = json.loads(base64.b64decode(exchange.request["input"]["invokeModel"]["body"]))
    raw = json.dumps({**asked, "model": ASKED}).encode()
    call = Call("c", "r", Service.CHAT, "/messages/count_tokens", ASKED, raw, 0.0)
    to = deployment_of("bedrock", model_of(exchange))
    parts = BEDROCK.body(call, to)
    assert isinstance(parts, list | tuple)
    sent = json.loads(b"".join(parts))["input"]["invokeModel"]["body"]
    assert json.loads(base64.b64decode(sent)) == asked
    if exchange.status != 200:
        assert isinstance(BEDROCK.error(exchange.status, exchange.headers, exchange.body), UnsupportedParameter)
        return
    assert unquote(BEDROCK.head(call, to, None).target.decode()) == f"/v1{exchange.path}"
    reply = BEDROCK.decode(call, to, exchange.headers, exchange.body)
    assert json.loads(reply.body) == {"input_tokens": json.loads(exchange.body)["inputTokens"]}
