"""The upstream's answers say the same in every API's words, once the gateway has translated them."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench import payloads
from bench.natives import NATIVES, Native, answers
from bench.systems import BENCH
from gateway.providers import discover
from gateway.registry.loader import load
from gateway.types import Call, Deployment, Provider, Service

DIALECTS = discover()
TRANSLATED = [native for native in NATIVES if "api" not in native.settings]
"""The one with `api` is bridged, which is checked when it is warmed up."""


def name_of(native: Native) -> str:
    return native.name


def call(*, stream: bool) -> Call:
    raw = payloads.request(stream=stream)
    path = "/chat/completions"
    return Call("c", "r", Service.CHAT, path, payloads.MODEL, raw, 0.0, stream=stream, include_usage=stream)


def deployment_of(native: Native) -> Deployment:
    return Deployment("p/m", Provider("p", native.type, "http://x.invalid/v1"), payloads.MODEL)


@pytest.mark.parametrize("native", TRANSLATED, ids=name_of)
def test_reply(native: Native) -> None:
    """Content, finish reason and counts are equal."""
    dialect, deployment = DIALECTS[native.type], deployment_of(native)
    body = dialect.decode(call(stream=False), deployment, [], native.reply()).body
    assert payloads.complaint(body, stream_reply=False) is None


@pytest.mark.parametrize("native", TRANSLATED, ids=name_of)
def test_stream(native: Native) -> None:
    """So are the events of the stream, their number and the end."""
    decoder = DIALECTS[native.type].stream(call(stream=True), deployment_of(native))
    body = decoder.feed(native.stream()) + decoder.end()
    assert payloads.complaint(body, stream_reply=True) is None


@pytest.mark.parametrize("native", NATIVES, ids=name_of)
def test_configuration(native: Native, tmp_path: Path) -> None:
    """The gateway takes the file that the benchmark makes for it."""
    text = native.yaml((BENCH / "gateway.yaml").read_text()).replace("ORIGIN", "http://127.0.0.1:9")
    file = tmp_path / "gateway.yaml"
    file.write_text(text)
    loaded = load(file, {"BENCH_KEY": "a-key-of-the-benchmark-0123456789abcdef"})
    assert loaded.snapshot.providers["bench"].type == native.type


def test_every_answer_has_a_place() -> None:
    """Each API answers whole and streamed; a token where one is asked for."""
    for native in NATIVES:
        assert len(list(answers(native, stream=False))) == len(list(answers(native, stream=True))) > 0
