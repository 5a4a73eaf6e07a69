"""langchain-openai against the gateway: an application's framework on top of the SDK."""

from __future__ import annotations

import asyncio
from typing import Any

import openai
import pytest
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
from langchain_core.tools import tool
from langchain_openai import AzureChatOpenAI, ChatOpenAI, OpenAIEmbeddings
from pydantic import BaseModel, SecretStr

from .conftest import BATCH, KEY, UNKNOWN_KEY, Lab, fault


@tool
def weather(city: str) -> str:
    """The weather of a city."""
    return f"sunny in {city}"


class Verdict(BaseModel):
    """An answer with a shape."""

    fair: bool
    reason: str


def model_of(lab: Lab, name: str = "gpt-4o", key: str = KEY, **options: Any) -> ChatOpenAI:
    return ChatOpenAI(
        model=name, base_url=lab.gateway.api, api_key=SecretStr(key), **{"max_retries": 0, "timeout": 10, **options}
    )


def test_invoke(lab: Lab) -> None:
    """Text, model name, finish reason and usage."""
    answer = model_of(lab).invoke([("system", "be brief"), ("user", "hello")])
    assert answer.text == "echo: hello"
    assert answer.response_metadata["model_name"] == "gpt-4o"
    assert answer.response_metadata["finish_reason"] == "stop"
    assert answer.usage_metadata is not None
    assert answer.usage_metadata["output_tokens"] == 3


def test_stream(lab: Lab) -> None:
    """Chunks add up to the whole message, with usage where it was asked for."""
    chunks = list(model_of(lab, stream_usage=True).stream("hello"))
    whole = chunks[0]
    for chunk in chunks[1:]:
        whole += chunk
    assert whole.text == "echo: hello"
    assert whole.usage_metadata is not None
    assert whole.usage_metadata["output_tokens"] == 3


async def test_asyncio(lab: Lab) -> None:
    """The same without blocking, several at once."""
    model = model_of(lab)
    answers = await asyncio.gather(*(model.ainvoke(f"question {n}") for n in range(8)))
    assert [answer.text for answer in answers] == [f"echo: question {n}" for n in range(8)]
    assert "".join([chunk.text async for chunk in model.astream("hello")]) == "echo: hello"


def test_tools(lab: Lab) -> None:
    """A bound tool is called, run, and its result answered; fragments of a stream add up to the same call."""
    model = model_of(lab).bind_tools([weather], tool_choice="weather")
    called = model.invoke("hello")
    assert isinstance(called, AIMessage)
    (call,) = called.tool_calls
    assert call["name"] == "weather"
    result = weather.invoke(call)
    assert isinstance(result, ToolMessage)
    final = model_of(lab).bind_tools([weather]).invoke([HumanMessage("hello"), called, result])
    assert final.text == f"tool: {result.content}"
    whole: Any = None
    for chunk in model.stream("hello"):
        whole = chunk if whole is None else whole + chunk
    assert [(one["name"], one["args"]) for one in whole.tool_calls] == [("weather", call["args"])]


@pytest.mark.parametrize("method", ["json_schema", "function_calling"])
def test_structured_output(lab: Lab, method: Any) -> None:
    """An instance of the caller's class, by either way of asking for it."""
    assert isinstance(model_of(lab).with_structured_output(Verdict, method=method).invoke("is it?"), Verdict)


def test_responses_api(lab: Lab) -> None:
    """The newer API behind the same class, whole and streamed."""
    model = model_of(lab, use_responses_api=True)
    assert model.invoke("hello").text == "echo: hello"
    assert "".join(chunk.text for chunk in model.stream("hello")) == "echo: hello"


def test_azure(lab: Lab) -> None:
    """The Azure class finds its deployment."""
    model = AzureChatOpenAI(
        azure_endpoint=lab.gateway.base_url,
        azure_deployment="gpt-4o",
        api_version="2024-10-21",
        api_key=SecretStr(KEY),
        max_retries=0,
    )
    assert model.invoke("hello").text == "echo: hello"


def test_embeddings(lab: Lab) -> None:
    """More documents than the provider takes at once, in order."""
    vectors = OpenAIEmbeddings(
        model="text-embedding-3-small",
        openai_api_base=lab.gateway.api,
        openai_api_key=SecretStr(KEY),
        dimensions=768,
        check_embedding_ctx_length=False,
        max_retries=0,
    )
    texts = [f"document {n}" for n in range(BATCH + 3)]
    documents = vectors.embed_documents(texts)
    assert {len(vector) for vector in documents} == {768}
    assert documents[BATCH + 1] == pytest.approx(vectors.embed_query(texts[BATCH + 1]))


def test_errors(lab: Lab) -> None:
    """The SDK's exceptions come through; a stream that breaks raises."""
    with pytest.raises(openai.AuthenticationError):
        model_of(lab, key=UNKNOWN_KEY).invoke("hello")
    with pytest.raises(openai.NotFoundError):
        model_of(lab, "gpt-nothing").invoke("hello")
    for script in ("end-after-3", "stall-after-3", "error-after-3", "malformed-after-3"):
        with pytest.raises(openai.APIError):
            list(model_of(lab, fault(script)).stream("hello"))
