"""Embedding vectors: exact conversions, merged slices, and what malformed replies become; token counts of replies."""

from __future__ import annotations

import base64
import json
import struct
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.errors import UpstreamBadResponse
from gateway.providers.wire.embeddings import in_format, merged
from gateway.providers.wire.usage import WireUsage
from gateway.types import Usage

VECTORS = st.lists(st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False), max_size=8), max_size=4)


def reply(embeddings: list[Any], **more: Any) -> bytes:
    data = [{"object": "embedding", "index": at, "embedding": e} for at, e in enumerate(embeddings)]
    return json.dumps({"object": "list", "data": data, "model": "m", **more}).encode()


def packed(vector: list[float]) -> str:
    return base64.b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode()


def embeddings_of(body: bytes) -> list[Any]:
    return [item["embedding"] for item in json.loads(body)["data"]]


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(VECTORS)
def test_conversions_are_exact(vectors: list[list[float]]) -> None:
    """Floats become little-endian float32 in base64 and come back as the same numbers, bit for bit."""
    floats, texts = reply(vectors), reply([packed(vector) for vector in vectors])
    assert embeddings_of(in_format(floats, "base64")) == [packed(vector) for vector in vectors]
    back = embeddings_of(in_format(texts, "float"))
    assert [struct.pack(f"<{len(v)}f", *v) for v in back] == [struct.pack(f"<{len(v)}f", *v) for v in vectors]
    assert json.loads(in_format(texts, "float"))["model"] == "m"


def test_what_is_right_already_keeps_its_bytes() -> None:
    """A reply in the wanted form is not rebuilt, and a mixed one is made uniform."""
    floats, texts = reply([[0.5, -1.0]]), reply([packed([0.5])])
    assert in_format(floats, "float") is floats
    assert in_format(texts, "base64") is texts
    assert embeddings_of(in_format(reply([[0.5], packed([0.5])]), "base64")) == [packed([0.5])] * 2


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{}",
        b'{"data":null}',
        b'{"data":{}}',
        b'{"data":[{}]}',
        b'{"data":[1]}',
        reply([None]),
        reply([["x"]]),
        reply([[[1.0]]]),
        reply([{"float": [1.0]}]),
        reply([True]),
        b'{"data":[{"embedding":[1' + b"0" * 400 + b"]}]}",
        b'{"data":[{"embedding":[0.1],"x":"\xff"}]}',
    ],
)
def test_malformed_vectors(body: bytes) -> None:
    """Vectors that are none are the provider's bad response."""
    with pytest.raises(UpstreamBadResponse):
        in_format(body, "base64")


@pytest.mark.parametrize("text", ["!!!", "AAA", "AAAA", "AAAA AAAA", "é"])
def test_malformed_base64(text: str) -> None:
    """Text that is no base64, or no whole number of floats, is the provider's bad response."""
    with pytest.raises(UpstreamBadResponse):
        in_format(reply([text]), "float")


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.integers(0, 4), min_size=1, max_size=4), st.randoms(use_true_random=False))
def test_merged_slices(sizes: list[int], chance: Any) -> None:
    """Slices merge in the order of their inputs, renumbered, usage summed, whatever order each has inside."""
    bodies: list[bytes] = []
    wanted: list[list[float]] = []
    for size in sizes:
        vectors = [[float(len(wanted) + at)] for at in range(size)]
        wanted += vectors
        document = json.loads(reply(vectors, usage={"prompt_tokens": size, "total_tokens": size}))
        chance.shuffle(document["data"])
        bodies.append(json.dumps(document).encode())
    whole = json.loads(merged(bodies, sizes))
    assert [item["embedding"] for item in whole["data"]] == wanted
    assert [item["index"] for item in whole["data"]] == list(range(len(wanted)))
    assert whole["usage"] == {"prompt_tokens": len(wanted), "total_tokens": len(wanted)}


@pytest.mark.parametrize("usage", [None, {}, "x" * 0, {"prompt_tokens": None}])
def test_merged_without_usage(usage: Any) -> None:
    """Slices without usage, or without usable indexes, merge in the order they came."""
    body = json.dumps({"data": [{"embedding": [1.0], "index": None}, {"embedding": [2.0]}], "usage": usage}).encode()
    assert embeddings_of(merged([body, body], [2, 2])) == [[1.0], [2.0], [1.0], [2.0]]


def numbered(*numbers: Any) -> bytes:
    """A reply whose vectors have these numbers."""
    return json.dumps({"data": [{"embedding": [1.0], "index": number} for number in numbers]}).encode()


@pytest.mark.parametrize(
    "slice_",
    [
        numbered(0),
        numbered(),
        numbered(0, 1, 2),
        numbered(0, 0),
        numbered(0, 2),
        numbered(1, 2),
        numbered(-1, 0),
        numbered(0, None),
        numbered(False, True),
        numbered(0.0, 1.0),
        numbered("0", "1"),
        b'{"data":[{"embedding":[1.0],"index":[]},{"embedding":[1.0],"index":{}}]}',
        b'{"data":[1,2]}',
        b'{"data":null}',
        b"{}",
        b"",
    ],
)
@pytest.mark.parametrize("first", [True, False])
def test_a_slice_of_other_vectors_than_were_asked_for(slice_: bytes, first: bool) -> None:
    """Too few, too many, or numbered otherwise: an error, since every later vector would be another text's."""
    whole = numbered(1, 0)
    with pytest.raises(UpstreamBadResponse):
        merged([slice_, whole] if first else [whole, slice_], [2, 2])


