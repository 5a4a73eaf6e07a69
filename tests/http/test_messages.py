"""Anthropic's API as clients see it: who answers, in which shape, and what of it is booked and limited."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from gateway.errors import Draining
from gateway.http.throttle import Throttle
from tests.http.messages_rig import COUNT, KEY, MESSAGES, SAYS, TIGHT, ask, messages_gateway, refusal, said
from tests.support.app import Gateway
from tests.support.gateway import Mock


@pytest.fixture(scope="module")
def rig() -> Iterator[tuple[Gateway, Mock]]:
    with messages_gateway() as rig:
        yield rig


@pytest.fixture(scope="module")
def gateway(rig: tuple[Gateway, Mock]) -> Gateway:
    return rig[0]


@pytest.fixture(scope="module")
def mock(rig: tuple[Gateway, Mock]) -> Mock:
    return rig[1]


# ---- who answers


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("model", ["gpt", "gpt-r", "claude-sonnet-4-6"])
def test_any_provider(gateway: Gateway, model: str, stream: bool) -> None:
    """A message from a provider of chat, of the Responses API, and from Anthropic; events end without `[DONE]`."""
    reply = ask(gateway, model, stream=stream)
    assert reply.status == 200
    assert said(reply) == "echo: hello"
    assert reply.header("request-id") == reply.header("x-request-id")
    if stream:
        assert reply.events[0]["message"]["model"] == model
        assert reply.events[-1] == {"type": "message_stop"}
    else:
        assert reply.json["model"] == model


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(("model", "provider"), [("rescued", "plain"), ("back", "claude")])
def test_failover_between_the_two(gateway: Gateway, model: str, provider: str, stream: bool) -> None:
    """One plan holds deployments of both kinds; the client does not notice which of them answered."""
    reply = ask(gateway, model, stream=stream)
    assert (reply.status, reply.header("x-gateway-provider")) == (200, provider)
    assert reply.header("x-gateway-attempts") == "2"
    assert said(reply) == "echo: hello"


def test_passed_through(gateway: Gateway, mock: Mock) -> None:
    """Anthropic gets the client's bytes but for the model's name, its version and betas, and our credential."""
    said = b'[{"role":"user","content":"h\\u00eb"}]'
    raw = b'{"model" : "claude-sonnet-4-6", "max_tokens":7,\n "messages":%b, "b\xc3\xa9ta":1.0}' % said
    headers = [("x-api-key", KEY), ("anthropic-version", "2026-10-21"), ("anthropic-beta", "a-1,b-2")]
    assert gateway.post(f"{MESSAGES}?beta=true", raw, headers).status == 200
    sent = mock.seen()[-1]
    assert sent.body.encode() == raw
    named = dict(sent.headers)
    assert (named["anthropic-version"], named["anthropic-beta"]) == ("2026-10-21", "a-1,b-2")


def test_a_client_without_a_version(gateway: Gateway, mock: Mock) -> None:
    """It speaks the oldest one; a provider of OpenAI's API hears of none."""
    for model in ("claude-sonnet-4-6", "gpt"):
        assert ask(gateway, model, headers=[("anthropic-beta", "x")]).status == 200
    claude, plain = (dict(one.headers) for one in mock.seen()[-2:])
    assert claude["anthropic-version"] == "2023-06-01"
    assert not {"anthropic-version", "anthropic-beta"} & plain.keys()


def test_defaults_of_a_deployment(gateway: Gateway, mock: Mock) -> None:
    """The operator's defaults are put in where Anthropic's API has the word and the caller set nothing."""
    ask(gateway, "claude-warm")
    assert json.loads(mock.seen()[-1].body) == {
        "temperature": 0.2,
        "model": "claude-warm",
        "max_tokens": 100,
        "messages": SAYS,
    }
    ask(gateway, "claude-warm", temperature=1)
    assert json.loads(mock.seen()[-1].body)["temperature"] == 1


