"""OpenAI's requests in the words of Cohere's chat: what each model takes, and what is refused."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from gateway.errors import InvalidRequest, UnsupportedParameter
from gateway.types import Service
from tests.support.translated import USER, call_of

from .cohere import COHERE, NEW, PLAIN
from .contract.cases import PNG, TWO_CALLS


def tool(name: str, **fields: Any) -> dict[str, Any]:
    return {"type": "function", "function": {"name": name, **fields}}


def refused(model: str = "", *messages: dict[str, Any], **fields: Any) -> InvalidRequest:
    with pytest.raises((InvalidRequest, UnsupportedParameter)) as error:
        COHERE.chat(*messages, model=model, **fields)
    found: Any = error.value
    return found  # type: ignore[no-any-return]


# ---- messages


def test_system_messages_stay_where_they_are() -> None:
    """Cohere has them anywhere; `developer` is a system message."""
    sent = COHERE.chat({"role": "developer", "content": "a"}, USER, {"role": "system", "content": "b"})
    assert [message["role"] for message in sent["messages"]] == ["system", "user", "system"]


def test_reasoning_goes_back_with_calls() -> None:
    """As thinking for a model that reasons, as the plan of its calls for others; without calls it is over."""
    turn = {**TWO_CALLS, "reasoning_content": "look first", "content": "so"}
    thinking = [{"type": "thinking", "thinking": "look first"}, {"type": "text", "text": "so"}]
    assert COHERE.chat(USER, turn)["messages"][1]["content"] == thinking
    plain = COHERE.chat(USER, turn, model=PLAIN)["messages"][1]
    assert (plain["tool_plan"], plain["content"]) == ("look first", "so")
    over = {"role": "assistant", "content": "done", "reasoning_content": "look first"}
    assert COHERE.chat(USER, over)["messages"][1] == {"role": "assistant", "content": "done"}


def test_calls_without_arguments_have_an_object() -> None:
    """Clients leave arguments empty, Cohere wants JSON; a turn of calls alone has no content."""
    turn = COHERE.chat(USER, TWO_CALLS)["messages"][1]
    assert [call["function"]["arguments"] for call in turn["tool_calls"]] == ['{"city":"Köln"}', "{}"]
    assert "content" not in turn


def test_bug_24_a_picture_has_the_type_of_its_bytes() -> None:
    """Whatever was declared; addresses are handed on, with how closely to look."""
    wrong = "data:image/jpeg;base64," + base64.b64encode(PNG).decode()
    parts = [
        {"type": "image_url", "image_url": {"url": wrong}},
        {"type": "image_url", "image_url": {"url": "https://x.invalid/a.png", "detail": "low"}},
    ]
    first, second = COHERE.chat({"role": "user", "content": parts})["messages"][0]["content"]
    assert first["image_url"]["url"] == wrong.replace("jpeg", "png")
    assert second == parts[1]


@pytest.mark.parametrize(
    ("part", "param"),
    [
        ({"type": "input_audio", "input_audio": {"data": "aa", "format": "wav"}}, "messages[0].content[0]"),
        ({"type": "file", "file": {"file_id": "f"}}, "messages[0].content[0]"),
        (
            {"type": "image_url", "image_url": {"url": "data:text/plain;base64,aaaa"}},
            "messages[0].content[0].image_url.url",
        ),
    ],
)
def test_content_it_cannot_take(part: dict[str, Any], param: str) -> None:
    """Content is refused, never dropped."""
    for policy in ("error", "drop"):
        error = refused("", {"role": "user", "content": [part]}, unsupported=policy)
        assert (error.status, error.param) == (400, param)


# ---- tools


def test_a_named_function_is_forced_by_offering_no_other() -> None:
    """Cohere has words for `required` and `none` alone; `developer` and the rest are its own roles."""
    tools = [tool("a"), tool("b", description="B.", parameters={"type": "object", "properties": {"x": {}}})]
    named = COHERE.chat(tools=tools, tool_choice={"type": "function", "function": {"name": "b"}})
    assert named["tool_choice"] == "REQUIRED"
    assert named["tools"] == [tools[1]]
    allowed = {"type": "allowed_tools", "allowed_tools": {"mode": "auto", "tools": [tool("a")]}}
    sent = COHERE.chat(tools=tools, tool_choice=allowed)
    assert "tool_choice" not in sent
    assert [one["function"]["name"] for one in sent["tools"]] == ["a"]
    assert sent["tools"][0]["function"]["parameters"] == {"type": "object", "properties": {}}


def test_a_function_that_is_not_there() -> None:
    """Forcing it is refused here: Cohere would be asked for any call, without a tool."""
    error = refused(tools=[tool("a")], tool_choice={"type": "function", "function": {"name": "c"}})
    assert error.param == "tool_choice"


def test_strict_tools() -> None:
    """Strict for all, or for none: it is one word for the whole request."""
    assert COHERE.chat(tools=[tool("a", strict=True), tool("b", strict=True)])["strict_tools"] is True
    assert "strict_tools" not in COHERE.chat(tools=[tool("a", strict=False), tool("b")])
    mixed = [tool("a", strict=True), tool("b")]
    assert refused(tools=mixed).param == "tools.function.strict"
    assert "strict_tools" not in COHERE.chat(tools=mixed, unsupported="drop")


# ---- parameters


@pytest.mark.parametrize(("given", "sent"), [(0, 0.01), (0.5, 0.5), (1, 0.99)])
def test_top_p(given: float, sent: float) -> None:
    """Its ends are what is nearest to them."""
    assert COHERE.chat(top_p=given)["p"] == sent


def test_penalties_from_0_to_1() -> None:
    """Others mean something else: refused, or with `drop` the nearest."""
    assert COHERE.chat(frequency_penalty=0.5, presence_penalty=0)["frequency_penalty"] == 0.5
    assert "presence_penalty" not in COHERE.chat(presence_penalty=0)
    assert refused(presence_penalty=1.5).param == "presence_penalty"
    assert COHERE.chat(presence_penalty=1.5, unsupported="drop")["presence_penalty"] == 1
    assert COHERE.chat(frequency_penalty=-1, unsupported="drop")["frequency_penalty"] == 0


@pytest.mark.parametrize(
    ("fields", "wanted"),
    [
        ({"reasoning_effort": "low"}, {"type": "enabled", "token_budget": 2048}),
        ({"reasoning_effort": "low", "max_tokens": 1000}, {"type": "enabled", "token_budget": 800}),
        ({"reasoning_effort": "high"}, {"type": "enabled"}),
        ({"reasoning_effort": "none"}, {"type": "disabled"}),
        ({"thinking": {"type": "enabled", "budget_tokens": 900}}, {"type": "enabled", "token_budget": 900}),
        ({"thinking": {"type": "enabled", "token_budget": 7}}, {"type": "enabled", "token_budget": 7}),
        ({"thinking": {"type": "disabled"}}, {"type": "disabled"}),
        ({}, None),
    ],
)
def test_reasoning(fields: dict[str, Any], wanted: Any) -> None:
    """An effort is a budget within the output; Cohere's own object and Anthropic's mean the same."""
    assert COHERE.chat(**fields).get("thinking") == wanted


def test_models_that_do_not_reason() -> None:
    """They are not asked to; of a model that is not known nothing is known."""
    assert refused(PLAIN, reasoning_effort="low").param == "reasoning_effort"
    assert "thinking" not in COHERE.chat(model=PLAIN, reasoning_effort="none")
    assert "thinking" not in COHERE.chat(model=PLAIN, reasoning_effort="low", unsupported="drop")
    assert COHERE.chat(model=NEW, reasoning_effort="low")["thinking"]["type"] == "enabled"
    assert refused(reasoning_effort="huge").param == "reasoning_effort"


def test_cohere_s_own_fields() -> None:
    """Documents to cite, how to cite, and the mode of safety pass, from a deployment's defaults too."""
    own: dict[str, Any] = {
        "documents": [{"id": "d", "data": {"text": "x"}}],
        "citation_options": {"mode": "OFF"},
        "safety_mode": "STRICT",
    }
    sent = COHERE.chat(**own)
    assert {name: sent[name] for name in own} == own
    call = call_of(messages=[USER])
    assert COHERE.sent(call, parameters={"safety_mode": "OFF"})["safety_mode"] == "OFF"


