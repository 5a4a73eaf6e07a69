"""Which capabilities a request asks for."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import ClientError
from gateway.http.needs import needs_of
from gateway.http.parse import decode_fields, decode_wishes
from tests.http.test_parse import JSON


def needs(**fields: Any) -> set[str]:
    """Of a body with these fields."""
    return set(needs_of(decode_wishes(json.dumps({"model": "m", **fields}).encode())))


def message(*parts: dict[str, Any]) -> list[dict[str, Any]]:
    """A conversation whose second message has these parts."""
    return [{"role": "system", "content": "be brief"}, {"role": "user", "content": list(parts)}]


@pytest.mark.parametrize(
    ("fields", "wanted"),
    [
        ({"messages": [{"role": "user", "content": 'say "image_url" and {"type":"image_url"}'}]}, set()),
        ({"messages": message({"type": "text", "text": "hi"})}, set()),
        ({"messages": message({"type": "text"}, {"type": "image_url", "image_url": {"url": "u"}})}, {"vision"}),
        ({"messages": message({"type": "input_audio", "input_audio": {}})}, {"audio"}),
        ({"messages": message({"type": "image", "source": {}})}, {"vision"}),
        ({"input": message({"type": "input_image", "image_url": "u"})}, {"vision"}),
        ({"input": [{"type": "input_image", "image_url": "u"}]}, {"vision"}),
        ({"input": "a picture"}, set()),
        ({"tools": [{"type": "function", "function": {"parameters": {"image_url": {}}}}]}, {"tools"}),
        ({"tools": []}, set()),
        ({"tools": None}, set()),
        ({"functions": [{"name": "f"}]}, {"tools"}),
        ({"response_format": {"type": "json_schema", "json_schema": {}}}, {"json_schema"}),
        ({"response_format": {"type": "json_object"}}, set()),
        ({"response_format": None}, set()),
        ({"text": {"format": {"type": "json_schema"}}}, {"json_schema"}),
        ({"text": {"verbosity": "low"}}, set()),
        ({"modalities": ["text", "audio"]}, {"audio"}),
        ({"modalities": ["text"]}, set()),
        (
            {"messages": message({"type": "image_url"}), "tools": [{}], "response_format": {"type": "json_schema"}},
            {"vision", "tools", "json_schema"},
        ),
    ],
)
def test_needs_are_told_by_the_body(fields: dict[str, Any], wanted: set[str]) -> None:
    """By its own fields alone, wherever their words stand elsewhere."""
    assert needs(**fields) == wanted


NAMES = ("messages", "input", "tools", "functions", "response_format", "text", "modalities")


@given(st.dictionaries(st.sampled_from(NAMES), JSON, max_size=4))
def test_no_shape_is_refused(fields: dict[str, Any]) -> None:
    """What is malformed is the provider's business: nothing but the fields that we read is ever refused."""
    body = json.dumps({"model": "m", **fields}).encode()
    try:
        decode_fields(body)
    except ClientError:
        return
    assert needs_of(decode_wishes(body)) <= {"vision", "audio", "tools", "json_schema"}
