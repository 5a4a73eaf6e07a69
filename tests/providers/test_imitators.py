"""Requests to OpenAI's imitators: what is renamed, cut down, refused or left out, by type and by what operators say."""

from __future__ import annotations

from dataclasses import fields as fields_of
from typing import Any

import msgspec
import pytest

from gateway.errors import InvalidJson, InvalidRequest, UnsupportedParameter
from gateway.providers.wire.adapted_messages import short_id
from gateway.providers.wire.traits import Traits
from gateway.registry.abilities import TRAITS
from gateway.types import Service
from gateway.upstream.headroom import headroom

from .contract.cases import HI, RESULTS, TIME, TWO_CALLS, WEATHER
from .imitators import call, deployment, dialect, sent

ASK: dict[str, Any] = {"messages": [HI]}
PNG = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}}
GIF = {"type": "image_url", "image_url": {"url": "data:image/gif;base64,AA=="}}
WEB = {"type": "image_url", "image_url": {"url": "https://x.invalid/a.png"}}
ALLOWED = {
    "type": "allowed_tools",
    "allowed_tools": {"mode": "required", "tools": [{"type": "function", "function": {"name": "time"}}]},
}


def saying(*parts: dict[str, Any]) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": list(parts)}]}


@pytest.mark.parametrize(
    "kind", ["openai", "openai_compatible", "azure", "xai", "vllm", "meta", "together", "deepseek"]
)
def test_ordinary_requests_keep_their_bytes(kind: str) -> None:
    """Where nothing must change nothing is touched but the model's name."""
    one = call({"messages": [HI, {"role": "assistant", "content": "x"}], "temperature": 0.50, "x": {"y": 1}})
    parts = dialect(kind).body(one, deployment(kind))
    assert isinstance(parts, list | tuple)
    assert b"".join(parts) == one.raw.replace(b'"the/asked-model"', b'"m"')


@pytest.mark.parametrize(
    ("kind", "given", "wanted"),
    [
        ("mistral", {"seed": 7, "max_completion_tokens": 5}, {"random_seed": 7, "max_tokens": 5}),
        ("mistral", {"user": "u", "store": True, "prompt_cache_retention": "24h"}, {}),
        ("mistral", {"stream_options": {"include_usage": True}}, {}),
        (
            "mistral",
            {"logprobs": False, "logit_bias": {}, "modalities": ["text"], "verbosity": "medium"},
            {"logprobs": False},
        ),
        ("groq", {"n": 1, "logprobs": False, "top_logprobs": 0}, {"n": 1}),
        ("ollama", {"max_completion_tokens": 5, "tools": [WEATHER], "tool_choice": "none"}, {"max_tokens": 5}),
        ("ollama", {"parallel_tool_calls": False}, {}),
        ("ollama", {"tools": [TIME], "tool_choice": "auto"}, {"tools": [TIME], "tool_choice": "auto"}),
        ("vllm", {"tools": [WEATHER, TIME], "tool_choice": ALLOWED}, {"tools": [TIME], "tool_choice": "required"}),
        ("huggingface", {"stop": ["a", "b"], "seed": None}, {"stop": ["a", "b"]}),
        ("openai", {"seed": None, "n": None}, {"seed": None, "n": None}),
        ("deepseek", {"max_tokens": 3, "max_completion_tokens": 5}, {"max_tokens": 5}),
    ],
)
def test_parameters(kind: str, given: dict[str, Any], wanted: dict[str, Any]) -> None:
    """Names are the provider's; hints, defaults and nulls are left out where they would be refused."""
    assert sent(kind, **ASK, **given) == {"model": "m", **ASK, **wanted}


