"""Requests to Anthropic: what each generation of models takes, and what becomes of what none does."""

from __future__ import annotations

import base64
import inspect
from typing import Any

import pytest
from openai.resources.chat.completions import Completions

from gateway.errors import GatewayError, InvalidRequest, UnsupportedParameter
from gateway.providers.chat.losses import HINTS
from gateway.providers.chat.reading import KNOWN
from gateway.providers.messages.models import abilities_of

from .contract.cases import HI, RESULTS, SCHEMA, TIME, TWO_CALLS, WEATHER
from .messages import sent, talk

THOUGHT = {"type": "thinking", "thinking": "Hm.", "signature": "c2ln"}
PDF = base64.b64encode(b"%PDF-1.7 x").decode()


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ('{"city": "K', {"INVALID_JSON": '{"city": "K'}),
        ("[1]", {"INVALID_JSON": "[1]"}),
        (" ", {}),
        ('{"id": 12345678901234567890123, "price": 1.10}', {"id": 12345678901234567890123, "price": 1.10}),
    ],
)
def test_arguments_of_earlier_calls(given: str, told: dict[str, Any]) -> None:
    """An object as it came; text that is none, as of a call that was cut off, is told to the model as it is: OpenAI
    takes such a conversation, and agents send it with an error as the result."""
    call = {"id": "a", "type": "function", "function": {"name": "f", "arguments": given}}
    assert talk(HI, {"role": "assistant", "tool_calls": [call]}, HI)[1]["content"][0]["input"] == told


def test_nulls_are_absent_fields() -> None:
    """Clients with one type for every part, call and message send what does not concern them as `null`; schemas keep
    theirs."""
    absent = dict.fromkeys(("text", "refusal", "image_url", "input_audio", "file", "cache_control"))
    picture = {**absent, "type": "image_url", "image_url": {"url": "https://x.invalid/a.png", "detail": None}}
    user = {"role": "user", "content": [{**absent, "type": "text", "text": "hi"}, picture], "name": None}
    call = {"id": "a", "type": None, "index": 0, "function": {"name": "f", "arguments": None}}
    said = {"role": "assistant", "content": None, "tool_calls": [call]}
    schema = {"type": "object", "properties": {"x": {"type": ["string", "null"], "default": None}}}
    tool = {"type": "function", "function": {"name": "f", "parameters": schema}}
    result = {"role": "tool", "tool_call_id": "a", "content": None}
    body = sent(messages=[user, said, result], tools=[tool], stop=["", "x"])
    assert [block["type"] for block in body["messages"][0]["content"]] == ["text", "image"]
    assert body["messages"][1]["content"] == [{"type": "tool_use", "id": "a", "name": "f", "input": {}}]
    assert (body["tools"][0]["input_schema"], body["stop_sequences"]) == (schema, ["x"])
    with pytest.raises(InvalidRequest) as refused:
        sent(messages=[{"role": None, "content": "hi"}])
    assert refused.value.param == "messages[0]"


def test_what_says_nothing_but_blanks() -> None:
    """A turn or an instruction of blanks alone, as models and templates write them, is none: the API would refuse the
    conversation for it ever after. Beside anything else they stay."""
    again = {"role": "user", "content": "?"}
    for blank in (" ", "\n\n", [{"type": "text", "text": "\n"}, {"type": "text", "text": ""}]):
        body = sent(messages=[{"role": "system", "content": blank}, HI, {"role": "assistant", "content": blank}, again])
        assert "system" not in body
        assert [turn["role"] for turn in body["messages"]] == ["user"]
        thought = {"role": "assistant", "content": blank, "thinking_blocks": [THOUGHT]}
        assert [turn["role"] for turn in talk(HI, thought, again)] == ["user"]
    called = talk(HI, {**TWO_CALLS, "content": " "}, *RESULTS)[1]["content"]
    assert called[0] == {"type": "text", "text": " "}
    parts = [{"type": "text", "text": "a"}, {"type": "text", "text": "\n"}]
    assert talk(HI, {"role": "assistant", "content": parts}, again)[1]["content"] == parts


