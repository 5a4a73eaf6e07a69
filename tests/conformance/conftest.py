"""One gateway and one scripted provider for all tests of a worker, and clients as applications make them."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from typing import Any

import openai
import pytest

from tests.support.gateway import GatewayProcess, Mock, mock_process

from .applications import Application, application, install

KEY = "gw-conformance-everything-000000000001"
GPT_KEY = "gw-conformance-gpt-models-000000000002"
EMBED_KEY = "gw-conformance-embeddings-000000000003"
TIGHT_KEY = "gw-conformance-three-a-minute-00000004"
TINY_KEY = "gw-conformance-few-tokens-000000000005"
NODE_TIGHT_KEY = "gw-conformance-three-a-minute-node-0005b"
PAIR_KEYS = ("gw-conformance-one-a-minute-first-00005c", "gw-conformance-one-a-minute-second-0005d")
TIGHT_MESSAGES_KEY = "gw-conformance-two-a-minute-messages-0005e"
POOR_KEY = "gw-conformance-nearly-no-money-00000005f"
UNKNOWN_KEY = "gw-conformance-nobody-has-this-one-0006"
BATCH = 16
"""Inputs per upstream embeddings call."""
MAX_BODY = 8 * 1024 * 1024
CHATS = ("gpt-4o", "claude/any", "bedrock/anthropic.claude-sonnet-4-5")
"""A model that is passed through, and one of each provider whose API is translated: applications must not notice."""
LABS = ("lab", "claude", "bedrock")
"""Their providers that serve any model: faults are asked for by name."""

RESPONDERS = ("plain", "claude", "gemini")
"""Providers of any model whose clients may speak the Responses API, though they have only chat."""

CONFIG = f"""
version: 1
providers:
  named:
    type: openai
    base_url: MOCK
    api_key: upstream-credential-1
    allow_private_network: true
    breaker: false
    retry_attempts: 0
    batch_size: {BATCH}
    models: [gpt-4o, gpt-4o-mini, org/model-7b, text-embedding-3-small, whisper-1, tts-1, gpt-image-1, dall-e-2,
             omni-moderation-latest]
  lab:                                   # serves any model: faults are asked for by name
    type: openai
    base_url: MOCK
    api_key: upstream-credential-2
    allow_private_network: true
    breaker: false
    retry_attempts: 0
    batch_size: {BATCH}
    timeout: {{connect: 5, first_byte: 5, idle: 0.3, total: 20}}
  claude:                                # serves any model too, by Anthropic's API
    type: anthropic
    base_url: MOCK
    api_key: upstream-credential-6
    allow_private_network: true
    breaker: false
    retry_attempts: 0
    timeout: {{connect: 5, first_byte: 5, idle: 0.3, total: 20}}
  gemini:                                # and by Google's
    type: gemini
    base_url: MOCK
    api_key: upstream-credential-7
    allow_private_network: true
    retry_attempts: 0
    timeout: {{connect: 5, first_byte: 5, idle: 0.3, total: 20}}
  plain:                                 # has chat alone: other APIs are translated to it
    type: openai
    api: chat
    base_url: MOCK
    api_key: upstream-credential-8
    allow_private_network: true
    breaker: false
    retry_attempts: 0
    timeout: {{connect: 5, first_byte: 5, idle: 0.3, total: 20}}
  pro:                                   # and one that has the Responses API alone
    type: openai
    api: responses
    base_url: MOCK
    api_key: upstream-credential-9
    allow_private_network: true
    breaker: false
    retry_attempts: 0
    timeout: {{connect: 5, first_byte: 5, idle: 0.3, total: 20}}
  cohere:                                # and by Cohere's
    type: cohere
    base_url: ROOT/v2
    api_key: upstream-credential-12
    allow_private_network: true
    retry_attempts: 0
    timeout: {{connect: 5, first_byte: 5, idle: 0.3, total: 20}}
  watsonx:                               # and by IBM's, with a token for its key
    type: watsonx
    api_url: ROOT
    iam_url: ROOT
    api_key: upstream-credential-13
    project_id: mine
    unsupported: drop                    # `strict`, which the SDK's helpers set
    allow_private_network: true
    retry_attempts: 0
    timeout: {{connect: 5, first_byte: 5, idle: 0.3, total: 20}}
  bedrock:                               # and by Amazon's, in binary event streams
    type: bedrock
    base_url: MOCK
    region: eu-west-1
    access_key_id: upstream-credential-10
    secret_access_key: upstream-credential-11
    allow_private_network: true
    retry_attempts: 0
    timeout: {{connect: 5, first_byte: 5, idle: 0.3, total: 20}}
  guarded:                               # Claude there too, asked by Converse: no other API has guardrails
    type: bedrock
    base_url: MOCK
    region: eu-west-1
    api_key: upstream-credential-14
    allow_private_network: true
    retry_attempts: 0
    models:
      anthropic.claude-sonnet-4-5:
        parameters: {{guardrail_config: {{guardrailIdentifier: g, guardrailVersion: "1"}}}}
  retrying:
    type: openai
    base_url: MOCK
    api_key: upstream-credential-3
    allow_private_network: true
    breaker: false
    retry_attempts: 2
    retry_delay: 0.01
  impatient:
    type: openai
    base_url: MOCK
    api_key: upstream-credential-4
    allow_private_network: true
    breaker: false
    retry_attempts: 0
    timeout: {{connect: 5, first_byte: 0.2, idle: 0.2, total: 20}}
  nowhere:
    type: openai
    base_url: http://127.0.0.1:1/v1
    api_key: upstream-credential-5
    allow_private_network: true
    breaker: false
    retry_attempts: 0
