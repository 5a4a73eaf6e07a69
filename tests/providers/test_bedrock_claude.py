"""Claude at Bedrock for clients of the Messages API: what passes through, what is put around it, what is counted."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import (
    UnsupportedParameter,
    UpstreamBadEvent,
    UpstreamBadResponse,
    UpstreamOverloaded,
    UpstreamTruncated,
)
from gateway.ports import CountingDialect, StreamDecoder, SurfaceDialect
from gateway.types import Call, Service, Surface, Usage
from tests.support.eventstream import event, exception

from .bedrock import BEDROCK, CLAUDE, NOVA, OSS, PROFILE

DIALECT = BEDROCK.dialect
BODY: dict[str, Any] = {"model": "asked", "max_tokens": 9, "messages": [{"role": "user", "content": "hi"}], "x": [1.0]}
START: dict[str, Any] = {"id": "m", "model": "claude-sonnet-4-5", "usage": {"input_tokens": 9, "output_tokens": 1}}
EVENTS: list[dict[str, Any]] = [
    {"type": "message_start", "message": START},
    {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "grüße 🎈"}},
    {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 7}},
    {"type": "message_stop", "amazon-bedrock-invocationMetrics": {"inputTokenCount": 9}},
]


def call(path: str = "/messages", *, stream: bool = False, betas: str = "", **fields: Any) -> Call:
    raw = json.dumps({**BODY, **fields, **({"stream": True} if stream else {})}).encode()
    start = raw.index(b'"asked"')
    one = Call("c", "r", Service.CHAT, path, "asked", raw, 0.0, stream=stream, model_span=(start, start + 7))
    one.forwarded = ((b"anthropic-beta", betas.encode()),) if betas else ()
    return one


def chunk(data: dict[str, Any]) -> bytes:
    return event("chunk", bytes=base64.b64encode(json.dumps(data).encode()).decode())


def decoder() -> StreamDecoder:
    return DIALECT.stream(call(stream=True), BEDROCK.deployment())


def test_surfaces() -> None:
    """Claude's alone, where its name tells, and nothing is configured that only Converse can be told."""
    assert isinstance(DIALECT, SurfaceDialect)
    assert isinstance(DIALECT, CountingDialect)
    for model, passes in ((CLAUDE, True), (NOVA, False), (OSS, False), (PROFILE, False)):
        to = BEDROCK.deployment(model)
        assert (Surface.MESSAGES in DIALECT.surfaces(to), DIALECT.counts(to)) == (passes, passes)
    guarded = BEDROCK.deployment(parameters={"guardrail_config": {"guardrailIdentifier": "g"}})
    assert Surface.MESSAGES not in DIALECT.surfaces(guarded)


@pytest.mark.parametrize(("stream", "method"), [(False, "invoke"), (True, "invoke-with-response-stream")])
def test_requests(stream: bool, method: str) -> None:
    """The body as it came, but for model and kind of answer, which stand in the path, and the version."""
    one = call(stream=stream)
    name = "eu.anthropic.claude-sonnet-4-5-20250929-v1%3A0"
    assert BEDROCK.head(one).target.decode() == f"/model/{name}/{method}"
    wanted = {**BODY, "anthropic_version": "bedrock-2023-05-31"}
    del wanted["model"]
    assert BEDROCK.sent(one) == wanted


def test_betas() -> None:
    """Those that Bedrock has go into the body; it would refuse the others. Those that stand in the body win."""
    given_ = "claude-code-20250219, interleaved-thinking-2025-05-14,context-1m-2025-08-07"
    wanted = ["interleaved-thinking-2025-05-14", "context-1m-2025-08-07"]
    assert BEDROCK.sent(call(betas=given_))["anthropic_beta"] == wanted
    assert BEDROCK.sent(call(betas=given_, anthropic_beta=["x"]))["anthropic_beta"] == ["x"]
    assert "anthropic_beta" not in BEDROCK.sent(call(betas="oauth-2025-04-20"))


