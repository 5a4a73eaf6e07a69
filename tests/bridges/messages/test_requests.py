"""Requests of the Messages API as chats: what is carried over, what is refused, what is left out."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.errors import GatewayError, InvalidJson, InvalidRequest, UnsupportedParameter
from gateway.ports import Dialect
from gateway.providers.anthropic import DIALECT as CLAUDE
from gateway.providers.bedrock import DIALECT as BEDROCK
from gateway.providers.cohere import DIALECT as COHERE
from gateway.providers.deepseek import DIALECT as DEEPSEEK
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
BUDGET = {"type": "enabled", "budget_tokens": 2048}


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


def test_tools() -> None:
    """Names, descriptions, schemas as they came, and strictness; marks for the cache and hints go."""
    body = asked(
        tools=[
            {**WEATHER, **MARK, "eager_input_streaming": True},
            {"name": "now", "input_schema": {"type": "object"}, "strict": True},
        ]
    )
    assert body["tools"] == [
        {
            "type": "function",
            "function": {"name": "weather", "description": "Tells it.", "parameters": WEATHER["input_schema"]},
        },
        {"type": "function", "function": {"name": "now", "parameters": {"type": "object"}, "strict": True}},
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


@pytest.mark.parametrize(
    ("model", "fields", "effort"),
    [
        ("gpt-5.1", {"output_config": {"effort": "high"}, "thinking": {"type": "adaptive"}}, "high"),
        ("o4-mini", {"thinking": {"type": "enabled", "budget_tokens": 2048}}, "low"),
        ("openai/gpt-oss-20b", {"thinking": {"type": "enabled", "budget_tokens": 31_999}}, "high"),
        ("gpt-5", {"thinking": {"type": "adaptive"}}, None),
        ("gpt-5", {"thinking": {"type": "disabled"}}, None),
        ("gpt-4o", {"output_config": {"effort": "high"}}, None),
        ("gpt-5-chat-latest", {"output_config": {"effort": "high"}}, None),
        ("llama-3.3-70b", {"thinking": {"type": "enabled", "budget_tokens": 2048}}, None),
    ],
)
def test_effort(model: str, fields: dict[str, Any], effort: str | None) -> None:
    """Effort, or a budget of thinking, reaches models that reason; others would refuse the word."""
    assert asked(deployment(model), **fields).get("reasoning_effort") == effort


@pytest.mark.parametrize(
    ("model", "fields", "more"),
    [
        ("claude-opus-4-6", {"thinking": {"type": "adaptive"}, "effort": "max"}, {"thinking": {"type": "adaptive"}}),
        ("claude-sonnet-4-6", {"effort": "low"}, {"thinking": {"type": "disabled"}}),
        ("claude-opus-4-5", {"thinking": BUDGET, "effort": "medium"}, {"thinking": BUDGET}),
        ("claude-fable-5", {"effort": "high"}, {"thinking": {"type": "adaptive", "display": "summarized"}}),
        ("claude-sonnet-4-5", {"thinking": BUDGET, "effort": "high"}, {"thinking": BUDGET}),
    ],
)
def test_claude_elsewhere(model: str, fields: dict[str, Any], more: dict[str, Any]) -> None:
    """Claude behind Bedrock's own API thinks as its client says, and as hard: neither word is lost or stands for the
    other; a model without levels is not sent one."""
    effort = fields.pop("effort")
    sent = asked(
        deployment(f"anthropic.{model}", "bedrock"),
        BEDROCK,
        output_config={"effort": effort},
        max_tokens=4000,
        **fields,
    )
    told = {} if model == "claude-sonnet-4-5" else {"output_config": {"effort": effort}}
    assert sent["additionalModelRequestFields"] == {**more, **told}


@pytest.mark.parametrize("able", [{"chat", "reasoning"}, {"chat"}])
def test_declared_reasoning(able: set[str]) -> None:
    """What a deployment declares counts more than its name."""
    to = deployment("gpt-5", capabilities=frozenset(able))
    assert ("reasoning_effort" in asked(to, output_config={"effort": "low"})) is ("reasoning" in able)


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


def test_what_an_extended_dialect_keeps() -> None:
    """To a dialect whose own words these are go marks for the cache, thinking and its blocks."""
    talk = [
        *said({"type": "text", "text": "a", **MARK}),
        *said(
            {"type": "thinking", "thinking": "hm", "signature": "c2ln"},
            {"type": "thinking", "thinking": "elsewhere", "signature": "gateway:unsigned"},
            {"type": "redacted_thinking", "data": "gateway:e30="},
            {"type": "text", "text": "b"},
            role="assistant",
        ),
        *said({"type": "text", "text": "c"}),
    ]
    thinking = {"type": "enabled", "budget_tokens": 1024}
    body = asked(
        deployment("claude-sonnet-4-5", "anthropic"),
        CLAUDE,
        messages=talk,
        thinking=thinking,
        max_tokens=2000,
        tools=[{**WEATHER, **MARK}],
        system=[{"type": "text", "text": "s", **MARK}],
    )
    assert body["thinking"] == thinking
    assert body["messages"][0]["content"][0]["cache_control"] == MARK["cache_control"]
    assert body["messages"][1]["content"] == [
        {"type": "thinking", "thinking": "hm", "signature": "c2ln"},
        {"type": "text", "text": "b"},
    ]
    assert body["tools"][0]["cache_control"] == MARK["cache_control"]
    assert body["system"][0]["cache_control"] == MARK["cache_control"]


THOUGHT = {"type": "thinking", "thinking": "hm", "signature": "c2ln"}
HIDDEN = {"type": "redacted_thinking", "data": "eA=="}
CALLED = {"type": "tool_use", "id": "t1", "name": "weather", "input": {}}
TOLD = {"type": "tool_result", "tool_use_id": "t1", "content": "rain"}


@pytest.mark.parametrize(
    ("kind", "inner", "model"),
    [
        ("bedrock", BEDROCK, "eu.amazon.nova-lite-v1:0"),
        ("bedrock", BEDROCK, "us.meta.llama3-3-70b-instruct-v1:0"),
        ("bedrock", BEDROCK, "abc123"),
        ("cohere", COHERE, "command-r-plus"),
        ("cohere", COHERE, "command-a-03-2025"),
    ],
)
@pytest.mark.parametrize("thinking", [BUDGET, {"type": "adaptive"}, {"type": "disabled"}])
def test_models_that_do_not_think_are_not_asked_to(
    kind: str, inner: Dialect, model: str, thinking: dict[str, Any]
) -> None:
    """Claude Code asks every model to think and gives Claude's thoughts to all: others hear neither, nor `top_k`."""
    talk = [*said({"type": "text", "text": "a"}), *said(THOUGHT, HIDDEN, CALLED, role="assistant"), *said(TOLD)]
    body = asked(deployment(model, kind), inner, messages=talk, thinking=thinking, tools=[WEATHER])
    assert "hink" not in str(body)
    assert "c2ln" not in str(body)
    if "llama" in model:
        assert "top_k" not in str(asked(deployment(model, kind), inner, top_k=5))