@pytest.mark.parametrize(
    "fields", [{"n": 2}, {"logit_bias": {"1": 1}}, {"top_logprobs": 2}, {"verbosity": "low"}, {"prior": 1}]
)
def test_what_it_has_no_words_for(fields: dict[str, Any]) -> None:
    """Refused by name, or left out where the operator wants that."""
    (param,) = fields
    assert refused(**fields).param == param
    assert COHERE.chat(unsupported="drop", **fields).keys() == {"model", "messages"}


# ---- other services


def test_embeddings() -> None:
    """What the vectors are for is told, by the caller, the deployment, or as documents'."""
    call = call_of(Service.EMBEDDINGS, input="x", dimensions=256, encoding_format="base64")
    assert COHERE.sent(call, "embed-v4.0") == {
        "model": "embed-v4.0",
        "texts": ["x"],
        "input_type": "search_document",
        "embedding_types": ["float"],
        "output_dimension": 256,
    }
    query = call_of(Service.EMBEDDINGS, input=["x"], input_type="search_query", truncate="NONE")
    assert COHERE.sent(query, "embed-v4.0")["input_type"] == "search_query"
    assert COHERE.sent(query, "embed-v4.0")["truncate"] == "NONE"
    defaults = {"parameters": {"input_type": "clustering"}}
    assert COHERE.sent(call_of(Service.EMBEDDINGS, input="x"), "embed-v4.0", **defaults)["input_type"] == "clustering"


