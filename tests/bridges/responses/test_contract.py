"""The contract of every dialect, for clients of the Responses API: what is asked is heard, what is said is read."""

from __future__ import annotations

import json
from typing import Any

import pytest

from gateway.errors import UnsupportedParameter, UpstreamBadResponse, UpstreamOverloaded, UpstreamTruncated
from gateway.ports import Dialect
from gateway.providers.wire.openai import OpenAIDialect
from gateway.types import Usage
from tests.providers.contract.cases import ANSWERS, FINISH, REQUESTS
from tests.providers.contract.natives import Native, answering, native_of
from tests.providers.contract.said import Read, Said

from . import reading
from .asks import ASKED, DIALECTS, SAME, SPEAKERS, call_of, decoder_of, deployment_of, fed, heard_by

APIS = sorted(name for name, one in DIALECTS.items() if name == "openai" or not isinstance(one, OpenAIDialect))
"""OpenAI's chat stands for all that pass it through."""
ANSWERING = answering({name: DIALECTS[name] for name in APIS})


@pytest.fixture(params=APIS)
def dialect(request: pytest.FixtureRequest) -> Dialect:
    return DIALECTS[request.param]


@pytest.fixture
def native(dialect: Dialect) -> Native:
    return native_of(dialect)


@pytest.mark.parametrize("case", SAME)
def test_requests(dialect: Dialect, native: Native, case: str) -> None:
    """The provider hears what the client asked, or the client reads which field this provider cannot take."""
    wanted = REQUESTS[case][1]
    call, deployment = call_of(SAME[case]), deployment_of(dialect)
    if case in native.refuses:
        with pytest.raises(UnsupportedParameter) as refused:
            SPEAKERS.of(call, deployment).body(call, deployment)
        assert refused.value.param in (native.refuses[case], "input", "reasoning.effort", "text.format")
        return
    heard = heard_by(dialect, native, call, deployment)
    assert heard.model == native.model
    assert {name: getattr(heard, name) for name in wanted} == wanted


def test_streams_are_asked_for(dialect: Dialect, native: Native) -> None:
    """A streaming call asks for a stream, another one does not."""
    for stream in (True, False):
        call = call_of({"input": "hi"}, stream=stream)
        assert heard_by(dialect, native, call, deployment_of(dialect)).stream is stream


def check(read: Read, said: Said, usage: Usage | None) -> None:
    """What the client read against what the model said."""
    assert read.text == said.text
    assert read.reasoning == said.reasoning
    assert read.finish == ("stop" if said.calls else FINISH[said.finish])
    assert [(name, json.loads(arguments)) for _, name, arguments in read.calls] == [
        (call.name, call.arguments) for call in said.calls
    ]
    assert len({id_ for id_, _, _ in read.calls}) == len(said.calls)
    counts = said.counts
    assert usage is not None
    assert (usage.input_tokens, usage.output_tokens) == (counts.input, counts.output)
    assert read.usage == {
        "input_tokens": counts.input,
        "input_tokens_details": {
            "cached_tokens": usage.cached_input_tokens,
            "cache_write_tokens": usage.cache_write_tokens,
        },
        "output_tokens": counts.output,
        "output_tokens_details": {"reasoning_tokens": usage.reasoning_tokens},
        "total_tokens": counts.input + counts.output,
    }


@pytest.mark.parametrize(("dialect", "case"), ANSWERING, indirect=["dialect"])
def test_whole_answers(dialect: Dialect, native: Native, case: str) -> None:
    """Text, reasoning, calls, end and counts of a whole answer."""
    said = ANSWERS[case]
    kind, body = native.reply(said)
    call, deployment = call_of({"input": "hi"}), deployment_of(dialect)
    reply = SPEAKERS.of(call, deployment).decode(call, deployment, [(b"content-type", kind)], body)
    check(reading.whole(reply.body, ASKED), said, reply.usage)


@pytest.mark.parametrize(("dialect", "case"), ANSWERING, indirect=["dialect"])
def test_streamed_answers(dialect: Dialect, native: Native, case: str) -> None:
    """The same of a streamed one, whose events build up what the last one says."""
    said = ANSWERS[case]
    frames = native.stream(said)[1]
    for reads in ([b"".join(frames)], frames):
        decoder = decoder_of(dialect)
        out = fed(decoder, reads)
        assert decoder.failure is None
        assert decoder.complete
        check(reading.streamed(out, ASKED), said, decoder.usage)


def stable(out: bytes) -> list[Any]:
    """The events without their dates, which may pass from one second to the next."""
    found = reading.events(out)
    for event in found:
        if "response" in event:
            event["response"] |= {"created_at": 0, "completed_at": 0}
    return found


def test_split_anywhere(dialect: Dialect, native: Native) -> None:
    """A stream cut in two at any byte gives the same events."""
    said = Said("ü🎈", calls=ANSWERS["parallel_calls"].calls[:2], finish="calls")
    body = b"".join(native.stream(said)[1])
    wanted = stable(fed(decoder_of(dialect), [body]))
    for at in range(1, len(body)):
        assert stable(fed(decoder_of(dialect), [body[:at], body[at:]])) == wanted, at


def test_truncated(dialect: Dialect, native: Native) -> None:
    """A stream that ends before its last event is a failure and never looks like a normal end."""
    frames = native.stream(ANSWERS["text"])[1]
    for count in range(len(frames) // 2 + 1):
        decoder = decoder_of(dialect)
        out = fed(decoder, frames[:count])
        assert isinstance(decoder.failure, UpstreamTruncated | UpstreamBadResponse)
        assert not decoder.complete
        assert b"response.completed" not in out


def test_broken_stream(dialect: Dialect, native: Native) -> None:
    """An error event ends the stream with that error: what came before it is relayed, nothing pretends an end."""
    frames = native.stream(ANSWERS["text"])[1]
    decoder = decoder_of(dialect)
    out = fed(decoder, [*frames[: len(frames) // 2], native.broken(), *frames])
    assert isinstance(decoder.failure, UpstreamOverloaded)
    assert not decoder.complete
    assert b"response.completed" not in out
    assert b"output_item.done" not in out


def test_failing_at_once(dialect: Dialect, native: Native) -> None:
    """An error as the first event leaves nothing to commit to: another deployment may be tried."""
    decoder = decoder_of(dialect)
    assert decoder.feed(native.broken()) == b""
    assert isinstance(decoder.failure, UpstreamOverloaded)