@pytest.mark.parametrize(
    ("model", "wanted"),
    [
        ("us.amazon.nova-2-lite-v1:0", {"reasoningConfig": {"type": "enabled", "maxReasoningEffort": "low"}}),
        ("eu.anthropic.claude-sonnet-4-5-20250929-v1:0", {"thinking": BUDGET}),
    ],
)
def test_models_at_bedrock_that_think(model: str, wanted: dict[str, Any]) -> None:
    """They are asked in their vendor's words."""
    body = asked(deployment(model, "bedrock"), BEDROCK, thinking=BUDGET, max_tokens=4000)
    assert body["additionalModelRequestFields"] == wanted


def test_what_a_profile_is_has_to_be_declared() -> None:
    """A profile of the customer's own is asked to think where the operator says that its model can."""
    able = deployment("abc123", "bedrock", capabilities=frozenset({"reasoning"}))
    assert asked(able, BEDROCK, thinking=BUDGET)["additionalModelRequestFields"] == {"thinking": BUDGET}


@pytest.mark.parametrize("capabilities", [frozenset(), frozenset({"reasoning"})])
def test_cohere_is_asked_to_think_where_it_can(capabilities: frozenset[str]) -> None:
    """By its name, or by what the operator declares."""
    model = "new-one" if capabilities else "command-a-reasoning-08-2025"
    body = asked(deployment(model, "cohere", capabilities=capabilities), COHERE, thinking=BUDGET)
    assert body["thinking"] == {"type": "enabled", "token_budget": 2048}


def test_unsigned_thinking_goes_back_with_its_calls() -> None:
    """Models that go on from what they thought before a call get it back; of a turn that is over nobody does."""
    ours = {**THOUGHT, "signature": "gateway:unsigned"}
    words = {"type": "text", "text": "b"}
    talk = [
        *said({"type": "text", "text": "a"}),
        *said(ours, CALLED, role="assistant"),
        *said(TOLD),
        *said(ours, words, role="assistant"),
        *said({"type": "text", "text": "c"}),
    ]
    turns = asked(deployment("deepseek-chat", "deepseek"), DEEPSEEK, messages=talk, tools=[WEATHER])["messages"]
    assert [turn.get("reasoning_content") for turn in turns if turn["role"] == "assistant"] == ["hm", None]
    cohere = asked(deployment("command-a-reasoning-08-2025", "cohere"), COHERE, messages=talk, tools=[WEATHER])
    assert cohere["messages"][1]["content"] == [{"type": "thinking", "thinking": "hm"}]
    assert "reasoning_content" not in str(asked(messages=talk, tools=[WEATHER]))
