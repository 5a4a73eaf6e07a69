"""Event streams against a slow reader: whatever the framing, line ends and splits, the same answer comes out."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.errors import (
    UpstreamBadEvent,
    UpstreamBadResponse,
    UpstreamEmpty,
    UpstreamError,
    UpstreamRateLimited,
    UpstreamServerError,
    UpstreamTooLarge,
    UpstreamTruncated,
)
from gateway.providers.wire.frames import MAX_EVENT
from gateway.providers.wire.named_stream import NamedEventStream
from gateway.providers.wire.sse import DONE, ChunkStream, EventStream
from gateway.types import Usage
from gateway.usage.estimate import partial

ASKED = "the/asked-model"
Chunk = dict[str, Any]


def payloads(raw: bytes) -> list[str]:
    """The data of every event, read line by line as the event stream format has it."""
    found: list[str] = []
    data: list[str] = []
    for line in [*re.split("\r\n|\r|\n", raw.decode()), ""]:
        if not line and data:
            found.append("\n".join(data))
            data = []
        elif line.startswith("data:"):
            data.append(line[5:].removeprefix(" "))
    return found


def run(stream: EventStream, raw: bytes, cuts: list[int]) -> bytes:
    """The whole output for `raw` cut at these offsets, its end included."""
    out = b""
    edges = [0, *sorted(cuts), len(raw)]
    for start, end in pairwise(edges):
        if start < end:
            out += stream.feed(raw[start:end])
    return out + stream.end()


# ---- random streams --------------------------------------------------------------------------------------------------

NASTY = st.sampled_from(
    [
        "",
        "Hi",
        "data: [DONE]\n\n",
        '"model":"up-1"',
        '{"finish_reason":"stop"}',
        "\r\n\r\n",
        "é\u2028\u0085😀",
        '","usage":null',
    ]
)
USAGE = {"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7}


@st.composite
def chunks(draw: Any) -> Chunk:
    """One chunk, with the fields that providers add or leave out."""
    chunk: Chunk = {"id": "c", "object": "chat.completion.chunk"}
    if draw(st.booleans()):
        chunk["model"] = draw(st.sampled_from(["up-1", "up-1", "", "up-2", ASKED]))
    usage = draw(st.sampled_from(["absent", "absent", "null", "counts"]))
    reason = draw(st.sampled_from([None, None, "", "stop"]))
    choice = {"index": 0, "delta": {"content": draw(NASTY)}, "finish_reason": reason}
    chunk["choices"] = [] if usage == "counts" and draw(st.booleans()) else [choice]
    if usage != "absent":
        chunk["usage"] = None if usage == "null" else {**USAGE, "completion_tokens": draw(st.integers(0, 99))}
    return chunk


@dataclass(frozen=True)
class Case:
    """A stream's bytes, the chunks in it and how it ends."""

    raw: bytes
    chunks: list[Chunk]
    ending: str


ENDINGS = ["done", "done", "plain", "error", "named-error", "malformed"]
LAST = {
    "done": "[DONE]",
    "error": json.dumps({"error": {"code": 429, "message": "slow down"}}),
    "named-error": json.dumps({"message": "boom"}),
    "malformed": '{"choices":[',
}


def framed(draw: Any, payload: str, name: str = "") -> str:
    """One event in one of the ways to write it, with a comment before it now and then."""
    eol = draw(st.sampled_from(["\n", "\n", "\n", "\r\n", "\r"]))
    space = draw(st.sampled_from([" ", " ", ""]))
    lines = [f"data:{space}{line}" for line in payload.split("\n")]
    if name:
        lines.insert(0, f"event: {name}")
    elif draw(st.integers(0, 4)) == 0:
        lines.insert(draw(st.integers(0, len(lines))), draw(st.sampled_from([": note", "id: 7", "retry: 10"])))
    before = draw(st.sampled_from(["", "", "", f": keep-alive{eol}{eol}"]))
    ends: int = draw(st.sampled_from([2, 2, 2, 3, 4]))
    return f"{before}{eol.join(lines)}{eol * ends}"


