"""The contract of dialects, kept by models that have only the Responses API: clients of chat do not notice."""

from __future__ import annotations

import json
from typing import Any

import pytest

from gateway.bridges.speakers import Speakers
from gateway.errors import UnsupportedParameter, UpstreamBadResponse, UpstreamOverloaded, UpstreamTruncated
from gateway.ports import StreamDecoder
from gateway.providers import discover
from gateway.types import Deployment, Provider, Surface, Usage
from tests.providers.contract import reading
from tests.providers.contract.cases import ANSWERS, FINISH, HI, REQUESTS, WEATHER
from tests.providers.contract.said import Read, Said
from tests.providers.contract.test_contract import ASKED, call_of

from .native import NATIVE

SPEAKERS = Speakers(discover())


def deployment_of(**settings: Any) -> Deployment:
    """One that has only the Responses API."""
    provider = Provider("p", "openai", NATIVE.base_url, ("secret",), **settings)
    return Deployment("p/pro", provider, NATIVE.model, api=frozenset({Surface.RESPONSES}))


def body_of(fields: dict[str, Any], deployment: Deployment | None = None, **more: Any) -> dict[str, Any]:
    """What its provider gets."""
    deployment = deployment or deployment_of()
    call = call_of(fields, **more)
    parts = SPEAKERS.of(call, deployment).body(call, deployment)
    assert isinstance(parts, list | tuple)
    body: dict[str, Any] = json.loads(b"".join(parts))
    return body


def decoder_of(*, usage: bool = True) -> StreamDecoder:
    call = call_of(REQUESTS["text"][0], stream=True, usage=usage)
    return SPEAKERS.of(call, deployment_of()).stream(call, deployment_of())


def fed(decoder: StreamDecoder, reads: list[bytes]) -> bytes:
    return b"".join([decoder.feed(read) for read in reads] + [decoder.end()])


@pytest.mark.parametrize("case", REQUESTS)
def test_requests(case: str) -> None:
    """The provider hears what the client asked, or the client reads which field this API cannot take."""
    fields, wanted = REQUESTS[case]
    call, deployment = call_of(fields), deployment_of()
    speaker = SPEAKERS.of(call, deployment)
    if case in NATIVE.refuses:
        with pytest.raises(UnsupportedParameter) as refused:
            speaker.body(call, deployment)
        assert refused.value.param == NATIVE.refuses[case]
        return
    parts = speaker.body(call, deployment)
    assert isinstance(parts, list | tuple)
    heard = NATIVE.heard(speaker.head(call, deployment, "secret"), b"".join(parts))
    assert heard.model == NATIVE.model
    assert {name: getattr(heard, name) for name in wanted} == wanted


def check(read: Read, said: Said, usage: Usage | None) -> None:
    assert read.text == said.text
    assert read.reasoning == said.reasoning
    assert read.finish == FINISH[said.finish]
    assert [(id_, name, json.loads(arguments)) for id_, name, arguments in read.calls] == [
        (call.id, call.name, call.arguments) for call in said.calls
    ]
    if said.reasoning:
        (block,) = read.extras["thinking_blocks"]
        assert block["encrypted_content"] == "gAAA"
    counts = said.counts
    assert usage == Usage(counts.input, counts.output, counts.cached, counts.written, counts.reasoning)
    assert read.usage is not None
    assert read.usage["prompt_tokens"] == counts.input
    assert read.usage["completion_tokens_details"]["reasoning_tokens"] == counts.reasoning


@pytest.mark.parametrize("case", ANSWERS)
def test_whole_answers(case: str) -> None:
    """Text, reasoning, calls, finish reason and counts of a whole answer."""
    kind, body = NATIVE.reply(ANSWERS[case])
    call, deployment = call_of(REQUESTS["text"][0]), deployment_of()
    reply = SPEAKERS.of(call, deployment).decode(call, deployment, [(b"content-type", kind)], body)
    check(reading.whole(reply.body, ASKED), ANSWERS[case], reply.usage)


@pytest.mark.parametrize("case", ANSWERS)
def test_streamed_answers(case: str) -> None:
    """The same of a streamed one."""
    frames = NATIVE.stream(ANSWERS[case])[1]
    for reads in ([b"".join(frames)], frames):
        decoder = decoder_of()
        out = fed(decoder, reads)
        assert decoder.failure is None
        assert decoder.complete
        check(reading.streamed(out, ASKED, usage=True), ANSWERS[case], decoder.usage)
        assert decoder.relayed_bytes == len(out)


def test_usage_is_not_shown_unasked() -> None:
    """A client who did not ask for usage gets no usage chunk; the gateway has the counts all the same."""
    decoder = decoder_of(usage=False)
    out = fed(decoder, NATIVE.stream(ANSWERS["cached"])[1])
    assert reading.streamed(out, ASKED, usage=False).usage is None
    assert decoder.usage is not None
    assert decoder.usage.cached_input_tokens == 64


def stable(out: bytes) -> list[Any]:
    return [{**event, "created": 0} if isinstance(event, dict) else event for event in reading.events(out)]


