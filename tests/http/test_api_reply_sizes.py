"""Answers of the sizes that providers send: vectors of thousands of inputs, pictures whole and in one event."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.http.test_api_uploads import END, FILE, KIND, part
from tests.support.app import Gateway, running
from tests.support.served import up
from tests.support.steps import json_reply, sse
from tests.support.upstream import ScriptedUpstream

MIB = 1 << 20
__all__ = ["up"]
CONFIG = """
version: 1
providers:
  big: {{type: openai, api_key: k, base_url: "{url}/v1", allow_private_network: true, retry_attempts: 0, models: [x]}}
"""


@pytest.fixture(scope="module")
def gateway(up: ScriptedUpstream) -> Iterator[Gateway]:
    with running(CONFIG.format(url=up.base_url)) as gateway:
        yield gateway


@pytest.fixture(autouse=True)
def _rested(gateway: Gateway) -> None:
    gateway.worker.board.forget()


def vectors(count: int, embedding: Any) -> Any:
    """An answer with so many vectors."""
    return json_reply({"data": [{"index": at, "embedding": embedding} for at in range(count)], "model": "x"})


@pytest.mark.slow
def test_vectors_of_two_thousand_inputs(gateway: Gateway, up: ScriptedUpstream) -> None:
    """2,048 vectors of 3,072 dimensions in base64 are 32 MiB before any JSON."""
    up.then(vectors(2048, "A" * 16384))
    body = {"model": "x", "input": ["a"] * 2048, "encoding_format": "base64"}
    reply = gateway.post("/v1/embeddings", body)
    assert reply.status == 200, reply.body[:300]
    assert len(reply.body) > 32 * MIB


def test_vectors_as_numbers(gateway: Gateway, up: ScriptedUpstream) -> None:
    """As numbers they take four times that, and come in the form that was asked for."""
    up.then(vectors(600, [-0.012345678901234567] * 3072))
    reply = gateway.post("/v1/embeddings", {"model": "x", "input": ["a"] * 600, "encoding_format": "base64"})
    assert reply.status == 200, reply.body[:300]
    found = reply.json["data"]
    assert len(found) == 600
    assert {len(base64.b64decode(item["embedding"])) for item in found} == {4 * 3072}


@pytest.mark.parametrize("inputs", [["a"], "a"])
def test_more_than_was_asked_for_is_not_held(gateway: Gateway, up: ScriptedUpstream, inputs: Any) -> None:
    """One input has no answer of more than 32 MiB: it is given up, once, and the provider stays in rotation."""
    up.default = vectors(2100, "A" * 16384)
    up.received.clear()
    for _ in range(6):
        reply = gateway.post("/v1/embeddings", {"model": "x", "input": inputs})
        assert (reply.status, reply.error["code"]) == (502, "bad_upstream_response")
    assert len(up.received) == 6


@pytest.mark.slow
def test_several_pictures(gateway: Gateway, up: ScriptedUpstream) -> None:
    """Each picture that was asked for has its own room."""
    up.default = json_reply({"created": 1, "data": [{"b64_json": "A" * (11 * MIB)}] * 3})
    reply = gateway.post("/v1/images/generations", {"model": "x", "prompt": "p", "n": 3})
    assert reply.status == 200, reply.body[:300]
    # A form may say how many after its file.
    form = part("model", b"x") + FILE + part("n", b"3") + END
    assert gateway.post("/v1/images/edits", form, KIND).status == 200


@pytest.mark.parametrize("size", [MIB // 2, 5 * MIB])
@pytest.mark.parametrize(
    ("path", "kind"),
    [("/v1/images/generations", "image_generation.completed"), ("/v1/responses", "response.completed")],
)
def test_a_picture_in_one_event(gateway: Gateway, up: ScriptedUpstream, size: int, path: str, kind: str) -> None:
    """A streamed picture is a single event of megabytes, as is the last event of a response with one in it."""
    event = {"type": kind, "b64_json": "A" * size, "usage": {"input_tokens": 3, "output_tokens": 5}}
    data = f"event: {kind}\ndata: {json.dumps(event)}\n\n".encode()
    for _ in range(6):  # more than a breaker lets pass
        up.then(sse([data], done=False))
        reply = gateway.post(path, {"model": "x", "prompt": "p", "input": "p", "stream": True})
        assert reply.status == 200, reply.body[:300]
        assert reply.body == data
