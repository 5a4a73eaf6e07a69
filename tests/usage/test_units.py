"""Units of services that are not sold by tokens: images, characters, seconds, searches."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.types import Body, Call, Service, Usage
from gateway.usage.units import Units, tokens_asked, units_asked, units_of, units_sent


class Upload:
    """A multipart body of a known or unknown size."""

    def __init__(self, size: int | None) -> None:
        self.size = size

    def parts(self) -> None: ...

    def stream(self) -> Any: ...

    def renamed(self, model: str) -> Body:
        raise NotImplementedError


def call(service: Service, asked: Any = None, choices: int = 1, upload: Body | None = None) -> Call:
    return Call("c", "r", service, "/x", "m", json.dumps(asked or {}).encode(), 0.0, choices=choices, upload=upload)


def body(reply: Any) -> bytes:
    return json.dumps(reply).encode()


SRT = b"1\n00:00:00,000 --> 00:00:02,500\nHello\n\n2\n00:00:02,500 --> 01:02:03,250\nworld\n"
VTT = b"WEBVTT\n\n00:00.000 --> 00:04.480\nHello\n"
HUNDRED = [f"document {number}" for number in range(100)]


@pytest.mark.parametrize(
    ("asked", "reply", "usage", "units"),
    [
        (call(Service.CHAT), body({"choices": []}), Usage(1, 2), Units(0.0)),
        (call(Service.CHAT), None, Usage(1, 2, units=7.0), Units(7.0)),
        (call(Service.EMBEDDINGS), b"{}", None, Units(0.0)),
        (call(Service.MODERATIONS), body({"results": [{}]}), None, Units(0.0)),
        (call(Service.IMAGES, choices=3), body({"created": 1, "data": [{"url": "u"}, {"url": "v"}]}), None, Units(2.0)),
        (call(Service.IMAGES, choices=3), None, None, Units(3.0, counted=False)),
        (call(Service.IMAGES), body({"data": []}), Usage(50, 4160), Units(0.0)),
        (call(Service.IMAGES, choices=0), b"no JSON", None, Units(1.0, counted=False)),
        (call(Service.SPEECH, {"input": "Grüße 👋"}), b"\xff\xf3\x01", None, Units(7.0)),
        (call(Service.SPEECH, {"input": ["x"]}), None, None, Units(0.0)),
        (call(Service.RERANK, {"documents": ["a", "b"]}), body({"results": []}), None, Units(1.0)),
        (call(Service.RERANK, {"documents": [*HUNDRED, "x"]}), body({"results": []}), None, Units(2.0)),
        (call(Service.RERANK), body({"meta": {"billed_units": {"search_units": 4}}}), None, Units(4.0)),
        (call(Service.RERANK), body({"meta": {"billed_units": {"search_units": 1e30}}}), None, Units(1.0)),
        (call(Service.RERANK), body({"meta": {"billed_units": None}}), None, Units(1.0)),
        (call(Service.RERANK), body({"meta": {"billed_units": {"search_units": "x"}}}), None, Units(1.0)),
        (call(Service.TRANSCRIPTION), body({"text": "hi"}), Usage(units=9.0), Units(9.0)),
        (call(Service.TRANSCRIPTION), body({"text": "hi", "duration": 8.47}), None, Units(8.47)),
        (call(Service.TRANSCRIPTION), body({"text": "hi", "duration": "8.47"}), None, Units(8.47)),
        (call(Service.TRANSCRIPTION), body({"text": "x" * 30, "duration": "nan"}), None, Units(2.0, counted=False)),
        (call(Service.TRANSCRIPTION), body({"text": "x" * 30, "duration": 1e300}), None, Units(2.0, counted=False)),
        (call(Service.TRANSCRIPTION), body({"text": "x" * 30}), None, Units(2.0, counted=False)),
        (call(Service.TRANSCRIPTION), body({"text": "x" * 30, "duration": 2.0}), Usage(14, 101), Units(0.0)),
        (call(Service.TRANSCRIPTION), SRT, None, Units(3723.25, counted=False)),
        (call(Service.TRANSCRIPTION), VTT, None, Units(4.48, counted=False)),
        (call(Service.TRANSCRIPTION), "ü".encode() * 45, None, Units(3.0, counted=False)),
        (call(Service.TRANSCRIPTION, upload=Upload(40_000)), None, None, Units(10.0, counted=False)),
        (call(Service.TRANSCRIPTION, upload=Upload(40_000)), b"", None, Units(2.5, counted=False)),
        (call(Service.TRANSCRIPTION, upload=Upload(40_000)), body({"text": ""}), None, Units(2.5, counted=False)),
    ],
)
def test_units_of(asked: Call, reply: bytes | None, usage: Usage | None, units: Units) -> None:
    """What the provider told goes first, then what the reply shows, then what was asked for; estimates say so."""
    assert units_of(asked, reply, usage) == units


@pytest.mark.parametrize(
    ("asked", "units"),
    [
        (call(Service.CHAT, {"input": "x"}), 0.0),
        (call(Service.IMAGES, choices=4), 4.0),
        (call(Service.SPEECH, {"input": "four"}), 4.0),
        (call(Service.RERANK, {"documents": HUNDRED * 3}), 3.0),
        (call(Service.TRANSCRIPTION, upload=Upload(8000)), 2.0),
        (call(Service.TRANSCRIPTION, upload=Upload(None)), 6553.6),
        (call(Service.TRANSCRIPTION, upload=Upload(10**12)), 6553.6),
        (call(Service.MODERATIONS, {"input": "x"}), 0.0),
    ],
)
def test_units_asked(asked: Call, units: float) -> None:
    """Before the call, its units are known or bounded."""
    assert units_asked(asked) == units


@pytest.mark.parametrize(
    ("asked", "units"),
    [
        (call(Service.CHAT, {"input": "x"}), 0.0),
        (call(Service.IMAGES, choices=4), 0.0),
        (call(Service.SPEECH, {"input": "four"}), 4.0),
        (call(Service.RERANK, {"documents": HUNDRED * 3}), 3.0),
        (call(Service.TRANSCRIPTION, upload=Upload(8000)), 0.5),
        (call(Service.TRANSCRIPTION, upload=Upload(None)), 0.0),
    ],
)
def test_units_sent(asked: Call, units: float) -> None:
    """What a call is sold by as soon as it is sent."""
    assert units_sent(asked) == units


@given(st.sampled_from(Service), st.one_of(st.none(), st.binary(max_size=200)), st.binary(max_size=200))
def test_any_bytes(service: Service, reply: bytes | None, raw: bytes) -> None:
    """Whatever client and provider sent, there is an amount, finite and not below zero."""
    asked = Call("c", "r", service, "/x", "m", raw, 0.0)
    assert 0 <= units_of(asked, reply, None).amount < 10**9
    assert 0 <= units_asked(asked) < 10**9


def test_what_tokens_images_and_sound_may_come_to() -> None:
    """Where they are sold by tokens a budget reserves for those: gpt-image-1 makes 6,208 of its largest picture
    (https://platform.openai.com/docs/guides/image-generation)."""
    assert tokens_asked(call(Service.IMAGES, choices=10)) >= (0, 10 * 6208)
    given, made = tokens_asked(call(Service.IMAGES, upload=Upload(1000)))
    assert given >= 10_000
    assert made >= 6208
    assert tokens_asked(call(Service.SPEECH, {"input": "x" * 100})) >= (0, 200)
    given, made = tokens_asked(call(Service.TRANSCRIPTION, upload=Upload(4_000_000)))
    assert given >= 1000 * 17
    assert made >= 1000 * 5
    assert tokens_asked(call(Service.CHAT)) == tokens_asked(call(Service.EMBEDDINGS)) == (0, 0)
