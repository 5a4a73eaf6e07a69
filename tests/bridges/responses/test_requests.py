"""What clients of the Responses API ask, in a chat's words: what is carried over, left out, or refused by name."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from gateway.bridges.responses.conversation import SHOWN
from gateway.bridges.responses.provider_state import UNSIGNED, ProviderState, packed, unpacked
from gateway.errors import GatewayError, InvalidJson, InvalidRequest, UnsupportedParameter
from gateway.ports import Dialect

from .asks import DIALECTS, HI, PICTURE, SPEAKERS, TIME, WEATHER, body_of, call_of, deployment_of

OPENAI, OLLAMA, CLAUDE = DIALECTS["openai"], DIALECTS["ollama"], DIALECTS["anthropic"]


def messages(*items: dict[str, Any], dialect: Dialect = OPENAI) -> list[dict[str, Any]]:
    """What these items become."""
    found: list[dict[str, Any]] = body_of(dialect, {"input": list(items)})["messages"]
    return found


def refusal(fields: dict[str, Any], dialect: Dialect = OPENAI, **settings: Any) -> GatewayError:
    """Why these fields are refused."""
    call, deployment = call_of(fields), deployment_of(dialect, **settings)
    with pytest.raises((UnsupportedParameter, InvalidRequest, InvalidJson)) as refused:
        SPEAKERS.of(call, deployment).body(call, deployment)
    assert refused.value.public_status == 400
    return refused.value


def test_nulls_are_absent_fields() -> None:
    """Clients with one type for every item and part send what does not concern them as `null`."""
    absent = dict.fromkeys(("id", "name", "arguments", "input", "output", "call_id", "status", "summary"))
    part = {"type": "input_text", "text": "hi", "refusal": None, "image_url": None, "file_id": None}
    output = {**absent, "type": "function_call_output", "call_id": "c1", "output": "x", "role": None}
    call = {**absent, "type": "function_call", "call_id": "c1", "name": "f", "role": None}
    assert messages({**absent, "type": "message", "role": "user", "content": [part]}, call, output) == messages(
        HI,
        {"type": "function_call", "call_id": "c1", "name": "f"},
        {"type": "function_call_output", "call_id": "c1", "output": "x"},
    )


def test_ordinary_calls_of_sdks_are_carried_over() -> None:
    """What SDKs send without being asked to, and what steers only OpenAI's own service, changes nothing."""
    fields = {
        "input": "hi",
        "store": True,
        "metadata": {"a": "b"},
        "truncation": "auto",
        "max_tool_calls": 3,
        "include": ["reasoning.encrypted_content", "file_search_call.results"],
        "prompt_cache_key": "k",
        "prompt_cache_retention": "24h",
        "service_tier": "auto",
        "top_logprobs": 0,
        "tool_choice": "auto",
        "parallel_tool_calls": True,
        "text": {"format": {"type": "text"}, "verbosity": "medium"},
        "reasoning": {"summary": "auto"},
        "stream_options": {"include_obfuscation": False},
    }
    assert body_of(OPENAI, fields) == {"model": "gpt-native", "messages": [HI]}


def test_everything_else_has_its_word_in_a_chat() -> None:
    """Limits, sampling, likelihoods, effort, verbosity, tier and user."""
    fields = {
        "input": "hi",
        "max_output_tokens": 50,
        "temperature": 0.2,
        "top_p": 0.5,
        "top_logprobs": 2,
        "reasoning": {"effort": "high"},
        "text": {"verbosity": "low"},
        "service_tier": "flex",
        "user": "u",
        "safety_identifier": "s",
    }
    wanted = {
        "temperature": 0.2,
        "top_p": 0.5,
        "logprobs": True,
        "top_logprobs": 2,
        "reasoning_effort": "high",
        "verbosity": "low",
        "service_tier": "flex",
        "user": "s",
    }
    rest = {"model": "gpt-native", "messages": [HI]}
    assert body_of(OPENAI, fields) == {**rest, **wanted, "max_completion_tokens": 50}
    assert body_of(OLLAMA, fields) == {**rest, **wanted, "max_tokens": 50}
    included = body_of(OPENAI, {"input": "hi", "include": ["message.output_text.logprobs"]})
    assert (included["logprobs"], "top_logprobs" in included) == (True, False)


