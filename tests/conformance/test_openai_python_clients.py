"""openai-python in its other guises: Azure's clients, one client per provider, and clients many at once."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import openai
import pytest

from .conftest import KEY, UNKNOWN_KEY, Lab, fault

USER: Any = [{"role": "user", "content": "hello"}]
DATED = "2024-10-21"


@pytest.fixture
def azure(lab: Lab) -> Iterator[openai.AzureOpenAI]:
    with openai.AzureOpenAI(
        azure_endpoint=lab.gateway.base_url, api_version=DATED, api_key=KEY, max_retries=0, timeout=10
    ) as client:
        yield client


# ---- Azure


@pytest.mark.parametrize("model", ["gpt-4o", "org/model-7b", "named/gpt-4o-mini", "fast"])
def test_azure_chat(azure: openai.AzureOpenAI, model: str) -> None:
    """The model is a deployment in the path; it may hold slashes; whole and streamed."""
    answer = azure.chat.completions.create(model=model, messages=USER)
    assert (answer.model, answer.choices[0].message.content) == (model, "echo: hello")
    chunks = list(azure.chat.completions.create(model=model, messages=USER, stream=True))
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == "echo: hello"


def test_azure_deployment_of_the_client(lab: Lab) -> None:
    """A deployment named once, at the client, is the model whatever the body says; other features still work."""
    with openai.AzureOpenAI(
        azure_endpoint=lab.gateway.base_url,
        azure_deployment="gpt-4o-mini",
        api_version=DATED,
        api_key=KEY,
        max_retries=0,
    ) as client:
        raw = client.chat.completions.with_raw_response.create(model="ignored", messages=USER)
        assert raw.headers["x-gateway-model"] == "gpt-4o-mini"
        assert raw.parse().model == "gpt-4o-mini"
        assert "gpt-4o" in {model.id for model in client.models.list()}


@pytest.mark.filterwarnings("ignore:deprecated:DeprecationWarning")
def test_azure_everything_else(azure: openai.AzureOpenAI) -> None:
    """Every other endpoint, where Azure's client looks for it."""
    assert len(azure.embeddings.create(model="text-embedding-3-small", input="x", dimensions=9).data[0].embedding) == 9
    sound = azure.audio.speech.create(model="tts-1", voice="alloy", input="x", response_format="wav").content
    heard = azure.audio.transcriptions.create(model="whisper-1", file=("a.wav", sound))
    assert heard.text.startswith(f"transcript of a.wav: {len(sound)} bytes")
    assert azure.audio.translations.create(model="whisper-1", file=("a.wav", sound)).text
    assert azure.images.generate(model="gpt-image-1", prompt="x").data
    assert azure.images.edit(model="gpt-image-1", image=("a.png", b"a"), prompt="x").data
    assert azure.completions.create(model="gpt-4o", prompt="hello").choices[0].text == "echo: hello"
    assert azure.responses.create(model="gpt-4o", input="hello").output_text == "echo: hello"
    assert azure.moderations.create(input="flowers").results[0].flagged is False
    assert azure.models.retrieve("org/model-7b").id == "org/model-7b"


def test_azure_errors(azure: openai.AzureOpenAI, lab: Lab) -> None:
    """Wrong keys, unknown deployments and broken streams are the SDK's exceptions here too."""
    with (
        openai.AzureOpenAI(
            azure_endpoint=lab.gateway.base_url, api_version=DATED, api_key=UNKNOWN_KEY, max_retries=0
        ) as stranger,
        pytest.raises(openai.AuthenticationError),
    ):
        stranger.chat.completions.create(model="gpt-4o", messages=USER)
    with pytest.raises(openai.NotFoundError):
        azure.chat.completions.create(model="gpt-nothing", messages=USER)
    with pytest.raises(openai.APIError):
        list(azure.chat.completions.create(model=fault("end-after-3"), messages=USER, stream=True))


def test_azure_token_provider(lab: Lab) -> None:
    """A token in place of a key arrives as a bearer token."""
    with openai.AzureOpenAI(
        azure_endpoint=lab.gateway.base_url, api_version=DATED, azure_ad_token_provider=lambda: KEY, max_retries=0
    ) as client:
        assert client.chat.completions.create(model="gpt-4o", messages=USER).choices


