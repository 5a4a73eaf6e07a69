"""Requests of the Messages API as chats: what is carried over, what is refused, what is left out."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.errors import GatewayError, InvalidJson, InvalidRequest, UnsupportedParameter
from gateway.providers.gemini import DIALECT as GEMINI
from gateway.providers.openai import DIALECT as OPENAI
from tests.bridges.messages.talk import asked, bridged, call, deployment

PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk"
MARK = {"cache_control": {"type": "ephemeral"}}
WEATHER = {
    "name": "weather",
    "description": "Tells it.",
    "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}},
}
CONFIG = {"type": "json_schema", "schema": {"type": "object", "properties": {"a": {"type": "string"}}}}


def said(*blocks: dict[str, Any], role: str = "user") -> list[dict[str, Any]]:
    return [{"role": role, "content": list(blocks)}]


def messages(**fields: Any) -> Any:
    return asked(**fields)["messages"]


def test_plain() -> None:
    """Words, the limit and the provider's name for the model; nothing that nobody asked for."""
    assert asked() == {"model": "theirs", "messages": [{"role": "user", "content": "hello"}], "max_tokens": 100}


def test_streaming_asks_for_usage() -> None:
    """A stream has its counts: a message ends with them."""
    body = asked(stream=True)
    assert (body["stream"], body["stream_options"]) == (True, {"include_usage": True})


@pytest.mark.parametrize(
    "system",
    ["be kind\n\nbe short", [{"type": "text", "text": "be kind", **MARK}, {"type": "text", "text": "be short"}]],
)
def test_system_is_one_message(system: Any) -> None:
    """A string or blocks with marks for the cache: one message, without the marks."""
    assert messages(system=system)[0] == {"role": "system", "content": "be kind\n\nbe short"}


def test_empty_text_is_none() -> None:
    """Empty blocks, which clients send, say nothing; a turn of nothing else is none."""
    empty = {"type": "text", "text": ""}
    talk = [
        *said(empty, {"type": "text", "text": "a"}),
        *said(empty, role="assistant"),
        *said({"type": "text", "text": "b"}),
    ]
    assert messages(messages=talk, system=[empty]) == [
        {"role": "user", "content": "a"},
        {"role": "user", "content": "b"},
    ]


def test_parts_of_a_turn() -> None:
    """Text, pictures by data and by URL, documents by data, text and blocks, search results."""
    blocks = (
        {"type": "text", "text": "look"},
        {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PNG}, **MARK},
        {"type": "image", "source": {"type": "url", "url": "https://pictures.invalid/a.png"}},
        {
            "type": "document",
            "title": "Law",
            "source": {"type": "base64", "media_type": "application/pdf", "data": "JVBERi0="},
        },
        {"type": "document", "title": "Note", "source": {"type": "text", "media_type": "text/plain", "data": "words"}},
        {"type": "document", "source": {"type": "content", "content": [{"type": "text", "text": "inner"}]}},
        {
            "type": "search_result",
            "source": "https://a.invalid",
            "title": "Found",
            "content": [{"type": "text", "text": "it"}],
        },
    )
    (message,) = messages(messages=said(*blocks))
    assert message["content"] == [
        {"type": "text", "text": "look"},
        {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PNG}"}},
        {"type": "image_url", "image_url": {"url": "https://pictures.invalid/a.png"}},
        {"type": "file", "file": {"filename": "Law.pdf", "file_data": "data:application/pdf;base64,JVBERi0="}},
        {"type": "text", "text": "Note\n\nwords"},
        {"type": "text", "text": "inner"},
        {"type": "text", "text": "Found\nhttps://a.invalid\n\nit"},
    ]


def test_calls_and_results() -> None:
    """A turn with calls, then every result as a message of its own, in order, before what else the user said."""
    talk = [
        {"role": "user", "content": "go"},
        *said(
            {"type": "thinking", "thinking": "hm", "signature": "sig"},
            {"type": "text", "text": "I look."},
            {"type": "tool_use", "id": "t1", "name": "weather", "input": {"city": "Köln"}},
            {"type": "tool_use", "id": "t2", "name": "weather", "input": {}},
            role="assistant",
        ),
        *said(
            {"type": "text", "text": "here:"},
            {"type": "tool_result", "tool_use_id": "t2", "content": "no such place", "is_error": True},
            {
                "type": "tool_result",
                "tool_use_id": "t1",
                "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}],
                **MARK,
            },
        ),
    ]
    assert messages(messages=talk) == [
        {"role": "user", "content": "go"},
        {
            "role": "assistant",
            "content": "I look.",
            "tool_calls": [
                {"id": "t1", "type": "function", "function": {"name": "weather", "arguments": '{"city": "Köln"}'}},
                {"id": "t2", "type": "function", "function": {"name": "weather", "arguments": "{}"}},
            ],
        },
        {"role": "tool", "tool_call_id": "t2", "content": "Error: no such place"},
        {"role": "tool", "tool_call_id": "t1", "content": "a\nb"},
        {"role": "user", "content": "here:"},
    ]