@st.composite
def cases(draw: Any) -> Case:
    """A stream of up to six chunks."""
    plain = draw(st.booleans())  # what most providers send, which takes the fast way
    found = draw(st.lists(chunks(), max_size=6))
    text = ""
    for chunk in found:
        spaced, ascii_only = draw(st.booleans()), draw(st.booleans())
        body = json.dumps(chunk, separators=None if spaced else (",", ":"), ensure_ascii=ascii_only)
        if plain:
            text += f"data: {body}\n\n"
        else:
            text += framed(draw, json.dumps(chunk, indent=1) if draw(st.integers(0, 3)) == 0 else body)
    ending = draw(st.sampled_from(ENDINGS))
    if ending in LAST:
        text += framed(draw, LAST[ending], "error" if ending == "named-error" else "")
        text += draw(st.sampled_from(["", "data: {}\n\n", "junk"]))
    elif text and draw(st.booleans()):
        text = text.rstrip("\r\n") + draw(st.sampled_from(["", "\n", "\r\n"]))
    return Case(text.encode(), found, ending)


def shown(chunk: Chunk, *, hide: bool) -> Chunk | None:
    """A chunk as the client should get it; null usage counts as none."""
    chunk = dict(chunk)
    if "model" in chunk:
        chunk["model"] = ASKED
    usage = chunk.get("usage")
    if usage is None or hide:
        chunk.pop("usage", None)
    return None if hide and usage is not None and not chunk["choices"] else chunk


def without_null(chunk: Chunk) -> Chunk:
    return {key: value for key, value in chunk.items() if key != "usage" or value is not None}


def expected_failure(case: Case) -> type[UpstreamError] | None:
    """What the end of a stream means."""
    if case.ending == "error":
        return UpstreamRateLimited
    if case.ending == "named-error":
        return UpstreamServerError
    if case.ending == "malformed":
        return UpstreamBadEvent
    if not case.chunks:
        return UpstreamEmpty
    finished = any(choice["finish_reason"] for chunk in case.chunks for choice in chunk["choices"])
    return None if case.ending == "done" or finished else UpstreamTruncated


def check(case: Case, cuts: list[int], *, hide: bool) -> None:
    """Run a case and compare everything with what was put into it, whatever the cuts."""
    stream = ChunkStream(ASKED, hide_usage=hide)
    out = run(stream, case.raw, cuts)
    failure = expected_failure(case)
    assert type(stream.failure) is (failure or type(None))
    assert stream.complete == (failure is None)
    wanted = [chunk for chunk in (shown(chunk, hide=hide) for chunk in case.chunks) if chunk is not None]
    got = payloads(out)
    if failure is None:
        assert out.endswith(DONE)
        assert got.pop() == "[DONE]"
    assert [without_null(json.loads(payload)) for payload in got] == wanted
    counted = [chunk["usage"] for chunk in case.chunks if chunk.get("usage")]
    assert stream.usage == (Usage(3, counted[-1]["completion_tokens"]) if counted else None)
    assert stream.feed(b"data: {}\n\n") == b""
    assert stream.end() == b""
    assert b"\r" not in out


