"""What becomes of OpenAI's requests at Bedrock, beyond the contract: what each vendor's models take, and how."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from gateway.errors import InvalidRequest, UnsupportedParameter
from gateway.ports import BatchingDialect, SurfaceDialect
from gateway.providers.converse.models import abilities_of
from gateway.providers.converse.names import id_of, name_of
from gateway.types import Service, Surface
from tests.support.translated import call_of

from .bedrock import (
    BEDROCK,
    CLAUDE,
    DEEPSEEK,
    LLAMA,
    NEWER,
    NOVA,
    NOVA_2,
    OLDER,
    OSS,
    PROFILE,
    QWEN,
    TITAN,
    USER,
    call,
    decoded,
    finish,
    sent,
    streamed,
    talk,
)
from .contract.cases import FORMAT, HI, RESULTS, SCHEMA, TWO_CALLS, WEATHER


def more(model: str, **fields: Any) -> Any:
    """What is asked of a model in its vendor's own words."""
    return sent(model, **fields).get("additionalModelRequestFields")


@pytest.mark.parametrize(
    ("model", "vendor", "structured", "cached"),
    [
        (CLAUDE, "anthropic", True, True),
        (OLDER, "anthropic", False, True),
        (NOVA, "amazon", False, True),
        (TITAN, "amazon", False, False),
        (LLAMA, "meta", False, False),
        (QWEN, "qwen", True, False),
        (
            "arn:aws:bedrock:eu-west-1:1:inference-profile/eu.anthropic.claude-3-haiku-20240307-v1:0",
            "anthropic",
            False,
            True,
        ),
        ("arn:aws:bedrock:us-east-1::foundation-model/amazon.nova-pro-v1:0", "amazon", False, True),
        (PROFILE, "", True, True),
        ("abc123", "", True, True),
    ],
)
def test_abilities(model: str, vendor: str, structured: bool, cached: bool) -> None:
    """Told from a model's name, a profile's or an ARN; nothing is known of a profile that a customer named."""
    able = abilities_of(model)
    assert (able.vendor, able.structured, able.cached) == (vendor, structured, cached)


@pytest.mark.parametrize("stream", [False, True])
def test_addresses(stream: bool) -> None:
    """The model stands in the path, an ARN with its slashes and colons encoded."""
    method = b"converse-stream" if stream else b"converse"
    one = call_of(messages=[USER], stream=stream)
    wanted = b"/model/arn%3Aaws%3Abedrock%3Aeu-west-1%3A123456789012%3Aapplication-inference-profile%2Fabc123/" + method
    assert BEDROCK.head(one, PROFILE).target == wanted


def test_one_body_for_both() -> None:
    """A stream is asked for by the path alone."""
    one = call_of(messages=[USER], stream=True)
    assert BEDROCK.sent(one) == {"messages": [{"role": "user", "content": [{"text": "hi"}]}]}


@pytest.mark.parametrize(
    ("model", "effort", "wanted"),
    [
        (
            NEWER,
            "high",
            {"thinking": {"type": "adaptive", "display": "summarized"}, "output_config": {"effort": "high"}},
        ),
        (NEWER, "none", {"thinking": {"type": "disabled"}}),
        (CLAUDE, "medium", {"thinking": {"type": "enabled", "budget_tokens": 8192}}),
        (NOVA_2, "xhigh", {"reasoningConfig": {"type": "enabled", "maxReasoningEffort": "high"}}),
        (NOVA_2, "none", {"reasoningConfig": {"type": "disabled"}}),
        (QWEN, "minimal", {"reasoning_config": "low"}),
        (QWEN, "none", None),
        (LLAMA, "none", None),
    ],
)
def test_effort(model: str, effort: str, wanted: Any) -> None:
    """`reasoning_effort` in the words of each vendor."""
    assert more(model, reasoning_effort=effort) == wanted


def test_budgets_have_room() -> None:
    """A budget that we chose comes with a limit above it; one that the caller chose is left alone."""
    assert sent(CLAUDE, reasoning_effort="low")["inferenceConfig"] == {"maxTokens": 64_000}
    given = {"type": "enabled", "budget_tokens": 2000}
    body = sent(CLAUDE, thinking=given)
    assert body["additionalModelRequestFields"] == {"thinking": given}
    assert "inferenceConfig" not in body
    assert more(PROFILE, thinking=given) == {"thinking": given}


