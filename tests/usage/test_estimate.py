"""Token estimates: never zero, never negative, monotonic, and blind to encoded media."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.usage import estimate

PICTURE = "A" * 400_000


@given(st.binary(max_size=6000))
def test_input_is_about_a_quarter_of_the_bytes(raw: bytes) -> None:
    """Text costs a token for four bytes, and nothing costs none."""
    assert estimate.input_tokens(raw) == max(1, len(raw) // 4)


@pytest.mark.parametrize(
    "part",
    [
        {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PICTURE}"}},
        {"type": "input_audio", "input_audio": {"data": PICTURE, "format": "wav"}},
        {"type": "file", "file": {"file_data": PICTURE}},
    ],
)
def test_media_count_as_media(part: dict[str, object]) -> None:
    """A picture, a sound or a file counts about a thousand tokens, not a hundred thousand; two of them count twice."""
    one = estimate.input_tokens(json.dumps({"messages": [{"content": [part]}]}).encode())
    two = estimate.input_tokens(json.dumps({"messages": [{"content": [part, part]}]}).encode())
    assert 1000 <= one <= 1100
    assert 1000 <= two - one <= 1100


@given(st.integers(0, 10**4), st.integers(0, 10**7))
def test_partial(events: int, size: int) -> None:
    """An answer that broke off costs at least a token for each event, and at most what its bytes could hold."""
    usage = estimate.partial(7, events, size)
    assert usage.input_tokens == 7
    assert events <= usage.output_tokens <= max(events, size // 4)


def test_whole() -> None:
    """A reply without usage costs its bytes where a model wrote it, nothing where it did not."""
    assert estimate.whole(5, 400, generates=True).total == 105
    assert estimate.whole(5, 400, generates=False).total == 5


@given(st.integers(0, 10**4), st.integers(0, 10**7), st.integers(-2, 10**4), st.integers(-(10**4), 10**6))
def test_partial_of_a_known_text(events: int, size: int, told: int, text: int) -> None:
    """Where it is known which bytes are text, they count, and events without any do not."""
    assert estimate.partial(7, events, size, (told, text)).output_tokens == max(0, told, text // 4)