@pytest.mark.parametrize(
    ("model", "sampling", "thinking", "efforts", "limit"),
    [
        ("claude-3-haiku-20240307", True, "none", 0, 4096),
        ("claude-3-5-sonnet-20241022", True, "none", 0, 8192),
        ("claude-3-7-sonnet@20250219", True, "budget", 0, 64_000),
        ("claude-sonnet-4-20250514", True, "budget", 0, 64_000),
        ("claude-opus-4-20250514", True, "budget", 0, 32_000),
        ("claude-opus-4-1-20250805", True, "budget", 0, 32_000),
        ("claude-sonnet-4-5-20250929", True, "budget", 0, 64_000),
        ("claude-haiku-4-5", True, "budget", 0, 64_000),
        ("claude-opus-4-5-20251101", True, "budget", 3, 64_000),
        ("claude-opus-4-6", True, "adaptive", 4, 128_000),
        ("us.anthropic.claude-sonnet-4-6-v1:0", True, "adaptive", 4, 128_000),
        ("claude-opus-4-7", False, "adaptive", 5, 128_000),
        ("claude-opus-4-8-20260601", False, "adaptive", 5, 128_000),
        ("claude-sonnet-5", False, "adaptive", 5, 128_000),
        ("claude-fable-5", False, "adaptive", 5, 128_000),
        ("my-deployment", True, "none", 0, 32_000),
    ],
)
def test_abilities(model: str, sampling: bool, thinking: str, efforts: int, limit: int) -> None:
    """Generations are told from names, as Anthropic and its resellers spell them."""
    able = abilities_of(model)
    assert able.sampling is sampling
    assert ("adaptive" if able.adaptive else "budget" if able.budget else "none") == thinking
    assert len(able.efforts) == efforts
    assert sent(model)["max_tokens"] == able.max_output == limit


@pytest.mark.parametrize(
    ("model", "effort", "thinking", "told"),
    [
        ("claude-opus-4-6", "xhigh", {"type": "adaptive"}, "high"),
        ("claude-opus-4-6", "minimal", {"type": "adaptive"}, "low"),
        ("claude-opus-4-6", "max", {"type": "adaptive"}, "max"),
        ("claude-opus-4-8", "xhigh", {"type": "adaptive", "display": "summarized"}, "xhigh"),
        ("claude-opus-4-8", "none", {"type": "disabled"}, None),
        ("claude-fable-5", "none", None, None),
        ("claude-opus-4-5", "high", {"type": "enabled", "budget_tokens": 16_384}, "high"),
        ("claude-sonnet-4-5", "medium", {"type": "enabled", "budget_tokens": 8192}, None),
        ("claude-sonnet-4-5", "none", {"type": "disabled"}, None),
    ],
)
def test_effort(model: str, effort: str, thinking: dict[str, Any] | None, told: str | None) -> None:
    """Effort is said in the words that the model's generation has for it."""
    body = sent(model, reasoning_effort=effort)
    assert body.get("thinking") == thinking
    assert body.get("output_config", {}).get("effort") == told


def test_effort_within_the_limit() -> None:
    """A budget stays below `max_tokens`; where there is no room for one, the client reads so."""
    body = sent("claude-sonnet-4-5", reasoning_effort="high", max_tokens=2000)
    assert body["thinking"]["budget_tokens"] == 1600
    for fields in (
        {"max_tokens": 1024},
        {"max_tokens": 4000, "tools": [WEATHER], "tool_choice": "required"},
        {"max_tokens": 4000, "temperature": 0.3},
    ):
        with pytest.raises(UnsupportedParameter) as refused:
            sent("claude-sonnet-4-5", reasoning_effort="low", **fields)
        assert refused.value.param in ("reasoning_effort", "temperature")
    with pytest.raises(UnsupportedParameter):
        sent("claude-3-haiku-20240307", reasoning_effort="low")


