"""What Gemini is asked, field by field, where the contract's cases do not reach."""

from __future__ import annotations

import json
from typing import Any

import pytest

from gateway.errors import InvalidRequest, UnsupportedParameter, UpstreamBadResponse
from gateway.ports import ListsModels
from gateway.providers import discover
from gateway.types import Deployment, Provider, Service

from .contract.cases import PNG, RESULTS, TWO_CALLS, WEATHER
from .google import DIALECT, FIRST, NEW, OLD, call, decoded, decoder, deployment, embedded, event, sent, talk

USER: dict[str, Any] = {"role": "user", "content": "hi"}
ASK: dict[str, Any] = {"messages": [USER]}


@pytest.mark.parametrize(
    ("model", "effort", "wanted"),
    [
        (NEW, "none", {"thinkingLevel": "MINIMAL"}),
        (NEW, "minimal", {"thinkingLevel": "MINIMAL", "includeThoughts": True}),
        (NEW, "medium", {"thinkingLevel": "MEDIUM", "includeThoughts": True}),
        (NEW, "xhigh", {"thinkingLevel": "HIGH", "includeThoughts": True}),
        ("gemini-3-pro-preview", "none", {"thinkingLevel": "LOW"}),
        ("gemini-3-pro-preview", "medium", {"thinkingLevel": "HIGH", "includeThoughts": True}),
        ("gemini-3.1-pro-preview", "medium", {"thinkingLevel": "MEDIUM", "includeThoughts": True}),
        ("gemini-flash-latest", "low", {"thinkingLevel": "LOW", "includeThoughts": True}),
        (OLD, "none", {"thinkingBudget": 0}),
        (OLD, "low", {"thinkingBudget": 1024, "includeThoughts": True}),
        (OLD, "max", {"thinkingBudget": 24576, "includeThoughts": True}),
        ("gemini-2.5-pro", "none", {"thinkingBudget": 128}),
        ("gemini-2.5-pro", "high", {"thinkingBudget": 24576, "includeThoughts": True}),
        ("gemini-2.0-flash", "none", None),
    ],
)
def test_reasoning(model: str, effort: str, wanted: dict[str, Any] | None) -> None:
    """Effort in each generation's words, never both of them."""
    config = sent(model, reasoning_effort=effort).get("generationConfig", {})
    assert config.get("thinkingConfig") == wanted


@pytest.mark.parametrize(("model", "effort"), [("gemini-2.0-flash", "low"), (NEW, "enormous")])
def test_reasoning_that_is_not_there(model: str, effort: str) -> None:
    """A model that does not reason, or an unknown effort, is refused, or left to the model."""
    with pytest.raises(UnsupportedParameter) as refused:
        sent(model, reasoning_effort=effort)
    assert refused.value.param == "reasoning_effort"
    assert "generationConfig" not in sent(model, "drop", reasoning_effort=effort)


@pytest.mark.parametrize(
    ("field", "value"),
    [("logit_bias", {"1": 2}), ("verbosity", "low"), ("web_search_options", {}), ("thinking", {}), ("new_thing", 1)],
)
def test_unsupported(field: str, value: Any) -> None:
    """What Gemini cannot say is refused by name, or left out."""
    with pytest.raises(UnsupportedParameter) as refused:
        sent(**{field: value})
    assert refused.value.param == field
    assert sent(unsupported="drop", **{field: value}) == sent()


def test_sampling() -> None:
    """Every number that both APIs have."""
    body = sent(n=2, seed=7, top_k=5, presence_penalty=0.5, frequency_penalty=-0.5, logprobs=True, top_logprobs=3)
    assert body["generationConfig"] == {
        "candidateCount": 2,
        "seed": 7,
        "topK": 5,
        "presencePenalty": 0.5,
        "frequencyPenalty": -0.5,
        "responseLogprobs": True,
        "logprobs": 3,
    }


def test_safety_settings() -> None:
    """Google's own thresholds are an extension, which providers without them refuse."""
    settings = [{"category": "HARM_CATEGORY_HARASSMENT", "threshold": "BLOCK_NONE"}]
    assert sent(safety_settings=settings)["safetySettings"] == settings
    with pytest.raises(UnsupportedParameter):
        discover()["anthropic"].body(call({**ASK, "safety_settings": settings}), deployment("claude-sonnet-4-6"))


def test_strict_tools() -> None:
    """Strict functions are called by their schemas, where the model can be held to them and is not forced to call."""
    strict = {"type": "function", "function": {**WEATHER["function"], "strict": True}}
    mode = {"functionCallingConfig": {"mode": "VALIDATED"}}
    assert sent(tools=[strict])["toolConfig"] == mode
    assert sent(OLD, tools=[strict])["toolConfig"] == mode
    assert "toolConfig" not in sent("gemini-2.0-flash", tools=[strict])
    assert sent(tools=[strict], tool_choice="required")["toolConfig"]["functionCallingConfig"]["mode"] == "ANY"


