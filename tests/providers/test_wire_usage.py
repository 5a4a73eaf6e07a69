"""Counts as OpenAI's imitators tell them."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from gateway.providers.wire.usage import WireUsage
from gateway.types import Usage


@pytest.mark.parametrize(
    ("told", "counted"),
    [
        ({"prompt_tokens": 10, "total_tokens": 60}, Usage(10, 50)),
        ({"completion_tokens": 50, "total_tokens": 60}, Usage(10, 50)),
        ({"input_tokens": 10, "output_tokens": None, "total_tokens": 60}, Usage(10, 50)),
        ({"prompt_tokens": 10, "total_tokens": 10}, Usage(10)),
        ({"prompt_tokens": 10, "total_tokens": 0}, Usage(10)),
        ({"prompt_tokens": 10, "total_tokens": 4}, Usage(10)),
        ({"prompt_tokens": 10}, Usage(10)),
        ({"total_tokens": 60}, Usage(60)),
        ({"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 99}, Usage(10, 5)),
    ],
)
def test_one_side_and_the_whole(told: dict[str, Any], counted: Usage) -> None:
    """The side that is not told is what the whole has beyond the other: unknown is not zero."""
    assert msgspec.convert(told, WireUsage, strict=False).counted() == counted
