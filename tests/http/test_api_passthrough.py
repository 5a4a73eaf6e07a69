"""What changes between client and provider, byte for byte: as little as possible, both ways."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.support.app import Reply, events_of
from tests.support.rig import COMPLETION, KEY_A, PRIVATE_MODEL, USAGE_CHUNK, Rig, chat_body, chunk
from tests.support.steps import Step, chunked, json_reply, raw_head, send, sse

ODD = (
    b'{ "messages" :[{"role":"user","content":"h\xc3\xa9 \\u00e9 \\"model\\": \\"x\\" \\ud83d\\ude00"}],'
    b'\r\n\t"top_p":0.10,'
    b'"big":12345678901234567890,"exp":1E+5,"model" : "NAME" , "unknown":{"model":"inner","b":[ ]},"z":null }'
)
"""A body no serialiser would write."""


def stream_of(rig: Rig, steps: list[Step], model: str = "alias", **fields: Any) -> Reply:
    """A streamed chat completion that the upstream answers so."""
    return rig.answered(steps, model, stream=True, **fields)


# ---- requests


def test_a_request_without_an_alias_is_forwarded_byte_for_byte(rig: Rig) -> None:
    """White space, key order, number forms, escapes and unknown fields reach the provider as they were written."""
    raw = ODD.replace(b"NAME", b"m")
    assert rig.gateway.post("/v1/chat/completions", raw).status == 200
    assert rig.sent() == raw


def test_an_alias_is_spliced_and_nothing_else_changes(rig: Rig) -> None:
    """The provider gets its own model's name in the place of the alias."""
    assert rig.gateway.post("/v1/chat/completions", ODD.replace(b"NAME", b"alias")).status == 200
    assert rig.sent() == ODD.replace(b"NAME", PRIVATE_MODEL.encode())


@pytest.mark.parametrize("key", [b'"\\u006dodel"', b'"mod\\u0065l"'])
def test_an_escaped_spelling_of_the_key_is_understood(rig: Rig, key: bytes) -> None:
    """`model` written with escapes is still the model, and its value is replaced."""
    assert rig.gateway.post("/v1/chat/completions", b"{" + key + b':"\\u0061lias","x":1}').status == 200
    assert rig.sent() == b"{" + key + b':"%b","x":1}' % PRIVATE_MODEL.encode()


def test_defaults_are_added_only_where_the_caller_says_nothing(rig: Rig) -> None:
    """`parameters` of a model fill gaps; a caller's value, null included, stands."""
    rig.gateway.post("/v1/chat/completions", b'{"model":"tuned","x":1.0}')
    assert json.loads(rig.sent(0)) == {"model": "tuned", "x": 1.0, "temperature": 0.25, "seed": 7}
    assert rig.sent(0).endswith(b'"model":"tuned","x":1.0}')
    rig.gateway.post("/v1/chat/completions", b'{"model":"tuned","temperature":null,"seed":1}')
    assert rig.sent(1) == b'{"model":"tuned","temperature":null,"seed":1}'


@pytest.mark.parametrize(
    ("options", "wanted"),
    [
        (None, {"include_usage": True}),
        ({"include_usage": True, "x": 1}, {"include_usage": True, "x": 1}),
        ({"include_usage": False, "x": 1}, {"include_usage": True, "x": 1}),
        ({}, {"include_usage": True}),
    ],
)
def test_usage_is_asked_for_and_other_options_are_kept(rig: Rig, options: Any, wanted: Any) -> None:
    """Every stream is metered; what else stands in `stream_options` reaches the provider."""
    fields = {} if options is None else {"stream_options": options}
    stream_of(rig, sse([chunk("a", finish="stop")]), "m", **fields)
    assert json.loads(rig.sent())["stream_options"] == wanted
    assert rig.sent().count(b'"stream_options"') == 1


def test_a_request_without_a_stream_gets_no_stream_options(rig: Rig) -> None:
    """Only streams have the option; a provider would refuse it elsewhere."""
    rig.gateway.chat("m", stream=False)
    assert b"stream_options" not in rig.sent()


