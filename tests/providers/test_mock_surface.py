"""The scripted provider's answers, decided without any I/O."""

from __future__ import annotations

import base64
import math
import struct
from pathlib import Path
from typing import Any

import orjson
import pytest

from gateway.providers.scripted import Cut, End, Head, Scenario, Send, Stall, Wait, request_of, respond
from gateway.providers.scripted.script import NAMES

JSON = (b"content-type", b"application/json")
DOCS = Path(__file__).parents[2] / "docs" / "mock-provider.md"


def ask(path: str, body: Any, script: str = "") -> Scenario:
    headers = [JSON, *([(b"x-mock-script", script.encode())] if script else [])]
    return respond(request_of("POST", path, headers, orjson.dumps(body)))


def chat(script: str = "", text: str = "hello", **more: Any) -> Scenario:
    body = {"model": "mock-small", "messages": [{"role": "user", "content": text}], **more}
    return ask("/v1/chat/completions", body, script)


def events(scenario: Scenario) -> list[Any]:
    lines = [line for line in scenario.body.replace(b"\r\n", b"\n").split(b"\n") if line.startswith(b"data: {")]
    return [orjson.loads(line[6:]) for line in lines]


def text_of(chunks: list[Any], index: int = 0) -> str:
    choices = [choice for chunk in chunks for choice in chunk["choices"] if choice["index"] == index]
    return "".join(choice["delta"].get("content") or "" for choice in choices)


def produced(scenario: Scenario) -> int:
    return sum(step.tokens for step in scenario.steps if isinstance(step, Send))


def test_the_same_request_gets_the_same_bytes_and_another_gets_others() -> None:
    """Answers are deterministic and name the prompt they belong to."""
    assert chat() == chat()
    assert b"echo: hello" in chat().body
    assert orjson.loads(chat().body)["id"] != orjson.loads(chat(text="other").body)["id"]


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/chat/completions", "/v1/chat/completions?x=1"])
def test_the_version_segment_and_a_query_do_not_matter(path: str) -> None:
    """A base URL with or without `/v1` reaches the same endpoint."""
    assert ask(path, {"model": "m", "messages": [{"role": "user", "content": "x"}]}).status == 200


def test_a_stream_has_openais_exact_frames() -> None:
    """Role first, one token per chunk, empty final delta with the reason, `[DONE]`; no usage unless asked."""
    chunks = events(chat(stream=True))
    assert [chunk["choices"][0]["delta"] for chunk in chunks] == [
        {"role": "assistant", "content": "", "refusal": None},
        {"content": "echo"},
        {"content": ": he"},
        {"content": "llo"},
        {},
    ]
    assert chunks[-1]["choices"][0]["finish_reason"] == "stop"
    assert len({(c["id"], c["created"], c["model"], c["object"]) for c in chunks}) == 1
    assert all("usage" not in chunk for chunk in chunks)
    assert chat(stream=True).body.endswith(b"\n\ndata: [DONE]\n\n")


def test_include_usage_adds_null_everywhere_and_one_chunk_at_the_end() -> None:
    """`stream_options.include_usage` has OpenAI's shape, and its numbers are those of the whole answer."""
    chunks = events(chat(stream=True, stream_options={"include_usage": True}))
    assert [chunk["usage"] for chunk in chunks[:-1]] == [None] * (len(chunks) - 1)
    assert chunks[-1]["choices"] == []
    assert chunks[-1]["usage"] == orjson.loads(chat().body)["usage"]


def test_usage_counts_four_characters_as_one_token() -> None:
    """Usage follows the documented rule, and the steps carry exactly the reported tokens."""
    scenario = chat(script="reasoning-5;cached-1")
    usage = orjson.loads(scenario.body)["usage"]
    assert (usage["prompt_tokens"], usage["completion_tokens"], usage["total_tokens"]) == (2, 5 + 3, 10)
    assert usage["prompt_tokens_details"]["cached_tokens"] == 1
    assert usage["completion_tokens_details"]["reasoning_tokens"] == 5
    assert produced(scenario) == produced(chat(script="reasoning-5;cached-1", stream=True)) == 8
    assert scenario.charge.input_tokens == 2


@pytest.mark.parametrize("field", ["max_tokens", "max_completion_tokens"])
def test_a_token_limit_ends_the_answer_with_length(field: str) -> None:
    """Both names of the limit are honoured, by text, by reasoning and by tool calls."""
    choice = orjson.loads(chat("", "hello", **{field: 2}).body)["choices"][0]
    assert (choice["message"]["content"], choice["finish_reason"]) == ("echo: he", "length")
    limited = chat("reasoning-9", "hello", **{field: 4})
    assert produced(limited) == 4
    tools = [
        {"type": "function", "function": {"name": "abc", "parameters": {"type": "object", "properties": {"city": {}}}}}
    ]
    calls = chat("", "hello", tools=tools, tool_choice="required", **{field: 3})
    assert produced(calls) == 3
    assert orjson.loads(calls.body)["choices"][0]["finish_reason"] == "length"