@pytest.mark.parametrize(
    ("model", "fields", "param"),
    [
        (LLAMA, {"reasoning_effort": "low"}, "reasoning_effort"),
        (DEEPSEEK, {"reasoning_effort": "low"}, "reasoning_effort"),
        (NOVA_2, {"reasoning_effort": "huge"}, "reasoning_effort"),
        (LLAMA, {"thinking": {"type": "enabled"}}, "thinking"),
        (LLAMA, {"top_k": 5}, "top_k"),
        (CLAUDE, {"temperature": 1.5}, "temperature"),
        (CLAUDE, {"reasoning_effort": "low", "temperature": 0.5}, "temperature"),
        (CLAUDE, {"reasoning_effort": "low", "top_k": 5}, "top_k"),
        (NOVA, {"response_format": FORMAT}, "response_format"),
        (NOVA, {"tools": [{"type": "function", "function": {"name": "f", "strict": True}}]}, "tools.function.strict"),
        (NOVA, {"parallel_tool_calls": False, "tools": [WEATHER]}, "parallel_tool_calls"),
        (NOVA, {"logprobs": True}, "logprobs"),
        (NOVA, {"frequency_penalty": 1}, "frequency_penalty"),
        (NOVA, {"logit_bias": {"1": 1}}, "logit_bias"),
        (NOVA, {"safety_settings": [{}]}, "safety_settings"),
        (NOVA, {"tools": [{"type": "custom", "custom": {"name": "f"}}]}, "tools[0].type"),
        (NOVA, {"new_field": 1}, "new_field"),
    ],
)
def test_lost_parameters(model: str, fields: dict[str, Any], param: str) -> None:
    """What a model cannot be told is refused by its name, or left out where the operator chose so."""
    with pytest.raises(UnsupportedParameter) as refused:
        sent(model, **fields)
    assert refused.value.param == param
    assert sent(model, unsupported="drop", **fields)["messages"]


def test_top_k() -> None:
    """Each vendor has it elsewhere."""
    assert more(CLAUDE, top_k=5) == {"top_k": 5}
    assert more(NOVA, top_k=5) == {"inferenceConfig": {"topK": 5}}
    assert more("cohere.command-r-v1:0", top_k=5) == {"k": 5}


def test_own_words() -> None:
    """A guardrail, fields of the vendor's and a tier are handed on; the caller's own fields win."""
    guard = {"guardrailIdentifier": "g1", "guardrailVersion": "DRAFT"}
    body = sent(NOVA, guardrail_config=guard, additional_model_request_fields={"a": 1, "inferenceConfig": 2}, top_k=5)
    assert body["guardrailConfig"] == guard
    assert body["additionalModelRequestFields"] == {"a": 1, "inferenceConfig": 2}
    assert sent(NOVA, service_tier="flex")["serviceTier"] == {"type": "flex"}
    assert "serviceTier" not in sent(NOVA, service_tier="auto")


def test_guardrails_of_operators() -> None:
    """What a deployment is guarded by no caller replaces."""
    ours, theirs = {"guardrailIdentifier": "ours"}, {"guardrailIdentifier": "theirs"}
    call = call_of(messages=[USER], guardrail_config=theirs)
    assert BEDROCK.sent(call, NOVA, parameters={"guardrail_config": ours})["guardrailConfig"] == ours


def test_hints() -> None:
    """What steers OpenAI's own service is left out."""
    fields: dict[str, Any] = {
        "store": True,
        "metadata": {"a": "b"},
        "user": "u",
        "safety_identifier": "s",
        "prompt_cache_key": "k",
    }
    assert sent(**fields).keys() == {"messages"}


def test_system() -> None:
    """Instructions alone become a user's words; models without `system` read them at the start of the first turn."""
    system = {"role": "system", "content": "be brief"}
    assert sent(messages=[system]) == {"messages": [{"role": "user", "content": [{"text": "be brief"}]}]}
    assert sent(TITAN, messages=[USER, system]) == {
        "messages": [{"role": "user", "content": [{"text": "be brief"}, {"text": "hi"}]}]
    }
    body = sent(TITAN, response_format={"type": "json_object"})
    assert "JSON" in body["messages"][0]["content"][0]["text"]
    with pytest.raises(UnsupportedParameter, match="system"):
        sent(messages=[{"role": "system", "content": [{"type": "image_url", "image_url": {"url": "x"}}]}, USER])


