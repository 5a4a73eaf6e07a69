"""Streams of the Responses API that fail: before anything was said, and after."""

from __future__ import annotations

import json
from typing import Any

import openai
import pytest
from openai.types.responses import ResponseCreatedEvent

from tests.support.rig import PRIVATE_MODEL, Rig
from tests.support.steps import Step, chunked, close, json_reply, raw_head, send, sleep, stall

HEAD = send(raw_head(200, [("content-type", "text/event-stream"), ("transfer-encoding", "chunked")]))
END = send(chunked(b""))
QUOTA = {"type": "insufficient_quota", "code": "insufficient_quota", "message": "of org-canary", "param": None}
BROKEN = {"code": "server_error", "message": "account org-canary is unwell"}
USAGE = {"input_tokens": 5, "output_tokens": 6, "total_tokens": 11}


def event(kind: str, number: int, **fields: Any) -> bytes:
    data = json.dumps({"type": kind, "sequence_number": number, **fields})
    return b"event: %b\ndata: %b\n\n" % (kind.encode(), data.encode())


def response(status: str, **fields: Any) -> dict[str, Any]:
    answer = {"id": "resp_1", "object": "response", "status": status, "model": PRIVATE_MODEL, "output": []}
    return {**answer, "usage": None, "error": None, **fields}


CREATED = event("response.created", 0, response=response("in_progress"))
STARTED = event("response.in_progress", 1, response=response("in_progress"))
DELTA = event("response.output_text.delta", 2, delta="hi", item_id="i", output_index=0, content_index=0)
COMPLETED = event("response.completed", 3, response=response("completed", usage=USAGE))


def apart(*events: bytes) -> list[Step]:
    """Each of them in a read of its own."""
    return [HEAD, *(step for one in events for step in (send(chunked(one)), sleep(0.02)))]


def kinds(events: list[Any]) -> list[str]:
    return [one["type"] for one in events if one != "[DONE]"]


@pytest.mark.parametrize(
    "end",
    [
        [send(chunked(event("error", 2, error=QUOTA)))],
        [send(chunked(event("response.failed", 2, response=response("failed", error=BROKEN)))), END],
        [send(chunked(b": still here\n\n")), sleep(0.02), close()],
        [END],
    ],
    ids=["error", "response.failed", "comment and cut", "end"],
)
def test_what_fails_before_it_said_anything_is_tried_elsewhere(rig: Rig, end: list[Step]) -> None:
    """An answer that was only created commits nobody: the client reads another deployment's, from its first event."""
    rig.a.then([*apart(CREATED, STARTED), *end])
    rig.b.then([*apart(CREATED, STARTED, DELTA, COMPLETED), END])
    reply = rig.gateway.post("/v1/responses", {"model": "pair", "input": "x", "stream": True})
    assert reply.status == 200
    assert kinds(reply.events) == [
        "response.created",
        "response.in_progress",
        "response.output_text.delta",
        "response.completed",
    ]
    assert reply.header("x-gateway-provider") == "b"
    assert reply.header("x-gateway-attempts") == "2"
    line = rig.gateway.line(reply.header("x-request-id") or "")
    assert (line["reason"], line["attempts"]) == ("ok", 2)


def test_with_nobody_else_it_is_an_error_with_its_status(rig: Rig) -> None:
    """As of a call that is not streamed: the SDK raises before there is a stream."""
    rig.a.then([*apart(CREATED, STARTED, event("response.failed", 2, response=response("failed", error=BROKEN))), END])
    reply = rig.gateway.post("/v1/responses", {"model": "a/m", "input": "x", "stream": True})
    assert (reply.status, reply.json["error"]["code"]) == (502, "upstream_error")
    assert b"canary" not in reply.body


@pytest.mark.parametrize("stream", [True, False])
def test_what_is_the_requests_doing_is_no_fault_of_the_provider(rig: Rig, stream: bool) -> None:
    """A picture that is too large is that everywhere: it is told as a refusal is, with the provider's code."""
    failed = response("failed", error={"code": "image_too_large", "message": "The image is too large."})
    if stream:
        rig.a.then([*apart(CREATED, STARTED, event("response.failed", 2, response=failed)), END])
    else:
        rig.a.then(json_reply(failed))
    reply = rig.gateway.post("/v1/responses", {"model": "pair", "input": "x", "stream": stream})
    assert (reply.status, reply.error["code"], reply.error["message"]) == (
        400,
        "image_too_large",
        "The image is too large.",
    )
    assert not rig.b.received


def test_the_opening_does_not_wait_for_the_end(rig: Rig) -> None:
    """It is handed on with the first event behind it, in its order and under the name that was asked for."""
    rig.a.then([*apart(CREATED, STARTED, DELTA), stall()])
    with openai.OpenAI(
        base_url=f"http://127.0.0.1:{rig.gateway.port}/v1", api_key="any", max_retries=0, timeout=10
    ) as client:
        stream = iter(client.responses.create(model="a/m", input="x", stream=True))
        first, second, third = next(stream), next(stream), next(stream)
    assert (first.type, second.type, third.type) == (
        "response.created",
        "response.in_progress",
        "response.output_text.delta",
    )
    assert isinstance(first, ResponseCreatedEvent)
    assert first.response.model == "a/m"


def test_a_response_that_fails_says_so_itself(rig: Rig) -> None:
    """The provider's own last event is the last one, as at OpenAI, without its words; for the operator it is a failure,
    and what the provider counted is charged."""
    failed = event("response.failed", 3, response=response("failed", error=BROKEN, usage=USAGE))
    rig.a.then([*apart(CREATED, STARTED, DELTA, failed), END])
    reply = rig.gateway.post("/v1/responses", {"model": "a/m", "input": "x", "stream": True})
    assert kinds(reply.events)[-2:] == ["response.output_text.delta", "response.failed"]
    told = reply.events[-1]["response"]
    assert (told["status"], told["model"], told["usage"]) == ("failed", "a/m", USAGE)
    assert told["error"] == {"code": "upstream_error", "message": "The model provider failed to answer this request."}
    assert b"canary" not in reply.body
    line = rig.gateway.line(reply.header("x-request-id") or "")
    assert (line["status"], line["reason"]) == (200, "upstream_error")
    assert (line["input_tokens"], line["output_tokens"], line["token_source"]) == (5, 6, "provider")


def test_an_error_takes_the_next_number(rig: Rig) -> None:
    """Events that number themselves go on without a gap, also where the gateway's words stand for the provider's."""
    rig.a.then([*apart(CREATED, STARTED, DELTA, event("error", 3, code="server_error", message="of org-canary")), END])
    reply = rig.gateway.post("/v1/responses", {"model": "a/m", "input": "x", "stream": True})
    numbers = [one["sequence_number"] for one in reply.events if one != "[DONE]"]
    assert (kinds(reply.events)[-1], numbers) == ("error", [0, 1, 2, 3])
    assert b"canary" not in reply.body