@pytest.mark.parametrize(
    ("path", "model", "target"),
    [
        ("/v1/chat/completions", "m", "/v1/chat/completions"),
        ("/openai/v1/chat/completions", "m", "/v1/chat/completions"),
        ("/openai/deployments/m/chat/completions?api-version=2024-10-21", "ignored", "/v1/chat/completions"),
        ("/openai/deployments/a/m/chat/completions", "ignored", "/v1/chat/completions"),
        ("/openai/deployments/m/completions?api-version=x", "ignored", "/v1/completions"),
        ("/providers/a/v1/chat/completions", "m", "/v1/chat/completions"),
        ("/providers/a/v1/chat/completions", "a/m", "/v1/chat/completions"),
        ("/v1/chat/completions", "a/m", "/v1/chat/completions"),
        ("/v1/chat/completions?x=1&model=evil", "m", "/v1/chat/completions"),
        ("/v1/completions", "m", "/v1/completions"),
        ("/v1/moderations", "m", "/v1/moderations"),
        ("/v1/rerank", "m", "/v1/rerank"),
        ("/v1/images/generations", "m", "/v1/images/generations"),
    ],
)
def test_every_way_in_leads_to_the_same_call(rig: Rig, path: str, model: str, target: str) -> None:
    """Azure paths, pinned providers and qualified names all end at the provider's own path with its own model."""
    reply = rig.gateway.post(path, chat_body(model))
    assert reply.status == 200, reply.body
    assert rig.a.received[0].target == target
    assert json.loads(rig.sent())["model"] == "m"
    assert reply.header("x-gateway-provider") == "a"
    assert not rig.b.received


def test_a_pinned_provider_gets_the_call_whatever_routes_say(rig: Rig) -> None:
    """`/providers/b/v1` goes to b for a name that a route or another provider has as well."""
    assert rig.gateway.post("/providers/b/v1/chat/completions", chat_body("m")).header("x-gateway-provider") == "b"
    assert rig.gateway.post("/providers/b/v1/chat/completions", chat_body("alias")).status == 404
    assert rig.gateway.post("/providers/none/v1/chat/completions", chat_body("m")).status == 404


@pytest.mark.parametrize("tools", [[], [{"function": {"parameters": {"properties": {"model": {"type": "string"}}}}}]])
def test_an_azure_path_needs_no_model_in_the_body(rig: Rig, tools: list[Any]) -> None:
    """The path names the model; a nested key of that name is not the model."""
    body = {"messages": [], "tools": tools}
    reply = rig.gateway.post("/openai/deployments/alias/chat/completions", body)
    assert reply.status == 200, reply.body
    assert json.loads(rig.sent()) == {"model": PRIVATE_MODEL, **body}
    assert reply.json["model"] == "alias"


def test_vectors_in_slices_by_an_azure_path(rig: Rig) -> None:
    """A list longer than the provider's batch is split and merged even when only the path names the model."""

    def vectors(request: Any) -> Any:
        inputs = json.loads(request.body)["input"]
        data = [{"index": at, "embedding": [float(len(text))]} for at, text in enumerate(inputs)]
        return json_reply({"model": "vectors", "data": data, "usage": {"prompt_tokens": len(inputs)}})

    rig.a.default = vectors
    inputs = ["x" * n for n in range(1, 6)]
    for path, model in (
        ("/v1/embeddings", {"model": "vectors"}),
        ("/openai/deployments/vectors/embeddings", {}),
        ("/openai/deployments/vectors/embeddings", {"extra_body": {"model": "inner"}}),
    ):
        rig.a.received.clear()
        reply = rig.gateway.post(path, {**model, "input": inputs})
        assert reply.status == 200, reply.body
        assert [item["embedding"] for item in reply.json["data"]] == [[1.0], [2.0], [3.0], [4.0], [5.0]]
        assert [item["index"] for item in reply.json["data"]] == [0, 1, 2, 3, 4]
        assert reply.json["usage"]["prompt_tokens"] == 5
        assert len(rig.a.received) == 3
        assert {json.loads(request.body)["model"] for request in rig.a.received} == {"vectors"}