def test_the_order_of_speakers() -> None:
    """A user begins; whoever ends may be asked to go on only by models that do."""
    with pytest.raises(UnsupportedParameter, match="at the start"):
        talk({"role": "assistant", "content": "I"}, USER)
    assert talk(USER, {"role": "assistant", "content": "I"})[-1]["role"] == "assistant"
    with pytest.raises(UnsupportedParameter, match="at the end"):
        talk(USER, {"role": "assistant", "content": "I"}, model=NEWER)


def test_structured_output() -> None:
    """A schema travels as text; where the API has no such thing it is asked for in words."""
    form = sent(response_format=FORMAT)["outputConfig"]["textFormat"]["structure"]["jsonSchema"]
    assert form["name"] == "place"
    assert isinstance(form["schema"], str)
    body = sent(NOVA, unsupported="drop", response_format=FORMAT)
    assert "additionalProperties" in body["system"][0]["text"]
    assert "outputConfig" not in body


def test_strict_tools() -> None:
    """Where the model can be held to a schema."""
    tool = {"type": "function", "function": {"name": "f", "parameters": SCHEMA, "strict": True}}
    assert sent(tools=[tool])["toolConfig"]["tools"][0]["toolSpec"]["strict"] is True


def test_schemas_that_can_be_compiled() -> None:
    """Objects are closed and bounds are words: Bedrock would refuse the request."""
    schema = {"type": "object", "properties": {"age": {"type": "integer", "minimum": 0}}}
    age = {"type": "integer", "description": "{minimum: 0}"}
    closed = {"type": "object", "properties": {"age": age}, "additionalProperties": False}
    form = {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}
    tool = {"type": "function", "function": {"name": "f", "parameters": schema, "strict": True}}
    body = sent(response_format=form, tools=[tool])
    assert json.loads(body["outputConfig"]["textFormat"]["structure"]["jsonSchema"]["schema"]) == closed
    assert body["toolConfig"]["tools"][0]["toolSpec"]["inputSchema"] == {"json": closed}


def test_allowed_tools() -> None:
    """Those that are not allowed are not offered."""
    allowed = {"mode": "required", "tools": [{"type": "function", "function": {"name": "weather"}}]}
    other = {"type": "function", "function": {"name": "other"}}
    config = sent(tools=[WEATHER, other], tool_choice={"type": "allowed_tools", "allowed_tools": allowed})["toolConfig"]
    assert [tool["toolSpec"]["name"] for tool in config["tools"]] == ["weather"]
    assert config["toolChoice"] == {"any": {}}


@pytest.mark.parametrize(
    ("choice", "wanted"),
    [
        ("auto", {"type": "auto"}),
        ("required", {"type": "any"}),
        ({"type": "function", "function": {"name": "weather"}}, {"type": "tool", "name": "weather"}),
    ],
)
def test_one_call_at_a_time(choice: Any, wanted: dict[str, Any]) -> None:
    """Claude can be told so in Anthropic's words, from 4.5 on; then the choice stands there alone."""
    body = sent(CLAUDE, tools=[WEATHER], tool_choice=choice, parallel_tool_calls=False)
    assert body["additionalModelRequestFields"] == {"tool_choice": {**wanted, "disable_parallel_tool_use": True}}
    assert "toolChoice" not in body["toolConfig"]
    assert "additionalModelRequestFields" not in sent(NOVA, parallel_tool_calls=False)
    for model in (OLDER, NOVA, PROFILE):
        with pytest.raises(UnsupportedParameter):
            sent(model, tools=[WEATHER], tool_choice=choice, parallel_tool_calls=False)