def test_a_turn_of_the_model_is_one_message() -> None:
    """Text and calls between two turns of the user stand in one message, in whatever order the items came."""
    said = {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "Let me look."}]}
    calls = [
        {"type": "function_call", "call_id": f"c{n}", "name": "weather", "arguments": f'{{"n":{n}}}'} for n in (1, 2)
    ]
    results = [{"type": "function_call_output", "call_id": f"c{n}", "output": f"r{n}"} for n in (1, 2)]
    wanted = [
        HI,
        {
            "role": "assistant",
            "content": "Let me look.",
            "tool_calls": [
                {"id": f"c{n}", "type": "function", "function": {"name": "weather", "arguments": f'{{"n":{n}}}'}}
                for n in (1, 2)
            ],
        },
        {"role": "tool", "tool_call_id": "c1", "content": "r1"},
        {"role": "tool", "tool_call_id": "c2", "content": "r2"},
        {"role": "assistant", "content": "Sunny."},
    ]
    last = {"role": "assistant", "content": "Sunny."}
    assert messages(HI, said, *calls, *results, last) == wanted
    assert messages(HI, *calls, said, *results, last) == wanted


def test_pictures_of_results_follow_the_last_result() -> None:
    """Results can only be text in a chat; results must follow their calls at once, so the pictures come behind all."""
    calls = [{"type": "function_call", "call_id": f"c{n}", "name": "look", "arguments": "{}"} for n in (1, 2)]
    shown = {"type": "input_image", "image_url": PICTURE}
    results = [
        {"type": "function_call_output", "call_id": "c1", "output": [shown]},
        {"type": "function_call_output", "call_id": "c2", "output": [{"type": "input_text", "text": "dark"}, shown]},
    ]
    image = {"type": "image_url", "image_url": {"url": PICTURE}}
    assert messages(HI, *calls, *results)[2:] == [
        {"role": "tool", "tool_call_id": "c1", "content": SHOWN},
        {"role": "tool", "tool_call_id": "c2", "content": "dark"},
        {"role": "user", "content": [image, image]},
    ]


def test_parts_of_messages() -> None:
    """Pictures, sounds and files as data."""
    content = [
        {"type": "input_text", "text": "look"},
        {"type": "input_image", "image_url": "https://pictures.invalid/a.png", "detail": "low"},
        {"type": "input_file", "filename": "a.pdf", "file_data": "data:application/pdf;base64,JVBERi0="},
        {"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}},
    ]
    assert messages({"role": "user", "content": content}) == [
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "look"},
                {"type": "image_url", "image_url": {"url": "https://pictures.invalid/a.png", "detail": "low"}},
                {"type": "file", "file": {"filename": "a.pdf", "file_data": "data:application/pdf;base64,JVBERi0="}},
                {"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}},
            ],
        }
    ]
    refused = {"type": "message", "role": "assistant", "content": [{"type": "refusal", "refusal": "No."}]}
    assert messages(HI, refused)[1] == {"role": "assistant", "content": "No."}


def test_custom_tools_are_functions_of_one_text() -> None:
    """Free text as a function's only parameter, in definitions, choices and history."""
    tool = {"type": "custom", "name": "shell", "description": "Runs it.", "format": {"type": "text"}}
    items = [
        HI,
        {"type": "custom_tool_call", "call_id": "c1", "name": "shell", "input": 'echo "1"'},
        {"type": "custom_tool_call_output", "call_id": "c1", "output": "1"},
    ]
    body = body_of(OPENAI, {"input": items, "tools": [tool], "tool_choice": {"type": "custom", "name": "shell"}})
    (function,) = [one["function"] for one in body["tools"]]
    assert function["name"] == "shell"
    assert function["parameters"]["required"] == ["input"]
    assert body["tool_choice"] == {"type": "function", "function": {"name": "shell"}}
    assert body["messages"][1]["tool_calls"][0]["function"]["arguments"] == '{"input":"echo \\"1\\""}'
    assert body["messages"][2] == {"role": "tool", "tool_call_id": "c1", "content": "1"}
    grammar = {**tool, "format": {"type": "grammar", "syntax": "lark", "definition": "start: 'a'"}}
    assert refusal({"input": "hi", "tools": [grammar]}).param == "tools[0].format"
    assert body_of(OPENAI, {"input": "hi", "tools": [grammar]}, unsupported="drop")["tools"]


def test_only_allowed_tools_are_offered() -> None:
    """`allowed_tools` becomes the list of tools itself: few servers of chat know the word."""
    choice = {"type": "allowed_tools", "mode": "required", "tools": [{"type": "function", "name": "time"}]}
    body = body_of(OPENAI, {"input": "hi", "tools": [WEATHER, TIME], "tool_choice": choice})
    assert [tool["function"]["name"] for tool in body["tools"]] == ["time"]
    assert body["tool_choice"] == "required"


def test_a_choice_without_tools_is_left_out() -> None:
    """Servers refuse `tool_choice` where there is nothing to choose from."""
    assert body_of(OPENAI, {"input": "hi", "tools": [], "tool_choice": "none"}).keys() == {"model", "messages"}