def test_thinking_of_others_is_not_shown_to_anthropic(gateway: Gateway, mock: Mock) -> None:
    """Thinking that another provider did has no signature of Anthropic's: it is left out there."""
    thought = ask(gateway, "plains/mock-fault/reasoning-8").json["content"]
    assert [block["type"] for block in thought] == ["thinking", "text"]
    talk = [*SAYS, {"role": "assistant", "content": thought}, *SAYS]
    assert ask(gateway, "claude-sonnet-4-6", messages=talk).status == 200
    assert json.loads(mock.seen()[-1].body)["messages"][1]["content"] == thought[1:]


def test_needs(gateway: Gateway) -> None:
    """A picture, also inside a tool's result, is not sent to a model that declares none."""
    picture = {"type": "image", "source": {"type": "url", "url": "https://p.invalid/x.png"}}
    result = {"type": "tool_result", "tool_use_id": "t", "content": [picture]}
    for block in (picture, result):
        reply = ask(gateway, "blind", messages=[{"role": "user", "content": [block]}])
        assert reply.status == 400
        assert "vision" in refusal(reply)["message"]
    assert ask(gateway, "blind").status == 200


def test_pinned(gateway: Gateway) -> None:
    """A client for one provider: the SDK's base URL ends before `/v1`."""
    reply = ask(gateway, "gpt", path="/providers/plain/v1/messages")
    assert (reply.status, reply.header("x-gateway-provider")) == (200, "plain")
    for name in ("nobody", "parked"):
        assert refusal(ask(gateway, "gpt", path=f"/providers/{name}/v1/messages"))["type"] == "not_found_error"


@pytest.mark.parametrize("carrier", ["x-api-key", "authorization", "api-key"])
def test_bug_36_only_one_header_for_keys(gateway: Gateway, carrier: str) -> None:
    """A key is known by whichever header has it: the SDKs changed theirs."""
    value = f"Bearer {KEY}" if carrier == "authorization" else KEY
    reply = gateway.post(MESSAGES, {"model": "gpt", "max_tokens": 9, "messages": SAYS}, [(carrier, value)])
    assert reply.status == 200


# ---- what is booked


@pytest.mark.parametrize("stream", [False, True])
def test_usage_and_cost(gateway: Gateway, mock: Mock, stream: bool) -> None:
    """The same counts and cost, passed through or bridged, and they are the provider's bill and the client's."""
    lines = []
    for model in ("claude-sonnet-4-6", "gpt"):
        reply = ask(gateway, model, stream=stream, headers=[("x-request-id", f"use-{model}-{stream}")])
        lines.append(gateway.line(f"use-{model}-{stream}"))
        usage = reply.events[-2]["usage"] if stream else reply.json["usage"]
        assert usage["output_tokens"] == lines[-1]["output_tokens"]
    native, bridged = lines
    for name in ("service", "input_tokens", "output_tokens", "token_source", "cost_nano_usd"):
        assert native[name] == bridged[name]
    assert (native["service"], native["token_source"]) == ("chat", "provider")
    row = mock.rows(model="claude-sonnet-4-6")[-1]
    assert (row["input_tokens"], row["output_tokens"]) == (native["input_tokens"], native["output_tokens"])


@pytest.mark.parametrize("provider", ["claudes", "plains"])
def test_what_a_broken_stream_used(gateway: Gateway, provider: str) -> None:
    """It is charged by what was relayed."""
    model, name = f"{provider}/mock-fault/end-after-30+tokens-200", f"broken-use-{provider}"
    reply = ask(gateway, model, stream=True, headers=[("x-request-id", name)])
    line = gateway.line(name)
    assert line["token_source"] == "partial"
    assert line["output_tokens"] >= len(said(reply)) // 4 > 20


def test_the_credential_stays_here(gateway: Gateway) -> None:
    """Keys of providers reach neither clients nor the log."""
    for provider in ("claudes", "plains"):
        reply = ask(gateway, f"{provider}/mock-fault/status-401+tokens-3")
        assert reply.status == 502
        assert b"canary" not in reply.head + reply.body + gateway.log_with(reply)