@pytest.mark.parametrize(("ids", "interleaved"), [(True, True), (True, False), (False, False)])
def test_calls_at_one_place(*, ids: bool, interleaved: bool) -> None:
    """A server that says the same `output_index` of every item loses no call: ids tell them apart, or their order."""
    calls = ANSWERS["parallel_calls"].calls
    said: list[list[dict[str, Any]]] = []
    for number, one in enumerate(calls):
        item = {"type": "function_call", "call_id": one.id, "name": one.name, "arguments": ""}
        named = {"id": f"fc_{number}"} if ids else {}
        at: dict[str, Any] = {"output_index": 0, **({"item_id": f"fc_{number}"} if ids else {})}
        whole = json.dumps(one.arguments)
        said.append(
            [
                {"type": "response.output_item.added", "output_index": 0, "item": {**item, **named}},
                {"type": "response.function_call_arguments.delta", **at, "delta": whole[:3]},
                {"type": "response.function_call_arguments.delta", **at, "delta": whole[3:]},
                {"type": "response.output_item.done", "output_index": 0, "item": {**item, **named, "arguments": whole}},
            ]
        )
    events = [one for step in zip(*said, strict=True) for one in step] if interleaved else [e for c in said for e in c]
    events.append({"type": "response.completed", "response": {"status": "completed", "output": []}})
    events[-1]["response"]["usage"] = {"input_tokens": 5, "output_tokens": 7}
    frames = [f"event: {one['type']}\ndata: {json.dumps(one)}\n\n".encode() for one in events]
    decoder = decoder_of()
    read = reading.streamed(fed(decoder, frames), ASKED, usage=True)
    assert decoder.complete
    assert [(id_, name, json.loads(arguments)) for id_, name, arguments in read.calls] == [
        (call.id, call.name, call.arguments) for call in calls
    ]


def test_split_anywhere() -> None:
    """A stream cut in two at any byte gives the same events."""
    said = Said("ü🎈", calls=ANSWERS["parallel_calls"].calls[:1], finish="calls")
    body = b"".join(NATIVE.stream(said)[1])
    wanted = stable(fed(decoder_of(), [body]))
    for at in range(1, len(body)):
        assert stable(fed(decoder_of(), [body[:at], body[at:]])) == wanted, at


def test_truncated() -> None:
    """A stream that ends before its last event is a failure and never looks like a normal end."""
    frames = NATIVE.stream(ANSWERS["text"])[1]
    for count in range(len(frames)):
        decoder = decoder_of()
        out = fed(decoder, frames[:count])
        assert isinstance(decoder.failure, UpstreamTruncated | UpstreamBadResponse)
        assert not decoder.complete
        assert b"[DONE]" not in out