def test_pictures_in_results() -> None:
    """They come in a message of the user's behind all results: a tool's message holds text alone."""
    picture = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PNG}}
    result = {"type": "tool_result", "tool_use_id": "t1", "content": [picture]}
    told = messages(
        messages=said(result, {"type": "tool_result", "tool_use_id": "t2"}, {"type": "text", "text": "well?"})
    )
    assert [message["role"] for message in told] == ["tool", "tool", "user"]
    assert told[0]["content"]
    assert told[1]["content"] == ""
    assert [part["type"] for part in told[2]["content"]] == ["image_url", "text"]


CLOSED = {
    "type": "object",
    "properties": {"zone": {"type": "string"}},
    "required": ["zone"],
    "additionalProperties": False,
}


def test_tools() -> None:
    """Names, descriptions, schemas as they came, strictness where they keep its rules; marks and hints go."""
    body = asked(
        tools=[
            {**WEATHER, **MARK, "eager_input_streaming": True},
            {"name": "now", "input_schema": CLOSED, "strict": True},
            {"name": "then", "input_schema": {**CLOSED, "required": []}, "strict": True},
            {"name": "never", "strict": True},
        ]
    )
    assert body["tools"] == [
        {
            "type": "function",
            "function": {"name": "weather", "description": "Tells it.", "parameters": WEATHER["input_schema"]},
        },
        {"type": "function", "function": {"name": "now", "parameters": CLOSED, "strict": True}},
        {"type": "function", "function": {"name": "then", "parameters": {**CLOSED, "required": []}}},
        {"type": "function", "function": {"name": "never", "parameters": {"type": "object", "properties": {}}}},
    ]


@pytest.mark.parametrize(
    ("choice", "wanted"),
    [
        ({"type": "auto"}, {"tool_choice": "auto"}),
        ({"type": "any"}, {"tool_choice": "required"}),
        ({"type": "none"}, {"tool_choice": "none"}),
        ({"type": "tool", "name": "weather"}, {"tool_choice": {"type": "function", "function": {"name": "weather"}}}),
        ({"type": "auto", "disable_parallel_tool_use": True}, {"tool_choice": "auto", "parallel_tool_calls": False}),
    ],
)
def test_tool_choice(choice: Any, wanted: dict[str, Any]) -> None:
    """Each way to choose has its word."""
    body = asked(tools=[WEATHER], tool_choice=choice)
    assert {name: body[name] for name in ("tool_choice", "parallel_tool_calls") if name in body} == wanted


def test_long_names() -> None:
    """A name beyond 64 characters gets a short form, the same in tools, choice and history; short ones stay."""
    long = "mcp__" + "server_" * 12
    body = asked(
        tools=[{"name": long, "input_schema": {"type": "object"}}],
        tool_choice={"type": "tool", "name": long},
        messages=[
            *said({"type": "tool_use", "id": "t", "name": long, "input": {}}, role="assistant"),
            *said({"type": "tool_result", "tool_use_id": "t"}),
        ],
    )
    short = body["tools"][0]["function"]["name"]
    assert len(short) == 64
    assert short.startswith("mcp__server_")
    assert body["tool_choice"]["function"]["name"] == short
    assert body["messages"][0]["tool_calls"][0]["function"]["name"] == short


def test_sampling_and_stops() -> None:
    """Sampling and stop sequences are carried over; `top_k` only to who knows it."""
    fields: dict[str, Any] = {"temperature": 0.5, "top_p": 0.9, "top_k": 5, "stop_sequences": ["x", "y"]}
    body = asked(**fields)
    assert (body["temperature"], body["top_p"], body["stop"]) == (0.5, 0.9, ["x", "y"])
    assert "top_k" not in body
    native = asked(deployment("gemini-3-pro", "gemini"), GEMINI, **fields)
    assert native["generationConfig"]["topK"] == 5


def test_the_limit() -> None:
    """By the word that the provider's models know, and never beyond what the model can do."""
    assert asked(deployment("gpt-5", "openai"), OPENAI)["max_completion_tokens"] == 100
    assert asked(deployment(max_output_tokens=64))["max_tokens"] == 64


@pytest.mark.parametrize("closed", [True, False])
@pytest.mark.parametrize("place", ["output_config", "output_format"])
def test_structured_output(place: str, closed: bool) -> None:
    """A schema becomes a response format: strict if it keeps the rules of strict ones. A beta's place is known too."""
    schema: dict[str, Any] = {
        "type": "object",
        "properties": {
            "a": {
                "type": "array",
                "items": {"type": "object", "properties": {}, "additionalProperties": False, "required": []},
            }
        },
        "additionalProperties": False,
    }
    schema["required"] = ["a"] if closed else []
    form = {"type": "json_schema", "schema": schema}
    fields: dict[str, Any] = {place: {"format": form} if place == "output_config" else form}
    told = asked(**fields)["response_format"]
    assert told["type"] == "json_schema"
    assert told["json_schema"]["schema"] == schema
    assert told["json_schema"].get("strict", False) is closed