@pytest.mark.parametrize(
    "kind", ["web_search", "web_search_preview", "file_search", "code_interpreter", "computer_use_preview", "mcp"]
)
def test_tools_of_openais_own_are_refused(kind: str) -> None:
    """They run at OpenAI: the refusal says what to use, and `unsupported: drop` leaves them out."""
    fields = {"input": "hi", "tools": [{"type": kind}, WEATHER]}
    error = refusal(fields)
    assert (error.param, error.public_code) == ("tools[0].type", "unsupported_parameter")
    assert "Responses API" in error.public_message
    assert kind in error.public_message
    assert len(body_of(OPENAI, fields, unsupported="drop")["tools"]) == 1


@pytest.mark.parametrize(
    ("name", "value", "advice"),
    [
        ("previous_response_id", "resp_1", "`input`"),
        ("conversation", {"id": "conv_1"}, "`input`"),
        ("background", True, "`stream`"),
        ("prompt", {"id": "pmpt_1"}, "`instructions`"),
    ],
)
def test_what_needs_a_state_is_refused_with_what_to_do(name: str, value: Any, advice: str) -> None:
    """Nobody keeps a state: not even `unsupported: drop` may leave the conversation out."""
    for policy in ("error", "drop"):
        error = refusal({"input": "hi", name: value}, unsupported=policy)
        assert isinstance(error, UnsupportedParameter)
        assert error.failover
        assert error.param == name
        assert advice in error.public_message


def test_items_that_are_stored_elsewhere() -> None:
    """A reference to reasoning adds nothing and is left out; one to anything else is a hole in the conversation."""
    assert messages({"type": "item_reference", "id": "rs_1"}, HI) == [HI]
    for item in ({"type": "item_reference", "id": "msg_1"}, {"id": "fc_1"}):
        error = refusal({"input": [item, HI]}, unsupported="drop")
        assert error.param == "input[0]"
        assert "store" in error.public_message


def test_other_items_are_refused() -> None:
    """What a chat has no words for is never left out silently."""
    for kind in ("web_search_call", "computer_call", "compaction", "mcp_list_tools", "image_generation_call"):
        assert refusal({"input": [{"type": kind, "id": "x"}, HI]}, unsupported="drop").param == "input[0]"
    picture = [{"type": "input_image", "file_id": "file-1"}]
    assert refusal({"input": [{"role": "user", "content": picture}]}).param == "input[0].content[0]"
    assert refusal({"input": "hi", "context_management": [{"type": "compaction"}]}).param == "context_management"
    assert refusal({"input": "hi", "temprature": 1}).param == "temprature"


INVALID: dict[str, tuple[dict[str, Any], str | None]] = {
    "no input": ({}, "input"),
    "empty input": ({"input": []}, "input"),
    "input of a strange type": ({"input": 5}, "input"),
    "an unknown role": ({"input": [{"role": "robot", "content": "hi"}]}, "input[0].role"),
    "a call without a name": ({"input": [{"type": "function_call", "call_id": "c"}]}, "input[0]"),
    "a result of no call": ({"input": [{"type": "function_call_output", "output": "x"}]}, "input[0].call_id"),
    "a tool without a name": ({"input": "hi", "tools": [{"type": "function"}]}, "tools[0].name"),
    "a schema that is none": (
        {"input": "hi", "tools": [{"type": "function", "name": "f", "parameters": []}]},
        "tools[0].parameters",
    ),
    "a word that is no choice": ({"input": "hi", "tools": [WEATHER], "tool_choice": "any"}, "tool_choice"),
    "a choice of no tool": (
        {"input": "hi", "tools": [WEATHER], "tool_choice": {"type": "function", "name": "time"}},
        "tool_choice",
    ),
    "a format without its schema": ({"input": "hi", "text": {"format": {"type": "json_schema"}}}, "text.format"),
}


@pytest.mark.parametrize("case", INVALID)
def test_what_nobody_could_answer(case: str) -> None:
    """The client's mistake, told with its place."""
    fields, param = INVALID[case]
    assert refusal(fields).param == param