def test_replies() -> None:
    """As they came, under the name that was asked for, and counted."""
    message = {"type": "message", "model": "claude-sonnet-4-5", "content": [], "usage": {"input_tokens": 3}, "new": 1}
    reply = DIALECT.decode(call(), BEDROCK.deployment(), [], json.dumps(message).encode())
    assert json.loads(reply.body) == {**message, "model": "asked"}
    assert reply.usage == Usage(3)


@pytest.mark.parametrize("size", [1, 7, 100_000])
def test_streams(size: int) -> None:
    """Named events out of the frames, whatever the sizes of reads; the counts that came with them."""
    body, one, out = b"".join(map(chunk, EVENTS)), decoder(), b""
    for at in range(0, len(body), size):
        out += one.feed(body[at : at + size])
    assert one.end() == b""
    assert (one.complete, one.failure) == (True, None)
    frames = [frame.split(b"\n") for frame in out.strip().split(b"\n\n")]
    assert [name for name, _ in frames] == [b"event: " + one["type"].encode() for one in EVENTS]
    told = [json.loads(data.removeprefix(b"data: ")) for _, data in frames]
    assert told == [{"type": "message_start", "message": {**START, "model": "asked"}}, *EVENTS[1:]]
    assert one.usage == Usage(9, 7)
    assert (one.events, one.relayed_bytes) == (4, len(out))


def test_exceptions_in_a_stream() -> None:
    """Before the first word they leave the attempt free to fail over; after it what was said is kept."""
    for before in (1, 2):
        one = decoder()
        out = one.feed(
            b"".join(map(chunk, EVENTS[:before])) + exception("serviceUnavailableException") + chunk(EVENTS[3])
        )
        assert isinstance(one.failure, UpstreamOverloaded)
        assert not one.complete
        assert bool(out) == (before == 2)


@pytest.mark.parametrize("data", [event("chunk", bytes="?"), event("chunk"), b"\0" * 20, event("chunk", bytes="W10=")])
def test_odd_events(data: bytes) -> None:
    """An event that cannot be read ends the stream."""
    one = decoder()
    one.feed(chunk(EVENTS[0]) + data)
    assert isinstance(one.failure, UpstreamBadEvent)
    assert one.feed(chunk(EVENTS[1])) == b""


def test_truncated() -> None:
    """An end without the last event is a failure; other kinds of events are left out."""
    one = decoder()
    one.feed(chunk(EVENTS[0]) + event("news") + chunk(EVENTS[1]))
    one.end()
    assert isinstance(one.failure, UpstreamTruncated)


@given(
    st.lists(
        st.sampled_from([*map(chunk, EVENTS), exception("x"), event("chunk", bytes="AA==")]) | st.binary(max_size=9)
    )
)
def test_any_stream(frames: list[bytes]) -> None:
    """Never an exception, and never both an end and a failure."""
    one = decoder()
    one.feed(b"".join(frames))
    one.end()
    assert one.complete != (one.failure is not None)


def test_counting() -> None:
    """Of the model behind a profile, with the limit that has to be there; the answer is Anthropic's."""
    one = call("/messages/count_tokens", betas="effort-2025-11-24")
    assert BEDROCK.head(one).target == b"/model/anthropic.claude-sonnet-4-5-20250929-v1%3A0/count-tokens"
    inner = json.loads(base64.b64decode(BEDROCK.sent(one)["input"]["invokeModel"]["body"]))
    assert (inner["max_tokens"], inner["anthropic_beta"]) == (9, ["effort-2025-11-24"])
    assert "model" not in inner
    one.raw = one.raw.replace(b'"max_tokens": 9, ', b"")
    assert json.loads(base64.b64decode(BEDROCK.sent(one)["input"]["invokeModel"]["body"]))["max_tokens"] == 64_000
    reply = DIALECT.decode(one, BEDROCK.deployment(), [], b'{"inputTokens": 18}')
    assert (reply.body, reply.usage) == (b'{"input_tokens":18}', Usage())
    with pytest.raises(UpstreamBadResponse):
        DIALECT.decode(one, BEDROCK.deployment(), [], b"{}")


def test_models_that_do_not_count() -> None:
    """They are no failure: the gateway estimates then."""
    words = b'{"message":"The provided model doesn\'t support counting tokens."}'
    assert isinstance(DIALECT.error(400, [], words), UnsupportedParameter)