def test_media() -> None:
    """Sounds and files go inline or by where they lie at Google; those at OpenAI cannot be had."""
    parts = [
        {"type": "input_audio", "input_audio": {"data": "AAAA", "format": "mp3"}},
        {"type": "file", "file": {"file_data": "data:application/pdf;base64,JVBERi0x", "filename": "a.pdf"}},
        {"type": "file", "file": {"file_id": "gs://bucket/film.mp4"}},
    ]
    (turn,) = talk({"role": "user", "content": parts})
    assert turn["parts"] == [
        {"inlineData": {"mimeType": "audio/mp3", "data": "AAAA"}},
        {"inlineData": {"mimeType": "application/pdf", "data": "JVBERi0x"}},
        {"fileData": {"fileUri": "gs://bucket/film.mp4", "mimeType": "video/mp4"}},
    ]
    with pytest.raises(UnsupportedParameter) as refused:
        talk({"role": "user", "content": [{"type": "file", "file": {"file_id": "file-1"}}]})
    assert refused.value.param == "messages[0].content[0].file.file_id"


def test_pictures_in_results() -> None:
    """Part of the result where the model takes that, else beside it."""
    url = "data:image/png;base64,iVBORw0KGgo="
    picture = {"type": "image_url", "image_url": {"url": url}}
    results = [{**RESULTS[0], "content": [{"type": "text", "text": "see"}, picture]}, RESULTS[1]]
    new, old = (talk(USER, TWO_CALLS, *results, model=model)[2]["parts"] for model in (NEW, OLD))
    blob = {"inlineData": {"mimeType": "image/png", "data": "iVBORw0KGgo="}}
    assert new[0]["functionResponse"]["parts"] == [blob]
    assert len(new) == 2
    assert old[2] == blob
    assert PNG.startswith(b"\x89PNG")


def test_results() -> None:
    """A result that is an object stays one; one of a call that never was is refused; so are arguments that are none."""
    results = [{**RESULTS[0], "content": '{"sky": "blue"}'}, {**RESULTS[1], "content": "{no"}]
    parts = talk(USER, TWO_CALLS, *results)[2]["parts"]
    assert [part["functionResponse"]["response"] for part in parts] == [{"sky": "blue"}, {"result": "{no"}]
    with pytest.raises(InvalidRequest) as refused:
        talk(USER, RESULTS[0])
    assert refused.value.param == "messages[1].tool_call_id"
    broken = {"role": "assistant", "tool_calls": [{"id": "a", "function": {"name": "f", "arguments": "[1]"}}]}
    with pytest.raises(InvalidRequest) as refused:
        talk(USER, broken)
    assert refused.value.param == "messages[1].tool_calls[0].function.arguments"


def test_instructions_alone() -> None:
    """Somebody must speak: instructions alone are a turn, and so are those for models that take none."""
    system = {"role": "system", "content": "be brief"}
    assert sent(messages=[system]) == {"contents": [{"role": "user", "parts": [{"text": "be brief"}]}]}
    body = sent("gemma-3-27b-it", messages=[system, USER])
    assert body == {"contents": [{"role": "user", "parts": [{"text": "be brief"}, {"text": "hi"}]}]}


def test_path() -> None:
    """The model is in the path, quoted, unless it is named in full."""
    targets = [
        DIALECT.head(call({}, stream=stream), deployment(model), "k").target
        for model, stream in ((FIRST, False), ("tunedModels/mine", True), ("odd name/x?y", False))
    ]
    assert targets == [
        b"/v1beta/models/gemini-1.5-pro:generateContent",
        b"/v1beta/tunedModels/mine:streamGenerateContent?alt=sse",
        b"/v1beta/models/odd%20name%2Fx%3Fy:generateContent",
    ]


def test_list_of_models() -> None:
    """Names are those that clients ask for: without their collection."""
    body = b'{"models":[{"name":"models/gemini-3-pro","displayName":"x"},{"name":"tunedModels/mine"}]}'
    dialect = DIALECT
    assert isinstance(dialect, ListsModels)
    assert dialect.decode_models(body) == ("gemini-3-pro", "tunedModels/mine")


# ---- answers ---------------------------------------------------------------------------------------------------------


def test_blocked_prompts() -> None:
    """A prompt that Google refuses is an answer without words that was filtered."""
    feedback = {"promptFeedback": {"blockReason": "SAFETY"}, "usageMetadata": {"promptTokenCount": 4}}
    assert decoded(**feedback).finish == "content_filter"
    one = decoder()
    out = one.feed(f"data: {json.dumps(feedback)}\n\n".encode()) + one.end()
    assert one.failure is None
    assert b'"finish_reason":"content_filter"' in out


def test_logprobs() -> None:
    """Google's two lists are OpenAI's one, whole or streamed."""
    told = {
        "chosenCandidates": [{"token": "a", "logProbability": -0.5}],
        "topCandidates": [{"candidates": [{"token": "b", "logProbability": -1}]}],
    }
    wanted = {
        "content": [
            {
                "token": "a",
                "logprob": -0.5,
                "bytes": [97],
                "top_logprobs": [{"token": "b", "logprob": -1.0, "bytes": [98]}],
            }
        ],
        "refusal": None,
    }
    candidate = {"content": {"parts": [{"text": "a"}]}, "finishReason": "STOP", "logprobsResult": told}
    body = json.dumps({"candidates": [candidate]}).encode()
    reply = json.loads(DIALECT.decode(call({}), deployment(), [], body).body)
    assert reply["choices"][0]["logprobs"] == wanted
    one = decoder()
    out = one.feed(b"data: " + body + b"\n\n") + one.end()
    found = [json.loads(line[6:]) for line in out.splitlines() if line.startswith(b"data: {")]
    assert [chunk["choices"][0]["logprobs"] for chunk in found if chunk["choices"][0].get("logprobs")] == [wanted]


