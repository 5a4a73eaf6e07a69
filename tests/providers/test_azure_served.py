"""Azure OpenAI behind the gateway, over sockets: both APIs, a key or Entra's token, filters, the provider's bill."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qs

import openai
import pytest

from tests.support import served
from tests.support.app import Gateway, running
from tests.support.gateway import Mock
from tests.support.served import client, mock
from tests.support.steps import json_reply
from tests.support.upstream import ScriptedUpstream

__all__ = ["client", "mock"]
CONFIG = """
version: 1
providers:
  v1:
    type: azure
    base_url: {mock}/openai/v1
    api_key: azure-canary-81d0
    allow_private_network: true
    retry_attempts: 0
    models: {{gpt-4o: {{price: {{input: 2.5, output: 10}}}}}}
  dated:
    type: azure
    base_url: {mock}/openai/v1
    api_version: "2024-10-21"
    tenant_id: tenant-1
    client_id: client-1
    client_secret: azure-canary-secret-22aa
    authority: {identity}
    deployments: {{gpt-4o-mini: my-mini}}
    allow_private_network: true
    retry_attempts: 0
    models: [gpt-4o-mini, text-embedding-3-small, whisper-1, tts-1, gpt-image-1]
  lab: {{type: azure, base_url: "{mock}/openai/v1", api_key: k, allow_private_network: true, retry_attempts: 0}}
  plain: {{type: openai_compatible, base_url: "{mock}", allow_private_network: true}}
routes:
  - name: filtered
    match: {{model: careful}}
    targets: [{{provider: v1, model: gpt-4o}}, {{provider: plain, model: any}}]
    fallback_on: [content_filter]
"""
USER: list[Any] = [{"role": "user", "content": "grüße 🎈"}]
SAID = "echo: grüße 🎈"


@pytest.fixture(scope="module")
def identity() -> Iterator[ScriptedUpstream]:
    granted = json_reply({"token_type": "Bearer", "access_token": "azure-canary-token-5d10", "expires_in": 3599})
    with ScriptedUpstream(default=granted) as server:
        yield server


@pytest.fixture(scope="module")
def gateway(mock: Mock, identity: ScriptedUpstream) -> Iterator[Gateway]:
    base = mock.url.removesuffix("/v1")
    with running(CONFIG.format(mock=base, identity=identity.base_url)) as gateway:
        yield gateway


@pytest.mark.parametrize("model", ["gpt-4o", "gpt-4o-mini"])
def test_chat(client: openai.OpenAI, model: str) -> None:
    """Whole and streamed, in both APIs, under the name that was asked for."""
    reply = client.chat.completions.create(model=model, messages=USER)
    assert (reply.model, reply.choices[0].message.content) == (model, SAID)
    chunks = list(client.chat.completions.create(model=model, messages=USER, stream=True))
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == SAID
    assert {chunk.model for chunk in chunks} == {model}


def tool(name: str) -> Any:
    schema = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
    return {"type": "function", "function": {"name": name, "parameters": schema}}


@pytest.mark.parametrize("model", ["gpt-4o", "gpt-4o-mini"])
def test_tools_in_a_stream_of_azures_own_client(gateway: Gateway, model: str) -> None:
    """Azure's client talks to the gateway, which talks to Azure: calls, their results, the answer."""
    tools = [tool("one"), tool("two")]
    messages: list[Any] = [{"role": "user", "content": "call:one call:two"}]
    with openai.AzureOpenAI(
        azure_endpoint=f"http://127.0.0.1:{gateway.port}", api_version="2024-10-21", api_key="none", max_retries=0
    ) as azure:
        asked: Any = {"model": model, "tools": tools}
        with azure.chat.completions.stream(**asked, messages=messages) as stream:
            (choice,) = stream.get_final_completion().choices
        calls = choice.message.tool_calls or []
        assert (choice.finish_reason, choice.message.role) == ("tool_calls", "assistant")
        assert [call.function.name for call in calls] == ["one", "two"]
        turn: Any = choice.message.model_dump(include={"role", "content", "tool_calls"})
        results: list[Any] = [{"role": "tool", "tool_call_id": call.id, "content": "done"} for call in calls]
        reply = azure.chat.completions.create(**asked, messages=[*messages, turn, *results])
        assert reply.choices[0].message.content == "tool: done"