@pytest.mark.parametrize("indexes", [[0], [0, 0], [0, 2], [1, 2], [0, 1, 2]])
def test_a_slice_with_other_vectors_than_asked_for_fails(rig: Rig, indexes: list[int]) -> None:
    """Nobody gets the vector of another text: a slice that is short, or numbered otherwise, is a bad response."""
    inputs: list[list[str]] = []

    def vectors(request: Any) -> Any:
        inputs.append(json.loads(request.body)["input"])
        return json_reply({"data": [{"index": at, "embedding": [1.0]} for at in indexes]})

    rig.a.default = vectors
    reply = rig.gateway.post("/v1/embeddings", {"model": "vectors", "input": ["a", "b", "c", "d"]})
    assert (reply.status, reply.error["code"]) == (502, "bad_upstream_response")
    assert ["a", "b"] in inputs


def test_headers_of_the_client_stay_here_but_for_two(rig: Rig) -> None:
    """Credentials, cookies, addresses and whatever `Connection` names are not forwarded; two harmless headers are."""
    sent = {
        "authorization": "Bearer client-canary-key",
        "x-api-key": "client-canary-key",
        "cookie": "session=client-canary",
        "x-forwarded-for": "9.9.9.9",
        "connection": "x-hop",
        "x-hop": "client-canary",
        "x-custom-host": "client-canary.example",
        "api-base": "http://client-canary.example",
        "user-agent": "client-canary",
        "accept-encoding": "gzip",
        "openai-organization": "client-canary",
        "openai-beta": "assistants=v2",
        "idempotency-key": "once",
        "x-client-request-id": "client-canary",
    }
    assert rig.gateway.chat("m", list(sent.items())).status == 200
    request = rig.a.received[0]
    assert b"client-canary" not in request.head
    assert {name for name, _ in request.headers} == {
        "host",
        "user-agent",
        "accept-encoding",
        "authorization",
        "content-type",
        "content-length",
        "openai-beta",
        "idempotency-key",
        "x-client-request-id",
    }
    assert request.header("authorization") == f"Bearer {KEY_A}"
    assert request.header("accept-encoding") == "identity"


# ---- answers


@pytest.mark.parametrize(
    "body",
    [
        b'{ "model":"m","id" : "x", "n":1.0,"e":1E2,\n "text":"h\xc3\xa9\\u00e9" }',
        b'{"id":"no model at all"}',
        b'{"model":null}',
        b' {"model":"m","choices":[{"model":"inner"}]}\n',
    ],
)
def test_an_answer_is_passed_byte_for_byte(rig: Rig, body: bytes) -> None:
    """Without an alias nothing of the provider's answer changes."""
    reply = rig.answered(json_reply(body))
    assert (reply.status, reply.body) == (200, body)


def test_the_client_reads_the_name_it_asked_for(rig: Rig) -> None:
    """Only the top-level `model` of an answer is rewritten, the rest stays byte for byte."""
    body = b'{"id":1, "model" : "%b", "choices":[{"model":"%b"}],"n":1.0}'
    private = PRIVATE_MODEL.encode()
    reply = rig.answered(json_reply(body % (private, private)), "alias")
    assert reply.body == body % (b"alias", private)
    assert reply.header("x-gateway-model") == PRIVATE_MODEL


def test_a_stream_is_passed_byte_for_byte(rig: Rig) -> None:
    """Chunks of a model without alias stay as they came; the client asked for usage and gets it."""
    frames = [
        b'data: {"model":"m","choices":[{"index":0,"finish_reason":null,"delta":{"role":"assistant"}}]}\n\n',
        b'data: { "model":"m","y":1.0,"choices":[{"index":0,"finish_reason":null,"delta":{"content":"\xc3\xa9"}}]}\n\n',
        b'data: {"model":"m","choices":[{"index":0,"delta":{},"finish_reason":"stop"}], "x":1E5}\n\n',
        b'data: {"model":"m","choices":[],"usage":{"prompt_tokens":1,"completion_tokens":2}}\n\n',
    ]
    reply = stream_of(rig, sse(frames), "m", stream_options={"include_usage": True})
    assert reply.body == b"".join(frames) + b"data: [DONE]\n\n"
    assert reply.complete
    assert reply.header("content-type") == "text/event-stream"
    assert reply.header("x-accel-buffering") == "no"


def test_every_event_of_a_stream_names_the_model_asked_for(rig: Rig) -> None:
    """The provider's name for the model appears nowhere in the stream."""
    reply = stream_of(rig, sse([chunk("a"), chunk("b"), chunk(finish="stop"), USAGE_CHUNK]))
    assert PRIVATE_MODEL.encode() not in reply.body
    assert {event["model"] for event in reply.events[:-1]} == {"alias"}