# ---- usage -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("usage", "counted"),
    [
        ({"prompt_tokens": 3, "completion_tokens": 4}, Usage(3, 4)),
        ({"input_tokens": 3, "output_tokens": 4}, Usage(3, 4)),
        ({"prompt_tokens": 8, "total_tokens": 8}, Usage(8)),
        ({"total_tokens": 8}, Usage(8)),
        ({"prompt_tokens": 3.0, "completion_tokens": 4.9}, Usage(3, 4)),
        ({"prompt_tokens": -3, "completion_tokens": None}, Usage(0, 0)),
        ({"prompt_tokens": 0, "completion_tokens": 0}, Usage(0, 0)),
        (
            {"prompt_tokens": 9, "prompt_tokens_details": {"cached_tokens": 5, "cache_write_tokens": 2}},
            Usage(9, 0, 5, 2),
        ),
        ({"prompt_tokens": 9, "prompt_tokens_details": None}, Usage(9)),
        (
            {
                "input_tokens": 9,
                "output_tokens": 7,
                "output_tokens_details": {"reasoning_tokens": 5},
                "total_tokens": 16,
            },
            Usage(9, 7, reasoning_tokens=5),
        ),
        (
            # xAI: the reasoning stands beside the completion.
            {
                "prompt_tokens": 9,
                "completion_tokens": 7,
                "total_tokens": 21,
                "completion_tokens_details": {"reasoning_tokens": 5},
            },
            Usage(9, 12, reasoning_tokens=5),
        ),
        # Whoever says that most of the output was reasoning, and more than the output, counts it beside.
        (
            {
                "prompt_tokens": 57,
                "completion_tokens": 10,
                "total_tokens": 67,
                "completion_tokens_details": {"reasoning_tokens": 37},
            },
            Usage(57, 47, reasoning_tokens=37),
        ),
        ({"type": "duration", "seconds": 4}, Usage(units=4.0)),
        ({"type": "duration", "seconds": "4"}, None),
        ({"type": "duration", "seconds": -1}, None),
        (
            {
                "type": "tokens",
                "input_tokens": 14,
                "input_token_details": {"text_tokens": 10, "audio_tokens": 4},
                "output_tokens": 101,
                "total_tokens": 115,
            },
            Usage(14, 101, audio_input_tokens=4),
        ),
        (
            {
                "prompt_tokens": 9,
                "completion_tokens": 30,
                "prompt_tokens_details": {"audio_tokens": 4, "cached_tokens": 0},
                "completion_tokens_details": {"audio_tokens": 25, "reasoning_tokens": 0},
            },
            Usage(9, 30, audio_input_tokens=4, audio_output_tokens=25),
        ),
        ({"prompt_tokens": 4, "completion_tokens": 635, "prompt_audio_seconds": 203}, Usage(4, 635, units=203.0)),
        ({"prompt_tokens": 4, "completion_tokens": 5, "prompt_audio_seconds": None}, Usage(4, 5)),
        ({"prompt_tokens": 4, "completion_tokens": 5, "seconds": 2}, Usage(4, 5)),
        # DeepSeek's, Moonshot's and Anthropic's words for the cache; OpenAI's goes first.
        ({"prompt_tokens": 9, "prompt_cache_hit_tokens": 5, "prompt_cache_miss_tokens": 4}, Usage(9, 0, 5)),
        (
            {"prompt_tokens": 9, "prompt_cache_hit_tokens": 5, "prompt_tokens_details": {"cached_tokens": 4}},
            Usage(9, 0, 4),
        ),
        ({"prompt_tokens": 9, "cached_tokens": 3}, Usage(9, 0, 3)),
        ({"prompt_tokens": 9, "cached_tokens": {"odd": 1}, "prompt_cache_hit_tokens": "x"}, Usage(9)),
        ({"prompt_tokens": 9, "cache_creation_input_tokens": 6}, Usage(9, 0, 0, 6)),
        # Not counted, in the words of some servers.
        ({"prompt_tokens": 9, "completion_tokens": -1}, None),
        ({"prompt_tokens": 10**40, "completion_tokens": 1e300}, Usage(10**9, 10**9)),
        ({}, None),
    ],
)
def test_usage(usage: dict[str, Any], counted: Usage | None) -> None:
    """Counts in either vocabulary: reasoning is part of the output, cached input of the input; no count is None."""
    assert msgspec.convert(usage, WireUsage).counted() == counted


COUNTS = st.one_of(st.none(), st.integers(-10, 2**53), st.floats(-10, 1e12))


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.dictionaries(st.sampled_from(["prompt_tokens", "completion_tokens", "total_tokens", "input_tokens"]), COUNTS))
def test_usage_is_never_negative(usage: dict[str, Any]) -> None:
    """Whatever numbers a provider tells, ours are whole and not below zero."""
    counted = msgspec.json.decode(msgspec.json.encode(usage), type=WireUsage).counted()
    if counted is not None:
        assert min(counted.input_tokens, counted.output_tokens, counted.total) >= 0
        assert all(type(count) is int for count in (counted.input_tokens, counted.output_tokens))