def test_marks_of_the_cache() -> None:
    """A mark stands behind what it is for, where the model has a cache; elsewhere it means nothing."""
    mark = {"type": "ephemeral", "ttl": "1h"}
    text = {"type": "text", "text": "a", "cache_control": mark}
    messages = [{"role": "system", "content": [text]}, {"role": "user", "content": [text], "cache_control": mark}]
    tools = [{**WEATHER, "cache_control": {"type": "ephemeral"}}]
    point = {"cachePoint": {"type": "default", "ttl": "1h"}}
    body = sent(CLAUDE, messages=messages, tools=tools)
    assert body["system"] == [{"text": "a"}, point]
    assert body["messages"] == [{"role": "user", "content": [{"text": "a"}, point]}]
    assert body["toolConfig"]["tools"][1] == {"cachePoint": {"type": "default"}}
    assert len(sent(NOVA, messages=messages, tools=tools)["toolConfig"]["tools"]) == 1
    assert "cachePoint" not in str(sent(LLAMA, messages=messages, tools=tools))
    assert sent(CLAUDE, cache_control=mark)["messages"][-1]["content"][-1] == point
    assert "cachePoint" not in str(sent(LLAMA, cache_control=mark))


def file(data: str, filename: str | None = None) -> dict[str, Any]:
    return {"type": "file", "file": {"file_data": data, **({"filename": filename} if filename else {})}}


def test_documents() -> None:
    """By the bytes, the declared type or the end of the name; each under a name of its own that Bedrock takes."""
    pdf, text = base64.b64encode(b"%PDF-1.7 ...").decode(), base64.b64encode(b"hello there").decode()
    parts = [
        file(f"data:text/plain;base64,{pdf}", "a/b: c.txt"),
        file(f"data:text/csv;base64,{text}", "table.csv"),
        file(text, "notes.md"),
        file(f"data:text/x-python;base64,{text}"),
        file(f"data:application/octet-stream;base64,{text}", "table.xlsx"),
    ]
    documents = [block["document"] for block in talk({"role": "user", "content": parts})[0]["content"]]
    assert [one["format"] for one in documents] == ["pdf", "csv", "md", "txt", "xlsx"]
    assert [one["name"] for one in documents] == ["a b c", "table", "notes", "Document 4", "table 5"]
    assert documents[0]["source"] == {"bytes": pdf}
    stored = {"type": "file", "file": {"file_id": "s3://bucket/report.pdf"}}
    (block,) = talk({"role": "user", "content": [stored]})[0]["content"]
    wanted = {"format": "pdf", "name": "report", "source": {"s3Location": {"uri": "s3://bucket/report.pdf"}}}
    assert block == {"document": wanted}


def test_sounds() -> None:
    """As they are, by their format."""
    part = {"type": "input_audio", "input_audio": {"data": "UklGRg==", "format": "mp3"}}
    (block,) = talk({"role": "user", "content": [part]})[0]["content"]
    assert block == {"audio": {"format": "mp3", "source": {"bytes": "UklGRg=="}}}


@pytest.mark.parametrize(
    ("part", "param"),
    [
        (file("data:application/zip;base64,UEsDBA==", "a.zip"), "messages[0].content[0].file.file_data"),
        ({"type": "file", "file": {"file_id": "file-1"}}, "messages[0].content[0].file.file_id"),
        (
            {"type": "image_url", "image_url": {"url": "data:image/bmp;base64,Qk0="}},
            "messages[0].content[0].image_url.url",
        ),
        ({"type": "news"}, "messages[0].content[0]"),
    ],
)
def test_lost_content(part: dict[str, Any], param: str) -> None:
    """Content that cannot be carried over is refused, whatever the operator chose."""
    with pytest.raises(UnsupportedParameter) as refused:
        sent(unsupported="drop", messages=[{"role": "user", "content": [part]}])
    assert refused.value.param == param


def test_wrong_arguments() -> None:
    """Arguments that are no object, as of a call that was cut off, are told as they are: OpenAI takes them back."""
    for given in ("[1]", '{"city": "K', "null"):
        calls = [{"id": "1", "type": "function", "function": {"name": "f", "arguments": given}}]
        block = talk(USER, {"role": "assistant", "tool_calls": calls})[1]["content"][0]
        assert block["toolUse"]["input"] == {"INVALID_JSON": given}


