"""watsonx.ai: requests in its words, its answers in OpenAI's, its tokens, and bugs that others had with such."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import parse_qs

import pytest

from gateway.errors import (
    InvalidRequest,
    ProviderAuthFailed,
    UnsupportedParameter,
    UpstreamBadResponse,
    UpstreamError,
    UpstreamOverloaded,
    UpstreamRejected,
    UpstreamServerError,
    UpstreamTruncated,
)
from gateway.ports import ListsModels, TokenDialect
from gateway.types import Provider, Service
from gateway.upstream.headroom import headroom
from tests.support.translated import USER, Translated, call_of

from .contract import reading

URL = "https://us-south.ml.cloud.ibm.com"
WATSONX = Translated("watsonx", URL, "ibm/granite-4-h-small", {"project_id": "mine"})
OWN = "deployments/a b"


def tool(name: str, **fields: Any) -> dict[str, Any]:
    return {"type": "function", "function": {"name": name, **fields}}


def frame(name: str = "message", **fields: Any) -> bytes:
    return f"id: 1\nevent: {name}\ndata: {json.dumps(fields)}\n\n".encode()


def chunk(finish: str | None = None, index: int = 0, **delta: Any) -> bytes:
    return frame(id="c1", choices=[{"index": index, "finish_reason": finish, "delta": delta}])


def calls(*given: dict[str, Any], index: int = 0) -> bytes:
    return chunk(index=index, tool_calls=list(given))


def called(index: int, id_: str, name: str, arguments: str = "") -> dict[str, Any]:
    return {"index": index, "id": id_, "type": "function", "function": {"name": name, "arguments": arguments}}


USAGE = frame(id="c1", choices=[], usage={"prompt_tokens": 5, "completion_tokens": 3, "total_tokens": 8})


# ---- requests


@pytest.mark.parametrize(
    ("model", "service", "stream", "target"),
    [
        ("ibm/x", Service.CHAT, False, "/ml/v1/text/chat"),
        ("ibm/x", Service.CHAT, True, "/ml/v1/text/chat_stream"),
        (OWN, Service.CHAT, False, "/ml/v1/deployments/a%20b/text/chat"),
        (OWN, Service.CHAT, True, "/ml/v1/deployments/a%20b/text/chat_stream"),
        ("ibm/x", Service.EMBEDDINGS, False, "/ml/v1/text/embeddings"),
        ("ibm/x", Service.RERANK, False, "/ml/v1/text/rerank"),
    ],
)
def test_paths(model: str, service: Service, stream: bool, target: str) -> None:
    """Each with the version of the API, the configured one or ours."""
    call = call_of(service, stream=stream)
    assert WATSONX.head(call, model).target.decode() == f"{target}?version=2025-04-23"
    options = {"project_id": "mine", "version": "2026-01-01"}
    assert WATSONX.head(call, model, options=options).target.decode() == f"{target}?version=2026-01-01"


def test_who_pays() -> None:
    """A project, or a space; a deployment of the customer's own has both already, and its model."""
    call = call_of(messages=[USER])
    assert WATSONX.sent(call)["project_id"] == "mine"
    assert WATSONX.sent(call, options={"space_id": "s"})["space_id"] == "s"
    assert not {"project_id", "space_id", "model_id"} & WATSONX.sent(call, OWN).keys()