# ---- errors


@pytest.mark.parametrize("provider", ["claudes", "plains"])
@pytest.mark.parametrize(
    ("script", "status", "kind", "retry"),
    [
        ("status-400", 400, "invalid_request_error", "false"),
        ("status-404", 404, "not_found_error", "false"),
        ("status-413", 413, "request_too_large", "false"),
        ("status-422", 422, "invalid_request_error", "false"),
        ("context-length", 400, "invalid_request_error", "false"),
        ("status-401", 502, "api_error", "false"),
        ("status-403", 502, "api_error", "false"),
        ("status-409", 409, "invalid_request_error", "false"),
        ("status-408", 504, "timeout_error", "false"),
        ("status-429+retry-after-3", 429, "rate_limit_error", "true"),
        ("status-500", 502, "api_error", "false"),
        ("status-503", 529, "overloaded_error", "true"),
        ("status-529", 529, "overloaded_error", "true"),
        ("status-504", 504, "timeout_error", "false"),
        ("html-200", 502, "api_error", "false"),
        ("error-in-200", 502, "api_error", "false"),
        ("drop", 502, "api_error", "false"),
    ],
)
def test_failures_of_providers(
    gateway: Gateway, provider: str, script: str, status: int, kind: str, retry: str
) -> None:
    """Each has Anthropic's status and type, whoever failed, and says whether to come back."""
    reply = ask(
        gateway,
        f"{provider}/mock-fault/{script}+tokens-4",
        headers=[("x-request-id", f"f-{provider}-{script.replace('+', '-')}")],
    )
    assert (reply.status, refusal(reply)["type"]) == (status, kind)
    assert reply.header("x-should-retry") == retry
    assert (reply.header("retry-after") is not None) is (status in (429, 529))
    assert gateway.line(f"f-{provider}-{script.replace('+', '-')}")["status"] == status


@pytest.mark.parametrize("provider", ["claudes", "plains"])
@pytest.mark.parametrize(
    "script",
    ["error-after-5", "end-after-5", "malformed-after-5", "stall-after-5", "cut-after-900", "no-done+end-after-6"],
)
def test_broken_streams(gateway: Gateway, provider: str, script: str) -> None:
    """A stream that breaks ends in `event: error`: no reason, no stop, no `[DONE]`, and the body is whole."""
    reply = ask(gateway, f"{provider}/mock-fault/{script}+tokens-50+pace-2ms", stream=True)
    assert reply.status == 200
    assert reply.complete
    assert b"\n\nevent: error\ndata: " in reply.body
    kinds = [event["type"] for event in reply.events]
    assert kinds[-1] == "error"
    assert not {"message_delta", "message_stop"} & set(kinds)
    assert reply.events[-1]["error"]["type"] in ("api_error", "timeout_error")
    assert reply.events[-1]["request_id"] == reply.header("request-id")


REFUSALS: list[tuple[str, Any, dict[str, str], int, str]] = [
    (MESSAGES, {"model": "gpt", "max_tokens": 9, "messages": SAYS}, {}, 401, "authentication_error"),
    (MESSAGES, {"model": "gpt", "messages": SAYS}, {"x-api-key": KEY}, 400, "invalid_request_error"),
    (MESSAGES, {"max_tokens": 9, "messages": SAYS}, {"x-api-key": KEY}, 400, "invalid_request_error"),
    (MESSAGES, {"model": "gpt", "max_tokens": 9}, {"x-api-key": KEY}, 400, "invalid_request_error"),
    (MESSAGES, {"model": "gpt", "max_tokens": "9", "messages": SAYS}, {"x-api-key": KEY}, 400, "invalid_request_error"),
    (MESSAGES, b"{", {"x-api-key": KEY}, 400, "invalid_request_error"),
    (MESSAGES, {"model": "nothing", "max_tokens": 9, "messages": SAYS}, {"x-api-key": KEY}, 404, "not_found_error"),
    (MESSAGES, b"{}", {"x-api-key": KEY, "content-encoding": "gzip"}, 415, "invalid_request_error"),
    (f"{MESSAGES}/batches", {}, {"x-api-key": KEY}, 404, "not_found_error"),
    (f"{COUNT}/more", {}, {"x-api-key": KEY}, 404, "not_found_error"),
    ("/v1/files", {}, {"x-api-key": KEY, "anthropic-version": "2023-06-01"}, 404, "not_found_error"),
    ("/providers/plain/v1/messages/x", {}, {"x-api-key": KEY}, 404, "not_found_error"),
]


