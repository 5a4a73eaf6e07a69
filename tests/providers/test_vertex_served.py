"""Vertex AI behind the gateway, over sockets: a service account's token, Google's models, Claude, embeddings."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import openai
import pytest

from tests.support.app import Gateway, running
from tests.support.gateway import Mock
from tests.support.served import client, mock
from tests.support.steps import json_reply
from tests.support.upstream import ScriptedUpstream

from .test_vertex import written

__all__ = ["client", "mock"]
CONFIG = """
version: 1
providers:
  vertex:
    type: vertex
    base_url: {mock}
    project: mine
    location: global
    credentials_file: {file}
    allow_private_network: true
    retry_attempts: 0
    models: [gemini-3-flash-preview, claude-sonnet-4-6, text-embedding-005, gemini-embedding-001]
  bare:
    type: vertex
    base_url: {identity}
    project: mine
    location: global
    credentials_file: {file}
    allow_private_network: true
    retry_attempts: 0
"""
ASK: list[Any] = [{"role": "user", "content": "grüße 🎈"}]


@pytest.fixture(scope="module")
def identity() -> Iterator[ScriptedUpstream]:
    granted = json_reply({"access_token": "ya29.vertex-canary-5d10", "expires_in": 3599})
    with ScriptedUpstream(default=granted) as server:
        yield server


@pytest.fixture(scope="module")
def gateway(mock: Mock, identity: ScriptedUpstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    file: Path = tmp_path_factory.mktemp("account")
    account = written(file, token_uri=f"{identity.base_url}/token")
    with running(CONFIG.format(mock=mock.url, identity=identity.base_url, file=account)) as gateway:
        yield gateway


@pytest.mark.parametrize("model", ["gemini-3-flash-preview", "claude-sonnet-4-6"])
def test_chat(client: openai.OpenAI, model: str) -> None:
    """Whole and streamed, under the name that was asked for."""
    reply = client.chat.completions.create(model=model, messages=ASK)
    assert reply.choices[0].message.content == "echo: grüße 🎈"
    assert reply.model == model
    chunks = list(client.chat.completions.create(model=model, messages=ASK, stream=True))
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == "echo: grüße 🎈"


def test_embeddings(client: openai.OpenAI, mock: Mock) -> None:
    """In one call where the model takes many texts, one by one where it does not; in order, and counted."""
    for model, calls in (("text-embedding-005", 1), ("gemini-embedding-001", 3)):
        reply = client.embeddings.create(model=model, input=["one", "two", "three"], dimensions=5)
        assert [len(item.embedding) for item in reply.data] == [5, 5, 5]
        assert reply.usage.prompt_tokens == 4
        assert len(mock.rows(model=model)) == calls


def test_one_token_for_all(gateway: Gateway, identity: ScriptedUpstream) -> None:
    """The account is asked once, however many calls there are; they carry the token, the log has neither it nor the
    key."""
    assert gateway.chat("gemini-3-flash-preview").status == 200
    assert [request.target for request in identity.received] == ["/token"]
    replies = [gateway.chat("bare/gemini-x") for _ in range(2)]
    assert [reply.status for reply in replies] == [502, 502]
    asked, *called = identity.received[1:]
    assert asked.target == "/token"
    assert len(called) == 2
    assert {request.header("authorization") for request in called} == {"Bearer ya29.vertex-canary-5d10"}
    log = gateway.log_with(replies[-1])
    assert b"vertex-canary" not in log
    assert b"PRIVATE" not in log