def test_choices_of_tools_stand_in_two_fields() -> None:
    """A word in one, a named function in the other; tools that are not allowed are not offered."""
    tools = [tool("a", description="A."), tool("b", parameters={"type": "object"})]
    for word in ("auto", "none", "required"):
        assert WATSONX.chat(tools=tools, tool_choice=word)["tool_choice_option"] == word
    named = WATSONX.chat(tools=tools, tool_choice={"type": "function", "function": {"name": "b"}})
    assert named["tool_choice"] == {"type": "function", "function": {"name": "b"}}
    assert "tool_choice_option" not in named
    assert named["tools"] == tools
    allowed = {"type": "allowed_tools", "allowed_tools": {"mode": "required", "tools": [tool("a")]}}
    assert WATSONX.chat(tools=tools, tool_choice=allowed)["tools"] == tools[:1]
    with pytest.raises(InvalidRequest) as error:
        WATSONX.chat(tools=tools, tool_choice={"type": "function", "function": {"name": "c"}})
    assert error.value.param == "tool_choice"


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"tools": [tool("a", strict=True)]}, "tools.function.strict"),
        ({"tools": [tool("a")], "parallel_tool_calls": False}, "parallel_tool_calls"),
        ({"reasoning_effort": "none"}, "reasoning_effort"),
        ({"top_k": 3}, "top_k"),
        ({"verbosity": "low"}, "verbosity"),
        ({"documents": [{"data": {}}]}, "documents"),
    ],
)
def test_what_it_has_no_words_for(fields: dict[str, Any], param: str) -> None:
    """Refused by name, or left out where the operator wants that."""
    with pytest.raises(UnsupportedParameter) as error:
        WATSONX.chat(**fields)
    assert error.value.param == param
    kept = {"model_id", "project_id", "messages", "max_completion_tokens", "tools", "tool_choice_option"}
    sent = WATSONX.chat(unsupported="drop", **fields)
    assert sent.keys() <= kept
    assert "strict" not in json.dumps(sent)


def test_answers_are_as_long_as_the_model_can() -> None:
    """Without a limit the API would end them at 1,024 tokens; 0 is the model's own."""
    assert WATSONX.chat()["max_completion_tokens"] == 0
    assert WATSONX.chat(max_tokens=7)["max_completion_tokens"] == 7


def test_parameters() -> None:
    """The same names as OpenAI's, efforts to the nearest of three; hints and users stay here."""
    given: dict[str, Any] = {
        "temperature": 0.5,
        "n": 2,
        "logit_bias": {"1": -5},
        "logprobs": True,
        "top_logprobs": 2,
        "seed": 3,
    }
    sent = WATSONX.chat(**given, stop="x", user="u", store=True, reasoning_effort="max")
    assert {name: sent[name] for name in given} == given
    assert (sent["stop"], sent["reasoning_effort"]) == (["x"], "high")
    assert not {"user", "store", "stream"} & sent.keys()


def test_embeddings_and_rerank() -> None:
    """Inputs are texts; how many are to come back stands in an option."""
    texts = call_of(Service.EMBEDDINGS, input=["a"], truncate_input_tokens=9)
    wanted = {
        "model_id": "ibm/slate",
        "project_id": "mine",
        "inputs": ["a"],
        "parameters": {"truncate_input_tokens": 9},
    }
    assert WATSONX.sent(texts, "ibm/slate") == wanted
    ranking = call_of(Service.RERANK, query="q", documents=["a", {"text": "b"}], top_n=1, return_documents=True)
    sent = WATSONX.sent(ranking, "x/rerank")
    assert (sent["query"], sent["inputs"]) == ("q", [{"text": "a"}, {"text": "b"}])
    assert sent["parameters"] == {"return_options": {"top_n": 1}}
    for param, value in (("dimensions", 3), ("input_type", "x")):
        other: dict[str, Any] = {"input": "x", param: value}
        with pytest.raises(UnsupportedParameter) as error:
            WATSONX.sent(call_of(Service.EMBEDDINGS, **other), "ibm/slate")
        assert error.value.param == param


@pytest.mark.parametrize(
    ("model", "service", "instead"),
    [
        ("ibm/granite-4-h-small", Service.RERANK, "cross-encoder/ms-marco-minilm-l-12-v2"),
        ("meta-llama/llama-3-3-70b-instruct", Service.EMBEDDINGS, "ibm/granite-embedding-278m-multilingual"),
        ("ibm/granite-embedding-278m-multilingual", Service.CHAT, "ibm/granite-4-h-small"),
    ],
)
def test_a_model_of_another_kind(model: str, service: Service, instead: str) -> None:
    """Refused with what to use."""
    call = call_of(service, messages=[USER], input="x", query="q", documents=["d"])
    with pytest.raises(InvalidRequest) as error:
        WATSONX.sent(call, model)
    assert (error.value.param, f"`{instead}`" in error.value.public_message) == ("model", True)


# ---- answers


def test_bug_01_parallel_calls_have_their_own_index() -> None:
    """Also where their pieces mix."""
    events = [calls(called(0, "x", "a"), called(1, "y", "b")), calls({"index": 1, "function": {"arguments": "{}"}})]
    read = WATSONX.streamed(
        *events, calls({"index": 0, "function": {"arguments": '{"a":1}'}}), chunk("tool_calls"), USAGE
    )
    assert read.calls == [("x", "a", '{"a":1}'), ("y", "b", "{}")]