def test_user() -> None:
    """The user's name is passed on, hashed where it is longer than OpenAI takes."""
    assert asked(metadata={"user_id": "u-1"})["safety_identifier"] == "u-1"
    long = asked(metadata={"user_id": "user_" + "a" * 100})["safety_identifier"]
    assert len(long) == 64
    assert "user_" not in long


def test_what_is_left_out() -> None:
    """Hints, caches, tiers and fields of betas that nobody knows here change nothing."""
    assert (
        asked(
            service_tier="auto",
            cache_control={"type": "ephemeral"},
            context_management={"edits": [{"type": "clear_thinking_20251015"}]},
            speed="fast",
            a_beta_of_tomorrow={"x": 1},
            metadata={},
            thinking={"type": "adaptive", "display": "summarized"},
        )
        == asked()
    )


SERVER_TOOL = {"type": "web_search_20250305", "name": "web_search", "max_uses": 3}


def test_tool_search_is_not_needed() -> None:
    """All tools are loaded here, those that were to be searched for among them."""
    tools = [{"type": "tool_search_tool_regex_20251119", "name": "search"}, {**WEATHER, "defer_loading": True}]
    assert asked(tools=tools) == asked(tools=[WEATHER])


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"tools": [SERVER_TOOL]}, "tools[0].type"),
    ({"tools": [{"type": "bash_20250124", "name": "bash"}]}, "tools[0].type"),
    ({"mcp_servers": [{"type": "url", "url": "https://mcp.invalid", "name": "m"}]}, "mcp_servers"),
    ({"container": "c_1"}, "container"),
]


@pytest.mark.parametrize(("fields", "param"), REFUSED)
def test_what_is_refused(fields: dict[str, Any], param: str) -> None:
    """What only Anthropic does is a 400 that says so; left out where the operator chose that."""
    with pytest.raises(UnsupportedParameter) as refused:
        asked(**fields)
    assert refused.value.param == param
    assert "Claude" in refused.value.public_message
    assert asked(deployment(unsupported="drop"), **fields) == asked()


UNSAYABLE: list[dict[str, Any]] = [
    {"messages": said({"type": "image", "source": {"type": "file", "file_id": "file_1"}})},
    {"messages": said({"type": "document", "source": {"type": "url", "url": "https://d.invalid/a.pdf"}})},
    {"messages": said({"type": "container_upload", "file_id": "file_1"})},
    {"messages": said({"type": "server_tool_use", "id": "s", "name": "web_search", "input": {}}, role="assistant")},
    {"messages": said({"type": "web_search_tool_result", "tool_use_id": "s", "content": []}, role="assistant")},
    {"max_tokens": 0},
]


@pytest.mark.parametrize("fields", UNSAYABLE)
def test_content_is_never_left_out(fields: dict[str, Any]) -> None:
    """What stands in the conversation and cannot be said is refused, whatever the operator chose."""
    for unsupported in ("error", "drop"):
        with pytest.raises(UnsupportedParameter):
            asked(deployment(unsupported=unsupported), **fields)


INVALID: list[dict[str, Any]] = [
    {"messages": []},
    {"messages": "hello"},
    {"messages": [{"role": "tool", "content": "x"}]},
    {"messages": [{"role": "assistant", "content": ""}]},
    {"messages": said({"type": "tool_result"})},
    {"messages": said({"type": "tool_use", "id": "t", "name": "x", "input": []}, role="assistant")},
    {"tools": [{"input_schema": {}}]},
    {"tools": [WEATHER], "tool_choice": {"type": "tool", "name": "nothing"}},
    {"tools": [WEATHER], "tool_choice": {"type": "some"}},
    {"output_config": {"format": {"type": "json_schema"}}},
    {"temperature": "hot"},
]


@pytest.mark.parametrize("fields", INVALID)
def test_invalid(fields: dict[str, Any]) -> None:
    """What nobody could answer is the client's mistake."""
    with pytest.raises(InvalidRequest):
        asked(**fields)


def test_no_json() -> None:
    """A body that is none is the client's mistake too."""
    bad = call()
    bad.raw = b'{"messages": '
    with pytest.raises((InvalidJson, InvalidRequest)):
        bridged().body(bad, deployment())


def test_the_name_of_a_field_is_the_clients() -> None:
    """A refusal by the dialect behind the bridge names the field that the client set."""
    with pytest.raises(GatewayError) as refused:
        asked(
            deployment("gemini-2.0-flash", "gemini", capabilities=frozenset({"reasoning"})),
            GEMINI,
            output_config={"effort": "low"},
        )
    assert refused.value.param == "output_config.effort"