def test_stop_cuts_before_the_sequence() -> None:
    """The stop sequence itself is not sent."""
    choice = orjson.loads(chat(text="one two three", stop=["three", " two"]).body)["choices"][0]
    assert (choice["message"]["content"], choice["finish_reason"]) == ("echo: one", "stop")


def test_several_choices_differ_and_interleave() -> None:
    """`n` gives distinct choices; in a stream they take turns and each has its own end."""
    whole = orjson.loads(chat(n=2).body)["choices"]
    chunks = events(chat(n=2, stream=True))
    assert [one["message"]["content"] for one in whole] == [text_of(chunks, 0), text_of(chunks, 1)]
    assert whole[0]["message"]["content"] != whole[1]["message"]["content"]
    assert [chunk["choices"][0]["index"] for chunk in chunks[:4]] == [0, 1, 0, 1]
    assert sum(chunk["choices"][0]["finish_reason"] == "stop" for chunk in chunks) == 2


def streamed_calls(scenario: Scenario) -> dict[int, dict[str, str]]:
    made: dict[int, dict[str, str]] = {}
    for chunk in events(scenario):
        for part in chunk["choices"][0]["delta"].get("tool_calls", ()):
            call = made.setdefault(part["index"], {"name": "", "arguments": ""})
            call["name"] += part["function"].get("name", "")
            call["arguments"] += part["function"]["arguments"]
    return made


def test_tool_fragments_join_to_the_whole_arguments() -> None:
    """Parallel calls have dense indexes, and a stream says what the whole answer says, interleaved or not."""
    parameters = {"type": "object", "properties": {"city": {"type": "string"}}}
    tools = [{"type": "function", "function": {"name": name, "parameters": parameters}} for name in ("weather", "time")]
    text = "call:weather call:time"
    whole = orjson.loads(chat(text=text, tools=tools).body)
    choice = whole["choices"][0]
    assert (choice["finish_reason"], choice["message"]["content"]) == ("tool_calls", None)
    for script in ("", "interleave"):
        scenario = chat(script, text=text, tools=tools, stream=True)
        assert streamed_calls(scenario) == {i: c["function"] for i, c in enumerate(choice["message"]["tool_calls"])}
        assert produced(scenario) == whole["usage"]["completion_tokens"]
    single = chat(text=text, tools=tools, parallel_tool_calls=False)
    assert len(orjson.loads(single.body)["choices"][0]["message"]["tool_calls"]) == 1


def test_tools_are_called_only_when_asked_for() -> None:
    """`auto` without a wish, `none`, and a tool's result get text; a named choice gets that tool."""
    tools = [{"type": "function", "function": {"name": name}} for name in ("a", "b")]
    named = {"type": "function", "function": {"name": "b"}}
    for more in ({}, {"tool_choice": "none", "text": "call:a"}):
        assert "tool_calls" not in orjson.loads(chat(tools=tools, **more).body)["choices"][0]["message"]
    called = orjson.loads(chat(tools=tools, tool_choice=named).body)["choices"][0]["message"]["tool_calls"]
    assert [call["function"] for call in called] == [{"name": "b", "arguments": "{}"}]
    history = [{"role": "user", "content": "call:a"}, {"role": "tool", "tool_call_id": "x", "content": "17 degrees"}]
    after = orjson.loads(chat(tools=tools, messages=history).body)["choices"][0]
    assert after["message"]["content"] == "tool: 17 degrees"


def test_split_passes_through_characters_and_loses_nothing() -> None:
    """Single-byte sends cut multi-byte characters, and joined they are the body."""
    scenario = chat("unicode;split-1", stream=True)
    sends = [step.data for step in scenario.steps if isinstance(step, Send)]
    assert {len(data) for data in sends} == {1}
    assert "你好 🎈👩‍🚀" in text_of(events(scenario))
    assert scenario.body == chat("unicode", stream=True).body
    assert produced(scenario) == produced(chat("unicode", stream=True))


def test_embeddings_are_unit_vectors_in_both_encodings() -> None:
    """base64 holds the same little-endian float32 values as the list; every kind of input is taken."""
    body = {"model": "mock-embed", "input": ["a", "b"], "dimensions": 12}
    listed = orjson.loads(ask("/v1/embeddings", body).body)["data"]
    packed = orjson.loads(ask("/v1/embeddings", {**body, "encoding_format": "base64"}).body)["data"]
    for one, other in zip(listed, packed, strict=True):
        assert one["embedding"] == pytest.approx(struct.unpack("<12f", base64.b64decode(other["embedding"])), abs=0)
        assert math.hypot(*one["embedding"]) == pytest.approx(1, abs=1e-6)
    assert listed[0]["embedding"] != listed[1]["embedding"]
    for given, number, tokens in (("abcde", 1, 2), ([1, 2, 3], 1, 3), ([[1, 2], [3]], 2, 3)):
        answer = orjson.loads(ask("/v1/embeddings", {"model": "e", "input": given}).body)
        assert (len(answer["data"]), answer["usage"]["prompt_tokens"]) == (number, tokens)