def test_refusals_of_the_dialect_name_the_clients_field() -> None:
    """What the provider behind cannot say is told as the client wrote it."""
    assert refusal({"input": "hi", "top_logprobs": 2}, CLAUDE).param == "top_logprobs"
    assert refusal({"input": "hi", "text": {"verbosity": "low"}}, CLAUDE).param == "text.verbosity"
    sound = [{"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}}]
    assert refusal({"input": [{"role": "user", "content": sound}]}, CLAUDE).param == "input"


# ---- what providers want back ----------------------------------------------------------------------------------------

BLOCK = {"type": "thinking", "thinking": "Hm.", "signature": "c2ln"}
SIGNED = {"google": {"thought_signature": "c2lnbmVk"}}


def test_what_was_kept_comes_back() -> None:
    """Blocks and what belongs to calls survive the way through the client; what others packed is not read."""
    provider_state = ProviderState([BLOCK], {"c1": SIGNED})
    assert unpacked(packed(provider_state)) == provider_state
    assert packed(ProviderState()) is None
    for other in (None, "", "gAAAAABo", "gateway:", "gateway:%%%", "gateway:e30", "gateway:W10="):
        assert unpacked(other) in (None, ProviderState())


def test_reasoning_goes_back_to_who_understands_it() -> None:
    """Anthropic's blocks and Gemini's signatures return to translated providers; others get neither them nor an
    error."""
    kept = packed(ProviderState([BLOCK], {"c1": SIGNED}))
    items: list[dict[str, Any]] = [
        HI,
        {"id": "rs_1", "type": "reasoning", "summary": [], "encrypted_content": kept},
        {"type": "function_call", "call_id": "c1", "name": "weather", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "c1", "output": "sunny"},
    ]
    plain = messages(*items)
    assert plain[1].keys() == {"role", "content", "tool_calls"}
    assert plain[1]["tool_calls"][0].keys() == {"id", "type", "function"}
    claude = body_of(CLAUDE, {"input": items, "tools": [WEATHER]})
    assert claude["messages"][1]["content"][0] == BLOCK
    gemini = body_of(DIALECTS["gemini"], {"input": items, "tools": [WEATHER]})
    assert "c2lnbmVk" in str(gemini["contents"][1])


@pytest.mark.parametrize("kind", ["anthropic", "bedrock", "vertex"])
def test_no_turn_ends_with_thinking(kind: str) -> None:
    """A turn that was broken off after its reasoning is none: Claude refuses turns of thinking alone."""
    again = {"role": "user", "content": "?"}
    thought: dict[str, Any] = {
        "id": "rs_1",
        "type": "reasoning",
        "summary": [],
        "encrypted_content": packed(ProviderState([BLOCK])),
    }
    said = {"role": "assistant", "content": "hello"}
    turns = claude_turns(kind, [HI, thought, again])
    assert [turn["role"] for turn in turns] == ["user"]
    assert len(turns[0]["content"]) == 2
    assert "hello" in str(claude_turns(kind, [HI, said, thought, again])[1]["content"][-1])
    kept = claude_turns(kind, [HI, thought, said, again])[1]["content"]
    assert len(kept) == 2
    assert "c2ln" in str(kept[0])


def claude_turns(kind: str, items: list[dict[str, Any]]) -> Any:
    """What Claude hears of these items at a provider of this type."""
    model = {"bedrock": "anthropic.claude-sonnet-4-5-20250929-v1:0"}.get(kind, "claude-sonnet-4-5")
    deployment = replace(deployment_of(DIALECTS[kind]), model=model)
    call = call_of({"input": items})
    parts = SPEAKERS.of(call, deployment).body(call, deployment)
    assert isinstance(parts, list | tuple)
    return json.loads(b"".join(parts))["messages"]


def test_reasoning_of_other_models_is_left_out() -> None:
    """Encrypted by its maker, it tells nobody else anything."""
    summary = [{"type": "summary_text", "text": "Hm."}]
    thought = {"type": "reasoning", "summary": summary, "encrypted_content": "gAAAA"}
    assert messages(HI, thought, {"role": "user", "content": "?"}) == [HI, {"role": "user", "content": "?"}]


@pytest.mark.parametrize("seal", [UNSIGNED, None, packed(ProviderState([], {"c2": SIGNED}))])
def test_words_of_reasoning_go_back_with_calls(seal: str | None) -> None:
    """Providers that want what they thought before a call get it back, where nobody sealed it: DeepSeek refuses the
    conversation without. Of turns without calls it is over."""
    thought = {"type": "reasoning", "summary": [{"type": "summary_text", "text": "Hm."}], "encrypted_content": seal}
    said = {"role": "assistant", "content": "I look."}
    call = {"type": "function_call", "call_id": "c1", "name": "weather", "arguments": "{}"}
    result = {"type": "function_call_output", "call_id": "c1", "output": "sunny"}
    again = {"role": "user", "content": "?"}
    turns = messages(HI, thought, said, call, result, thought, said, again, call, dialect=DIALECTS["deepseek"])
    assert [turn.get("reasoning_content") for turn in turns] == [None, "Hm.", None, None, None, None]
    assert all("reasoning_content" not in turn for turn in messages(HI, thought, said, call, result))


@pytest.mark.parametrize("seal", ["gAAAA", packed(ProviderState([BLOCK]))])
def test_sealed_reasoning_is_its_makers(seal: str) -> None:
    """What another provider sealed or signed is not told in words."""
    thought = {"type": "reasoning", "summary": [{"type": "summary_text", "text": "Hm."}], "encrypted_content": seal}
    call = {"type": "function_call", "call_id": "c1", "name": "weather", "arguments": "{}"}
    assert "reasoning_content" not in messages(HI, thought, call, dialect=DIALECTS["deepseek"])[1]