@settings(max_examples=250, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(cases(), st.booleans(), st.data())
def test_any_framing_and_any_split(case: Case, hide: bool, data: st.DataObject) -> None:
    """Framing, line ends, comments and splits change nothing: chunks, usage, names, failure, `[DONE]` are the same."""
    cuts = data.draw(st.lists(st.integers(0, len(case.raw)), max_size=8))
    check(case, cuts, hide=hide)
    check(case, [], hide=hide)


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(cases(), st.booleans())
def test_every_split(case: Case, hide: bool) -> None:
    """Cut in two at every offset, and byte by byte, the answer is that of the uncut stream."""
    for cut in range(1, len(case.raw)):
        check(case, [cut], hide=hide)
    check(case, list(range(len(case.raw))), hide=hide)


# ---- single behaviours -----------------------------------------------------------------------------------------------


def chunk_stream(*, hide: bool = False) -> ChunkStream:
    return ChunkStream(ASKED, hide_usage=hide)


def test_plain_frames_pass_unchanged() -> None:
    """Frames of the usual form are relayed byte for byte once the name is right."""
    raw = b'data: {"model":"the/asked-model", "choices": [{"delta":{"content":"\xc3\xa9"}}]}\n\n'
    stream = chunk_stream()
    assert stream.feed(raw * 3) == raw * 3
    assert stream.events == 3
    assert stream.relayed_bytes == 3 * len(raw)


def test_blank_lines_between_frames() -> None:
    """More blank lines than one between events are legal, before a usage chunk too."""
    stream = chunk_stream()
    out = stream.feed(b'data: {"a":1}\n\n\n\ndata: {"usage":{"prompt_tokens":1}}\n\n')
    assert [json.loads(payload) for payload in payloads(out)] == [{"a": 1}, {"usage": {"prompt_tokens": 1}}]


def test_half_frames_do_not_add_up() -> None:
    """Two broken frames that are JSON only together are a bad event, not one good event."""
    stream = chunk_stream()
    assert stream.feed(b'data: {"x":0}\n\ndata: {"a":1\n\ndata: "b":2}\n\n') == b'data: {"x":0}\n\n'
    assert isinstance(stream.failure, UpstreamBadEvent)


@pytest.mark.parametrize(
    "payload",
    [b"{", b"nonsense", b"[1]", b'"text"', b"5", b'{"a":NaN}', b'{"a":1} {"b":2}', b'{"a":1},{"b":2}', b"<html>"],
)
def test_malformed_payload(payload: bytes) -> None:
    """What is no JSON object is a bad event; the frames before it are kept, also within the same read."""
    stream = chunk_stream()
    good = b'data: {"a":1}\n\n'
    assert stream.feed(good + b"data: " + payload + b"\n\n" + good) == good
    assert isinstance(stream.failure, UpstreamBadEvent)


def test_a_page_instead_of_events() -> None:
    """An HTML page is a failure before the first event, so another provider can be tried."""
    stream = chunk_stream()
    assert run(stream, b"<html>\n<body>Bad gateway</body>\n</html>\n", []) == b""
    assert isinstance(stream.failure, UpstreamBadResponse)


@pytest.mark.parametrize(
    "payload",
    [
        rb'{"choices":[{"delta":{"content":"\ud83d"}}]}',
        b'{"choices":[],"usage":{"prompt_tokens":1,"prompt_tokens_details":[]}}',
        b'{"choices":[],"usage":"none"}',
        b'{"choices":[],"message":{"a":1},"response":"x"}',
    ],
)
def test_odd_but_valid_json(payload: bytes) -> None:
    """Half a surrogate pair, or a field of an unexpected type, passes: clients read it, so it is no failure."""
    stream = chunk_stream()
    assert stream.feed(b"data: " + payload + b"\n\n") == b"data: " + payload + b"\n\n"
    assert stream.failure is None


def test_no_text_in_a_usage_chunk() -> None:
    """A chunk that must be rewritten and is no UTF-8 fails the stream and raises nothing."""
    stream = chunk_stream(hide=True)
    assert stream.feed(b'data: {"a":"\xff","usage":{"prompt_tokens":1}}\n\n') == b""
    assert isinstance(stream.failure, UpstreamBadEvent)


def test_oversized_event() -> None:
    """A chunk above 1 MiB is too large long before it is whole, after the frames that came before it."""
    stream = chunk_stream()
    good = b'data: {"a":1}\n\n'
    assert stream.feed(good + b'data: {"a":"' + b"x" * MAX_EVENT) == good
    assert isinstance(stream.failure, UpstreamTooLarge)
    assert stream.feed(b'"}\n\n') == b""


def test_oversized_behind_a_careful_read() -> None:
    """The frames before an oversized event are kept where they carry usage or comments, too."""
    stream = chunk_stream()
    good = b'data: {"usage":{"prompt_tokens":1}}\n\n'
    assert stream.feed(good * 2 + b"data: " + b"x" * MAX_EVENT) == good * 2
    assert isinstance(stream.failure, UpstreamTooLarge)


@pytest.mark.parametrize(
    "raw", [b"", b"\n\n", b"data: [DONE]\n\n", b": ping\n\n: ping\n\n", b": ping\n\ndata: [DONE]\n\n"]
)
def test_empty_answer(raw: bytes) -> None:
    """An end without any event is an empty answer: nothing is committed, so one failover is possible."""
    stream = chunk_stream()
    assert run(stream, raw, []) == b""
    assert type(stream.failure) is UpstreamEmpty


def test_nothing_to_commit_to_before_the_first_event() -> None:
    """Comments before the first event are swallowed, those after it are relayed as keep-alives."""
    stream = chunk_stream()
    assert stream.feed(b": one\n\n: two\n\n") == b""
    stream.feed(b'data: {"a":1}\n\n')
    assert stream.feed(b": three\n\n") == b": three\n\n"


def test_finish_reason_then_usage_without_done() -> None:
    """A server that ends after finish reason and usage is completed, whether or not both came in one read."""
    finish = b'data: {"choices":[{"finish_reason": "stop"}]}\n\n'
    usage = b'data: {"choices":[],"usage":{"prompt_tokens":1}}\n\n'
    for reads in ([finish + usage], [finish, usage]):
        stream = chunk_stream()
        out = b"".join(map(stream.feed, reads)) + stream.end()
        assert out == finish + usage + DONE
        assert stream.complete


def test_names_in_both_spacings() -> None:
    """An empty first name and a last chunk with other spacing both show the name that was asked for."""
    stream = chunk_stream()
    out = stream.feed(b'data: {"choices":[],"model":""}\n\n')
    out += stream.feed(b'data: {"choices":[1],"model":"up"}\n\n')
    out += stream.feed(b'data: {"choices": [], "model": "up", "usage": {"prompt_tokens": 1}}\n\n')
    assert [json.loads(payload)["model"] for payload in payloads(out)] == [ASKED] * 3


def test_ever_new_names_cost_a_bounded_amount() -> None:
    """A provider with a new name in every chunk cannot make each further read dearer."""
    stream = chunk_stream()
    for number in range(100):
        stream.feed(b'data: {"model":"m%d"}\n\n' % number)
    assert len(stream._renames) <= 16


def test_error_with_usage() -> None:
    """An error chunk that also tells the usage is charged by it."""
    stream = chunk_stream()
    stream.feed(b'data: {"a":1}\n\n')
    assert stream.feed(b'data: {"error":{"code":502},"usage":{"prompt_tokens":5,"completion_tokens":6}}\n\n') == b""
    assert stream.usage == Usage(5, 6)
    assert isinstance(stream.failure, UpstreamServerError)


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.binary(max_size=30), max_size=8), st.booleans())
def test_garbage_raises_nothing(reads: list[bytes], hide: bool) -> None:
    """Bytes of any kind, cut anywhere, raise nothing and end in exactly one of complete or failed."""
    for stream in (ChunkStream(ASKED, hide_usage=hide), NamedEventStream(ASKED)):
        for read in reads:
            stream.feed(read)
        stream.end()
        assert stream.complete != (stream.failure is not None)


