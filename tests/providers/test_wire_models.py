"""Lists of models, as providers of many kinds send them."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import UpstreamBadResponse
from gateway.ports import ListsModels
from gateway.providers import discover
from gateway.providers.wire.models import LONGEST, MOST, model_names
from gateway.types import Provider


def _names(value: Any) -> tuple[str, ...]:
    return model_names(json.dumps(value).encode())


@pytest.mark.parametrize(
    "value",
    [
        {"object": "list", "data": [{"id": "a", "object": "model", "created": 1}, {"id": "b/c:7b"}]},
        {"models": [{"name": "a", "size": 3, "details": {}}, {"name": "b/c:7b"}]},
        [{"id": "a", "type": "chat"}, {"id": "b/c:7b"}],
        {"data": [{"id": "a"}, {"id": "b/c:7b"}, {"id": "a"}, {"object": "model"}, {"id": "no good"}, {"id": "ü"}]},
        {"data": [{"id": "a"}, {"id": "b/c:7b"}, {"id": "x" * (LONGEST + 1)}, {"id": ""}, {"id": "a\nb"}]},
    ],
)
def test_a_list(value: Any) -> None:
    """OpenAI's, Ollama's and the bare shape give the same names; what no client could ask for is left out."""
    assert _names(value) == ("a", "b/c:7b")


def test_an_empty_list() -> None:
    """A provider may have no models at all."""
    assert _names({"object": "list", "data": []}) == ()


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b"7",
        b"{}",
        b'{"data":null}',
        b'{"data":{}}',
        b'{"data":["a"]}',
        b'{"data":[{"id":7}]}',
        b'{"data":[{"id":"no good"}]}',
        b'{"error":{"message":"x"}}',
        b"<html>models</html>",
        b'{"data":[{"id":"a"}',
        b"\xff\xfe",
        b"[" * 100_000,
    ],
)
def test_rubbish(body: bytes) -> None:
    """What is no list of models is a bad response, not an empty list."""
    with pytest.raises(UpstreamBadResponse):
        model_names(body)


def test_too_many() -> None:
    """A list that no provider has is taken for a mistake."""
    assert len(_names([{"id": str(n)} for n in range(MOST)])) == MOST
    with pytest.raises(UpstreamBadResponse):
        _names([{"id": str(n)} for n in range(MOST + 1)])


@given(st.binary(max_size=200))
def test_any_bytes(body: bytes) -> None:
    """Whatever comes is a list of distinct, usable names or a bad response."""
    try:
        names = model_names(body)
    except UpstreamBadResponse:
        return
    assert len(set(names)) == len(names)
    assert all(name.isascii() and " " not in name for name in names)


def test_dialects_that_list() -> None:
    """Dialects of OpenAI's kind, Anthropic's and Gemini's can ask for models."""
    listing = {name for name, dialect in discover().items() if isinstance(dialect, ListsModels)}
    assert {"openai", "openai_compatible", "ollama", "vllm", "mistral", "anthropic", "gemini"} <= listing


@pytest.mark.parametrize(
    ("kind", "target", "credential"),
    [
        ("openai", b"/v1/models", (b"authorization", b"Bearer k")),
        ("anthropic", b"/v1/models?limit=1000", (b"x-api-key", b"k")),
        ("gemini", b"/v1/models?pageSize=1000", (b"x-goog-api-key", b"k")),
    ],
)
def test_the_question(kind: str, target: bytes, credential: tuple[bytes, bytes]) -> None:
    """It is a GET with the provider's credential and nothing to read."""
    dialect = discover()[kind]
    assert isinstance(dialect, ListsModels)
    head = dialect.models_head(Provider("p", kind, "https://provider.invalid/v1", ("k",)), "k")
    assert (head.method, head.target) == (b"GET", target)
    assert credential in head.headers