def test_bug_03_calls_that_share_an_index_are_told_apart() -> None:
    """Another id is another call; the same one again, or none, goes on with it."""
    events = [calls(called(0, "x", "a", '{"a":')), calls(called(0, "x", "", "1}")), calls(called(0, "y", "b", "{}"))]
    assert WATSONX.streamed(*events, chunk("stop"), USAGE).calls == [("x", "a", '{"a":1}'), ("y", "b", "{}")]


def test_bug_06_a_stream_with_calls_finishes_with_tool_calls() -> None:
    """Whatever it says."""
    assert WATSONX.streamed(calls(called(0, "x", "a")), chunk("stop"), USAGE).finish == "tool_calls"


def test_bug_11_a_failure_is_no_empty_answer() -> None:
    """An error event, an error object and a finish reason that is none end the stream with that error."""
    errors = [{"code": "downstream_request_failed", "message": "secret words"}]
    for event, wanted in (
        (frame("error", errors=errors, status_code=503), UpstreamOverloaded),
        (frame(errors=errors, status_code=500), UpstreamServerError),
        (frame("error", errors=errors), UpstreamServerError),
        (b"event: error\ndata: {}\n\n", UpstreamServerError),
        (chunk("error"), UpstreamServerError),
        (chunk("cancelled"), UpstreamServerError),
    ):
        decoder = WATSONX.decoder()
        out = decoder.feed(chunk(content="a") + event)
        assert isinstance(decoder.failure, wanted)
        assert b'"content":"a"' in out
        assert b"[DONE]" not in out
        assert "secret" not in decoder.failure.public_message
    with pytest.raises(UpstreamServerError):
        WATSONX.whole({"choices": [{"message": {"content": ""}, "finish_reason": "error"}]})


def test_bug_12_a_stream_that_breaks_off() -> None:
    """Without a finish reason it is cut off, with one it is whole; `[DONE]` is not needed, and does no harm."""
    decoder = WATSONX.decoder()
    decoder.feed(chunk(content="a"))
    decoder.end()
    assert isinstance(decoder.failure, UpstreamTruncated)
    assert WATSONX.streamed(chunk(content="a"), chunk("time_limit"), USAGE, b"data: [DONE]\n\n").finish == "length"
    decoder = WATSONX.decoder()
    decoder.feed(chunk(content="a") + b"data: [DONE]\n\n")
    assert isinstance(decoder.failure, UpstreamTruncated)


def test_several_choices() -> None:
    """Each has its own calls and finish reason."""
    decoder = WATSONX.decoder()
    out = decoder.feed(
        calls(called(0, "x", "a"), index=0)
        + calls(called(0, "y", "b"), index=1)
        + chunk("tool_calls", 0)
        + chunk("stop", 1)
    )
    out += decoder.end()
    ends = [one for event in reading.events(out)[:-1] for one in event["choices"] if one["finish_reason"]]
    assert [(one["index"], one["finish_reason"]) for one in ends] == [(0, "tool_calls"), (1, "tool_calls")]


def test_reasoning_and_likelihoods() -> None:
    """As they came."""
    probable = {"content": [{"token": "a", "logprob": -0.5}]}
    body = {
        "choices": [
            {"message": {"content": "a", "reasoning_content": "hm"}, "finish_reason": "stop", "logprobs": probable}
        ]
    }
    answered = WATSONX.answered(call_of(), body)["choices"][0]
    assert (answered["message"]["reasoning_content"], answered["logprobs"]) == ("hm", probable)
    assert WATSONX.streamed(chunk(reasoning_content="hm"), chunk(content="a"), chunk("stop"), USAGE).reasoning == "hm"


def test_rankings() -> None:
    """In order whatever theirs is, with what was sent; a document that nobody sent is no answer."""
    call = call_of(Service.RERANK, query="q", documents=["a", {"text": "b", "n": 1}], return_documents=True)
    body = {"results": [{"index": 0, "score": -9.5}, {"index": 1, "score": 2.0}], "input_token_count": 7}
    assert WATSONX.answered(call, body, "r")["results"] == [
        {"index": 1, "relevance_score": 2.0, "document": {"text": "b", "n": 1}},
        {"index": 0, "relevance_score": -9.5, "document": {"text": "a"}},
    ]
    for odd in ({"results": [{"index": 2, "score": 1}]}, {"results": None}, {"results": [{"index": "x"}]}, b"["):
        with pytest.raises(UpstreamBadResponse):
            WATSONX.decode(call, odd, "r")