@pytest.mark.parametrize(
    ("kind", "given", "param", "left"),
    [
        ("mistral", {"logit_bias": {"1": 2}}, "logit_bias", {}),
        ("mistral", {"no_such_thing": 1}, "no_such_thing", {}),
        ("groq", {"n": 2}, "n", {"n": 1}),
        ("groq", {"logprobs": True}, "logprobs", {}),
        ("ollama", {"tools": [TIME], "tool_choice": "required"}, "tool_choice", {"tools": [TIME]}),
        ("ollama", {"tools": [TIME], "parallel_tool_calls": False}, "parallel_tool_calls", {"tools": [TIME]}),
        ("ollama", {"n": 3}, "n", {"n": 1}),
        ("huggingface", {"stop": list("abcdef")}, "stop", {"stop": list("abcd")}),
        ("huggingface", {"top_logprobs": 9}, "top_logprobs", {"top_logprobs": 5}),
    ],
)
def test_what_is_not_supported(kind: str, given: dict[str, Any], param: str, left: dict[str, Any]) -> None:
    """It is refused by name, or left out (or cut down) where the operator chose so."""
    with pytest.raises(UnsupportedParameter) as refused:
        sent(kind, **ASK, **given)
    assert (refused.value.param, refused.value.status) == (param, 400)
    assert sent(kind, **ASK, **given, to_unsupported="drop") == {"model": "m", **ASK, **left}


@pytest.mark.parametrize("service", [Service.CHAT, Service.COMPLETIONS, Service.RESPONSES, Service.EMBEDDINGS])
@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"STREAM": True}, "stream"),
        ({"\u017ftream": True}, "stream"),
        ({"Stream_Options": {"include_usage": False}}, "stream_options"),
        ({"stream_options": {"include_usage": True, "Include_Usage": False}}, "stream_options.include_usage"),
        ({"MAX_TO\u212aENS": 9999}, "max_tokens"),
        ({"Max_Output_Tokens": 9999}, "max_output_tokens"),
        ({"N": 5}, "n"),
        ({"Functions": []}, "functions"),
    ],
)
def test_who_does_not_heed_case_is_not_asked_for_something_else(
    service: Service, fields: dict[str, Any], param: str
) -> None:
    """A parameter in other letters, which the gateway would pass over and the provider would not, is refused by name;
    elsewhere it is the provider's to say what it is."""
    for stream in (True, False):
        with pytest.raises(InvalidRequest, match="does not tell them apart") as caught:
            sent("ollama", service, stream=stream, **fields)
        assert caught.value.param == param
        with pytest.raises(InvalidRequest, match="does not tell them apart"):
            sent("openai_compatible", service, stream=stream, to_traits=(("any_case", True),), **fields)
    assert fields.items() <= sent("vllm", service, **fields).items()


def test_what_is_only_like_a_parameter_in_other_letters_is_passed_on() -> None:
    """Names of others' own, values, and members further down."""
    fields: dict[str, Any] = {"keepAlive": 5, "messages": [{**HI, "Stream": 1}], "metadata": {"STREAM": True, "N": "n"}}
    assert fields.items() <= sent("ollama", **fields).items()


def test_a_name_that_is_no_text_is_refused_where_case_is_not_heeded() -> None:
    """Nothing could be told of the others."""
    one = call({"x": 1})
    odd = msgspec.structs.replace(one, raw=one.raw.replace(b'"x"', b'"\\ud800"'))
    with pytest.raises(InvalidJson):
        dialect("ollama").body(odd, deployment("ollama"))


def test_pictures_for_ollama() -> None:
    """By data and of a type that it takes; others are refused whatever `unsupported` says: content is never dropped."""
    text = {"type": "text", "text": "a"}
    assert sent("ollama", **saying(text, PNG))["messages"][0]["content"] == [text, PNG]
    for part in (WEB, GIF):
        with pytest.raises(UnsupportedParameter) as refused:
            sent("ollama", **saying(text, part), to_unsupported="drop")
        assert refused.value.param == "messages[0].content[1]"