# ---- named events ----------------------------------------------------------------------------------------------------


def named(kind: str, **fields: Any) -> bytes:
    return f"event: {kind}\ndata: {json.dumps({'type': kind, **fields}, separators=(',', ':'))}\n\n".encode()


RESPONSE = {
    "model": "up",
    "usage": {"input_tokens": 5, "output_tokens": 6, "output_tokens_details": {"reasoning_tokens": 2}},
}
TURN = [
    named("response.created", response={"model": "up", "usage": None}),
    named("response.output_text.delta", delta='"model":"up"\n\ndata: [DONE]'),
    named("response.completed", response=RESPONSE),
]


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.integers(0, 400), max_size=6), st.sampled_from([b"\n", b"\r\n", b"\r"]))
def test_named_events(cuts: list[int], eol: bytes) -> None:
    """Named events keep their names, show the asked model, tell the usage and end with their terminal event."""
    stream = NamedEventStream(ASKED)
    raw = b"".join(TURN).replace(b"\n", eol)
    out = run(stream, raw, [cut for cut in cuts if cut < len(raw)])
    assert stream.complete
    assert stream.usage == Usage(5, 6, reasoning_tokens=2)
    assert out == b"".join(TURN).replace(b'{"model":"up"', b'{"model":"%s"' % ASKED.encode())