@pytest.mark.parametrize("pause", [0.0, 0.02])
def test_usage_is_hidden_from_who_did_not_ask(rig: Rig, pause: float) -> None:
    """`usage: null` is stripped, the usage chunk dropped, usage beside choices removed; and the call is metered."""
    events = [
        {**chunk("a"), "usage": None},
        {**chunk("b"), "usage": {"prompt_tokens": 3, "completion_tokens": 1}},
        {**chunk(finish="stop"), "usage": None},
        USAGE_CHUNK,
    ]
    reply = stream_of(rig, sse(events, pause=pause))
    assert b"usage" not in reply.body
    assert [event if event == "[DONE]" else event["choices"][0]["delta"].get("content") for event in reply.events] == [
        "a",
        "b",
        None,
        "[DONE]",
    ]
    line = rig.gateway.line(reply.header("x-request-id") or "")
    assert (line["input_tokens"], line["output_tokens"], line["token_source"]) == (3, 2, "provider")


def test_usage_is_shown_to_who_asked(rig: Rig) -> None:
    """With `include_usage` the client gets its nulls and the usage chunk."""
    events = [{**chunk("a"), "usage": None}, {**chunk(finish="stop"), "usage": None}, USAGE_CHUNK]
    reply = stream_of(rig, sse(events), stream_options={"include_usage": True})
    assert [event["usage"] for event in reply.events[:-1]] == [None, None, USAGE_CHUNK["usage"]]


def test_usage_inside_text_is_text(rig: Rig) -> None:
    """Content that looks like the usage member is not touched."""
    text = ',"usage":null and "usage": null'
    reply = stream_of(rig, sse([chunk(text), chunk(finish="stop")]))
    assert reply.events[0]["choices"][0]["delta"]["content"] == text


def test_responses_events_name_the_model_asked_for(rig: Rig) -> None:
    """Named events keep their names, the nested `model` is the client's, usage is read, no `[DONE]` is invented."""
    response = {"id": "r", "model": PRIVATE_MODEL}
    events: list[tuple[str, dict[str, Any]]] = [
        ("response.created", {"response": response}),
        ("response.output_text.delta", {"delta": "h\u00e9"}),
        ("response.completed", {"response": {**response, "usage": {"input_tokens": 5, "output_tokens": 6}}}),
    ]
    frames = [
        b"event: %b\ndata: %b\n\n" % (name.encode(), json.dumps({"type": name, **fields}).encode())
        for name, fields in events
    ]
    rig.a.then(sse(frames, done=False))
    reply = rig.gateway.post("/v1/responses", {"model": "alias", "input": "x", "stream": True})
    assert reply.body == b"".join(frames).replace(PRIVATE_MODEL.encode(), b"alias")
    line = rig.gateway.line(reply.header("x-request-id") or "")
    assert (line["input_tokens"], line["output_tokens"]) == (5, 6)


def test_speech_is_passed_as_bytes(rig: Rig) -> None:
    """An answer that is no JSON and no event stream is relayed as it arrives, with its content type."""
    sound = bytes(range(256)) * 100
    head = raw_head(200, [("content-type", "audio/mpeg"), ("transfer-encoding", "chunked")])
    rig.a.then([send(head), send(chunked(sound[:1000])), send(chunked(sound[1000:])), send(chunked(b""))])
    reply = rig.gateway.post("/v1/audio/speech", {"model": "alias", "input": "x", "voice": "v"})
    assert (reply.status, reply.body, reply.complete) == (200, sound, True)
    assert reply.header("content-type") == "audio/mpeg"