def test_own_words_for_thinking() -> None:
    """A caller who knows Anthropic's `thinking` is taken at his word."""
    given = {"type": "enabled", "budget_tokens": 1500}
    assert sent("claude-sonnet-4-5", thinking=given, reasoning_effort="high")["thinking"] == given
    body = sent("claude-opus-4-6", thinking={"type": "disabled"}, reasoning_effort="low")
    assert (body["thinking"], body["output_config"]) == ({"type": "disabled"}, {"effort": "low"})


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"n": 3}, "n"),
        ({"logprobs": True}, "logprobs"),
        ({"logit_bias": {"1": 5}}, "logit_bias"),
        ({"frequency_penalty": 0.5}, "frequency_penalty"),
        ({"presence_penalty": 0.5}, "presence_penalty"),
        ({"seed": 1}, "seed"),
        ({"modalities": ["text", "audio"]}, "modalities"),
        ({"web_search_options": {}}, "web_search_options"),
        ({"verbosity": "low"}, "verbosity"),
        ({"temperature": 1.5}, "temperature"),
        ({"temperature": 0.5, "top_p": 0.5}, "top_p"),
        ({"frobnicate": 1}, "frobnicate"),
        ({"tools": [{"type": "custom", "custom": {"name": "x"}}]}, "tools[0].type"),
    ],
)
def test_lost_parameters(fields: dict[str, Any], param: str) -> None:
    """A parameter that Anthropic lacks is refused by name, or left out where the operator said so."""
    with pytest.raises(UnsupportedParameter) as refused:
        sent(**fields)
    assert refused.value.param == param
    assert refused.value.code == "unsupported_parameter"
    body = sent(unsupported="drop", **fields)
    assert body.get("temperature") == {1.5: 1.0, 0.5: 0.5}.get(fields.get("temperature", 0))


def test_every_field_of_the_sdk_is_known() -> None:
    """What OpenAI's SDK can send is carried over, refused or left out knowingly: nothing of it is news."""
    known = KNOWN | HINTS | {"moderation"}
    transport = {"self", "extra_headers", "extra_query", "extra_body", "timeout"}
    assert set(inspect.signature(Completions.create).parameters) - transport <= known
    with pytest.raises(UnsupportedParameter):
        sent(moderation={"x": 1})


def test_long_names() -> None:
    """An error repeats the start of an unknown field's name, not all of it."""
    with pytest.raises(UnsupportedParameter) as refused:
        sent(**{"frobnicate" * 50: 1})  # type: ignore[arg-type]
    assert refused.value.param == ("frobnicate" * 50)[:64]


def test_sound_of_earlier_answers() -> None:
    """It is kept at OpenAI, and cannot be told to another provider."""
    with pytest.raises(UnsupportedParameter) as refused:
        talk(HI, {"role": "assistant", "audio": {"id": "a"}}, HI, unsupported="drop")
    assert refused.value.param == "messages[1].audio"


def test_hints_and_defaults() -> None:
    """What changes no answer is left out without a word."""
    body = sent(
        n=1, logprobs=False, logit_bias={}, frequency_penalty=0, presence_penalty=0, store=True, metadata={"a": "b"},
        modalities=["text"], verbosity="medium", service_tier="auto", prompt_cache_key="k", prediction=None,
        prompt_cache_options={"ttl": "12h"}, parallel_tool_calls=True, stream_options=None, frobnicate=None,
    )  # fmt: skip
    assert set(body) == {"model", "max_tokens", "messages"}


@pytest.mark.parametrize(
    ("part", "param"),
    [
        ({"type": "input_audio", "input_audio": {"data": "AA==", "format": "wav"}}, "messages[0].content[0]"),
        ({"type": "video_url", "video_url": {"url": "x"}}, "messages[0].content[0]"),
        ({"type": "file", "file": {"file_id": "file-1"}}, "messages[0].content[0].file.file_id"),
        (
            {"type": "file", "file": {"file_data": "data:application/zip;base64,AA=="}},
            "messages[0].content[0].file.file_data",
        ),
        (
            {"type": "image_url", "image_url": {"url": "data:image/tiff;base64,AA=="}},
            "messages[0].content[0].image_url.url",
        ),
        ({"type": "image_url", "image_url": {"url": "ftp://x"}}, "messages[0].content[0].image_url.url"),
        (
            {"type": "image_url", "image_url": {"url": "data:image/png;base64,?"}},
            "messages[0].content[0].image_url.url",
        ),
        ({"type": "image_url", "image_url": {"url": "data:image/png,x"}}, "messages[0].content[0].image_url.url"),
    ],
)
@pytest.mark.parametrize("unsupported", ["error", "drop"])
def test_lost_content(part: dict[str, Any], param: str, unsupported: str) -> None:
    """Content that cannot be carried over is refused whatever the operator chose: there is no answer without it."""
    with pytest.raises(GatewayError) as refused:
        talk({"role": "user", "content": [part]}, unsupported=unsupported)
    assert (refused.value.public_status, refused.value.param) == (400, param)


