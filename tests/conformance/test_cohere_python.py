"""Cohere's own SDK with the gateway as its address: rerank works, and what is not served says where it is."""

from __future__ import annotations

import json
from collections.abc import Iterator

import cohere
import httpx
import pytest
from cohere.errors import BadRequestError, NotFoundError, UnauthorizedError

from tests.support.app import Gateway, running
from tests.support.gateway import Mock, mock_process

KEY = "gw-conformance-cohere-sdk-00000000000001"
CONFIG = f"""
version: 1
providers:
  cohere:
    type: cohere
    base_url: ROOT/v2
    api_key: upstream-credential-1
    allow_private_network: true
    retry_attempts: 0
    models: [rerank-v3.5, command-a-03-2025]
  watsonx:
    type: watsonx
    api_url: ROOT
    iam_url: ROOT
    api_key: upstream-credential-2
    project_id: mine
    allow_private_network: true
    retry_attempts: 0
    models: [cross-encoder/ms-marco-minilm-l-12-v2]
  tei:
    type: openai_compatible
    base_url: ROOT/v1
    rerank: tei
    allow_private_network: true
    retry_attempts: 0
    models: [bge-reranker]
  vllm:
    type: vllm
    base_url: ROOT/v1
    retry_attempts: 0
    models: [qwen-reranker]
keys:
  - {{name: all, secret: {KEY}}}
"""
DOCUMENTS = ["a red house", "the blue sea", "a boat on the sea"]


@pytest.fixture(scope="module")
def mock() -> Iterator[Mock]:
    with mock_process() as mock:
        yield mock


@pytest.fixture(scope="module")
def gateway(mock: Mock) -> Iterator[Gateway]:
    with running(CONFIG.replace("ROOT", mock.url.removesuffix("/v1"))) as gateway:
        yield gateway


@pytest.fixture
def http() -> Iterator[httpx.Client]:
    """The SDK's own would stay open."""
    with httpx.Client(timeout=10) as client:
        yield client


@pytest.fixture
def client(gateway: Gateway, http: httpx.Client) -> cohere.ClientV2:
    return cohere.ClientV2(api_key=KEY, base_url=f"http://127.0.0.1:{gateway.port}", httpx_client=http)


@pytest.mark.parametrize(
    "model", ["rerank-v3.5", "cross-encoder/ms-marco-minilm-l-12-v2", "bge-reranker", "qwen-reranker"]
)
def test_rerank(client: cohere.ClientV2, model: str) -> None:
    """At Cohere, watsonx.ai, Text Embeddings Inference and vLLM alike."""
    reply = client.rerank(model=model, query="the sea", documents=DOCUMENTS, top_n=2)
    assert [one.index for one in reply.results] == [1, 2]
    assert reply.results[0].relevance_score == 1.0
    assert reply.id


def test_long_lists(client: cohere.ClientV2, mock: Mock) -> None:
    """A server that takes few documents at once gets them in pieces: one ranking comes back."""
    documents = [f"nothing of {number}" for number in range(100)]
    documents[77], documents[3] = "the sea", "the red"
    reply = client.rerank(model="bge-reranker", query="the sea", documents=documents, top_n=3)
    assert [one.index for one in reply.results] == [77, 3, 0]
    assert sorted(len(json.loads(seen.body)["texts"]) for seen in mock.seen()[-4:]) == [4, 32, 32, 32]


def test_the_first_version(gateway: Gateway, http: httpx.Client) -> None:
    """Its client sends documents as objects, too, and may want them back."""
    client = cohere.Client(api_key=KEY, base_url=f"http://127.0.0.1:{gateway.port}", httpx_client=http)
    documents = [{"text": text} for text in DOCUMENTS]
    for model in ("rerank-v3.5", "bge-reranker"):
        reply = client.rerank(model=model, query="the sea", documents=documents, return_documents=True)
        assert [one.document.text for one in reply.results if one.document] == [DOCUMENTS[at] for at in (1, 2, 0)]


def test_what_is_not_served(client: cohere.ClientV2) -> None:
    """Chat and embeddings are OpenAI's here: a 404 that says so."""
    with pytest.raises(NotFoundError) as chat:
        client.chat(model="command-a-03-2025", messages=[cohere.UserChatMessageV2(content="hi")])
    assert "/v1/chat/completions" in str(chat.value.body)
    with pytest.raises(NotFoundError) as embed:
        client.embed(model="embed-v4.0", input_type="search_query", texts=["x"], embedding_types=["float"])
    assert "/v1/embeddings" in str(embed.value.body)


def test_errors(client: cohere.ClientV2, gateway: Gateway, http: httpx.Client) -> None:
    """The SDK raises what it should, with the reason."""
    with pytest.raises(BadRequestError) as other:
        client.rerank(model="command-a-03-2025", query="x", documents=["x"])
    assert "rerank-v3.5" in str(other.value.body)
    with pytest.raises(NotFoundError):
        client.rerank(model="nobody-has-this", query="x", documents=["x"])
    stranger = cohere.ClientV2(api_key="gw-unknown", base_url=f"http://127.0.0.1:{gateway.port}", httpx_client=http)
    with pytest.raises(UnauthorizedError):
        stranger.rerank(model="rerank-v3.5", query="x", documents=["x"])