def test_names_and_ids() -> None:
    """What Bedrock takes stays; the rest is spelt in its letters, each differently, and comes back as it was."""
    assert (name_of("get_weather-2"), id_of("call_1.a:b-c")) == ("get_weather-2", "call_1.a:b-c")
    odd, long = "mcp.weather/get", "x" * 65
    assert len({name_of(odd), name_of("mcp_weather/get"), name_of(long), name_of(long + "x")}) == 4
    assert len(name_of(long)) == len(id_of(long)) == 64
    tool = {"type": "function", "function": {"name": odd}}
    asked: dict[str, Any] = {"messages": [HI], "tools": [WEATHER, tool]}
    body = sent(**asked, tool_choice={"type": "function", "function": {"name": odd}})
    spelt = body["toolConfig"]["tools"][1]["toolSpec"]["name"]
    assert body["toolConfig"]["toolChoice"] == {"tool": {"name": spelt}}
    assert streamed(call(0, spelt, "{}"), finish("tool_use"), asked=asked).calls[0][1] == odd
    used = {"toolUse": {"toolUseId": "t", "name": spelt, "input": {}}}
    assert decoded(used, asked=asked).calls[0][1] == odd
    assert decoded(used, asked={"tools": [{"type": "function", "name": odd}]}).calls[0][1] == odd
    assert decoded(used).calls[0][1] == spelt


def test_ids_of_other_providers() -> None:
    """A call and its result keep one id, whatever it was."""
    long = "call/" + "ü" * 70
    calls = [{**TWO_CALLS["tool_calls"][0], "id": long}]
    turns = talk(USER, {**TWO_CALLS, "tool_calls": calls}, {**RESULTS[0], "tool_call_id": long})
    (used,), (result,) = turns[1]["content"], turns[2]["content"]
    assert used["toolUse"]["toolUseId"] == result["toolResult"]["toolUseId"] == id_of(long)


def test_openai_models() -> None:
    """OpenAI's own are asked by OpenAI's API as the request came; which ones can be said otherwise."""
    one = call_of(messages=[USER], seed=7)
    assert BEDROCK.head(one, OSS).target == b"/openai/v1/chat/completions"
    assert BEDROCK.sent(one, OSS) == {"model": OSS, "messages": [USER], "seed": 7}
    by_converse = BEDROCK.head(one, OSS, options={"openai_models": []})
    assert by_converse.target == b"/model/openai.gpt-oss-120b-1%3A0/converse"
    other = BEDROCK.head(one, QWEN, options={"openai_models": ["qwen.*"]})
    assert other.target == b"/openai/v1/chat/completions"


def test_surfaces() -> None:
    """OpenAI's models have Responses natively, Claude has Messages; all others are asked by chat alone."""
    dialect = BEDROCK.dialect
    assert isinstance(dialect, SurfaceDialect)
    assert dialect.surfaces(BEDROCK.deployment(OSS)) == {Surface.CHAT, Surface.RESPONSES}
    assert dialect.surfaces(BEDROCK.deployment(CLAUDE)) == {Surface.CHAT, Surface.MESSAGES}
    assert dialect.surfaces(BEDROCK.deployment(NOVA)) == {Surface.CHAT}


def test_openai_answers() -> None:
    """Streams of that API are server-sent events, and pass through."""
    one = BEDROCK.dialect.stream(call_of(stream=True), BEDROCK.deployment(OSS))
    chunk = (
        b'data: {"id":"x","object":"chat.completion.chunk","model":"m","choices":[{"index":0,"delta":{"content":"a"},'
    )
    out = one.feed(chunk + b'"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n') + one.end()
    assert one.complete
    assert b'"content":"a"' in out


def embedded(model: str, unsupported: str = "error", **fields: Any) -> dict[str, Any]:
    return BEDROCK.sent(call_of(Service.EMBEDDINGS, **fields), model, unsupported=unsupported)


TITAN_V2, TITAN_V1 = "amazon.titan-embed-text-v2:0", "amazon.titan-embed-text-v1"
NOVA_EMBED, COHERE_V3, COHERE_V4 = (
    "amazon.nova-2-multimodal-embeddings-v1:0",
    "cohere.embed-multilingual-v3",
    "eu.cohere.embed-v4:0",
)


