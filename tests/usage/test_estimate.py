"""Token estimates: never zero, never negative, monotonic, and blind to encoded media."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.types import Usage
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
    """A reply without usage costs its text where a model wrote it, as that would in one event, and nothing where it did
    not."""
    size = 400 + estimate.EVENT_BYTES
    assert estimate.whole(5, size, generates=True) == estimate.partial(5, 1, size) == Usage(5, 100)
    assert estimate.whole(5, 90, generates=True) == Usage(5, 1)
    assert estimate.whole(5, size, generates=False) == Usage(5, 0)


@given(st.integers(0, 10**4), st.integers(0, 10**7), st.integers(-2, 10**4), st.integers(-(10**4), 10**6))
def test_partial_of_a_known_text(events: int, size: int, told: int, text: int) -> None:
    """Where it is known which bytes are text, they count, and events without any do not."""
    assert estimate.partial(7, events, size, (told, text)).output_tokens == max(0, told, text // 4)


def test_the_bound_of_an_input_is_never_below_it() -> None:
    """A byte of text is at least a token; pictures count at their largest, linked or given; what only the provider has
    counts at the model's window, and escaped text that looks like a member does not."""
    text = b'{"model":"m","messages":[{"role":"user","content":"' + b"x" * 500 + b'"}]}'
    assert estimate.input_bound(text) == len(text)
    linked = b'{"messages":[{"content":[{"type":"image_url","image_url":{"url":"https://example.com/cat.png"}}]}]}'
    assert estimate.input_bound(linked) == len(linked) + estimate.MEDIA_BOUND
    given = b'{"image_url":{"url":"data:image/png;base64,' + b"A" * 8000 + b'"}}'
    assert estimate.MEDIA_BOUND < estimate.input_bound(given) < estimate.MEDIA_BOUND + 100
    stored = b'{"input":"go on","previous_response_id":"resp_1"}'
    assert estimate.input_bound(stored, 128_000) == 128_000
    assert estimate.input_bound(stored) == estimate.WINDOW
    quoted = b'{"input":"say \\"previous_response_id\\": \\"x\\""}'
    assert estimate.input_bound(quoted) == len(quoted)