# ---- failures, tokens, models


def refused(status: int, code: str, message: str) -> UpstreamError:
    body = {"errors": [{"code": code, "message": message}], "trace": "t", "status_code": status}
    return WATSONX.dialect.error(status, [], json.dumps(body).encode())


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (401, "authentication_token_expired"),
        (403, "token_quota_reached"),
        (403, "user_authorization_failed"),
        (400, "no_associated_service_instance_error"),
        (400, "invalid_instance_status_error"),
    ],
)
def test_accounts(status: int, code: str) -> None:
    """The operator's matter; nothing of the answer, which names projects and tokens, is repeated."""
    error = refused(status, code, "project 1234 and token eyJhb")
    assert isinstance(error, ProviderAuthFailed)
    assert "1234" not in error.public_message


@pytest.mark.parametrize(
    "message",
    [
        "the number of input tokens 9000 cannot exceed the total tokens limit 8192 for this model",
        "Token sequence length is longer than the specified maximum sequence length for this model (1336 > 512).",
    ],
)
def test_context(message: str) -> None:
    """A prompt that is too long has OpenAI's code for it."""
    assert refused(400, "invalid_input_argument", message).public_code == "context_length_exceeded"


def test_unknown_models() -> None:
    """A model that is not there has OpenAI's code for it."""
    error = refused(404, "model_not_supported", "Model 'x' is not supported for this environment.")
    assert isinstance(error, UpstreamRejected)
    assert (error.public_status, error.public_code) == (404, "model_not_found")


def test_a_key_becomes_a_token() -> None:
    """A form to IBM's identity service, or to the one that is configured; its refusals keep their words."""
    dialect = WATSONX.dialect
    assert isinstance(dialect, TokenDialect)
    for given, host in ((None, "iam.cloud.ibm.com"), ("https://iam.x.invalid", "iam.x.invalid")):
        for end in ("", "/", "/identity/token") if given else ("",):
            options = {"project_id": "p", **({"iam_url": given + end} if given else {})}
            request = dialect.token_request(Provider("p", "watsonx", URL, ("k1", "k2"), options), 0.0)
            assert request is not None
            assert (request.head.endpoint.host, request.head.target) == (host, b"/identity/token")
            form = parse_qs(request.body.decode())
            assert form == {"grant_type": ["urn:ibm:params:oauth:grant-type:apikey"], "apikey": ["k1"]}
    granted = dialect.read_token(200, b'{"access_token":"t","expires_in":3600,"refresh_token":"not_supported"}', 10.0)
    assert (granted.value, granted.expires_at) == ("t", 3610.0)
    with pytest.raises(ProviderAuthFailed) as error:
        dialect.read_token(
            400, b'{"errorCode":"BXNIM0415E","errorMessage":"Provided API key could not be found."}', 0.0
        )
    assert "BXNIM" not in error.value.public_message
    with pytest.raises(ProviderAuthFailed):
        dialect.token_request(Provider("p", "watsonx", URL), 0.0)


def test_models() -> None:
    """The list has a name of its own for names."""
    dialect = WATSONX.dialect
    assert isinstance(dialect, ListsModels)
    head = dialect.models_head(WATSONX.deployment().provider, "t")
    assert (head.method, head.target) == (b"GET", b"/ml/v1/foundation_model_specs?limit=200&version=2025-04-23")
    assert dialect.decode_models(b'{"resources":[{"model_id":"a"},{"model_id":"b"},{"model_id":"a"}]}') == ("a", "b")
    for odd in (b"", b"[]", b'{"resources":null}', b"{"):
        with pytest.raises(UpstreamBadResponse):
            dialect.decode_models(odd)


def test_headroom() -> None:
    """The headers that IBM's own SDK goes by."""
    assert headroom({b"x-requests-limit-rate": b"8", b"x-requests-limit-remaining": b"2"}) == 0.25