def test_documents() -> None:
    """PDF and text files are documents with their names as titles."""
    file = {"filename": "a.pdf", "file_data": f"data:application/pdf;base64,{PDF}"}
    text = {"file_data": "data:text/plain;base64," + base64.b64encode("grüße".encode()).decode()}
    (turn,) = talk({"role": "user", "content": [{"type": "file", "file": file}, {"type": "file", "file": text}]})
    assert turn["content"] == [
        {
            "type": "document",
            "source": {"type": "base64", "media_type": "application/pdf", "data": PDF},
            "title": "a.pdf",
        },
        {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "grüße"}},
    ]


def test_marks_of_the_cache() -> None:
    """`cache_control` and OpenAI's own breakpoints reach messages, the system, tools and the whole."""
    mark = {"type": "ephemeral"}
    body = sent(
        messages=[
            {"role": "system", "content": [{"type": "text", "text": "s", "cache_control": mark}]},
            {"role": "user", "content": [{"type": "text", "text": "a", "prompt_cache_breakpoint": {"ttl": "30m"}}]},
            {"role": "user", "content": "b", "cache_control": mark},
        ],
        tools=[{**WEATHER, "cache_control": mark}],
        cache_control=mark,
    )
    assert body["system"] == [{"type": "text", "text": "s", "cache_control": mark}]
    assert body["messages"][0]["content"] == [
        {"type": "text", "text": "a", "cache_control": {"type": "ephemeral", "ttl": "1h"}},
        {"type": "text", "text": "b", "cache_control": mark},
    ]
    assert body["tools"][0]["cache_control"] == mark
    assert body["cache_control"] == mark


def test_system_messages() -> None:
    """Those in the middle are hoisted and joined; alone they are what the user says."""
    body = sent(messages=[{"role": "system", "content": "a"}, HI, {"role": "system", "content": "b"}])
    assert body["system"] == "a\n\nb"
    alone = sent(messages=[{"role": "system", "content": "a"}])
    assert alone["messages"] == [{"role": "user", "content": [{"type": "text", "text": "a"}]}]
    assert "system" not in alone


def test_words_for_the_model() -> None:
    """A conversation may end with the assistant where the model continues it; elsewhere that is refused."""
    messages = [HI, {"role": "assistant", "content": "Once"}]
    assert sent("claude-sonnet-4-5", messages=messages)["messages"][-1]["role"] == "assistant"
    with pytest.raises(UnsupportedParameter):
        sent("claude-opus-4-6", messages=messages)


def test_structured_output_of_old_models() -> None:
    """Where the model has none, the schema is refused, or asked for in words."""
    form = {"type": "json_schema", "json_schema": {"name": "x", "schema": SCHEMA}}
    with pytest.raises(UnsupportedParameter):
        sent("claude-3-haiku-20240307", response_format=form)
    body = sent("claude-3-haiku-20240307", unsupported="drop", response_format=form)
    assert '"city"' in body["system"]
    assert "output_config" not in body


BOUNDED = {
    "type": "object",
    "properties": {
        "age": {"type": "integer", "minimum": 0, "maximum": 150, "description": "In years."},
        "pets": {"type": "array", "minItems": 1, "maxItems": 3, "items": {"$ref": "#/$defs/Pet"}},
        "minimum": {"oneOf": [{"type": "string", "format": "color"}, {"type": "null"}]},
        "counts": {"type": "object", "additionalProperties": {"type": "integer"}},
    },
    "required": ["age", "pets"],
    "$defs": {"Pet": {"type": "object", "properties": {"name": {"type": "string", "minLength": 1, "pattern": "^a"}}}},
}
"""What OpenAI's API takes, and Anthropic's refuses."""
COMPILED = {
    "type": "object",
    "properties": {
        "age": {"type": "integer", "description": "In years.\n\n{minimum: 0, maximum: 150}"},
        "pets": {"type": "array", "minItems": 1, "items": {"$ref": "#/$defs/Pet"}, "description": "{maxItems: 3}"},
        "minimum": {"anyOf": [{"type": "string", "description": '{format: "color"}'}, {"type": "null"}]},
        "counts": {"type": "object", "additionalProperties": {"type": "integer"}},
    },
    "required": ["age", "pets"],
    "$defs": {
        "Pet": {
            "type": "object",
            "properties": {"name": {"type": "string", "pattern": "^a", "description": "{minLength: 1}"}},
            "additionalProperties": False,
        }
    },
    "additionalProperties": False,
}