@pytest.mark.parametrize(
    ("model", "service", "instead"),
    [
        ("command-a-03-2025", Service.RERANK, "rerank-v3.5"),
        ("command-r", Service.EMBEDDINGS, "embed-v4.0"),
        ("rerank-v3.5", Service.CHAT, "command-a-03-2025"),
        ("embed-v4.0", Service.CHAT, "command-a-03-2025"),
        ("embed-v4.0", Service.RERANK, "rerank-v3.5"),
    ],
)
def test_a_model_of_another_kind(model: str, service: Service, instead: str) -> None:
    """A chat model that is to rerank, and the like: refused with what to use."""
    call = call_of(service, messages=[USER], input="x", query="q", documents=["d"])
    with pytest.raises(InvalidRequest) as error:
        COHERE.sent(call, model)
    assert error.value.param == "model"
    assert f"`{instead}`" in error.value.public_message


def test_translations_of_speech() -> None:
    """Cohere transcribes, and does not translate; a model that chats does neither."""
    call = call_of(Service.TRANSCRIPTION)
    call.path = "/audio/translations"
    with pytest.raises(UnsupportedParameter) as error:
        COHERE.sent(call, "listener")
    assert "/v1/audio/transcriptions" in error.value.public_message
    with pytest.raises(InvalidRequest) as other:
        COHERE.sent(call, PLAIN)
    assert other.value.param == "model"


@pytest.mark.parametrize(
    ("service", "stream", "target"),
    [
        (Service.CHAT, True, b"/v2/chat"),
        (Service.EMBEDDINGS, False, b"/v2/embed"),
        (Service.RERANK, False, b"/v2/rerank"),
    ],
)
def test_paths(service: Service, stream: bool, target: bytes) -> None:
    """Each service has its own; a stream is asked for in the body."""
    assert COHERE.head(call_of(service, stream=stream)).target == target
    if service is Service.CHAT:
        assert COHERE.sent(call_of(stream=True, messages=[USER]))["stream"] is True