def test_headers_of_the_provider_stay_behind_but_for_three(rig: Rig) -> None:
    """Cookies, server names, rate limits, request ids and `Connection`-named headers of a provider are not shown."""
    canaries = [
        ("set-cookie", "session=upstream-canary"),
        ("server", "upstream-canary"),
        ("x-request-id", "upstream-canary"),
        ("x-ratelimit-limit-requests", "777"),
        ("connection", "x-hop"),
        ("x-hop", "upstream-canary"),
        ("location", "http://upstream-canary.example"),
        ("x-gateway-provider", "upstream-canary"),
        ("access-control-allow-origin", "*"),
        ("openai-processing-ms", "12"),
    ]
    reply = rig.answered(json_reply(COMPLETION, headers=canaries))
    streamed = stream_of(rig, sse([chunk(finish="stop")], headers=canaries))
    for found in (reply, streamed):
        assert found.status == 200
        assert b"upstream-canary" not in found.head
        assert found.header("openai-processing-ms") == "12"
        assert found.header("x-ratelimit-limit-requests") is None
        assert found.header("server") is None
        assert found.header("access-control-allow-origin") is None


def test_the_list_of_models_holds_every_name_a_client_can_use(rig: Rig) -> None:
    """Plain route names and bare model names, in OpenAI's shape; qualified names can be looked up."""
    listed = [model["id"] for model in rig.gateway.get("/v1/models").json["data"]]
    assert {"alias", "pair", "m", PRIVATE_MODEL} <= set(listed)
    assert len(listed) == len(set(listed))
    assert "asleep" not in listed
    assert rig.gateway.get("/v1/models/a/m").json == {
        "id": "a/m",
        "object": "model",
        "created": 1700000000,
        "owned_by": "a",
        # What nobody said of it.
        "context_window": None,
        "max_output_tokens": None,
        "capabilities": None,
        "price": None,
    }
    assert [m["id"] for m in rig.gateway.get("/providers/b/v1/models").json["data"]] == ["m", "up-b"]
    for path in ("/v1/models/unheard", "/providers/none/v1/models", "/providers/b/v1/models/tuned"):
        assert rig.gateway.get(path).error["code"] == "model_not_found"


def test_frames_are_read_as_the_sdk_would(rig: Rig) -> None:
    """`events_of` and the rig agree with the wire: one event a chunk, then `[DONE]`."""
    reply = stream_of(rig, sse([chunk("a"), chunk(finish="stop")]))
    assert events_of(reply.body)[-1] == "[DONE]"
    assert len(reply.events) == 3


# ---- what strict readers refuse


MARK = b"\xef\xbb\xbf"


@pytest.mark.parametrize("service", ["/v1/chat/completions", "/v1/completions", "/v1/responses"])
@pytest.mark.parametrize("mark", [b"", MARK, b" \n"])
def test_a_text_that_was_cut_in_a_character_is_an_answer(rig: Rig, mark: bytes, service: str) -> None:
    """Half a surrogate pair at the end of a text reaches the client as it came, named and counted like any answer."""
    body = json.dumps({**COMPLETION, "text": "cut X"}).encode().replace(b"X", b"\\ud83d")
    rig.a.default = json_reply(mark + body)
    number = f"cut-{len(mark)}-{service[-8:]}".replace("/", "-")
    reply = rig.gateway.post(service, chat_body("alias"), (("x-request-id", number),))
    assert reply.status == 200, reply.body
    assert reply.body == mark.removeprefix(MARK) + body.replace(PRIVATE_MODEL.encode(), b"alias")
    assert rig.gateway.line(number)["token_source"] == "provider"


@pytest.mark.parametrize(
    "body", [MARK, MARK + b"nope", MARK + MARK + b"{}", b'{"x":"\\ud83d",}', b'{"x":"\\ud83d","usage":7}']
)
def test_what_is_no_json_either_way_is_a_bad_answer(rig: Rig, body: bytes) -> None:
    """More is not forgiven than others read."""
    reply = rig.answered(json_reply(body), "alias")
    assert (reply.status, reply.error["code"]) == (502, "bad_upstream_response")


@pytest.mark.parametrize("cut", [0, 1, 2, 3, 9])
def test_a_mark_before_the_first_event_is_none_of_it(rig: Rig, cut: int) -> None:
    """A byte order mark is dropped from the beginning of a stream, wherever its first read ends."""
    frame = b"data: %b\n\n" % json.dumps(chunk("a", finish="stop")).encode()
    whole = MARK + frame
    reply = stream_of(rig, sse([whole[:cut], whole[cut:]] if cut else [whole], pause=0.01))
    assert reply.status == 200, reply.body
    assert reply.body.startswith(b"data: {")
    assert reply.events[-1] == "[DONE]"
    assert "error" not in reply.events[0]