def test_rerank_puts_the_best_document_first() -> None:
    """Scores fall, and `top_n` bounds the list."""
    documents = ["nothing", {"text": "red cat"}, "a cat"]
    body = {"model": "r", "query": "red cat", "documents": documents, "top_n": 2, "return_documents": True}
    results = orjson.loads(ask("/v1/rerank", body).body)["results"]
    assert [(one["index"], one["relevance_score"]) for one in results] == [(1, 1.0), (2, 0.5)]
    assert results[0]["document"] == {"text": "red cat"}


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "param"),
    [
        ("POST", "/v1/nothing", b"{}", 404, None),
        ("GET", "/v1/chat/completions", b"", 405, None),
        ("POST", "/v1/chat/completions", b"{", 400, None),
        ("POST", "/v1/chat/completions", b"[]", 400, None),
        ("POST", "/v1/chat/completions", b"{}", 400, "messages"),
        ("POST", "/v1/chat/completions", b'{"messages":[],"model":"m"}', 400, "messages"),
        ("POST", "/v1/chat/completions", b'{"messages":[{"role":"user"}],"model":"m","n":0}', 400, "n"),
        ("POST", "/v1/chat/completions", b'{"messages":[{}],"model":"mock-fault/nonsense"}', 400, "model"),
        ("POST", "/v1/chat/completions", b'{"messages":[{}],"model":"mock-fault/status"}', 400, "model"),
        ("POST", "/v1/chat/completions", b'{"messages":[{}],"model":"mock-fault/hang-3"}', 400, "model"),
        ("POST", "/v1/chat/completions", b'{"messages":[{}],"model":"mock-fault/tokens-3ms"}', 400, "model"),
        ("POST", "/v1/chat/completions", b'{"messages":[{}],"model":"mock-fault/calls-129"}', 400, "model"),
        ("POST", "/v1/embeddings", b'{"model":"m","input":""}', 400, "input"),
        ("POST", "/v1/images/edits", b'{"model":"m"}', 400, None),
        ("GET", "/v1/models/unknown", b"", 404, "model"),
    ],
)
def test_bad_requests_get_openais_error_shape(
    method: str, path: str, body: bytes, status: int, param: str | None
) -> None:
    """All four fields are there, and nothing is charged."""
    scenario = respond(request_of(method, path, [JSON], body))
    error = orjson.loads(scenario.body)["error"]
    assert (scenario.status, error["param"], set(error)) == (status, param, {"message", "type", "param", "code"})
    assert (scenario.charge.input_tokens, produced(scenario)) == (0, 0)


ODD: tuple[Any, ...] = (None, 1, -1, 1e9, "x", True, [], {}, [1], [None], [{}], ["a"], {"type": 5}, "mock-fault/")
ODD += ({"type": "json_schema"}, [{"role": 1, "content": 3, "tool_calls": [1]}], [{"type": "function", "function": 3}])
FIELDS = "model messages prompt input tools tool_choice stop n response_format text stream_options max_tokens query"
PATHS = "chat/completions completions embeddings responses moderations rerank images/generations audio/speech"


@pytest.mark.parametrize("path", PATHS.split())
@pytest.mark.parametrize("stream", [False, True])
def test_odd_values_get_an_answer(path: str, stream: bool) -> None:
    """Whatever type a field has, the request is served or refused; nothing foreign is raised."""
    base: dict[str, Any] = {
        "model": "m",
        "messages": [{"role": "user", "content": "call:a"}],
        "prompt": "p",
        "input": "i",
    }
    base |= {"query": "q", "documents": ["d"], "voice": "v", "stream": stream}
    for name in [*FIELDS.split(), "documents", "top_n", "voice", "dimensions", "logprobs", "instructions"]:
        for value in ODD:
            assert ask(f"/v1/{path}", {**base, name: value}).status in {200, 400}


@pytest.mark.parametrize("name", ["status-429-retry-after-2", "status-429+retry-after-2", "status=429;retry-after=2"])
def test_directives_join_in_every_notation(name: str) -> None:
    """The model's name and the header take the same directives."""
    body = {"model": f"mock-fault/{name}", "messages": [{"role": "user", "content": "x"}]}
    by_name = ask("/v1/chat/completions", body)
    for scenario in (by_name, chat(name)):
        assert scenario.status == 429
        assert (b"retry-after", b"2") in scenario.headers
        assert orjson.loads(scenario.body)["error"]["code"] == "rate_limit_exceeded"
    assert ask("/v1/chat/completions", body, "status-500").status == 500