@pytest.mark.parametrize("failed", [False, True])
def test_broken_stream(*, failed: bool) -> None:
    """An error, alone or as a response that failed, ends the stream with that error; nothing pretends an end."""
    frames = NATIVE.stream(ANSWERS["text"])[1]
    error = {"code": "server_is_overloaded", "message": "busy"}
    event = {"type": "response.failed", "response": {"status": "failed", "error": error, "output": []}}
    broken = b"event: response.failed\ndata: " + json.dumps(event).encode() + b"\n\n" if failed else NATIVE.broken()
    decoder = decoder_of()
    out = fed(decoder, [*frames[: len(frames) // 2], broken, *frames])
    assert isinstance(decoder.failure, UpstreamOverloaded)
    assert not decoder.complete
    assert b"[DONE]" not in out
    assert b'"finish_reason":"' not in out
    at_once = decoder_of()
    assert at_once.feed(broken) == b""
    assert isinstance(at_once.failure, UpstreamOverloaded)


def test_a_reply_that_failed_is_an_error() -> None:
    """A whole response can say in a 200 that there is none."""
    call, deployment = call_of(REQUESTS["text"][0]), deployment_of()
    speaker = SPEAKERS.of(call, deployment)
    failed: dict[str, Any] = {"object": "response", "status": "failed", "output": [], "error": None}
    for body in (b"{}", b"[]", b"", json.dumps({**failed, "status": "queued"}).encode()):
        with pytest.raises(UpstreamBadResponse):
            speaker.decode(call, deployment, [(b"content-type", b"application/json")], body)
    busy = {**failed, "error": {"code": "server_is_overloaded", "message": "busy"}}
    with pytest.raises(UpstreamOverloaded):
        speaker.decode(call, deployment, [(b"content-type", b"application/json")], json.dumps(busy).encode())


def test_what_sdks_send_has_its_word() -> None:
    """Fields that both APIs have go as they are; nothing is stored unless the caller says so."""
    same = {"metadata": {"a": "b"}, "service_tier": "flex", "user": "u", "prompt_cache_key": "k"}
    body = body_of({"messages": [HI], **same, "store": True, "verbosity": "low", "logprobs": True, "top_logprobs": 2})
    assert body == {
        "model": NATIVE.model,
        "input": [HI],
        "store": True,
        **same,
        "text": {"verbosity": "low"},
        "include": ["message.output_text.logprobs"],
        "top_logprobs": 2,
    }
    assert "top_logprobs" not in body_of({"messages": [HI], "logprobs": False, "top_logprobs": 2})
    assert "parallel_tool_calls" not in body_of({"messages": [HI], "parallel_tool_calls": True})


def test_strictness_is_said() -> None:
    """Functions of a chat are not strict unless it says so; the Responses API has it the other way round."""
    strict = {"type": "function", "function": {"name": "f", "strict": True, "parameters": {"type": "object"}}}
    tools = body_of({"messages": [HI], "tools": [WEATHER, strict]})["tools"]
    assert [tool["strict"] for tool in tools] == [False, True]


def test_allowed_tools() -> None:
    """Both APIs have the word."""
    allowed = {"mode": "required", "tools": [{"type": "function", "function": {"name": "weather"}}]}
    choice = {"type": "allowed_tools", "allowed_tools": allowed}
    body = body_of({"messages": [HI], "tools": [WEATHER], "tool_choice": choice})
    tools = [{"type": "function", "name": "weather"}]
    assert body["tool_choice"] == {"type": "allowed_tools", "mode": "required", "tools": tools}


def test_sealed_reasoning_goes_back() -> None:
    """What the provider sealed returns before the turn that it led to; other providers' reasoning stays out. It is
    asked for where the model is known to reason."""
    sealed = {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "gAAA"}
    other = {"type": "thinking", "thinking": "Hm.", "signature": "c2ln"}
    turn = {"role": "assistant", "content": "42", "thinking_blocks": [other, sealed]}
    body = body_of({"messages": [HI, turn, HI], "reasoning_effort": "high"})
    assert body["input"] == [HI, sealed, {"role": "assistant", "content": "42"}, HI]
    assert body["include"] == ["reasoning.encrypted_content"]
    assert "include" not in body_of({"messages": [HI]})
    capable = Deployment(
        "p/pro",
        deployment_of().provider,
        "pro",
        api=frozenset({Surface.RESPONSES}),
        capabilities=frozenset({"reasoning"}),
    )
    assert body_of({"messages": [HI]}, capable)["include"] == ["reasoning.encrypted_content"]


@pytest.mark.parametrize(
    ("kind", "model", "asked", "fields"),
    [
        ("openai", "gpt-5-pro", True, {}),
        ("azure", "o3-pro", True, {}),
        ("openai", "gpt-5-pro", False, {"reasoning_effort": "none"}),
        ("openai", "gpt-5-chat-latest", False, {}),
        ("openai", "gpt-4.1", False, {}),
        ("openai_compatible", "gpt-5-pro", False, {}),
    ],
)
def test_openais_models_that_reason_are_asked_for_it(
    kind: str, model: str, asked: bool, fields: dict[str, Any]
) -> None:
    """Without a word of effort they reason all the same; a model that does not would refuse to be asked."""
    to = Deployment(
        "p/m", Provider("p", kind, "https://provider.invalid/v1"), model, api=frozenset({Surface.RESPONSES})
    )
    assert ("include" in body_of({"messages": [HI], **fields}, to)) is asked


def test_reasoning_is_followed_by_what_it_led_to() -> None:
    """A turn of sealed reasoning alone is left out: the provider refuses it without what followed."""
    sealed = {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "gAAA"}
    alone = {"role": "assistant", "content": None, "thinking_blocks": [sealed]}
    assert body_of({"messages": [HI, alone, HI]})["input"] == [HI, HI]
    words = {"role": "assistant", "content": "42"}
    assert body_of({"messages": [HI, alone, words, HI]})["input"] == [HI, sealed, words, HI]


def test_defaults_are_in_the_words_of_the_api_that_is_called() -> None:
    """A deployment's `parameters` are put into the request as it is sent."""
    tuned = Deployment(
        "p/pro",
        deployment_of().provider,
        "pro",
        api=frozenset({Surface.RESPONSES}),
        parameters={"max_output_tokens": 900, "truncation": "auto"},
    )
    body = body_of({"messages": [HI], "max_tokens": 50}, tuned)
    assert (body["max_output_tokens"], body["truncation"]) == (50, "auto")
    assert body_of({"messages": [HI]}, tuned)["max_output_tokens"] == 900


def test_a_conversation_with_sounds_is_refused() -> None:
    """What the Responses API cannot hear is told with its place."""
    part = {"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}}
    call, deployment = call_of({"messages": [{"role": "user", "content": [part]}]}), deployment_of()
    with pytest.raises(UnsupportedParameter) as refused:
        SPEAKERS.of(call, deployment).body(call, deployment)
    assert refused.value.param == "messages[0].content[0]"


def test_turns_keep_their_order() -> None:
    """Words before calls, calls before their results."""
    messages = [
        HI,
        {
            "role": "assistant",
            "content": "Let me look.",
            "tool_calls": [{"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}],
        },
        {"role": "tool", "tool_call_id": "c1", "content": "sunny"},
    ]
    kinds = [item.get("type", item.get("role")) for item in body_of({"messages": messages})["input"]]
    assert kinds == ["user", "assistant", "function_call", "function_call_output"]
