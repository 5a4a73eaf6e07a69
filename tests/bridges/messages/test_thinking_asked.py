"""Thinking, asked for in Anthropic's words: how much, whether, and what was thought before."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.ports import Dialect
from gateway.providers.anthropic import DIALECT as CLAUDE
from gateway.providers.bedrock import DIALECT as BEDROCK
from gateway.providers.cohere import DIALECT as COHERE
from gateway.providers.deepseek import DIALECT as DEEPSEEK
from tests.bridges.messages.talk import asked, deployment

from .test_requests import MARK, WEATHER, said

BUDGET = {"type": "enabled", "budget_tokens": 2048}


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
