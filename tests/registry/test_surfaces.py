"""`api` names only what a type, or a model of it, has: anything else is told with its place."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from gateway.providers import discover
from gateway.registry import ConfigError, load

if TYPE_CHECKING:
    from pathlib import Path

CLAUDE, OSS = "anthropic.claude-sonnet-4-5-20250929-v1:0", "openai.gpt-oss-120b-1:0"
ONLY_CHAT = "(write `chat`, or leave it out: calls of responses are translated)"


def told(tmp_path: Path, provider: str) -> list[str]:
    path = tmp_path / "gateway.yaml"
    path.write_text(f"providers:\n  p: {provider}\n")
    try:
        load(path, {}, dialects=discover())
    except ConfigError as error:
        return [line.removeprefix(f"{tmp_path}/gateway.yaml:") for line in str(error).splitlines()]
    return []


@pytest.mark.parametrize(
    ("provider", "wanted"),
    [
        (
            "{type: cohere, api_key: k, api: responses}",
            [f"the type `cohere` has no API of responses {ONLY_CHAT}"],
        ),
        (
            "{type: cohere, api_key: k, api: [chat, responses]}",
            [f"the type `cohere` has no API of responses {ONLY_CHAT}"],
        ),
        (
            "{type: gemini, api_key: k, models: {gemini-2.5-flash: {api: responses}}}",
            [f"the model `gemini-2.5-flash` of type `gemini` has no API of responses {ONLY_CHAT}"],
        ),
        (
            "{type: anthropic, api_key: k, api: responses, models: [claude-sonnet-4-5]}",
            [f"the type `anthropic` has no API of responses {ONLY_CHAT}"],
        ),
        (
            f"{{type: bedrock, region: eu-west-1, api_key: k, api: responses, models: ['{CLAUDE}', '{OSS}']}}",
            [f"the model `{CLAUDE}` has no API of responses {ONLY_CHAT}"],
        ),
    ],
)
def test_what_is_not_there(tmp_path: Path, provider: str, wanted: list[str]) -> None:
    """An API that the type, or the one model, does not have."""
    found = told(tmp_path, provider)
    assert [line.partition(": ")[2] for line in found] == wanted
    assert all(line.startswith("2:") for line in found)


@pytest.mark.parametrize(
    "provider",
    [
        "{type: openai, api_key: k, api: responses}",
        "{type: openai, api_key: k, api: chat, models: {pro: {api: responses}}}",
        "{type: cohere, api_key: k, api: chat}",
        "{type: anthropic, api_key: k, api: chat, models: [claude-sonnet-4-5]}",
        f"{{type: bedrock, region: eu-west-1, api_key: k, models: {{'{OSS}': {{api: responses}}}}}}",
        "{type: bedrock, region: eu-west-1, api_key: k, openai_models: ['x.*'], models: {x.y: {api: responses}}}",
        "{type: bedrock, region: eu-west-1, api_key: k, api: responses}",
        f"{{type: bedrock, region: eu-west-1, api_key: k, api: [chat, responses], models: ['{CLAUDE}', '{OSS}']}}",
    ],
)
def test_what_is_there(tmp_path: Path, provider: str) -> None:
    """What a type has may be named; where its models differ, what one of them has."""
    assert told(tmp_path, provider) == []


def test_places(tmp_path: Path) -> None:
    """The line and column are those of the word."""
    text = "\n    type: cohere\n    api_key: k\n    api:\n      - chat\n      - responses"
    assert told(tmp_path, text)[0].startswith("7:9: ")
    assert told(tmp_path, "{type: cohere, api_key: k, api: []}") == []


def test_what_is_wrong_otherwise_is_told_once(tmp_path: Path) -> None:
    """Words that are none, and types that are none, are told by others."""
    assert len(told(tmp_path, "{type: cohere, api_key: k, api: [messages, 5]}")) == 2
    assert len(told(tmp_path, "{type: coher, api_key: k, api: responses}")) == 1
    for odd in ("{type: [cohere], api: responses}", "5", "{type: cohere, api_key: k, api: {a: b}, models: 5}"):
        assert told(tmp_path, odd)
