"""Bedrock behind the gateway, over sockets: OpenAI's SDK does not notice, what is sent is signed, what is booked was
charged."""

from __future__ import annotations

import hashlib
import hmac
import json
import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import anthropic
import openai
import pytest

from tests.support import served
from tests.support.app import Gateway, running
from tests.support.gateway import Mock
from tests.support.served import client, mock
from tests.support.steps import json_reply
from tests.support.upstream import Received, ScriptedUpstream

__all__ = ["client", "mock"]
SECRET = "aws-canary-7c41/secret+key"
CONFIG = """
version: 1
providers:
  bedrock:
    type: bedrock
    base_url: {mock}
    openai_base_url: {mock}
    region: eu-west-1
    api_key: bedrock-canary-7c41
    allow_private_network: true
    retry_attempts: 0
    models:
      eu.anthropic.claude-sonnet-4-5-20250929-v1:0: {{price: {{input: 3, output: 15, cached_input: 0.3}}}}
      openai.gpt-oss-120b-1:0: {{}}
      amazon.titan-embed-text-v2:0: {{price: {{input: 0.02}}}}
      cohere.embed-multilingual-v3: {{}}
      cohere.rerank-v3-5:0: {{price: {{per_unit: 0.002}}}}
  lab: {{type: bedrock, base_url: "{mock}", region: r, api_key: k, allow_private_network: true, retry_attempts: 0}}
  signing:
    type: bedrock
    base_url: {bare}
    region: eu-west-1
    access_key_id: AKIDEXAMPLE
    secret_access_key: {secret}
    session_token: session+token==
    allow_private_network: true
    retry_attempts: 0
  plain:
    type: openai_compatible
    base_url: {mock}
    allow_private_network: true
    models: {{gpt: {{price: {{input: 3, output: 15, cached_input: 0.3}}}}}}
routes:
  - name: rescued
    match: {{model: rescued}}
    targets: [{{provider: lab, model: mock-fault/error-after-1}}, {{provider: plain, model: gpt}}]
"""
MODEL = "eu.anthropic.claude-sonnet-4-5-20250929-v1:0"
ODD: Any = {"type": "function", "function": {"name": "time.of/day"}}


@pytest.fixture(scope="module")
def bare() -> Iterator[ScriptedUpstream]:
    message = {"role": "assistant", "content": [{"text": "signed"}]}
    answer = {"output": {"message": message}, "stopReason": "end_turn", "usage": {"inputTokens": 1, "outputTokens": 1}}
    with ScriptedUpstream(default=json_reply(answer)) as server:
        yield server


@pytest.fixture(scope="module")
def gateway(mock: Mock, bare: ScriptedUpstream) -> Iterator[Gateway]:
    with running(CONFIG.format(mock=mock.url, bare=bare.base_url, secret=SECRET)) as gateway:
        yield gateway


def test_chat(client: openai.OpenAI) -> None:
    """A whole answer, under the name that was asked for, with its counts."""
    served.chats(client, MODEL)


def test_stream(client: openai.OpenAI) -> None:
    """A binary event stream becomes chunks: text in pieces, usage when asked for."""
    served.streams(client, MODEL)


def test_tools_in_a_stream(client: openai.OpenAI) -> None:
    """The SDK's own accumulator puts parallel calls together; their results go back and are answered."""
    served.calls_tools(client, MODEL)


def test_one_call_at_a_time(client: openai.OpenAI) -> None:
    """Claude is kept from a second one."""
    messages = served.ask("call:weather call:time")
    reply = client.chat.completions.create(
        model=MODEL, messages=messages, tools=served.TOOLS, parallel_tool_calls=False
    )
    assert len(reply.choices[0].message.tool_calls or []) == 1


def test_names_come_back(client: openai.OpenAI) -> None:
    """A function whose name Bedrock does not take is called by its own name."""
    asked: dict[str, Any] = {
        "model": MODEL,
        "messages": served.ask("x"),
        "tools": [*served.TOOLS, ODD],
        "tool_choice": ODD,
    }
    whole = client.chat.completions.create(**asked)
    for told in (
        str(whole.choices),
        str([chunk.choices for chunk in client.chat.completions.create(**asked, stream=True)]),
    ):
        assert "'time.of/day'" in told
        assert "time_of_day" not in told