@pytest.mark.parametrize(("path", "body", "headers", "status", "kind"), REFUSALS)
def test_refusals(gateway: Gateway, path: str, body: Any, headers: dict[str, str], status: int, kind: str) -> None:
    """Our own refusals have Anthropic's shape on its paths, known or not."""
    reply = gateway.post(path, body, list(headers.items()))
    assert (reply.status, refusal(reply)["type"]) == (status, kind)


def test_the_method(gateway: Gateway) -> None:
    """A path that exists says which method it takes."""
    reply = gateway.get(MESSAGES, [("x-api-key", KEY)])
    assert (reply.status, reply.header("allow")) == (405, "POST")
    assert refusal(reply)["type"] == "invalid_request_error"


def test_openais_paths_keep_their_shape(gateway: Gateway) -> None:
    """Whatever version of Anthropic's API a client names there."""
    reply = gateway.chat("gpt", [("anthropic-version", "2023-06-01")])
    assert (reply.status, reply.error["code"]) == (401, "invalid_api_key")
    assert gateway.post("/v1/messagesx", {}, [("x-api-key", KEY)]).error["code"] == "unknown_url"


def test_limits(gateway: Gateway) -> None:
    """A key's limits are told in Anthropic's headers, and end in its words."""
    first, *_, last = [ask(gateway, key=TIGHT) for _ in range(3)]
    assert first.header("anthropic-ratelimit-requests-limit") == "2"
    assert first.header("anthropic-ratelimit-requests-remaining") == "1"
    assert (first.header("anthropic-ratelimit-requests-reset") or "").endswith("Z")
    assert (last.status, refusal(last)["type"]) == (429, "rate_limit_error")
    assert last.header("anthropic-ratelimit-requests-remaining") == "0"
    assert int(last.header("retry-after") or 0) >= 1


def test_a_body_that_is_too_large(gateway: Gateway) -> None:
    """It is refused by what it declares."""
    with gateway.client() as client:
        headers = [("x-api-key", KEY), ("content-type", "application/json")]
        client.send("POST", MESSAGES, b"", headers, length=33 * 1024 * 1024)
        reply = client.rest(client.head())
    assert (reply.status, refusal(reply)["type"]) == (413, "request_too_large")


def test_overload(gateway: Gateway) -> None:
    """A refusal before anything is read has the shape too, and is counted by the status that went out."""
    shed = 'gateway_requests_total{route="",model="other",status="529",reason="overloaded"}'
    before, overload = gateway.metric(shed), gateway.worker.overload
    kept, overload.throttle = overload.throttle, Throttle(0, floor=0, shedding=True, most=0)
    try:
        reply = ask(gateway, headers=[("x-request-id", "mine-1")])
    finally:
        overload.throttle = kept
    assert (reply.status, refusal(reply)["type"]) == (529, "overloaded_error")
    assert reply.header("request-id") == "mine-1"
    assert (reply.header("retry-after"), reply.header("x-should-retry")) == ("1", "true")
    assert gateway.metric(shed) == before + 1


def test_draining(gateway: Gateway) -> None:
    """So has the refusal of a worker that ends."""
    gateway.pipeline.draining = True
    try:
        reply = ask(gateway)
    finally:
        gateway.pipeline.draining = False
    assert (reply.status, refusal(reply)["message"]) == (503, Draining.message)
    assert reply.header("x-should-retry") == "true"
