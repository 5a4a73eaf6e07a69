"""Providers as LiteLLM's deployments describe them: addresses, headers, and what they cannot say."""

from __future__ import annotations

from typing import Any

import pytest

from .conftest import Import
from .texts import CLAUDE, LOCAL, OPENAI, models


def provider(params: str, take: Import) -> tuple[dict[str, Any], str]:
    """The only provider of a file with one deployment, and the comments."""
    found = take(f"model_list: [{{model_name: x, litellm_params: {{{params}}}}}]\n")
    (settings,) = found.document["providers"].values()
    return settings, found.comments


@pytest.mark.parametrize(
    ("model", "address", "expected"),
    [
        ("anthropic/m", "https://x.example", "https://x.example/v1"),
        ("anthropic/m", "https://x.example/anthropic", "https://x.example/anthropic/v1"),
        ("anthropic/m", "https://x.example/anthropic/v1/messages", "https://x.example/anthropic/v1"),
        ("anthropic/m", "https://x.example/v1/", "https://x.example/v1"),
        ("anthropic/m", "os.environ/BASE", "${BASE}/v1"),
        ("openai/m", "https://x.example/v1/chat/completions", "https://x.example/v1"),
        ("openai/m", "https://x.example/v1/", "https://x.example/v1"),
        ("mistral/m", "https://x.example/v1/chat/completions/", "https://x.example/v1"),
        ("openai/m", "os.environ/BASE", "${BASE}"),
    ],
)
def test_addresses(model: str, address: str, expected: str, take: Import) -> None:
    """What LiteLLM adds to an address stands in ours, and what we add does not."""
    assert provider(f'model: {model}, api_base: "{address}"', take)[0]["base_url"] == expected


class TestDropped:
    def test_for_all(self, take: Import) -> None:
        """`drop_params` for all is what every provider does, and is told."""
        found = take(models(OPENAI, CLAUDE, LOCAL) + "litellm_settings: {drop_params: true}\n")
        assert [one["unsupported"] for one in found.document["providers"].values()] == ["drop"] * 3
        assert "left out, not refused" in found.comments

    def test_for_one(self, take: Import) -> None:
        """A deployment that drops is at a provider of its own."""
        text = models(OPENAI, OPENAI.replace("gpt-4o", "o3").replace("rpm: 12", "drop_params: true"))
        providers = take(text).document["providers"]
        assert "unsupported" not in providers["openai"]
        assert providers["openai-2"]["unsupported"] == "drop"
        assert list(providers["openai-2"]["models"]) == ["o3"]

    def test_neither(self, take: Import) -> None:
        """What is no switch is told; false is what we do anyway."""
        text = models(OPENAI.replace("rpm: 12", "drop_params: 7"), CLAUDE)
        found = take(text + "litellm_settings: {drop_params: os.environ/DROP}\n")
        assert not [one for one in found.document["providers"].values() if "unsupported" in one]
        assert "`litellm_settings.drop_params` was not carried over" in found.comments
        assert "`drop_params` was not carried over: it is neither" in found.comments


LITERALS = ["Bearer sk-literal-1", "0a1b2c3d4e5f", "sk-x", "correcthorsebatterystaple", "Basic dXNlcg", "abc123"]


class TestHeaders:
    @pytest.mark.parametrize("value", LITERALS)
    @pytest.mark.parametrize("name", ["x-proxy", "X-Token"])
    def test_literals_become_variables(self, name: str, value: str, take: Import) -> None:
        """Whatever the header is called, what may be a credential is not printed."""
        settings, comments = provider(f'model: openai/m, extra_headers: {{{name}: "{value}"}}', take)
        variable = f"OPENAI_{name.upper().replace('-', '_')}"
        assert settings["headers"] == {name: f"${{{variable}}}"}
        assert f"set the variable {variable}" in comments
        assert value not in comments

    @pytest.mark.parametrize(
        ("name", "value"),
        [
            ("x-team", "blue"),
            ("x-zone", "eu-west-1"),
            ("x-version", "2024-10-21"),
            ("anthropic-beta", "token-efficient-tools-2025-02-19"),
            ("x-proxy", "Bearer ${PROXY}"),
        ],
    )
    def test_what_is_plain_stays(self, name: str, value: str, take: Import) -> None:
        """Few short words, what says how to speak, and what names its variables."""
        assert provider(f'model: openai/m, headers: {{{name}: "{value}"}}', take)[0]["headers"] == {name: value}

    def test_both_kinds(self, take: Import) -> None:
        """LiteLLM sends `headers` and `extra_headers`, the latter first."""
        params = "model: openai/m, headers: {x-a: one, x-b: two}, extra_headers: {x-b: three}"
        assert provider(params, take)[0]["headers"] == {"x-a": "one", "x-b": "three"}

    @pytest.mark.parametrize("given", ["Bearer sk-literal", "{x-a: [sk-literal]}"])
    def test_what_is_none(self, given: str, take: Import) -> None:
        """What cannot be a header is told, and not printed."""
        settings, comments = provider(f"model: openai/m, extra_headers: {given}", take)
        assert "header" in comments
        assert not settings.get("headers")
        assert "sk-literal" not in comments

    def test_the_other_format(self, take: Import) -> None:
        """Headers in a `provider.config.toml` are no different."""
        text = '[providers.custom.box]\nbase_url = "https://x.example/v1"\n'
        text += 'headers = {x-proxy = "Bearer sk-literal-1", x-team = "blue", x-own = "Bearer ${BOX_X_PROXY}"}\n'
        found = take(text, "provider.config.toml")
        assert found.document["providers"]["box"]["headers"] == {
            "x-proxy": "${BOX_X_PROXY_2}",
            "x-team": "blue",
            "x-own": "Bearer ${BOX_X_PROXY}",
        }
        assert "sk-literal" not in found.text
        assert "set the variable BOX_X_PROXY_2" in found.comments