def test_every_directive_is_documented() -> None:
    """The page for users names all of them."""
    page = DOCS.read_text()
    assert [name for name in NAMES if f"`{name}`" not in page and f"`{name}-" not in page] == []


def test_time_and_connection_faults_become_steps() -> None:
    """Waits, stalls and cuts stand where the directive says."""
    slow = chat("slow-first-byte-500ms").steps
    assert (slow[0], slow[1]) == (Wait(0.5), Head())
    assert chat("hang").steps == (Stall(),)
    assert chat("drop").steps == (Cut(),)
    assert chat("stall-after-2", stream=True).steps[-1] == Stall()
    assert len(events(chat("stall-after-2", stream=True))) == 2
    cut = chat("cut-after-300", stream=True)
    assert (len(cut.body), cut.steps[-1]) == (300, Cut())
    assert chat("reset-after-300", stream=True).steps[-1] == Cut(reset=True)
    assert chat("cut-after-1000000", stream=True).steps[-1] == End()
    assert [step for step in chat("pace-50ms", stream=True).steps if isinstance(step, Wait)] == [Wait(0.05)] * 5


def test_content_faults_stand_in_the_body() -> None:
    """Malformed, error, missing and foreign contents appear as documented, under status 200."""
    assert chat("empty-200").body == b""
    assert chat("null-200").body == b"null"
    assert b"<html>" in chat("html-200").body
    assert "error" in orjson.loads(chat("error-in-200").body)
    assert b'"id":"broken"' in chat("malformed-after-2", stream=True).body.split(b"\n\n")[2]
    with pytest.raises(orjson.JSONDecodeError):
        orjson.loads(chat("malformed-after-0").body)
    failing = chat("error-after-2", stream=True)
    assert ["error" in event for event in events(failing)] == [False, False, True]
    assert "error" in events(chat("error-in-200", stream=True))[0]
    assert len(events(chat("end-after-3", stream=True))) == 3
    assert b"[DONE]" not in chat("end-after-3", stream=True).body + chat("no-done", stream=True).body
    assert chat("crlf", stream=True).body.replace(b"\r\n", b"\n") == chat(stream=True).body
    assert chat("comments", stream=True).body.startswith(b": ")
    assert {chat(name).status for name in ("empty-200", "null-200", "html-200", "error-in-200")} == {200}


@pytest.mark.parametrize(
    ("path", "body", "script"),
    [
        ("/chat/completions", {"messages": [{"role": "user", "content": "x"}], "n": 128}, "tokens=1000000"),
        ("/chat/completions", {"messages": [{"role": "user", "content": "x" * 10**6}], "n": 128}, ""),
        ("/chat/completions", {"messages": [{"role": "user", "content": "x"}], "n": 128}, "calls=128"),
        ("/completions", {"prompt": ["x"] * 1000, "n": 128}, ""),
        ("/responses", {"input": "x" * 13_000_000}, ""),
        ("/embeddings", {"input": ["x"] * 10_000, "dimensions": 8192}, ""),
    ],
)
def test_what_multiplies_is_bounded(path: str, body: dict[str, Any], script: str) -> None:
    """Answers that would fill a process's memory are refused before they are made."""
    found = ask(path, {"model": "mock-small", **body}, script)
    assert found.status == 400
    assert b"would have more than" in found.body


@pytest.mark.parametrize("tokens", [1, 3, 500])
def test_an_answer_has_the_length_asked_for(tokens: int) -> None:
    """`tokens-N` is exact, streamed or not."""
    assert orjson.loads(chat(f"tokens-{tokens}").body)["usage"]["completion_tokens"] == tokens
    assert produced(chat(f"tokens-{tokens}", stream=True)) == tokens


def test_responses_events_are_numbered_and_end_with_usage() -> None:
    """Names repeat in the data, numbers have no gaps, and the whole answer stands in the last event."""
    body = {"model": "mock-small", "input": "hello", "stream": True}
    scenario = ask("/v1/responses", body, "reasoning-3")
    told = events(scenario)
    names = [line[7:].decode() for line in scenario.body.split(b"\n") if line.startswith(b"event: ")]
    assert names == [event["type"] for event in told]
    assert [event["sequence_number"] for event in told] == list(range(len(told)))
    assert told[-1]["response"]["usage"]["output_tokens"] == produced(scenario) == 3 + 3
    assert b"[DONE]" not in scenario.body
    short = events(ask("/v1/responses", {**body, "max_output_tokens": 1}))[-1]
    assert (short["type"], short["response"]["status"]) == ("response.incomplete", "incomplete")