def test_structured_output(client: openai.OpenAI) -> None:
    """A JSON Schema is the provider's own structured output."""
    served.gives_json(client, MODEL)


def test_models_that_speak_openai(client: openai.OpenAI) -> None:
    """They are asked by OpenAI's own API, streamed as server-sent events, beside those that are translated."""
    model = "openai.gpt-oss-120b-1:0"
    reply = client.chat.completions.create(model=model, messages=served.ask("hello"), seed=7)
    assert reply.choices[0].message.content == "echo: hello"
    chunks = list(client.chat.completions.create(model=model, messages=served.ask("hello"), stream=True))
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices) == "echo: hello"
    assert client.responses.create(model=model, input="hello").output_text == "echo: hello"


def test_responses(client: openai.OpenAI) -> None:
    """Other models are asked in chat for those who speak Responses."""
    assert client.responses.create(model=MODEL, input="hello").output_text == "echo: hello"


@pytest.fixture(scope="module")
def claude(gateway: Gateway) -> Iterator[anthropic.Anthropic]:
    url = f"http://127.0.0.1:{gateway.port}"
    with anthropic.Anthropic(base_url=url, api_key="none", max_retries=0) as client:
        yield client


def test_messages(claude: anthropic.Anthropic, mock: Mock) -> None:
    """Anthropic's SDK: Claude is invoked with what it asked, streamed or not; other models are asked by Converse."""
    for model in (MODEL, "lab/eu.amazon.nova-lite-v1:0"):
        asked: Any = {"model": model, "max_tokens": 50, "messages": served.ask("grüße 🎈")}
        reply = claude.messages.create(**asked)
        assert [block.text for block in reply.content if block.type == "text"] == ["echo: grüße 🎈"]
        assert (reply.model, reply.usage.output_tokens) == (model, 4)
        with claude.messages.stream(**asked) as stream:
            assert stream.get_final_text() == "echo: grüße 🎈"
    paths = [seen.path.rpartition("/")[2] for seen in mock.seen()[-4:]]
    assert paths == ["invoke", "invoke-with-response-stream", "converse", "converse-stream"]


def test_counting(claude: anthropic.Anthropic, mock: Mock) -> None:
    """Of the model behind a profile; nothing is charged for it."""
    counted = claude.messages.count_tokens(model=MODEL, messages=served.ask("one two three"))
    assert counted.input_tokens == 4
    assert mock.seen()[-1].path == "/model/anthropic.claude-sonnet-4-5-20250929-v1:0/count-tokens"


def test_embeddings(client: openai.OpenAI, mock: Mock) -> None:
    """One by one where the model takes one text, in one call where it takes many; in order, and counted."""
    for model, calls in (("amazon.titan-embed-text-v2:0", 3), ("cohere.embed-multilingual-v3", 1)):
        reply = client.embeddings.create(model=model, input=["one", "two", "three four"])
        assert [item.index for item in reply.data] == [0, 1, 2]
        assert reply.usage.prompt_tokens == 5
        assert len(mock.rows(model=model)) == calls
        alone = client.embeddings.create(model=model, input="three four")
        assert alone.data[0].embedding == reply.data[2].embedding


def test_rerank(gateway: Gateway) -> None:
    """The best first, with their documents; a search is booked as one."""
    documents = ["a red house", {"text": "a blue boat on the sea"}, "the sea"]
    body = {"model": "cohere.rerank-v3-5:0", "query": "the sea", "documents": documents, "top_n": 1}
    reply = gateway.post("/v1/rerank", {**body, "return_documents": True}, (("x-request-id", "searched"),))
    assert reply.status == 200, reply.body
    (result,) = json.loads(reply.body)["results"]
    assert (result["index"], result["document"]) == (1, documents[1])
    assert gateway.line("searched")["cost_nano_usd"] == 2_000_000