def test_texts_for_ollama() -> None:
    """Parts are one string, results of tools too."""
    parts = {"type": "text", "text": "a"}, {"type": "text", "text": "b"}
    messages = sent("ollama", messages=[{"role": "user", "content": list(parts)}, TWO_CALLS, *RESULTS])["messages"]
    assert [one.get("content") for one in messages] == ["ab", None, "sunny", "noon"]
    with pytest.raises(UnsupportedParameter):
        sent("ollama", messages=[HI, TWO_CALLS, {"role": "tool", "tool_call_id": "call_aaaa1", "content": [PNG]}])


ANSWERED: dict[str, Any] = {
    "role": "assistant",
    "content": "42",
    "reasoning_content": "Hm.",
    "refusal": None,
    "annotations": [],
    "thinking_blocks": [{"type": "thinking"}],
    "name": "bob",
}


@pytest.mark.parametrize(
    ("kind", "wanted"),
    [
        ("groq", {"content": "42", "reasoning": "Hm."}),
        (
            "mistral",
            {
                "content": [
                    {"type": "thinking", "thinking": [{"type": "text", "text": "Hm."}]},
                    {"type": "text", "text": "42"},
                ]
            },
        ),
        (
            "vllm",
            {
                "content": "42",
                "reasoning": "Hm.",
                "annotations": [],
                "thinking_blocks": [{"type": "thinking"}],
                "name": "bob",
            },
        ),
        ("openai", {name: value for name, value in ANSWERED.items() if name != "role"}),
    ],
)
def test_answers_that_come_back(kind: str, wanted: dict[str, Any]) -> None:
    """Reasoning has the provider's name; what only others know is left out for those who would refuse it."""
    assert sent(kind, messages=[HI, ANSWERED, HI])["messages"][1] == {"role": "assistant", **wanted}


def test_refusals_that_come_back() -> None:
    """What was said in refusing stays said."""
    message = {"role": "assistant", "content": None, "refusal": "No."}
    assert sent("mistral", messages=[HI, message])["messages"][1] == {"role": "assistant", "content": "No."}


def test_embeddings() -> None:
    """Mistral's name for dimensions; others get the client's words."""
    given: dict[str, Any] = {"input": ["a"], "dimensions": 5, "encoding_format": "base64", "user": "u"}
    wanted = {"model": "m", "input": ["a"], "output_dimension": 5, "encoding_format": "base64"}
    assert sent("mistral", Service.EMBEDDINGS, **given) == wanted
    assert sent("xai", Service.EMBEDDINGS, **given) == {"model": "m", **given}
    flat = sent("openai_compatible", Service.EMBEDDINGS, **given, to_traits=(("encoding_format", False),))
    assert flat == {"model": "m", "input": ["a"], "dimensions": 5, "user": "u"}


def test_defaults_have_the_providers_names() -> None:
    """A deployment's parameters are OpenAI's words, and for callers who set none."""
    defaults: dict[str, Any] = {"seed": 7, "max_completion_tokens": 50}
    assert sent("mistral", **ASK, to_parameters=defaults) == {"model": "m", **ASK, "random_seed": 7, "max_tokens": 50}
    told = sent("mistral", **ASK, max_tokens=9, seed=1, to_parameters=defaults)
    assert told == {"model": "m", **ASK, "max_tokens": 9, "random_seed": 1}
    assert sent("openai", **ASK, max_tokens=9, to_parameters=defaults) == {
        "model": "m",
        **ASK,
        "max_tokens": 9,
        "seed": 7,
    }