def test_azure_v1(lab: Lab) -> None:
    """The plain client on Azure's undated path."""
    with openai.OpenAI(base_url=f"{lab.gateway.base_url}/openai/v1/", api_key=KEY, max_retries=0) as client:
        assert client.chat.completions.create(model="gpt-4o", messages=USER).choices[0].message.content == "echo: hello"
        assert client.models.retrieve("gpt-4o").id == "gpt-4o"


async def test_azure_asyncio(lab: Lab) -> None:
    """The asyncio client, streamed."""
    async with openai.AsyncAzureOpenAI(
        azure_endpoint=lab.gateway.base_url, api_version=DATED, api_key=KEY, max_retries=0
    ) as client:
        stream = await client.chat.completions.create(model="gpt-4o", messages=USER, stream=True)
        assert "".join([chunk.choices[0].delta.content or "" async for chunk in stream]) == "echo: hello"


# ---- one client per provider


def test_a_client_per_provider(lab: Lab) -> None:
    """`/providers/{name}/v1` serves that provider's models by their bare names, past every route."""
    with openai.OpenAI(base_url=f"{lab.gateway.base_url}/providers/named/v1", api_key=KEY, max_retries=0) as client:
        raw = client.chat.completions.with_raw_response.create(model="gpt-4o", messages=USER)
        assert raw.headers["x-gateway-provider"] == "named"
        assert raw.parse().choices[0].message.content == "echo: hello"
        ids = [model.id for model in client.models.list()]
        assert "gpt-4o" in ids
        assert "fast" not in ids
        assert client.models.retrieve("org/model-7b").id == "org/model-7b"
        assert client.embeddings.create(model="text-embedding-3-small", input="x").data
        with pytest.raises(openai.NotFoundError):
            client.chat.completions.create(model="fast", messages=USER)
    with openai.OpenAI(base_url=f"{lab.gateway.base_url}/providers/lab/v1", api_key=KEY, max_retries=0) as client:
        raw = client.chat.completions.with_raw_response.create(model="gpt-4o", messages=USER)
        assert raw.headers["x-gateway-provider"] == "lab"


def test_no_such_provider(lab: Lab) -> None:
    """A client for a provider that is not configured is told so."""
    with openai.OpenAI(base_url=f"{lab.gateway.base_url}/providers/nobody/v1", api_key=KEY, max_retries=0) as client:
        with pytest.raises(openai.NotFoundError):
            client.chat.completions.create(model="gpt-4o", messages=USER)
        with pytest.raises(openai.NotFoundError):
            client.models.list()


# ---- many at once


async def test_answers_are_not_mixed_up(lab: Lab) -> None:
    """Two hundred calls at once, half of them streamed: everybody gets the answer to their own question."""

    async def ask(client: openai.AsyncOpenAI, number: int) -> str:
        messages: Any = [{"role": "user", "content": f"question {number}"}]
        if number % 2:
            answer = await client.chat.completions.create(model="gpt-4o", messages=messages)
            return answer.choices[0].message.content or ""
        stream = await client.chat.completions.create(model="gpt-4o", messages=messages, stream=True)
        return "".join([chunk.choices[0].delta.content or "" async for chunk in stream])

    async with openai.AsyncOpenAI(base_url=lab.gateway.api, api_key=KEY, max_retries=0, timeout=30) as client:
        answers = await asyncio.gather(*(ask(client, number) for number in range(200)))
    assert answers == [f"echo: question {number}" for number in range(200)]


def test_accounts_agree(lab: Lab, client: openai.OpenAI) -> None:
    """Tokens in the answer, in the access log, in the metric and on the provider's own bill are the same."""
    model = fault("tokens-37+cached-3")
    before = lab.gateway.metric("gateway_requests_total", status="200")
    usage = client.chat.completions.create(model=model, messages=USER).usage
    assert usage is not None
    (row,) = lab.mock.rows(model=model.partition("/")[2])
    (line,) = lab.gateway.logged(requested_model=model)
    assert usage.completion_tokens == row["output_tokens"] == line["output_tokens"] == 37
    assert usage.prompt_tokens == row["input_tokens"] == line["input_tokens"]
    assert line["token_source"] == "provider"
    assert lab.gateway.metric("gateway_requests_total", status="200") > before
