"""The ways in to rerank, and what clients of Cohere's API are told of its other paths."""

from __future__ import annotations

import pytest

from gateway.errors import MethodNotAllowed, UnknownPath
from gateway.http.routes import is_api, locate
from gateway.types import Service


@pytest.mark.parametrize(
    ("path", "pinned"),
    [
        ("/v1/rerank", None),
        ("/v2/rerank", None),
        ("/providers/a/v1/rerank", "a"),
        ("/providers/a/v2/rerank", "a"),
    ],
)
def test_rerank(path: str, pinned: str | None) -> None:
    """In either version, at a provider of its own too; providers get one path."""
    found = locate("POST", path)
    assert found.endpoint is not None
    assert (found.endpoint.service, found.endpoint.path, found.pinned) == (Service.RERANK, "/rerank", pinned)
    assert is_api(path)
    with pytest.raises(MethodNotAllowed):
        locate("GET", path)


@pytest.mark.parametrize("path", ["/providers//v2/rerank", "/providers/a/b/v2/rerank", "/providers/a/v2/rerank/x"])
def test_no_rerank(path: str) -> None:
    """A provider's name is one segment, and nothing follows the path."""
    with pytest.raises(UnknownPath):
        locate("POST", path)


@pytest.mark.parametrize(
    ("path", "instead"),
    [
        ("/v2/chat", "/v1/chat/completions"),
        ("/v1/embed", "/v1/embeddings"),
        ("/v2/embed", "/v1/embeddings"),
        ("/v2/audio/transcriptions", "/v1/audio/transcriptions"),
        ("/v2/nothing", "API reference"),
    ],
)
def test_other_paths_of_cohere(path: str, instead: str) -> None:
    """They are not served, and the error says what is."""
    with pytest.raises(UnknownPath) as error:
        locate("POST", path)
    assert is_api(path)
    assert path in error.value.public_message
    assert instead in error.value.public_message