@pytest.mark.parametrize(
    ("traits", "given", "wanted"),
    [
        ({"max_tokens_field": "max_tokens"}, {"max_completion_tokens": 5}, {"max_tokens": 5}),
        ({"max_tokens_field": "max_completion_tokens"}, {"max_tokens": 5}, {"max_completion_tokens": 5}),
        ({"seed_name": "random_seed"}, {"seed": 5}, {"random_seed": 5}),
        ({"stream_options": False}, {"stream_options": {}, "stream": True}, {"stream": True}),
        ({"stream_options": False}, {"stream": True}, {"stream": True}),
        ({"n_max": 1}, {"n": 1}, {"n": 1}),
        ({"nulls": False}, {"seed": None}, {}),
        ({"nulls": True}, {"seed": None}, {"seed": None}),
        ({"tool_choice": frozenset({"auto"})}, {"tools": [TIME], "tool_choice": "none"}, {}),
    ],
)
@pytest.mark.parametrize("kind", ["openai", "openai_compatible"])
def test_what_operators_say(kind: str, traits: dict[str, Any], given: dict[str, Any], wanted: dict[str, Any]) -> None:
    """A provider's or a model's traits win over its type's, OpenAI's own included."""
    found = sent(kind, **ASK, **given, to_traits=tuple(sorted(traits.items())))
    assert found == {"model": "m", **ASK, **wanted}


@pytest.mark.parametrize(
    ("traits", "given", "param"),
    [
        ({"seed_name": None}, {"seed": 5}, "seed"),
        ({"sampling": False}, {"temperature": 0.5}, "temperature"),
        ({"parallel_tool_calls": False}, {"tools": [TIME], "parallel_tool_calls": False}, "parallel_tool_calls"),
        ({"n_max": 1}, {"n": 2}, "n"),
        ({"stop_max": 1}, {"stop": ["a", "b"]}, "stop"),
        ({"tool_choice": frozenset({"auto"})}, {"tools": [TIME], "tool_choice": "required"}, "tool_choice"),
    ],
)
def test_what_operators_say_is_missing(traits: dict[str, Any], given: dict[str, Any], param: str) -> None:
    """It is refused, as for types that lack it."""
    with pytest.raises(UnsupportedParameter) as refused:
        sent("openai_compatible", **ASK, **given, to_traits=tuple(traits.items()))
    assert refused.value.param == param


def test_roles_that_are_not_known() -> None:
    """A model without a system role hears it as the user's words; one that knows `developer` hears that."""
    messages = [{"role": "developer", "content": "a"}, {"role": "system", "content": "b"}, HI]
    for traits, wanted in (
        ((("system_role", False),), ["user"] * 3),
        ((("developer_role", True),), ["developer", "system", "user"]),
    ):
        found = sent("vllm", messages=messages, to_traits=traits)["messages"]
        assert [message["role"] for message in found] == wanted


def test_every_trait_of_the_configuration_is_one_of_the_wires() -> None:
    """They are told by the same names."""
    assert TRAITS.keys() <= {field.name for field in fields_of(Traits)}


def test_ids_do_not_collide() -> None:
    """Many ids stay many."""
    found = {short_id(f"call_{number}", 9) for number in range(5000)}
    assert len(found) == 5000
    assert all(len(one) == 9 and one.isalnum() for one in found)


@pytest.mark.parametrize(
    ("headers", "share"),
    [
        ({b"x-ratelimit-limit-req-minute": b"60", b"x-ratelimit-remaining-req-minute": b"15"}, 0.25),
        ({b"x-ratelimit-limit-tokens-minute": b"100", b"x-ratelimit-remaining-tokens-minute": b"50"}, 0.5),
        # Azure's odd values tell nothing.
        ({b"x-ratelimit-limit-requests": b"120", b"x-ratelimit-remaining-requests": b"-1"}, None),
        ({b"x-ratelimit-limit-tokens": b"0", b"x-ratelimit-remaining-tokens": b"0"}, None),
        (
            {
                b"x-ratelimit-limit": b"10",
                b"x-ratelimit-remaining": b"9",
                b"x-tokenlimit-limit": b"3000",
                b"x-tokenlimit-remaining": b"300",
            },
            0.1,
        ),
    ],
)
def test_rate_limits_by_the_minute(headers: dict[bytes, bytes], share: float | None) -> None:
    """Mistral's and Cerebras's headers, Azure's, and Together's, whose tokens are a limit of their own."""
    assert headroom(headers) == share