def test_embeddings() -> None:
    """Each vendor's model is invoked in its own words."""
    one = call_of(Service.EMBEDDINGS, input="a")
    assert BEDROCK.head(one, TITAN_V2).target == b"/model/amazon.titan-embed-text-v2%3A0/invoke"
    wanted = {"inputText": "a", "dimensions": 256, "normalize": False}
    assert embedded(TITAN_V2, input="a", dimensions=256, normalize=False, input_type="search_query") == wanted
    assert embedded(TITAN_V1, input=["a"]) == {"inputText": "a"}
    image = embedded("amazon.titan-embed-image-v1", input="a", dimensions=384)
    assert image == {"inputText": "a", "embeddingConfig": {"outputEmbeddingLength": 384}}
    params = embedded(NOVA_EMBED, input="a", dimensions=256, truncate="END")["singleEmbeddingParams"]
    text = {"value": "a", "truncationMode": "END"}
    assert params == {"embeddingPurpose": "GENERIC_INDEX", "text": text, "embeddingDimension": 256}
    assert embedded(COHERE_V3, input=["a", "b"]) == {"texts": ["a", "b"], "input_type": "search_document"}
    wanted = {"texts": ["a"], "input_type": "search_query", "truncate": "END", "output_dimension": 512}
    assert embedded(COHERE_V4, input="a", input_type="search_query", truncate="END", dimensions=512) == wanted
    assert embedded(PROFILE, input="a") == {"inputText": "a"}


def test_texts_of_one_call() -> None:
    """Cohere's models take 96, all others one."""
    dialect = BEDROCK.dialect
    assert isinstance(dialect, BatchingDialect)
    most = [dialect.most_inputs(BEDROCK.deployment(model)) for model in (COHERE_V3, TITAN_V2, NOVA_EMBED, PROFILE)]
    assert most == [96, 1, 1, 1]


@pytest.mark.parametrize(
    ("model", "fields", "param"),
    [
        (TITAN_V1, {"dimensions": 256}, "dimensions"),
        (COHERE_V3, {"dimensions": 256}, "dimensions"),
        (TITAN_V1, {"normalize": True}, "normalize"),
        (TITAN_V2, {"truncate": "END"}, "truncate"),
        (COHERE_V3, {"new": 1}, "new"),
    ],
)
def test_lost_parameters_of_embeddings(model: str, fields: dict[str, Any], param: str) -> None:
    """What a model's vectors do not have is refused by name, or left out where the operator chose so."""
    with pytest.raises(UnsupportedParameter) as refused:
        embedded(model, input="a", **fields)
    assert refused.value.param == param
    assert param not in embedded(model, "drop", input="a", **fields)


def test_rerank() -> None:
    """Cohere's models want to be told the version of their API; documents are text."""
    fields: dict[str, Any] = {"query": "q", "documents": ["a", {"text": "b"}], "top_n": 1}
    one = call_of(Service.RERANK, **fields)
    coheres = BEDROCK.sent(one, "cohere.rerank-v3-5:0")
    assert coheres == {"query": "q", "documents": ["a", "b"], "top_n": 1, "api_version": 2}
    assert BEDROCK.sent(one, "amazon.rerank-v1:0") == {"query": "q", "documents": ["a", "b"], "top_n": 1}
    assert BEDROCK.head(one, "amazon.rerank-v1:0").target == b"/model/amazon.rerank-v1%3A0/invoke"


@pytest.mark.parametrize(
    ("service", "model", "words"),
    [
        (Service.EMBEDDINGS, CLAUDE, "titan-embed-text-v2"),
        (Service.RERANK, TITAN_V2, "cohere.rerank-v3-5:0"),
        (Service.CHAT, "eu.cohere.embed-v4:0", "one that chats"),
        (Service.CHAT, "amazon.rerank-v1:0", "one that chats"),
    ],
)
def test_work_that_a_model_does_not_do(service: Service, model: str, words: str) -> None:
    """Refused with what to use."""
    with pytest.raises(InvalidRequest, match=words) as refused:
        BEDROCK.sent(call_of(service, input="a", messages=[USER], query="q", documents=["a"]), model)
    assert refused.value.param == "model"


def test_what_says_nothing_but_blanks() -> None:
    """A turn or an instruction of blanks alone is none, for Bedrock would refuse it; beside anything else they stay."""
    blank, again = "\n\n", {"role": "user", "content": "?"}
    body = sent(messages=[{"role": "system", "content": blank}, HI, {"role": "assistant", "content": blank}, again])
    assert "system" not in body
    assert body["messages"] == [{"role": "user", "content": [{"text": "hi"}, {"text": "?"}]}]
    called = talk(HI, {**TWO_CALLS, "content": blank}, *RESULTS, tools=[WEATHER])[1]["content"]
    assert called[0] == {"text": blank}