@pytest.mark.parametrize("parts", [[{"functionCall": {"args": {}}}], [{"functionCall": {"name": "f", "args": [1]}}]])
def test_calls_of_nothing(parts: list[Any]) -> None:
    """A call without a name, or with arguments that are no object, is no answer."""
    with pytest.raises(UpstreamBadResponse):
        decoded(candidates=[{"content": {"parts": parts}, "finishReason": "STOP"}])
    one = decoder()
    one.feed(event(*parts))
    assert one.failure is not None


# ---- embeddings ------------------------------------------------------------------------------------------------------


def test_embeddings() -> None:
    """A request per text, each with the model, the size and the task."""
    body = embedded(input=["a", "b"], dimensions=8, input_type="search_query", encoding_format="base64", user="u")
    common = {"model": "models/gemini-embedding-001", "outputDimensionality": 8, "taskType": "RETRIEVAL_QUERY"}
    assert body == {"requests": [{**common, "content": {"parts": [{"text": text}]}} for text in ("a", "b")]}


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"input": [[1, 2]]}, "input"),
        ({"input": []}, "input"),
        ({}, "input"),
        ({"input": "x", "dimensions": 0}, "dimensions"),
        ({"input": "x", "input_type": 1}, "input_type"),
        ({"input": "x", "odd": 1}, "odd"),
    ],
)
def test_odd_embeddings(fields: dict[str, Any], param: str) -> None:
    """What cannot be embedded is refused by name."""
    with pytest.raises((InvalidRequest, UnsupportedParameter)) as refused:
        embedded(**fields)
    assert refused.value.param == param


@pytest.mark.parametrize("body", [b"", b"{}", b"[]", b'{"embeddings":[]}', b'{"embeddings":[{"values":"x"}]}', b"\xff"])
def test_odd_vectors(body: bytes) -> None:
    """A reply without vectors is no answer."""
    one = call({"input": "x"}, service=Service.EMBEDDINGS)
    with pytest.raises(UpstreamBadResponse):
        DIALECT.decode(one, deployment(), [], body)


def test_pictures_that_were_made_before() -> None:
    """Each goes back with its signature; where the client lost that, Google is told not to look for one."""
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo="}, "index": 0}
    signed = {**image, "extra_content": {"google": {"thought_signature": "abc"}}}
    blob = {"inlineData": {"mimeType": "image/png", "data": "iVBORw0KGgo="}}
    turns = talk(USER, {"role": "assistant", "content": "here", "images": [signed, image]}, USER)
    assert turns[1]["parts"][0] == {"text": "here"}
    assert turns[1]["parts"][1] == {**blob, "thoughtSignature": "abc"}
    assert turns[1]["parts"][2]["thoughtSignature"] not in ("", "abc")
    assert talk(USER, {"role": "assistant", "images": [image]}, USER, model=OLD)[1]["parts"] == [blob]


def test_what_is_made() -> None:
    """Text and pictures on demand; what is said aloud is another API's."""
    assert sent(modalities=["text", "image"])["generationConfig"]["responseModalities"] == ["TEXT", "IMAGE"]
    assert "generationConfig" not in sent()
    with pytest.raises(UnsupportedParameter) as refused:
        sent(modalities=["text", "audio"])
    assert refused.value.param == "modalities"
    assert sent(NEW, "drop", modalities=["text", "audio"])["generationConfig"]["responseModalities"] == ["TEXT"]


@pytest.mark.parametrize("thought", [False, True])
def test_drafts_are_not_the_answer(thought: bool) -> None:
    """Pictures among the thoughts are not told."""
    part = {"inlineData": {"mimeType": "image/png", "data": "iVBORw0KGgo="}, "thought": thought}
    reply = {"candidates": [{"content": {"parts": [{"text": "x"}, part]}, "finishReason": "STOP"}]}
    body = DIALECT.decode(call(ASK), deployment(), [], json.dumps(reply).encode()).body
    assert ("images" in json.loads(body)["choices"][0]["message"]) is not thought


@pytest.mark.parametrize("name", ["anthropic", "bedrock", "cohere", "groq", "mistral"])
def test_pictures_for_others(name: str) -> None:
    """Who takes no pictures of a model is not asked as if there were none."""
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo="}}
    talked = [USER, {"role": "assistant", "content": "here", "images": [image]}, USER]
    to = Deployment("p/m", Provider("p", name, "https://provider.invalid/v1"), "m")
    with pytest.raises(UnsupportedParameter) as refused:
        discover()[name].body(call({"messages": talked}), to)
    assert refused.value.param == "messages[1].images"