@pytest.mark.parametrize("kind", ["response.incomplete", "transcript.text.done", "image_edit.completed"])
def test_other_terminal_events(kind: str) -> None:
    """Every terminal event of an answer makes it whole; usage at its top level counts too."""
    stream = NamedEventStream(ASKED)
    run(stream, named(kind, usage={"input_tokens": 1, "output_tokens": 2}), [])
    assert stream.complete
    assert stream.usage == Usage(1, 2)


def test_named_stream_without_its_end() -> None:
    """Without a terminal event the answer broke off, and what came stays relayed."""
    stream = NamedEventStream(ASKED)
    assert run(stream, TURN[1] * 2, []) == TURN[1] * 2
    assert type(stream.failure) is UpstreamTruncated


@pytest.mark.parametrize(
    "frame",
    [
        named("error", code="rate_limit_exceeded", message="slow down"),
        b'data: {"error":{"code":"rate_limit_exceeded"}}\n\n',
        b'event: error\ndata: {"code":"rate_limit_exceeded"}\n\n',
    ],
)
def test_named_error(frame: bytes) -> None:
    """An error event in any of its forms ends the stream with the right failure, after the events before it."""
    stream = NamedEventStream(ASKED)
    assert run(stream, TURN[1] + frame + TURN[2], []) == TURN[1]
    assert type(stream.failure) is UpstreamRateLimited


@pytest.mark.parametrize("name", ["m", "accounts/someone/models/" + "a-very-long-name-of-a-model-" * 4])
@pytest.mark.parametrize("role", [True, False], ids=["role first", "text at once"])
def test_what_chunks_weigh(name: str, role: bool) -> None:
    """The estimate of a stream that broke off follows its text, however long the model's name is."""
    base = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": name}

    def frame(delta: dict[str, object], finish: str | None = None) -> bytes:
        choice = {"index": 0, "delta": delta, "finish_reason": finish}
        data: bytes = msgspec.json.encode({**base, "choices": [choice]})
        return b"data: " + data + b"\n\n"

    begin = frame({"role": "assistant", "content": ""}) if role else b""
    for text, tokens in (("echo", 1), ("forty characters, or about ten tokens.. ", 10)):
        stream = ChunkStream(name, hide_usage=True)
        stream.feed(begin + frame({"content": text}))
        for _ in range(19):
            stream.feed(frame({"content": text}))
        found = partial(3, stream.events, stream.relayed_bytes, stream.text).output_tokens
        assert found == 20 * tokens
        stream.feed(frame({}, "stop"))
        after = partial(3, stream.events, stream.relayed_bytes, stream.text).output_tokens
        assert found - tokens <= after <= found


@pytest.mark.parametrize("first", [b": hi\n\n", b'data: {"choices":[{"delta":7}]}\n\n', b'data: {"a":1}\n\n', b""])
def test_chunks_of_another_shape_weigh_nothing_known(first: bytes) -> None:
    """Where the first event is no chunk, nothing is said of its weight; named events differ too much."""
    stream = ChunkStream("m", hide_usage=True)
    stream.feed(first)
    assert stream.text is None
    assert NamedEventStream("m").text is None