def test_schemas_that_can_be_compiled() -> None:
    """Objects are closed and bounds are words, in structured output and strict tools; other tools stay as they are."""
    form = {"type": "json_schema", "json_schema": {"name": "x", "schema": BOUNDED}}
    tools = [
        {"type": "function", "function": {"name": name, "parameters": BOUNDED, "strict": name == "strict"}}
        for name in ("strict", "free")
    ]
    body = sent("claude-sonnet-4-5", response_format=form, tools=tools)
    assert body["output_config"]["format"]["schema"] == COMPILED
    assert [tool["input_schema"] for tool in body["tools"]] == [COMPILED, BOUNDED]


def test_schemas_without_a_type() -> None:
    """Those of tools are objects, whatever has a type inside of them; the API insists on the word."""
    schema = {"properties": {"type": {"type": "string"}}}
    tool = {"type": "function", "function": {"name": "f", "parameters": schema}}
    assert sent(tools=[tool])["tools"][0]["input_schema"] == {"type": "object", **schema}


def test_allowed_tools() -> None:
    """A choice among allowed tools offers those alone."""
    allowed = {"mode": "required", "tools": [{"type": "function", "function": {"name": "time"}}]}
    body = sent(tools=[WEATHER, TIME], tool_choice={"type": "allowed_tools", "allowed_tools": allowed})
    assert [tool["name"] for tool in body["tools"]] == ["time"]
    assert body["tool_choice"] == {"type": "any"}


def test_functions_of_old() -> None:
    """`functions`, `function_call` and messages of role `function` mean what their successors do."""
    function = WEATHER["function"]
    body = sent(
        functions=[function],
        function_call={"name": "weather"},
        messages=[
            HI,
            {"role": "assistant", "content": None, "function_call": {"name": "weather", "arguments": "{}"}},
            {"role": "function", "name": "weather", "content": "sunny"},
        ],
    )
    assert body["tools"][0]["name"] == "weather"
    assert body["tool_choice"] == {"type": "tool", "name": "weather"}
    called, result = body["messages"][1]["content"][0], body["messages"][2]["content"][0]
    assert called["id"] == result["tool_use_id"]


def test_users_and_stops() -> None:
    """End users are named; stop words of blanks alone are left out, which the API would refuse."""
    assert sent(user="u1")["metadata"] == {"user_id": "u1"}
    assert sent(user="u1", safety_identifier="u2")["metadata"] == {"user_id": "u2"}
    assert sent(stop=["\n", "END"])["stop_sequences"] == ["END"]
    assert "stop_sequences" not in sent(stop=" ")


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"messages": []}, "messages"),
        ({"messages": [{"role": "robot", "content": "x"}]}, "messages[0].role"),
        ({"messages": [{"role": "tool", "content": "x"}]}, "messages[0].tool_call_id"),
        ({"messages": [{"role": "user", "content": 5}]}, "messages[0].content"),
        ({"tools": [{"type": "function", "function": {}}]}, "tools[0].function.name"),
        ({"tools": [{"type": "function", "function": {"name": "f", "parameters": 5}}]}, "tools[0].function.parameters"),
        ({"temperature": "hot"}, "temperature"),
        ({"tools": [WEATHER], "tool_choice": "any"}, "tool_choice"),
        ({"tools": [WEATHER], "tool_choice": {"type": "function", "name": "weather"}}, "tool_choice"),
        ({"response_format": {"type": "json"}}, "response_format.type"),
        ({"response_format": {"type": "json_schema"}}, "response_format.json_schema"),
    ],
)
def test_wrong_requests(fields: dict[str, Any], param: str) -> None:
    """What no chat request can hold is a 400 that names the place."""
    with pytest.raises(InvalidRequest) as refused:
        sent(**fields)
    assert refused.value.param == param