@pytest.mark.parametrize(
    ("script", "status", "code"),
    [
        ("status-503", 503, "upstream_overloaded"),
        ("status-429+retry-after-3", 429, "upstream_rate_limited"),
        ("status-403", 502, "provider_auth"),
        ("status-500", 502, "upstream_error"),
        ("status-424", 502, "upstream_error"),
        ("context-length", 400, "context_length_exceeded"),
    ],
)
def test_errors(gateway: Gateway, script: str, status: int, code: str) -> None:
    """Each failure of Bedrock's has the status and code that clients of OpenAI know."""
    served.fails(gateway, "lab", script, (status, code))


def test_broken_streams(gateway: Gateway) -> None:
    """A stream that breaks ends with an error frame and `[DONE]`, whether it says so, is cut or is garbled."""
    served.breaks(gateway, "lab", "error-after-5", "end-after-5", "malformed-after-5", "cut-after-900")


def test_streams_in_pieces(gateway: Gateway) -> None:
    """Reads of three bytes make the same answer."""
    reply = gateway.chat("lab/mock-fault/split-3+tokens-6", stream=True)
    assert reply.status == 200
    assert sum(bool(chunk["choices"][0]["delta"].get("content")) for chunk in reply.events[:-1]) == 6


def test_failing_before_a_word_falls_over(gateway: Gateway) -> None:
    """An exception before the first word leaves room for another deployment, streamed or not."""
    served.falls_over(gateway)


@pytest.mark.parametrize("stream", [False, True])
def test_cost_is_that_of_any_provider(gateway: Gateway, mock: Mock, stream: bool) -> None:
    """The same prices and counts give the same cost as a provider that speaks OpenAI's API, and the provider's bill."""
    served.costs(gateway, mock, (MODEL, "gpt"), stream=stream)


@pytest.mark.parametrize(
    "model", ["eu.amazon.nova-lite-v1:0", "arn:aws:bedrock:eu-west-1:1:inference-profile/eu.x.y-v1:0"]
)
def test_what_arrives_is_signed(gateway: Gateway, bare: ScriptedUpstream, model: str) -> None:
    """The signature fits what came out of the socket: path, host, own headers and every byte of the body."""
    reply = gateway.chat(f"signing/{model}")
    assert reply.status == 200, reply.body
    came = bare.received[-1]
    given = came.header("authorization") or ""
    assert given.endswith(f"Signature={expected(came)}")
    assert came.header("x-amz-security-token") == "session+token=="
    log = gateway.log_with(reply)
    for secret in (b"aws-canary", b"session+token", b"bedrock-canary", b"AKIDEXAMPLE"):
        assert secret not in log + reply.body


def expected(came: Received) -> str:
    """As AWS would compute it: https://docs.aws.amazon.com/IAM/latest/UserGuide/create-signed-request.html"""
    given = came.header("authorization") or ""
    found = re.search(r"Credential=AKIDEXAMPLE/(\d{8})/([\w-]+)/([\w-]+)/aws4_request, SignedHeaders=([\w;-]+)", given)
    assert found is not None, given
    day, region, service, names = found.groups()
    assert (region, service) == ("eu-west-1", "bedrock")
    assert names == "host;x-amz-date;x-amz-security-token"
    headers = "".join(f"{name}:{came.header(name)}\n" for name in names.split(";"))
    body = hashlib.sha256(came.body).hexdigest()
    canonical = "\n".join((came.method, quote(came.target, safe="/~"), "", headers, names, body))
    digest = hashlib.sha256(canonical.encode()).hexdigest()
    scope = f"{day}/{region}/{service}/aws4_request"
    text = f"AWS4-HMAC-SHA256\n{came.header('x-amz-date')}\n{scope}\n{digest}"
    key = b"AWS4" + SECRET.encode()
    for part in (day, region, service, "aws4_request", text):
        key = hmac.new(key, part.encode(), hashlib.sha256).digest()
    return key.hex()