def test_everything_else(client: openai.OpenAI, mock: Mock) -> None:
    """Vectors, sounds and pictures by the dated API, responses by both."""
    assert len(client.embeddings.create(model="text-embedding-3-small", input="x", dimensions=9).data[0].embedding) == 9
    sound = client.audio.speech.create(model="tts-1", voice="alloy", input="x", response_format="wav").content
    assert client.audio.transcriptions.create(model="whisper-1", file=("a.wav", sound)).text
    assert client.images.generate(model="gpt-image-1", prompt="x").data
    assert client.responses.create(model="gpt-4o-mini", input="hello").output_text == "echo: hello"
    assert client.responses.create(model="gpt-4o", input="hello").output_text == "echo: hello"
    paths = [seen.path for seen in mock.seen()[-6:]]
    assert paths == [
        "/openai/deployments/text-embedding-3-small/embeddings",
        "/openai/deployments/tts-1/audio/speech",
        "/openai/deployments/whisper-1/audio/transcriptions",
        "/openai/deployments/gpt-image-1/images/generations",
        "/openai/responses",
        "/openai/v1/responses",
    ]


def test_what_it_has_not(gateway: Gateway) -> None:
    """A service that Azure has not is a 400 that says which ones it has."""
    reply = gateway.post("/v1/moderations", {"model": "gpt-4o", "input": "x"})
    assert reply.status == 400
    assert "its providers serve chat, completions, embeddings" in reply.error["message"]


def test_one_token_for_all(gateway: Gateway, identity: ScriptedUpstream, mock: Mock) -> None:
    """Entra is asked once; calls carry the token to the deployment; the log has neither token nor secret nor key."""
    replies = [gateway.chat("gpt-4o-mini") for _ in range(2)]
    assert [reply.status for reply in replies] == [200, 200]
    (asked,) = identity.received
    assert asked.target == "/tenant-1/oauth2/v2.0/token"
    assert parse_qs(asked.body.decode())["client_secret"] == ["azure-canary-secret-22aa"]
    seen = mock.seen()[-1]
    assert seen.path == "/openai/deployments/my-mini/chat/completions"
    assert json.loads(seen.body)["model"] == "my-mini"
    assert b"azure-canary" not in gateway.log_with(replies[-1])


def test_content_filter(gateway: Gateway) -> None:
    """A prompt that the filter refuses is a 400 `content_filter`, or goes where the route has another target."""
    fields = {"messages": [{"role": "user", "content": "content-filter"}]}
    for stream in (False, True):
        reply = gateway.post("/v1/chat/completions", {"model": "gpt-4o", "stream": stream, **fields})
        assert (reply.status, reply.error["code"], reply.error["param"]) == (400, "content_filter", "prompt")
    reply = gateway.post("/v1/chat/completions", {"model": "careful", **fields})
    assert reply.status == 200
    assert reply.header("x-gateway-provider") == "plain"


@pytest.mark.parametrize(
    ("script", "status", "code"),
    [
        ("status-503", 503, "upstream_overloaded"),
        ("status-429+retry-after-3", 429, "upstream_rate_limited"),
        ("status-401", 502, "provider_auth"),
        ("status-404", 404, "model_not_found"),
        ("context-length", 400, "context_length_exceeded"),
        ("error-in-200", 502, "upstream_error"),
    ],
)
def test_errors(gateway: Gateway, script: str, status: int, code: str) -> None:
    """Each failure has the status and code that clients of OpenAI know."""
    served.fails(gateway, "lab", script, (status, code))


@pytest.mark.parametrize("stream", [False, True])
def test_cost(gateway: Gateway, mock: Mock, stream: bool) -> None:
    """What is booked is the provider's bill, by the model's price, whatever its deployment is called."""
    assert gateway.chat("gpt-4o", (("x-request-id", f"azure-cost-{stream}"),), stream=stream).status == 200
    line = gateway.line(f"azure-cost-{stream}")
    row = mock.rows(model="gpt-4o")[-1]
    assert (row["input_tokens"], row["output_tokens"]) == (line["input_tokens"], line["output_tokens"])
    assert line["cost_nano_usd"] == 2500 * row["input_tokens"] + 10_000 * row["output_tokens"]