routes:
  - {{name: fast, match: {{model: fast}}, targets: [{{provider: named, model: gpt-4o-mini}}]}}
  - name: rescued
    match: {{model: rescued}}
    targets: [{{provider: nowhere, model: any}}, {{provider: named, model: gpt-4o}}]
  - name: either
    match: {{model: either}}
    targets: [{{provider: named, model: gpt-4o}}, {{provider: claude, model: any}}]
  - name: saved
    match: {{model: saved}}
    targets: [{{provider: lab, model: mock-fault/status-500}}, {{provider: claude, model: any}}]
keys:
  - {{name: all, secret: {KEY}}}
  - {{name: gpt, secret: {GPT_KEY}, models: ["gpt-4o*", "lab/mock-fault/*"]}}
  - {{name: embed, secret: {EMBED_KEY}, models: ["text-embedding-*"]}}
  - {{name: tight, secret: {TIGHT_KEY}, limits: {{requests: 3/min, tokens: 100k/min}}}}
  - {{name: node-tight, secret: {NODE_TIGHT_KEY}, limits: {{requests: 3/min}}}}
  - {{name: first, secret: {PAIR_KEYS[0]}, limits: {{requests: 1/min}}}}
  - {{name: second, secret: {PAIR_KEYS[1]}, limits: {{requests: 1/min}}}}
  - {{name: tight-messages, secret: {TIGHT_MESSAGES_KEY}, limits: {{requests: 2/min}}}}
  - {{name: poor, secret: {POOR_KEY}, quotas: [{{period: total, cost: 0.0000001}}]}}
  - {{name: tiny, secret: {TINY_KEY}, limits: {{tokens: 50/min}}}}
"""


@dataclass(frozen=True, slots=True)
class Lab:
    """The gateway of these tests and what stands behind it."""

    gateway: GatewayProcess
    mock: Mock

    def calls(self, model: str) -> int:
        """How many calls for this model reached the provider and ended."""
        return len(self.mock.rows(model=model.partition("/")[2]))


_numbers = itertools.count(1)


def fault(script: str, provider: str = "lab") -> str:
    """A model that behaves so, with a name that no other test has: its calls can be counted."""
    return f"{provider}/mock-fault/{script}+slow-first-byte-0.{next(_numbers):06d}"


@pytest.fixture(scope="session")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    with mock_process() as mock:
        directory = tmp_path_factory.mktemp("gateway")
        env = {"GATEWAY_MAX_BODY_BYTES": str(MAX_BODY)}
        with GatewayProcess(
            CONFIG.replace("MOCK", mock.url).replace("ROOT", mock.url.removesuffix("/v1")), directory, env=env
        ) as gateway:
            yield Lab(gateway, mock)


@pytest.fixture(scope="session")
def client(lab: Lab) -> Iterator[openai.OpenAI]:
    """The client of a user who changed one line: no retries, so that each call is one request."""
    with openai.OpenAI(base_url=lab.gateway.api, api_key=KEY, max_retries=0, timeout=10) as client:
        yield client


class Sdk:
    """The Python SDK, blocking or asyncio, behind one way to call it: `sdk.call(lambda c: c.models.list())`."""

    def __init__(self, client: openai.OpenAI | None, aclient: openai.AsyncOpenAI, runner: asyncio.Runner) -> None:
        self._client, self._aclient, self._runner = client, aclient, runner

    def call(self, ask: Callable[[Any], Any]) -> Any:
        """The answer of one call."""
        return ask(self._client) if self._client is not None else self._runner.run(_awaited(ask(self._aclient)))

    def events(self, ask: Callable[[Any], Any]) -> list[Any]:
        """Everything that a streaming call yields, to its end."""
        return list(ask(self._client)) if self._client is not None else self._runner.run(_listed(ask(self._aclient)))


async def _awaited(call: Awaitable[Any]) -> Any:
    return await call


async def _listed(call: Any) -> list[Any]:
    # A page of a list can be iterated without awaiting it; a stream has to be awaited first.
    return [event async for event in (call if hasattr(call, "__aiter__") else await call)]


@pytest.fixture(scope="session")
def runner() -> Iterator[asyncio.Runner]:
    with asyncio.Runner() as runner:
        yield runner


@pytest.fixture(scope="session")
def aclient(lab: Lab, runner: asyncio.Runner) -> Iterator[openai.AsyncOpenAI]:
    client = openai.AsyncOpenAI(base_url=lab.gateway.api, api_key=KEY, max_retries=0, timeout=10)
    yield client
    runner.run(client.close())


@pytest.fixture(params=["blocking", "asyncio"])
def sdk(
    request: pytest.FixtureRequest, client: openai.OpenAI, aclient: openai.AsyncOpenAI, runner: asyncio.Runner
) -> Sdk:
    return Sdk(client if request.param == "blocking" else None, aclient, runner)


# ---- Node


@pytest.fixture(scope="session")
def installed() -> None:
    """The Node SDKs."""
    install()


@pytest.fixture(scope="module")
def node(request: pytest.FixtureRequest, lab: Lab, installed: None) -> Iterator[Application]:
    """The module's own `SCRIPT`, or openai-node."""
    with application(getattr(request.module, "SCRIPT", "openai.mjs"), lab.gateway.api, KEY) as running:
        yield running


@pytest.fixture(scope="module")
def ai(lab: Lab, installed: None) -> Iterator[Application]:
    """The Vercel AI SDK."""
    with application("ai.mjs", lab.gateway.api, KEY) as running:
        yield running
